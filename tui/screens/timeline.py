"""All of one message: its recipients, where each copy lies now, and every event."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from textual.app import ComposeResult

from tracing import ids
from tracing.events import COLUMNS, Outcome, to_fields
from tui import actions, formats, words
from tui.data import Story
from tui.lang import N_, _
from tui.screens import messages
from tui.screens.onmessage import OnMessage, Selected
from tui.source import Trouble
from tui.vtable import VTable
from tui.widgets.cells import Cells, Pane
from tui.widgets.columns import Column, Columns
from tui.work import start
from tui.world import World

if TYPE_CHECKING:
    from tracing.events import Event
    from tracing.queries import Recipient, Stored

_OUTCOME = {
    Outcome.OK: ("●", "good"),
    Outcome.INFO: ("·", "dim"),
    Outcome.DEFER: ("◔", "wait"),
    Outcome.FAIL: ("✕", "bad"),
    Outcome.DROP: ("✕", "bad"),
    Outcome.HOLD: ("◆", "wait"),
}
_IDS = ("trace", "cn", "st")
_DETAIL_LINES = 5


class RecipientLook(Columns["Recipient"]):
    """The line of a recipient."""

    EMPTY = N_("no recipient was accepted")

    def columns(self, width: int) -> Sequence[Column]:
        """Where the copy lies has what is left."""
        who = min(60, (width - 16) // 2)
        return ("", 1, ""), (N_("Recipient"), who, ""), (N_("Became"), 12, ""), (N_("Place"), 0, "")

    def texts(self, row: "Recipient", widths: Sequence[int]) -> Sequence[str]:
        """Who, what became of it, where the copy lies."""
        alias = (
            " " + _("(as {})").format(row.original) if row.original not in ("", row.addr) else ""
        )
        return row.state.glyph, row.addr + alias, words.state(row.state), messages.place(row)

    def role(self, row: "Recipient", name: str) -> str:
        """Glyph and word have the state's."""
        return messages.role(row.state) if name in ("", "Became") else ""


Step = tuple[str, "Stored"]
"""An event, and how long it came after the one before."""


class StepLook(Columns[Step]):
    """The line of an event: time, since the one before, what happened."""

    EMPTY = N_("no event of this message is kept")

    def columns(self, width: int) -> Sequence[Column]:
        """What happened has what is left."""
        return (
            (N_("Time"), 12, "dim"), (N_("after"), -10, "dim"), ("", 1, ""),
            (N_("What happened"), 0, ""),
        )  # fmt: skip

    def texts(self, row: Step, widths: Sequence[int]) -> Sequence[str]:
        """When, how long after, how it went, what."""
        event = row[1].event
        time = formats.fine_time(event.at, self.world.zone)
        return time, row[0], _OUTCOME[event.outcome][0], words.event(event)

    def role(self, row: Step, name: str) -> str:
        """The glyph has the outcome's, the text that of a bad one."""
        style = _OUTCOME[row[1].event.outcome][1]
        return style if name == "" or (name == "What happened" and style == "bad") else ""


def steps(stored: Sequence["Stored"]) -> list[Step]:
    """Events, oldest first, as they are listed."""
    times = [one.event.at for one in stored]
    after = [f"+{formats.span(max(0, then - at))}" for at, then in pairwise(times)]
    return list(zip(["", *after], stored, strict=False))


def event_lines(stored: "Stored", world: World, width: int) -> list[Cells]:
    """Every field of an event that says something, in a few lines."""
    event = stored.event
    kind = getattr(event, "was", "") if event.kind == "unknown" else event.kind
    head = f"{formats.clean(kind)}  {formats.full_time(event.at, world.zone)}  {_('by')} "
    lines: list[Cells] = [[(head, "strong"), (formats.clean(event.actor), "")]]
    text = "  ".join(f"{name}={value}" for name, value in _said(event))
    room = _DETAIL_LINES - 1
    for index, line in enumerate(formats.wrap(formats.clean(text), max(10, width))):
        if index == room:
            lines[-1] = [*lines[-1][:-1], (formats.fit(lines[-1][-1][0], width - 1) + "…", "dim")]
            break
        lines.append([(line, "dim")])
    return lines


def _said(event: "Event") -> Sequence[tuple[str, str]]:
    """Fields and values, the literal reply first."""
    fields = to_fields(event)
    order = ["reply", *[name for name in fields if name not in COLUMNS], *COLUMNS]
    said = []
    for name in order:
        value = fields.get(name)
        if name in ("kind", "at", "actor", "also") or value in (None, "", 0, [], ()):
            continue
        if name in _IDS and isinstance(value, int):
            value = ids.text(value)
        said.append((name, str(value)))
    return said


class TimelineScreen(OnMessage):
    """Opened from a list with enter."""

    TAB = "trace"
    SCOPE = actions.Scope.TIMELINE
    BINDINGS = actions.bindings(actions.Scope.TIMELINE, actions.Scope.MESSAGE)
    AUTO_FOCUS = "#events"
    DEFAULT_CSS = """
    TimelineScreen {
        #summary { height: 3; }
        .heading { padding: 0 1; }
        #recipients { height: auto; max-height: 30%; min-height: 1; }
        #events { height: 1fr; }
        .detail { height: 5; }
        &.-compact .detail { height: 4; }
    }
    """

    def __init__(self, world: World, m: int) -> None:
        super().__init__(world)
        self.m = m
        self._story = Story(None, (), ())
        self._recipients = VTable(RecipientLook(world), id="recipients", opens=False)
        self._events = VTable(StepLook(world), id="events", opens=False)

    def body(self) -> ComposeResult:
        """Summary, recipients, events, the event under the cursor."""
        yield Pane(self._summary, id="summary", classes="bar")
        yield Pane(lambda *_at: _title(_("Recipients"), self._story.recipients), classes="heading")
        yield self._recipients
        yield Pane(lambda *_at: _title(_("Events"), self._story.events), classes="heading")
        yield self._events
        yield Pane(self._event, classes="detail")

    def on_mount(self) -> None:
        """Begin to read."""
        self.action_reload()

    def action_reload(self) -> None:
        """Read everything again."""
        start(self, "read", self.reading, "story", self._read)

    async def _read(self) -> None:
        try:
            self._story = await self.world.reading.story(self.m)
        except Trouble as trouble:
            self._recipients.fail(trouble)
            self._events.fail(trouble)
            raise
        finally:
            self.settled = True
        self._recipients.show(self._story.recipients)
        self._recipients.styles.height = max(1, len(self._recipients))
        self._events.show(steps(self._story.events))

    def selected(self) -> Selected | None:
        """The message that is shown."""
        return Selected(self.m)

    def changed(self) -> None:
        """Read it again."""
        self.action_reload()

    def _summary(self, width: int, height: int) -> Sequence[Cells]:
        return messages.summary(self.m, self._story.row, self.world, width) if self.settled else ()

    def _event(self, width: int, height: int) -> Sequence[Cells]:
        step = self._events.current_row
        return event_lines(step[1], self.world, width) if step is not None else ()

    def action_switch(self) -> None:
        """Between recipients and events."""
        (self._events if self._recipients.has_focus else self._recipients).focus()

    def action_back(self) -> None:
        """Back to where this was opened."""
        self.dismiss()


def _title(name: str, listed: Sequence[object]) -> Sequence[Cells]:
    return [[(f"{name}  {formats.number(len(listed))}", "dim")]]

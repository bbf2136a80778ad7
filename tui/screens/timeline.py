"""All of one message: its recipients, where each copy lies now, and every event."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult

from tracing import ids
from tracing.events import COLUMNS, Outcome, to_fields
from tui import actions, formats
from tui.data import Story
from tui.screens import messages
from tui.screens.frame import Frame
from tui.vtable import VTable
from tui.widgets.cells import Block, Cells
from tui.work import start
from tui.world import World

if TYPE_CHECKING:
    from tracing.events import Event
    from tracing.queries import Recipient, Row, Stored

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


def place(recipient: "Recipient") -> str:
    """Where the recipient's copy lies now, in words."""
    if recipient.mailbox:
        return f"in {recipient.mailbox}"
    if recipient.st:
        return "no longer in any mailbox"
    said = " ".join(
        part for part in (str(recipient.code or ""), recipient.enh, recipient.reply) if part
    )
    return recipient.reply if recipient.reply.startswith(str(recipient.code)) else said


class RecipientLook:
    """The line of a recipient."""

    def heading(self, width: int) -> str:
        """The column names."""
        return formats.fit("  Recipient", width)

    def cells(self, number: int, row: "Recipient | None", width: int) -> Cells:
        """The line."""
        if row is None:
            return [(formats.fit("…", width), "dim")]
        style = messages.role(row.state)
        alias = row.original and row.original != row.addr
        who = row.addr + (f" (as {row.original})" if alias else "")
        left = min(60, (width - 16) * (1 if alias else 2) // (2 if alias else 4))
        return [
            (f"{row.state.glyph} ", style),
            (formats.cell(who, left) + " ", ""),
            (f"{row.state.word:<12} ", style),
            (formats.cell(place(row), width - 2 - left - 1 - 13), ""),
        ]


class EventLook:
    """The line of an event: time, since the one before, what happened."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.events: Sequence[Stored] = ()

    def heading(self, width: int) -> str:
        """The column names."""
        return formats.fit("  Time         after    What happened", width)

    def cells(self, number: int, row: "Stored | None", width: int) -> Cells:
        """The line."""
        if row is None:
            return [(formats.fit("…", width), "dim")]
        event = row.event
        index = len(self.events) - 1 - number
        before = self.events[index - 1].event.at if 0 < index < len(self.events) else None
        glyph, style = _OUTCOME[event.outcome]
        after = "" if before is None else f"+{formats.span(max(0, event.at - before))}"
        rest = width - 12 - 1 - 10 - 3
        return [
            (formats.fit(formats.fine_time(event.at, self.world.zone), 12), "dim"),
            (" " + formats.fit(after, 10, right=True), "dim"),
            (f" {glyph} ", style),
            (formats.cell(str(event), rest), style if style == "bad" else ""),
        ]


def summary(m: int, row: "Row | None", world: World, width: int) -> list[Cells]:
    """The message in three lines."""
    if row is None:
        return [
            [(ids.text(m), "strong")],
            [("the log has no row for this id", "dim")],
            [],
        ]
    style = messages.role(row.state)
    subject = formats.clean(row.subject) or "(no subject)"
    left = f"{ids.text(m)}  "
    state = f"{row.state.glyph} {row.state.word}"
    who = f"{messages.sender(row)} → {messages.receivers(row)}"
    facts = f"{formats.full_time(row.at, world.zone)}  {formats.size(row.size)}"
    client = f"from {row.ip or '?'} ({row.helo or 'no name given'})"
    return [
        [
            (left, "dim"),
            (formats.fit(subject, max(8, width - len(left) - len(state) - 1)), "strong"),
            (" " + state, style),
        ],
        [
            (formats.cell(who, max(8, width - len(facts) - 1)), ""),
            (" " + facts, "dim"),
        ],
        [(formats.cell(f"{row.message_id or 'no Message-ID'}  {client}", width), "dim")],
    ]


def event_lines(stored: "Stored", world: World, width: int) -> list[Cells]:
    """Every field of an event that says something, in a few lines."""
    event = stored.event
    kind = getattr(event, "was", "") if event.kind == "unknown" else event.kind
    head = f"{formats.clean(kind)}  {formats.full_time(event.at, world.zone)}  by "
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


class TimelineScreen(Frame):
    """Opened from a list with enter."""

    TAB = "trace"
    SCOPE = actions.Scope.TIMELINE
    BINDINGS = actions.bindings(actions.Scope.TIMELINE)
    AUTO_FOCUS = "#events"
    DEFAULT_CSS = """
    TimelineScreen {
        #summary { height: 3; padding: 0 1; background: $surface; }
        .heading { height: 1; padding: 0 1; background: $panel; }
        #recipients { height: auto; max-height: 30%; min-height: 1; }
        #events { height: 1fr; }
        #event { height: 5; padding: 0 1; background: $surface; }
        &.-compact #event { height: 4; }
    }
    """

    def __init__(self, world: World, m: int) -> None:
        super().__init__(world)
        self.m = m
        self._look = EventLook(world)

    def body(self) -> ComposeResult:
        """Summary, recipients, events, the event under the cursor."""
        yield Block(id="summary")
        yield Block(id="recipients-heading", classes="heading")
        yield VTable(RecipientLook(), id="recipients", empty="no recipient was accepted")
        yield Block(id="events-heading", classes="heading")
        yield VTable(self._look, id="events", empty="no event of this message is kept")
        yield Block(id="event")

    def on_mount(self) -> None:
        """Begin to read."""
        for table in self.query(VTable):
            table.opens = False
        self.query_one("#recipients-heading", Block).put([[("Recipients", "dim")]])
        self.query_one("#events-heading", Block).put([[("Events", "dim")]])
        self.action_reload()

    def action_reload(self) -> None:
        """Read everything again."""
        start(self, "read", self.reading, "story", self._read)

    async def _read(self) -> None:
        try:
            story = await self.world.reading.story(self.m)
            self._show(story)
        finally:
            self.settled = True

    def _show(self, story: Story) -> None:
        width = self.app.size.width - 2
        self.query_one("#summary", Block).put(summary(self.m, story.row, self.world, width))
        self._look.events = story.events
        recipients = self.query_one("#recipients", VTable)
        recipients.show(story.recipients)
        recipients.styles.height = max(1, len(story.recipients))
        for name, count in (("Recipients", story.recipients), ("Events", story.events)):
            self.query_one(f"#{name.lower()}-heading", Block).put(
                [[(f"{name}  {formats.number(len(count))}", "dim")]]
            )
        self.query_one("#events", VTable).show(story.events)

    def on_resize(self, event: events.Resize) -> None:
        """The summary is made for the width."""
        if self.settled:
            self.action_reload()

    def on_vtable_changed(self, event: VTable.Changed) -> None:
        """Show the event under the cursor."""
        if event.table.id == "events":
            row = event.table.current_row
            width = self.app.size.width - 2
            lines = [] if row is None else event_lines(row, self.world, width)
            self.query_one("#event", Block).put(lines)

    def action_switch(self) -> None:
        """Between recipients and events."""
        other = "#events" if self.query_one("#recipients").has_focus else "#recipients"
        self.query_one(other).focus()

    def action_back(self) -> None:
        """Back to where this was opened."""
        self.dismiss()

"""Find any message: a filter, the list, a live tail, a few lines on the one under the cursor."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input

from tracing import ids
from tracing.search import SearchError, parse
from tracing.views import BUILT_IN
from tui import actions, formats, words
from tui.lang import N_, _
from tui.screens import messages
from tui.screens.onmessage import OnMessage, Selected
from tui.screens.timeline import TimelineScreen
from tui.source import Trouble
from tui.stream import Stream
from tui.vector import CAP
from tui.vtable import VTable
from tui.widgets.cells import Cells, Pane
from tui.work import start
from tui.world import World

if TYPE_CHECKING:
    from tracing.queries import Recipient, Row

POLL_SECONDS = 0.25
"""The list is repainted for live messages at most four times a second."""
QUIET_SECONDS = 1.0
"""Without a bell the log is looked at this often."""
FOLLOW_SECONDS = 0.06
"""The detail pane follows the cursor when it rests this long."""
LOOK_BACK_SECONDS = 10
"""How often messages are looked for that began earlier than the newest one seen."""
LONGEST_TRANSACTION_US = 15 * 60 * 1_000_000
"""How much earlier that may be."""


class FilterInput(Input):
    """The filter; escape leaves it as it was applied."""

    BINDINGS = [  # noqa: RUF012 - Textual's own form
        ("enter", "submit", "Apply"),
        ("escape", "leave", "Leave"),
    ]

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """A sign whose name Textual does not know is typed as well, and no key of the list."""
        return key == "slash" or super().check_consume_key(key, character)

    def action_leave(self) -> None:
        """Back to the list."""
        screen = self.screen
        if isinstance(screen, TraceScreen):
            screen.leave_filter()


def error_lines(text: str, error: SearchError) -> list[Cells]:
    """The filter with a caret under what is wrong with it, and the sentence."""
    before = formats.clean(text[: error.position])
    shown = before + formats.clean(text[error.position :])
    return [
        [(f"  {shown}", "")],
        [(f"  {' ' * formats.cell_len(before)}^ ", "bad"), (formats.clean(str(error)), "bad")],
    ]


class TraceScreen(OnMessage):
    """Screen 2."""

    TAB = "trace"
    SCOPE = actions.Scope.TRACE
    BINDINGS = actions.bindings(actions.Scope.TRACE, actions.Scope.MESSAGE)
    AUTO_FOCUS = "#list"
    DEFAULT_CSS = """
    TraceScreen {
        #bar { height: 1; }
        #filter, #filter:focus { border: none; height: 1; padding: 0 1; width: 1fr;
                                 background: $surface; }
        #status { width: auto; }
        #error { background: $surface; }
        #list { height: 1fr; }
        .detail { height: 6; border-top: solid $foreground 30%; }
        .detail.-hidden { display: none; }
    }
    """

    def __init__(self, world: World, text: str = "") -> None:
        super().__init__(world)
        self._first = text
        self.tail = False
        """Whether further messages are shown as they come, while the list is at its top."""
        self._unseen = 0
        self._text = ""
        self._total: int | None = None
        self._rung = asyncio.Event()
        self._polled = 0.0
        self._looked_back = 0.0
        self._recipients: Mapping[int, Sequence[Recipient]] = {}
        """Those of the message under the cursor, by its id."""
        self._error: Sequence[Cells] = ()
        self.table: Stream[Row] = Stream(messages.MessageLook(world), id="list")

    def body(self) -> ComposeResult:
        """Filter and status, list, detail."""
        with Horizontal(id="bar"):
            yield FilterInput(
                placeholder=_("/ to filter: to:ann since:2d state:refused"), id="filter"
            )
            yield Pane(self._status, id="status", classes="bar")
        yield Pane(lambda *_: self._error, id="error")
        yield Pane(lambda *_: self.table.heading, classes="heading")
        yield self.table
        yield Pane(self._detail, classes="detail")

    def on_mount(self) -> None:
        """Begin to read."""
        self.query_one("#filter", Input).value = self._first
        if not self.apply(self._first):
            self.apply("")
        self.set_interval(POLL_SECONDS, self._tick)

    # ---------------------------------------------------------------- filter

    def action_filter(self) -> None:
        """Type a filter."""
        field = self.query_one("#filter", Input)
        field.focus()
        field.cursor_position = len(field.value)

    def given(self, text: str) -> None:
        """Filter by it, as if it had been typed."""
        self.query_one("#filter", Input).value = text
        self.apply(text)

    def leave_filter(self) -> None:
        """Back to the list with the filter in force."""
        self.query_one("#filter", Input).value = self._text
        self._error = ()
        self.table.focus()
        self.renew()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Apply the filter; one that is wrong leaves the list as it is."""
        if self.apply(event.value):
            self.table.focus()

    def action_clear(self) -> None:
        """Drop the filter."""
        if self._text:
            self.query_one("#filter", Input).value = ""
            self.apply("")

    def apply(self, text: str) -> bool:
        """List what fits a filter; False when it cannot be understood."""
        try:
            views = self.world.reading.views() if "@" in text else BUILT_IN
            query = parse(text, self.world.now_us(), self.world.zone, views)
        except SearchError as error:
            self._error = error_lines(text, error)
            self.renew()
            return False
        self._error = ()
        self._text, self._unseen = text, 0
        self.table.empty = (
            N_("no message fits this filter; esc drops it")
            if text.strip()
            else N_("no message yet")
        )
        self.table.load(self.world.reading.messages(query), self._loaded)
        return True

    def _loaded(self) -> None:
        self.settled = True
        start(self, "total", self.reading, "total", self._count)

    async def _count(self) -> None:
        self._total = await self.world.reading.total()
        self.renew()

    # ------------------------------------------------------------------ tail

    def action_tail(self) -> None:
        """Follow new messages, or stop."""
        self.tail = not (self.tail and self.table.at_top)
        if self.tail:
            self.table.action_first()
            self._polled = self._looked_back = 0.0
            start(self, "bell", self._listen)
        self.renew()

    async def _listen(self) -> None:
        """Hear the log's bell while the tail is on; without one the clock has to do."""
        while self.tail:
            try:
                async for _ in self.world.reading.bell():
                    self._rung.set()
            except Trouble:
                pass
            await asyncio.sleep(QUIET_SECONDS)

    def _tick(self) -> None:
        """Look for mail, once a second or when the bell rang."""
        if not (self.tail and self.is_current):
            return
        if self.table.at_top:
            self._unseen = 0
        self.renew()
        now = self.world.now_us() / 1_000_000
        if self._rung.is_set() or not 0 <= now - self._polled < QUIET_SECONDS:
            self._rung.clear()
            self._polled = now
            start(self, "tail", self.reading, "tail", self._poll)

    async def _poll(self) -> None:
        now = self.world.now_us() / 1_000_000
        after = self.table.newest
        if not 0 <= now - self._looked_back < LOOK_BACK_SECONDS:
            self._looked_back = now
            after = min(after, ids.lowest(self.world.now_us() - LONGEST_TRANSACTION_US))
        following = self.tail and self.table.at_top
        added = await self.table.poll(after, follow=following)
        if not following:
            self._unseen += added
        if added and self._total is not None:
            self._total = max(self._total + added, len(self.table))
        self.renew()

    # --------------------------------------------------------------- showing

    def on_vtable_changed(self, event: VTable.Changed) -> None:
        """The cursor moved or rows came: read more about the one it is on."""
        self.say("list", event.table.trouble)
        row = event.table.current_row
        if row is not None and self.query_one(".detail").display:
            start(self, "detail", self.reading, "detail", partial(self._describe, row.id))

    async def _describe(self, m: int) -> None:
        await asyncio.sleep(FOLLOW_SECONDS)
        self._recipients = {m: await self.world.reading.recipients(m)}
        self.renew()

    def selected(self) -> Selected | None:
        """The message under the cursor."""
        number = self.table.current
        return Selected(number) if number is not None else None

    def _status(self, width: int, height: int) -> Sequence[Cells]:
        table = self.table
        shown = formats.number(len(table)) + ("" if table.complete else " …")
        if self._text.strip() and self._total is not None:
            shown += " " + _("of {}").format(formats.number(self._total))
        pieces: list[tuple[str, str]] = [(shown, "strong")]
        if table.vector.cut:
            told = _("(the last {}; narrow with since:)").format(formats.number(CAP))
            pieces.append((f" {told}", "wait"))
        if self.tail and table.at_top:
            pieces.append(("  " + _("TAIL ● following"), "good"))
        elif self.tail:
            pieces.append(("  " + _("TAIL ‖ stopped, g resumes"), "wait"))
            if self._unseen:
                pieces.append(("  ▲ " + _("{} new").format(formats.number(self._unseen)), "strong"))
        return [pieces]

    def _detail(self, width: int, height: int) -> Sequence[Cells]:
        row = self.table.current_row
        if row is None:
            return ()
        lines = messages.summary(row.id, row, self.world, width)
        for recipient in self._recipients.get(row.id, ())[:2]:
            text = f"{recipient.addr}: {words.state(recipient.state)}, {messages.place(recipient)}"
            glyph = (f"{recipient.state.glyph} ", messages.role(recipient.state))
            lines.append([glyph, (formats.cell(text.rstrip(", "), width - 2), "")])
        return lines

    def action_detail(self) -> None:
        """Show or hide the detail pane."""
        self.query_one(".detail").toggle_class("-hidden")

    def on_vtable_opened(self, event: VTable.Opened) -> None:
        """Open the message's timeline."""
        self.app.push_screen(TimelineScreen(self.world, event.row.id))

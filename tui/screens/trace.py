"""Find any message: a filter, the list, a live tail, a few lines on the one under the cursor."""

import asyncio
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input

from tracing import ids
from tracing.search import SearchError
from tui import actions, formats
from tui.screens import messages
from tui.screens.frame import Frame
from tui.screens.timeline import TimelineScreen, place, summary
from tui.vtable import CAP, Trouble, VTable
from tui.widgets.cells import Block, Cells
from tui.work import start
from tui.world import World

if TYPE_CHECKING:
    from tracing.queries import Recipient, Row
    from tracing.search import Query

POLL_SECONDS = 0.25
"""The list is repainted for live messages at most four times a second."""
QUIET_SECONDS = 1.0
"""Without a bell the log is looked at this often."""
LOOK_BACK_SECONDS = 10
"""How often messages are looked for that began earlier than the newest one seen."""
LONGEST_TRANSACTION_US = 15 * 60 * 1_000_000
"""How much earlier that may be."""


class Tail(Enum):
    """The live tail."""

    OFF = "off"
    FOLLOWING = "following"
    PAUSED = "paused"


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


class TraceScreen(Frame):
    """Screen 2."""

    TAB = "trace"
    SCOPE = actions.Scope.TRACE
    BINDINGS = actions.bindings(actions.Scope.TRACE)
    AUTO_FOCUS = "#list"
    DEFAULT_CSS = """
    TraceScreen {
        #bar { height: 1; background: $surface; }
        #filter, #filter:focus { border: none; height: 1; padding: 0 1; width: 1fr;
                                 background: $surface; }
        #status { width: auto; height: 1; padding: 0 1; background: $surface; }
        #error { display: none; height: 2; background: $surface; }
        #error.-shown { display: block; }
        #heading { height: 1; background: $panel; }
        #list { height: 1fr; }
        #detail { height: 6; padding: 0 1; background: $surface;
                  border-top: solid $foreground 30%; }
        #detail.-hidden { display: none; }
    }
    """

    def __init__(self, world: World, text: str = "") -> None:
        super().__init__(world)
        self._first = text
        self.tail = Tail.OFF
        self._text = ""
        self._query: Query | None = None
        self._unseen = 0
        self._total: int | None = None
        self._rung = asyncio.Event()
        self._polled = 0.0
        self._looked_back = 0.0
        self._described: tuple[int, Sequence[Recipient]] | None = None

    def body(self) -> ComposeResult:
        """Filter and status, list, detail."""
        with Horizontal(id="bar"):
            yield FilterInput(placeholder="/ to filter: to:ann since:2d state:refused", id="filter")
            yield Block(id="status")
        yield Block(id="error")
        yield Block(id="heading")
        yield VTable(messages.MessageLook(self.world), id="list")
        yield Block(id="detail")

    @property
    def table(self) -> "VTable[Row]":
        """The list of messages."""
        return self.query_one("#list", VTable)

    def on_mount(self) -> None:
        """Begin to read."""
        self.query_one("#filter", Input).value = self._first
        if not self.apply(self._first):
            self.apply("")
        self.set_interval(POLL_SECONDS, self._tick)

    def on_resize(self, event: events.Resize) -> None:
        """Heading and detail are made for the width, which the list has after the layout."""
        self.call_after_refresh(self._show_heading)
        self.call_after_refresh(self._show_detail)

    # ---------------------------------------------------------------- filter

    def action_filter(self) -> None:
        """Type a filter."""
        field = self.query_one("#filter", Input)
        field.focus()
        field.cursor_position = len(field.value)

    def leave_filter(self) -> None:
        """Back to the list with the filter in force."""
        self.query_one("#filter", Input).value = self._text
        self._show_error([])
        self.table.focus()

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
            query = self.world.reading.parse(text, self.world.now_us())
        except SearchError as error:
            self._show_error(error_lines(text, error))
            return False
        self._show_error([])
        self._text, self._query, self._unseen = text, query, 0
        self.table.empty = (
            "no message fits this filter; esc drops it" if text.strip() else "no message yet"
        )
        self.table.load(self.world.reading.messages(query), self._loaded)
        return True

    def _show_error(self, lines: Sequence[Cells]) -> None:
        block = self.query_one("#error", Block)
        block.put(lines)
        block.set_class(bool(lines), "-shown")

    def _loaded(self) -> None:
        self.settled = True
        start(self, "total", self.reading, "total", self._count)

    async def _count(self) -> None:
        self._total = await self.world.reading.total()
        self._show_status()

    # ------------------------------------------------------------------ tail

    def action_tail(self) -> None:
        """Follow new messages, or stop."""
        if self.tail is Tail.FOLLOWING:
            self.tail = Tail.OFF
        else:
            self.tail = Tail.FOLLOWING
            self._unseen = 0
            self.table.action_first()
            self._polled = self._looked_back = 0.0
            start(self, "bell", self._listen)
        self._show_status()

    async def _listen(self) -> None:
        """Hear the log's bell while the tail is on; without one the clock has to do."""
        while self.tail is not Tail.OFF:
            try:
                async for _ in self.world.reading.bell():
                    self._rung.set()
            except Trouble:
                pass
            await asyncio.sleep(QUIET_SECONDS)

    def _tick(self) -> None:
        """Pause the tail when the person has moved away, go on when back; look for mail."""
        if self.tail is Tail.OFF or not self.is_current:
            return
        if self.tail is Tail.FOLLOWING and not self.table.at_top:
            self.tail = Tail.PAUSED
            self._show_status()
        elif self.tail is Tail.PAUSED and self.table.at_top:
            self.tail, self._unseen = Tail.FOLLOWING, 0
            self._show_status()
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
        following = self.tail is Tail.FOLLOWING and self.table.at_top
        added = await self.table.poll(after, follow=following)
        if added and not following:
            self._unseen += added
        if added and self._total is not None:
            self._total = max(self._total + added, len(self.table))
        self._show_status()

    # --------------------------------------------------------------- showing

    def on_vtable_changed(self, event: VTable.Changed) -> None:
        """The cursor moved or rows came: say where we are and what is there."""
        self._show_heading()
        self._show_status()
        self._show_detail()
        row = event.table.current_row
        if row is not None and not self.query_one("#detail").has_class("-hidden"):
            start(self, "detail", self._describe, row.id)

    def on_vtable_failed(self, event: VTable.Failed) -> None:
        """Reading the list failed."""
        self.say("list", event.sentence)

    async def _describe(self, m: int) -> None:
        await asyncio.sleep(0.06)
        try:
            self._described = (m, await self.world.reading.recipients(m))
        except Trouble as trouble:
            self.say("list", str(trouble))
        else:
            self._show_detail()

    def _show_heading(self) -> None:
        heading = self.table.look.heading(self.table.line_width or self.app.size.width)
        self.query_one("#heading", Block).put([[(heading, "dim")]])

    def _show_status(self) -> None:
        table = self.table
        shown = formats.number(len(table)) + ("" if table.complete else " …")
        if self._text.strip() and self._total is not None:
            shown += f" of {formats.number(self._total)}"
        pieces: list[tuple[str, str]] = [(shown, "strong")]
        if table.cut:
            pieces.append((f" (the last {formats.number(CAP)}; narrow with since:)", "wait"))
        if self.tail is Tail.FOLLOWING:
            pieces.append(("  TAIL ● following", "good"))
        elif self.tail is Tail.PAUSED:
            pieces.append(("  TAIL ‖ stopped, g resumes", "wait"))
            if self._unseen:
                pieces.append((f"  ▲ {formats.number(self._unseen)} new", "strong"))
        block = self.query_one("#status", Block)
        block.styles.width = 2 + sum(formats.cell_len(text) for text, _ in pieces)
        block.put([pieces])

    def _show_detail(self) -> None:
        block = self.query_one("#detail", Block)
        row = self.table.current_row
        if row is None:
            block.put([])
            return
        width = self.app.size.width - 2
        lines = summary(row.id, row, self.world, width)
        if self._described is not None and self._described[0] == row.id:
            for recipient in self._described[1][:2]:
                style = messages.role(recipient.state)
                text = f"{recipient.addr}: {recipient.state.word}, {place(recipient)}"
                lines.append(
                    [
                        (f"{recipient.state.glyph} ", style),
                        (formats.cell(text.rstrip(", "), width - 2), ""),
                    ]
                )
        block.put(lines[:5])

    def action_detail(self) -> None:
        """Show or hide the detail pane."""
        self.query_one("#detail").toggle_class("-hidden")

    def on_vtable_opened(self, event: VTable.Opened) -> None:
        """Open the message's timeline."""
        self.app.push_screen(TimelineScreen(self.world, event.number))

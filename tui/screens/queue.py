"""Mail that waits to leave: by destination, and what waits for each; what can be done about it."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from textual.app import ComposeResult

from tui import actions, formats
from tui.acts import queue
from tui.data import Destination, Waiting
from tui.lang import N_, _
from tui.screens.dialogs import Field, Form
from tui.screens.onmessage import OnMessage, Selected
from tui.screens.waiting import DestinationLook, WaitingLook
from tui.source import Trouble
from tui.vtable import VTable
from tui.widgets.cells import Cells, Pane
from tui.widgets.columns import Columns
from tui.work import REFRESH_SECONDS, Turn, start
from tui.world import World

QUESTIONS: dict[queue.Change, str] = {
    "retry": N_("Try {} at once?"),
    "hold": N_("Hold {}?"),
    "release": N_("Release {}?"),
    "drop": N_("Drop {}? The sender is not told."),
    "bounce": N_("Return {} to the sender?"),
}


class QueueScreen(OnMessage):
    """Screen 3. What is done concerns the marked rows, or the one under the cursor."""

    TAB = "queue"
    SCOPE = actions.Scope.QUEUE
    BINDINGS = actions.bindings(actions.Scope.QUEUE, actions.Scope.MESSAGE)
    AUTO_FOCUS = "#list"
    DEFAULT_CSS = """
    QueueScreen {
        #list { height: 1fr; }
        .detail { height: 5; border-top: solid $foreground 30%; }
    }
    """

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.marks: set[queue.Key | str] = set()
        """Keys of marked recipients, or names of marked domains."""
        self._looks: tuple[Columns[Any], Columns[Any]] = (
            DestinationLook(world, self.marks),
            WaitingLook(world, self.marks),
        )
        self._domain: str | None = None
        """Whose recipients are listed; None for the destinations, empty for all recipients."""
        self._left_out = 0
        self._turn = Turn(self._read)
        self._rows: Sequence[Any] | None = None
        self._shown: str | None = None
        self.table: VTable[Any] = VTable(self._looks[0], id="list")

    def look_at(self, domain: str, look: Columns[Any]) -> None:
        """Begin with the recipients of a domain, all for an empty one, in a look of theirs."""
        self._domain, self._looks = domain, (self._looks[0], look)
        self.table.look, self.table.empty = look, look.EMPTY

    def body(self) -> ComposeResult:
        """Where we are, the list, detail."""
        yield Pane(self._where, classes="bar")
        yield Pane(lambda *_at: self.table.heading, classes="heading")
        yield self.table
        yield Pane(self._detail, classes="detail")

    def on_mount(self) -> None:
        """Begin to read, and go on."""
        self.set_interval(REFRESH_SECONDS, self._again)
        self.action_reload()

    def _again(self) -> None:
        """Read again what is old for what it cost: a long queue takes its time."""
        if self.is_current and self.settled and self._turn.is_due:
            self.action_reload()

    # ------------------------------------------------------------- reading

    def action_reload(self) -> None:
        """Read what is listed again."""
        start(self, "read", self.reading, "queue", self._turn.take)

    async def listing(self, domain: str | None) -> tuple[Sequence[Any], int]:
        """Destinations, or who waits for one; and how many are left out. Raises Trouble."""
        if domain is None:
            return await self.world.reading.destinations(), 0
        return await self.world.reading.waiting(domain)

    async def _read(self) -> None:
        domain = self._domain
        try:
            rows, left_out = await self.listing(domain)
        except Trouble as trouble:
            self.table.fail(trouble)
            raise
        else:
            self._show(domain, rows, left_out)
        finally:
            self.settled = True

    def _show(self, domain: str | None, rows: Sequence[Any], left_out: int) -> None:
        if domain != self._domain:
            return
        self._left_out = left_out
        self.marks &= {key_of(row) for row in rows}
        if (domain, rows) == (self._shown, self._rows) and not self.table.trouble:
            return
        self._shown, self._rows = domain, rows
        self.table.look = self._looks[domain is not None]
        self.table.empty = self.table.look.EMPTY
        self.table.opens = domain is None or self.SCOPE is not actions.Scope.QUEUE
        self.table.show(rows)
        self.refresh_bindings()

    # ------------------------------------------------------------- moving

    def on_vtable_opened(self, event: VTable.Opened) -> None:
        """Who waits for a destination."""
        if isinstance(event.row, Destination):
            self._go(event.row.domain)

    def action_switch(self) -> None:
        """Between destinations and all recipients."""
        self._go("" if self._domain is None else None)

    def action_back(self) -> None:
        """Back to the destinations."""
        self._go(None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing is offered that does nothing."""
        if action == "back":
            return self._domain is not None
        return super().check_action(action, parameters)

    def _go(self, domain: str | None) -> None:
        self._domain = domain
        self.marks.clear()
        self.action_reload()

    # ------------------------------------------------------------- acting

    def selected(self) -> Selected | None:
        """The message of the recipient under the cursor."""
        row = self.table.current_row
        return Selected(row.m) if isinstance(row, Waiting) else None

    def action_mark(self) -> None:
        """Mark the row, or take its mark away, and go on to the next."""
        row = self.table.current_row
        if row is not None:
            self.marks ^= {key_of(row)}
            self.table.move(self.table.cursor + 1)
            self.table.refresh()
            self.renew()

    def action_act(self, act: queue.Change) -> None:
        """Ask, then do it to what is meant."""
        start(self, "message", self.reading, act, partial(self._ask, act))

    def action_retry(self) -> None:
        """Try what is meant at once."""
        self.action_act("retry")

    def action_release(self) -> None:
        """Let what is meant go."""
        self.action_act("release")

    async def _ask(self, act: queue.Change) -> None:
        row = self.table.current_row
        meant = sorted(self.marks, key=str) or ([key_of(row)] if row is not None else [])
        if not meant:
            raise Trouble(_("there is nothing under the cursor"))
        who = await self.acting(partial(queue.all_of, meant=meant))
        if act == "bounce":
            self._ask_why(act, who)
        else:
            self.change(act, who, _(QUESTIONS[act]))

    def _ask_why(self, act: queue.Change, who: Sequence[queue.Key]) -> None:
        asked = [Field("why", _("The reason, for the sender and the log"))]

        def told(values: dict[str, str] | None) -> None:
            if values is not None:
                self.change(act, who, _(QUESTIONS[act]), values["why"].strip())

        title = _(QUESTIONS[act]).format(queue.counted_recipients(len(who)))
        self.app.push_screen(Form(title, asked), told)

    def changed(self) -> None:
        """Something was done: marks have served."""
        self.marks.clear()
        self.action_reload()

    # ------------------------------------------------------------- showing

    def _where(self, width: int, height: int) -> Sequence[Cells]:
        path = self.path()
        if self._left_out:
            more = formats.number(self._left_out)
            path.append(("  " + _("{} more are not shown").format(more), "wait"))
        if self.marks:
            path.append(("  " + _("{} marked").format(formats.number(len(self.marks))), "strong"))
        return [path]

    def path(self) -> list[tuple[str, str]]:
        """What is listed, and how many of it."""
        here = _("by destination")
        if self._domain is not None:
            here = formats.clean(self._domain) or _("all recipients")
        count = f"   {formats.number(len(self.table))}"
        return [(_("Queue") + " › ", "dim"), (here, "strong"), (count, "dim")]

    def _detail(self, width: int, height: int) -> Sequence[Cells]:
        row = self.table.current_row
        return self.table.look.detail(row, width) if row is not None else ()


def key_of(row: Destination | Waiting) -> queue.Key | str:
    """What a row is marked by."""
    return row.domain if isinstance(row, Destination) else (row.m, row.n)

"""Screens that go down by levels: a list, what is in its row, and so on."""

from collections.abc import Sequence
from typing import Any

from textual.app import ComposeResult

from tui import actions, formats
from tui.lang import _
from tui.screens.levels import Level
from tui.screens.onmessage import OnMessage
from tui.source import Trouble
from tui.vtable import VTable
from tui.widgets.cells import Cells, Pane
from tui.work import Turn, start
from tui.world import World

ON_MESSAGE = frozenset(actions.called(action)[0] for action in actions.of(actions.Scope.MESSAGE))
"""What can be asked of and done to a message, by its methods."""


class Browse(OnMessage):
    """Subclasses say what is listed at a path, and how it looks at each depth."""

    AUTO_FOCUS = "#list"
    DEFAULT_CSS = """
    Browse {
        #list { height: 1fr; }
        .detail { height: 4; border-top: solid $foreground 30%; }
    }
    """

    def __init__(self, world: World, levels: Sequence[Level]) -> None:
        super().__init__(world)
        self._levels = levels
        self.path: list[tuple[str, str]] = []
        """What was opened, from the top down: its name, and as it is shown."""
        self._cursors = [0] * len(levels)
        self.depth = 0
        """The depth that is listed; the path is ahead of it while it is read."""
        self._rows: Sequence[Any] | None = None
        self.left_out = 0
        """How many there are that are not listed."""
        self.turn = Turn(self._read)
        self.table: VTable[Any] = VTable(levels[0], id="list")

    # ------------------------------------------------------------- for subclasses

    def top(self) -> str:
        """The name of the top level."""
        raise NotImplementedError

    async def listing(self, path: Sequence[str]) -> tuple[Sequence[Any], int]:
        """What there is at a path, and how many more are left out. Raises Trouble."""
        raise NotImplementedError

    def name_of(self, row: Any) -> str | None:
        """A row's name in the path; None for one that has nothing in it."""
        raise NotImplementedError

    def bottom(self, row: Any) -> None:
        """A row at the lowest level was opened."""

    # ------------------------------------------------------------- reading

    def body(self) -> ComposeResult:
        """Where we are, the list, detail."""
        yield Pane(self._where, classes="bar")
        yield Pane(lambda *_: self.table.heading, classes="heading")
        yield self.table
        yield Pane(self._detail, classes="detail")

    def on_mount(self) -> None:
        """Begin to read."""
        self.action_reload()

    def action_reload(self) -> None:
        """Read the present level again."""
        start(self, "read", self.reading, "level", self.turn.take)

    @property
    def names(self) -> list[str]:
        """The path's names."""
        return [name for name, _shown in self.path]

    async def _read(self) -> None:
        depth, names = len(self.path), self.names
        try:
            rows, left_out = await self.listing(names)
        except Trouble as trouble:
            self._list(depth, [], 0)
            self.table.fail(trouble)
            raise
        else:
            if (depth, rows) != (self.depth, self._rows) or self.table.trouble:
                self._list(depth, rows, left_out)
        finally:
            self.settled = True

    def _list(self, depth: int, rows: Sequence[Any], left_out: int) -> None:
        """Show another depth, or the same one with other rows."""
        moved, self.depth, self._rows, self.left_out = depth != self.depth, depth, rows, left_out
        self.table.look = self._levels[depth]
        self.table.empty = self._levels[depth].EMPTY
        self.table.show(rows)
        if moved:
            self.table.move(self._cursors[depth])
        self.refresh_bindings()

    # ------------------------------------------------------------- showing

    def _where(self, width: int, height: int) -> Sequence[Cells]:
        *above, last = self.top(), *(shown for _name, shown in self.path)
        path, count = "".join(f"{name} › " for name in above), formats.number(len(self.table))
        more = ""
        if self.left_out:
            more = "  " + _("{} more are not shown").format(formats.number(self.left_out))
        room = width - sum(map(formats.cell_len, (last, count, more))) - 3
        if formats.cell_len(path) > room:
            path = formats.fit(path, max(0, room - 2)).rstrip() + "› " if room > 8 else ""
        return [[(path, "dim"), (last, "strong"), (f"   {count}", "dim"), (more, "wait")]]

    def _detail(self, width: int, height: int) -> Sequence[Cells]:
        row = self.table.current_row
        return self.table.look.detail(row, width) if row is not None else ()

    # ------------------------------------------------------------- moving

    def on_vtable_changed(self, event: VTable.Changed) -> None:
        """Remember where the cursor is."""
        self._cursors[self.depth] = event.table.cursor
        self.refresh_bindings()

    def on_vtable_opened(self, event: VTable.Opened) -> None:
        """One level down."""
        row = event.row
        if self.depth != len(self.path):
            return
        if self.depth == len(self._levels) - 1:
            self.bottom(row)
        elif (name := self.name_of(row)) is not None:
            self.go_down(name, formats.clean(self._levels[self.depth].name(row), 60))

    def go_down(self, name: str, shown: str) -> None:
        """One level down, into what has a name."""
        self.path.append((name, shown))
        self._cursors[len(self.path)] = 0
        self.action_reload()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing is offered that does nothing."""
        if action in ON_MESSAGE:
            return self.selected() is not None
        return bool(self.path) if action == "back" else super().check_action(action, parameters)

    def action_back(self) -> None:
        """One level up."""
        if self.path:
            self.path.pop()
            self.action_reload()

"""Browse the mail as it was: snapshots, their boxes, mailboxes and messages."""

from collections.abc import Sequence
from typing import Any

from textual.app import ComposeResult

from tui import actions, formats
from tui.lang import _
from tui.screens.frame import Frame
from tui.screens.levels import LEVELS
from tui.source import Trouble
from tui.vtable import VTable
from tui.widgets.cells import Cells, Pane
from tui.work import start
from tui.world import World

REFRESH_SECONDS = 2
"""How often the screen looks for further snapshots."""


class SnapshotsScreen(Frame):
    """Screen 5: browsing only."""

    TAB = "snapshots"
    SCOPE = actions.Scope.SNAPSHOTS
    BINDINGS = actions.bindings(actions.Scope.SNAPSHOTS)
    AUTO_FOCUS = "#list"
    DEFAULT_CSS = """
    SnapshotsScreen {
        #list { height: 1fr; }
        .detail { height: 4; border-top: solid $foreground 30%; }
    }
    """

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._levels = [level(world) for level in LEVELS]
        self._path: list[tuple[str, str]] = []
        """What was opened, from the snapshot down: its name, and as it is shown."""
        self._cursors = [0] * len(LEVELS)
        self._depth = 0
        """The depth that is listed; the path is ahead of it while it is read."""
        self._rows: Sequence[Any] | None = None
        self.table: VTable[Any] = VTable(self._levels[0], id="list")

    def body(self) -> ComposeResult:
        """Where we are, the list, detail."""
        yield Pane(self._where, classes="bar")
        yield Pane(lambda *_: self.table.heading, classes="heading")
        yield self.table
        yield Pane(self._detail, classes="detail")

    def on_mount(self) -> None:
        """Begin to read, and to look for further snapshots."""
        self.set_interval(REFRESH_SECONDS, self._again)
        self.action_reload()

    def _again(self) -> None:
        """What is in a snapshot never changes; which there are does."""
        if self.is_current and self.settled and not self._path:
            self.action_reload()

    def action_reload(self) -> None:
        """Read the present level again."""
        start(self, "read", self.reading, "level", self._read)

    async def _read(self) -> None:
        depth = len(self._path)
        try:
            rows = await self.world.reading.saved(*(name for name, _ in self._path))
        except Trouble as trouble:
            self._list(depth, [])
            self.table.fail(trouble)
            raise
        else:
            if (depth, rows) != (self._depth, self._rows) or self.table.trouble:
                self._list(depth, rows)
        finally:
            self.settled = True

    def _list(self, depth: int, rows: Sequence[Any]) -> None:
        """Show another depth, or the same one with other rows."""
        moved, self._depth, self._rows = depth != self._depth, depth, rows
        self.table.look = self._levels[depth]
        self.table.empty = self._levels[depth].EMPTY
        self.table.opens = depth < len(LEVELS) - 1
        self.table.show(rows)
        if moved:
            self.table.move(self._cursors[depth])
        self.refresh_bindings()

    def _where(self, width: int, height: int) -> Sequence[Cells]:
        *above, last = _("Snapshots"), *(shown for _, shown in self._path)
        path = "".join(f"{name} › " for name in above)
        return [[(path, "dim"), (last, "strong"), (f"   {formats.number(len(self.table))}", "dim")]]

    def _detail(self, width: int, height: int) -> Sequence[Cells]:
        row = self.table.current_row
        return self.table.look.detail(row, width) if row is not None else ()

    def on_vtable_changed(self, event: VTable.Changed) -> None:
        """Remember where the cursor is."""
        self._cursors[self._depth] = event.table.cursor

    def on_vtable_opened(self, event: VTable.Opened) -> None:
        """One level down."""
        row = event.row
        if self._depth == len(self._path) < len(LEVELS) - 1:
            shown = formats.clean(self._levels[self._depth].texts(row, ())[0], 60)
            self._path.append((row.address if self._depth == 1 else row.name, shown))
            self._cursors[len(self._path)] = 0
            self.action_reload()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing is offered that does nothing."""
        return bool(self._path) if action == "back" else super().check_action(action, parameters)

    def action_back(self) -> None:
        """One level up."""
        if self._path:
            self._path.pop()
            self.action_reload()

"""Browse the mail as it was: snapshots, their boxes, mailboxes and messages."""

from collections.abc import Sequence
from typing import Any

from tui import actions
from tui.lang import _
from tui.screens.browse import Browse
from tui.screens.levels import LEVELS
from tui.screens.onmessage import Selected
from tui.world import World

REFRESH_SECONDS = 2
"""How often the screen looks for further snapshots."""


class SnapshotsScreen(Browse):
    """Screen 5: browsing only."""

    TAB = "snapshots"
    SCOPE = actions.Scope.SNAPSHOTS
    BINDINGS = actions.bindings(actions.Scope.SNAPSHOTS, actions.Scope.MESSAGE)

    def __init__(self, world: World) -> None:
        super().__init__(world, [level(world) for level in LEVELS])

    def on_mount(self) -> None:
        """Look for further snapshots."""
        self.set_interval(REFRESH_SECONDS, self._again)

    def _again(self) -> None:
        """What is in a snapshot never changes; which there are does."""
        if self.is_current and self.settled and not self.path:
            self.action_reload()

    def top(self) -> str:
        """All snapshots."""
        return _("Snapshots")

    async def listing(self, path: Sequence[str]) -> tuple[Sequence[Any], int]:
        """What is in a snapshot, a box, a mailbox."""
        return await self.world.reading.saved(*path), 0

    def name_of(self, row: Any) -> str:
        """By which it is asked for."""
        return str(row.address if self.depth == 1 else row.name)

    def selected(self) -> Selected | None:
        """The message under the cursor, if the log knows it."""
        row = self.table.current_row
        if row is None or self.depth < len(LEVELS) - 1 or not row.entry.m:
            return None
        return Selected(row.entry.m, row.entry.st)

"""What is kept from going on, by hand or by a check: what it says, why, release, drop."""

from collections.abc import Sequence
from typing import Any

from tui import actions, formats
from tui.data import Waiting
from tui.lang import _
from tui.screens.onmessage import Look
from tui.screens.queue import QueueScreen
from tui.screens.waiting import HeldLook
from tui.vtable import VTable
from tui.world import World

PLACE = "queue"
"""Where the event of a look says that such a message lay."""


class QuarantineScreen(QueueScreen, inherit_bindings=False):
    """Screen 6. The text of a message is shown to who says why, as everywhere."""

    TAB = "quarantine"
    SCOPE = actions.Scope.QUARANTINE
    BINDINGS = actions.bindings(
        actions.Scope.QUARANTINE, actions.Scope.MESSAGE, shown=["message.release"]
    )

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.look_at("", HeldLook(world, self.marks))

    async def listing(self, domain: str | None) -> tuple[Sequence[Any], int]:
        """Who waits because of a hold."""
        return await self.world.reading.held()

    def on_vtable_opened(self, event: VTable.Opened) -> None:
        """Show the message as text."""
        row = event.row
        if isinstance(row, Waiting):
            look = Look(row.to, PLACE, row.subject, row.m)
            self.read_text(look, lambda: self.world.reading.queued(row.m, row.size))

    def path(self) -> list[tuple[str, str]]:
        """The screen's name, and how many wait."""
        return [(_("Quarantine"), "strong"), (f"   {formats.number(len(self.table))}", "dim")]

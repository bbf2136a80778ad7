"""The mail as it was: in snapshots, at any time, what was deleted; and putting it back."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from mtad.errors import NothingFound
from tui import actions, formats
from tui.acts import restore
from tui.acts.restore import Wanted
from tui.lang import N_, _
from tui.saved import AT, DELETED, TO, Top
from tui.screens import restoring
from tui.screens.browse import Browse
from tui.screens.dialogs import Field, Form
from tui.screens.levels import LEVELS
from tui.screens.onmessage import Look, Selected
from tui.source import Trouble
from tui.work import start
from tui.world import World

BOXES, MAILBOXES, MESSAGES = 1, 2, 3
"""The depths below the snapshots."""

REFRESH_SECONDS = 2
"""How often the screen looks for further snapshots."""


class SnapshotsScreen(Browse):
    """Screen 5."""

    TAB = "snapshots"
    SCOPE = actions.Scope.SNAPSHOTS
    BINDINGS = actions.bindings(
        actions.Scope.SNAPSHOTS, actions.Scope.MESSAGE, shown=["message.restore"]
    )

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
        if row is None or self.depth < MESSAGES or not row.entry.m:
            return None
        return Selected(row.entry.m, row.entry.st)

    def bottom(self, row: Any) -> None:
        """Show a message of a snapshot to who says why."""
        entry = row.entry
        look = Look(self.names[BOXES], entry.mailbox, row.subject, entry.m, entry.st)
        self.read_text(look, lambda: self.world.reading.saved_text(row))

    # ------------------------------------------------------------- other tops

    def action_at(self) -> None:
        """Browse boxes as of a time."""
        asked = [Field("at", _("Time, like 14:20 or 2026-11-20T14:32"))]
        self._go(Form(_("As it was when?"), asked), lambda told: AT + told["at"], N_("as of {}"))

    def action_deleted(self) -> None:
        """Browse what was deleted."""
        asked = [
            Field("since", _("Deleted since, like 2d or 2026-11-20"), "7d"),
            Field("until", _("Until; empty for now")),
        ]
        self._go(
            Form(_("What was deleted when?"), asked),
            lambda told: DELETED + told["since"] + TO + told["until"],
            N_("deleted {}"),
        )

    def _go(self, form: Form, top: Callable[[dict[str, str]], str], shown: str) -> None:
        def told(values: dict[str, str] | None) -> None:
            if values is not None:
                name = top({key: value.strip() for key, value in values.items()})
                self.path.clear()
                self.go_down(name, formats.clean(_(shown).format(name[1:]), 60))

        self.app.push_screen(form, told)

    # ------------------------------------------------------------- putting back

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Boxes and mailboxes can be put back as well."""
        if action == "restore":
            return self.depth > 0 and self.table.current_row is not None
        return super().check_action(action, parameters)

    def action_restore(self) -> None:
        """Put back what is under the cursor: a box, a mailbox, a message."""
        row = self.table.current_row
        if row is not None and self.depth > 0:
            start(self, "message", self.reading, "restore", partial(self._put_back, row))

    async def _put_back(self, row: Any) -> None:
        try:
            wanted = self._wanted(row)
        except NothingFound as error:
            raise Trouble(str(error)) from error
        await restoring.ask(self, [wanted], self.action_reload)

    def _wanted(self, row: Any) -> Wanted:
        top = Top.of(self.names[0])
        is_deleted = not (top.snapshot or top.at)
        box = row.address if self.depth == BOXES else self.names[BOXES]
        mailbox, terms = None, top.terms
        if self.depth == MAILBOXES:
            mailbox = row.name
        if self.depth == MESSAGES:
            mailbox = row.entry.mailbox
            terms = (*restore.message(box, row.entry.m, row.entry.st).terms, *terms)
        return Wanted(box, terms, mailbox, top.snapshot, top.at, is_deleted)

    def action_undo(self) -> None:
        """Take the last restore back."""
        run = partial(restoring.ask_undo, self, self.action_reload)
        start(self, "message", self.reading, "restore", run)

"""Whose mail is here: domains, boxes, mailboxes, messages; and what can be done to boxes."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tui import actions
from tui.acts import boxes, restore
from tui.acts.restore import Wanted
from tui.data import Account, Letter
from tui.lang import _
from tui.screens.browse import Browse
from tui.screens.dialogs import Confirm, Field, Form, Page
from tui.screens.onmessage import Look, Selected
from tui.screens.shelves import LEVELS
from tui.work import REFRESH_SECONDS, start
from tui.world import World

DOMAINS, ACCOUNTS, FOLDERS, LETTERS = range(4)
"""The depths."""
NEEDS_BOX = ("password", "lock", "quota", "forward")
"""What is done to the box under the cursor."""

Values = dict[str, str]


class MailboxesScreen(Browse):
    """Screen 4. The text of a message is shown to who says why, and that is an event."""

    TAB = "mailboxes"
    SCOPE = actions.Scope.MAILBOXES
    BINDINGS = actions.bindings(actions.Scope.MAILBOXES, actions.Scope.MESSAGE)
    DEFAULT_CSS = """
    MailboxesScreen .detail { height: 6; }
    """

    def __init__(self, world: World) -> None:
        super().__init__(world, [level(world) for level in LEVELS])

    def on_mount(self) -> None:
        """Go on reading."""
        self.set_interval(REFRESH_SECONDS, self._again)

    def _again(self) -> None:
        """Read again what is old for what it cost."""
        if self.is_current and self.settled and self.turn.is_due:
            self.action_reload()

    # ------------------------------------------------------------- listing

    def top(self) -> str:
        """The top."""
        return _("Mailboxes")

    async def listing(self, path: Sequence[str]) -> tuple[Sequence[Any], int]:
        """What is in a domain, a box, a mailbox."""
        reading = self.world.reading
        if not path:
            return await reading.domains(), 0
        if len(path) == ACCOUNTS:
            return await reading.accounts(*path), 0
        if len(path) == FOLDERS:
            return await reading.folders(path[-1]), 0
        return await reading.letters(*path[1:])

    def name_of(self, row: Any) -> str | None:
        """Its name; an alias has nothing in it."""
        if isinstance(row, Account):
            return None if row.is_alias else row.address
        return str(row.name)

    def selected(self) -> Selected | None:
        """The message under the cursor, if the log knows it."""
        row = self.table.current_row
        if not isinstance(row, Letter) or not row.kept.m:
            return None
        return Selected(row.kept.m, row.kept.st)

    async def wanted(self, one: Selected) -> Sequence[Wanted]:
        """In the box that is looked at."""
        return [restore.message(self.names[1], one.m, one.st)]

    # ------------------------------------------------------------- reading mail

    def bottom(self, row: Letter) -> None:
        """Show a message to who says why."""
        box, kept = self.names[1], row.kept
        look = Look(box, kept.mailbox, row.subject, kept.m, kept.st)
        self.read_text(look, lambda: self.world.reading.letter(box, kept))

    # ------------------------------------------------------------- changing

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing is offered that does nothing."""
        if action in NEEDS_BOX:
            return self._box() is not None
        if action in ("add", "alias"):
            return self.depth <= ACCOUNTS
        return super().check_action(action, parameters)

    def _box(self) -> Account | None:
        row = self.table.current_row
        return row if isinstance(row, Account) and not row.is_alias else None

    def _ask(self, form: Form, do: Callable[[Values], Callable[[Any], str]]) -> None:
        """Ask for values, do it with them, and say what was done."""

        def told(values: Values | None) -> None:
            if values is not None:
                self._do(do(values))

        self.app.push_screen(form, told)

    def _do(self, act: Callable[[Any], str]) -> None:
        async def run() -> None:
            self.flash(await self.acting(act))
            self.action_reload()

        start(self, "message", self.reading, "act", run)

    def action_add(self) -> None:
        """A domain, or in a domain a box."""
        if self.depth == DOMAINS:
            form = Form(_("Take mail for a domain"), [Field("name", _("Domain"))])
            self._ask(form, lambda values: partial(boxes.add_domain, name=values["name"]))
            return
        asked = [
            Field("address", _("Address"), f"@{self.names[0]}", at=0),
            Field("password", _("Password; empty for one that is made up"), secret=True),
        ]

        def told(values: Values | None) -> None:
            if values is not None:
                add = partial(self._add_box, values["address"], values["password"])
                start(self, "message", self.reading, "act", add)

        self.app.push_screen(Form(_("Add a box"), asked), told)

    async def _add_box(self, address: str, password: str) -> None:
        made, shown = await self.acting(
            lambda loaded: boxes.add_box(loaded, address.strip(), password)
        )
        self.action_reload()
        self._tell_password(_("box {} added").format(made), shown)

    def _tell_password(self, done: str, password: str) -> None:
        if not password:
            self.flash(done)
            return
        told = _("password  {}").format(password)
        self.app.push_screen(Page(done, ["", told, "", _("it is shown only now; y copies it")]))

    def action_alias(self) -> None:
        """An address that leads to others."""
        domain = f"@{self.names[0]}" if self.path else ""
        asked = [
            Field("address", _("Address"), domain, at=0),
            Field("targets", _("Leads to, separated by spaces")),
        ]
        self._ask(
            Form(_("Add an alias"), asked),
            lambda values: partial(
                boxes.add_alias, address=values["address"].strip(), targets=values["targets"]
            ),
        )

    def action_password(self) -> None:
        """Another password for the box."""
        if (box := self._box()) is None:
            return
        asked = [Field("password", _("Password; empty for one that is made up"), secret=True)]

        async def change(password: str) -> None:
            made = await self.acting(
                lambda loaded: boxes.set_password(loaded, box.address, password)
            )
            self._tell_password(_("{} has another password").format(box.address), made)

        def told(values: Values | None) -> None:
            if values is not None:
                run = partial(change, values["password"])
                start(self, "message", self.reading, "act", run)

        self.app.push_screen(Form(_("Another password for {}").format(box.address), asked), told)

    def action_lock(self) -> None:
        """Let the box log in no more, or again."""
        if (box := self._box()) is None:
            return
        asked = _("Let {} log in again?") if box.locked else _("Let {} log in no more?")

        def decided(yes: bool | None) -> None:
            if yes:
                self._do(partial(boxes.lock, address=box.address, locked=not box.locked))

        told = [_("it goes on receiving mail")]
        self.app.push_screen(Confirm(asked.format(box.address), told), decided)

    def action_quota(self) -> None:
        """How much the box may hold."""
        if (box := self._box()) is None:
            return
        asked = [
            Field("octets", _("Size, like 5G; 0 for any"), str(box.max_octets)),
            Field("messages", _("Messages; 0 for any number"), str(box.max_messages)),
        ]
        self._ask(
            Form(_("How much may {} hold?").format(box.address), asked),
            lambda values: partial(
                boxes.set_quota,
                address=box.address,
                octets=values["octets"],
                messages=values["messages"].strip(),
            ),
        )

    def action_forward(self) -> None:
        """Where the mail of the box goes on to."""
        if (box := self._box()) is None:
            return
        asked = [
            Field("targets", _("Passed on to; empty for nowhere"), " ".join(box.forwards)),
            Field("keep", _("A copy stays: yes or no"), _("yes") if box.keeps else _("no")),
        ]

        def passed(values: Values) -> Callable[[Any], str]:
            keep = values["keep"].strip().lower() == _("yes")
            return partial(boxes.forward, address=box.address, targets=values["targets"], keep=keep)

        self._ask(Form(_("Pass mail of {} on").format(box.address), asked, check=_yes_no), passed)


def _yes_no(values: Values) -> str:
    said = values["keep"].strip().lower()
    return "" if said in (_("yes"), _("no")) else _("answer yes or no")

"""What an owner does to mailboxes without touching messages: found, made, subscribed, told of."""

import os
from collections.abc import Sequence
from pathlib import Path

from mtad import clock
from mtad.errors import NothingFound, UsageError
from mtad.store import acl as acl_of
from mtad.store import acls, mailboxes, maildir, names, subscriptions, uses
from mtad.store.acl import Acl
from mtad.store.holding import Holding
from mtad.store.rows import MailboxRow
from tracing.events import BoxAcl, BoxMailbox


class Shaping(Holding):
    """The mailboxes of a box that is held."""

    def find(self, name: str) -> MailboxRow | None:
        """A mailbox by its name, INBOX in any case of letters."""
        if name.upper() == names.INBOX:
            name = names.INBOX
        return self.index.mailboxes.get(name)

    def mailbox(self, name: str) -> MailboxRow:
        """The same. Raises NothingFound."""
        found = self.find(name)
        if found is None:
            raise NothingFound(f"{self.address} has no mailbox {name}")
        return found

    def create(
        self,
        mailbox: str,
        *,
        wanted: Sequence[str] = (),
        like: str = "",
        rights: Sequence[str] | None = None,
        actor: str,
        client: str = "",
    ) -> bool:
        """Make a mailbox, for uses that are ``wanted``; False when it is there.

        It is shared like the one above it, or, where there is none, like the mailbox named by
        ``like``, unless lines of ``rights`` are given. Raises UsageError for no name at all and
        for a use that none can have.
        """
        meant = uses.check(wanted)
        with self.working():
            self.look()
            there = self.find(mailbox) is not None
            self.make(mailbox, actor, client, meant, like, rights)
            return not there

    def renumber(
        self, mailbox: str, uidvalidity: int, uidnext: int, *, actor: str, client: str = ""
    ) -> bool:
        """Let a mailbox without any past go on with numbers it had before it was lost.

        ``uidnext`` must be above every UID it ever gave. False, and nothing is done, where it
        has had messages already. Raises NothingFound, UsageError.
        """
        if not (0 < uidvalidity < 1 << 32 and 0 < uidnext < 1 << 32):
            raise UsageError(f"{uidvalidity} and {uidnext} cannot number a mailbox")
        with self.working():
            self.look()
            row = self.mailbox(mailbox)
            if not mailboxes.may_be_numbered(self.ground, row):
                return row.uidvalidity == uidvalidity
            self.tell_shape(
                row.name,
                mailboxes.NUMBERED,
                actor,
                client,
                numbers=(uidvalidity, uidnext),
            )
            return True

    def subscribe(self, name: str, on: bool, *, actor: str, client: str = "") -> bool:
        """Subscribe to a name or no longer (RFC 9051 6.3.7); False when that was so before.

        There need not be such a mailbox. Raises UsageError for what can be no mailbox's name.
        """
        with self.working():
            self._folder(name)
            if name.upper() == names.INBOX:
                name = names.INBOX
            there = self.subscriptions()
            if (name in there) == on:
                return False
            if on and len(there) >= subscriptions.MAX_NAMES:
                raise UsageError(f"{self.address} subscribes to {len(there)} mailboxes already")
            what = mailboxes.SUBSCRIBED if on else mailboxes.UNSUBSCRIBED
            self.tell_shape(name, what, actor, client)
            return True

    def subscriptions(self) -> set[str]:
        """The names that are subscribed to; waits for no act."""
        return subscriptions.read(self.ground.files.root)

    def uses(self) -> dict[str, tuple[str, ...]]:
        """The uses of the mailboxes that have any; waits for no act."""
        every = list(self.index.mailboxes.values())
        folder = self.ground.files.mailbox
        return uses.of_mailboxes({one.name: uses.read(folder(one.folder)) for one in every})

    def acl(self, mailbox: str) -> Acl:
        """Who may do what with a mailbox; waits for no act. Raises NothingFound."""
        return acls.read(self.ground.files.mailbox(self.mailbox(mailbox).folder))

    def share(self, mailbox: str, who: str, letters: str, *, actor: str, client: str = "") -> Acl:
        """Give rights to an identifier; returns the list there is then (RFC 4314 3.1).

        ``letters`` are all its rights, or such to be added after "+", or taken away after "-".
        An identifier without rights is not in the list. Raises NothingFound, and UsageError for
        what is no identifier or no right.
        """
        try:
            who = acl_of.identifier(who)
            named = acl_of.rights(letters.lstrip("+-"))
        except ValueError as error:
            raise UsageError(str(error)) from error
        if who.removeprefix("-") == self.address:
            raise UsageError(f"{self.address} has all rights to its own mailboxes")
        if "/" in self.address:
            raise UsageError(f"a box with / in its address cannot be shared: {self.address}")
        with self.working():
            self.look()
            box, before = self.mailbox(mailbox), self.acl(mailbox)
            had = before.entries.get(who, "")
            if letters.startswith("+"):
                named = acl_of.rights(had + named)
            elif letters.startswith("-"):
                named = "".join(right for right in had if right not in named)
            after = before.changed(who, named)
            if len(after.entries) > acl_of.MAX_ENTRIES:
                raise UsageError(f"{box.name} is shared with as many as can be")
            if after != before:
                self.shape(
                    BoxAcl(
                        at=clock.now_us(),
                        trace=self.desk.mint(),
                        addr=self.address,
                        mailbox=box.name,
                        client=client,
                        actor=actor,
                        who=who,
                        rights=named,
                        had=had,
                        acl=after.lines(),
                    )
                )
            return after

    # ------------------------------------------------------------- for the acts

    def make(
        self,
        name: str,
        actor: str,
        client: str = "",
        meant: tuple[str, ...] = (),
        like: str = "",
        rights: Sequence[str] | None = None,
    ) -> MailboxRow:
        """A mailbox, made if it is not there. Raises UsageError."""
        found = self.find(name)
        if found is not None:
            maildir.ensure(self.ground.files.root, found.folder)
            return found
        path = self._folder(name)
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise UsageError(f"{path} is in the way of a mailbox {name}")
        acl = self._inherited(name, like) if rights is None else acl_of.parse(rights).lines()
        self.tell_shape(name, mailboxes.CREATED, actor, client, meant=meant, acl=acl)
        return self.mailbox(name)

    def _inherited(self, name: str, like: str) -> tuple[str, ...]:
        """Who may do what with a mailbox that is to be made: as with the nearest above it."""
        while "/" in name:
            name = name.rpartition("/")[0]
            if name in self.index.mailboxes:
                return self.acl(name).lines()
        return self.acl(like).lines() if like else ()

    def check_free(self, name: str) -> None:
        """Raises UsageError where a name cannot be given to a mailbox."""
        path = self._folder(name)
        if self.find(name):
            raise UsageError(f"{self.address} has a mailbox {name} already")
        if os.path.lexists(path):
            raise UsageError(f"{path} is in the way of a mailbox {name}")

    def tell_shape(
        self,
        name: str,
        what: str,
        actor: str,
        client: str = "",
        target: str = "",
        meant: tuple[str, ...] = (),
        acl: tuple[str, ...] = (),
        numbers: tuple[int, int] = (0, 0),
    ) -> None:
        """Promise what is done to a mailbox as a whole, then do it."""
        self.shape(
            BoxMailbox(
                at=clock.now_us(),
                trace=self.desk.mint(),
                addr=self.address,
                mailbox=name,
                what=what,
                target=target,
                uses=meant,
                acl=acl,
                uidvalidity=numbers[0],
                uidnext=numbers[1],
                client=client,
                actor=actor,
            )
        )

    def _folder(self, name: str) -> Path:
        """Where a mailbox would lie. Raises UsageError for a name that none can have."""
        try:
            return self.ground.files.mailbox(names.mailbox_folder(name))
        except ValueError as error:
            raise UsageError(str(error)) from error

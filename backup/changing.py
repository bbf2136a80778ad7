"""Carrying out what a restore does to a box besides its messages, through the box's owner."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from backup.changes import (
    Allow,
    Annotate,
    Change,
    Delete,
    Limit,
    Make,
    See,
    Share,
    Subscribe,
)
from mtad.errors import NothingFound
from mtad.store import annotations, names
from mtad.store.client import Listed

BATCH = 256
"""Messages in one act of the owner."""


class Owner(Protocol):
    """What is needed of the boxes' owner; as ``mtad.store.client.Boxes``."""

    def list(self, box: str, mailbox: str | None = None) -> Listed:
        """Mailboxes and messages."""

    def create(
        self,
        box: str,
        mailbox: str,
        *,
        uses: Sequence[str] = (),
        rights: Sequence[str] | None = None,
        actor: str,
        client: str = "",
    ) -> object:
        """Make a mailbox and its box unless they are there."""

    def delete(self, box: str, mailbox: str, *, actor: str, client: str = "") -> int:
        """Delete a mailbox."""

    def share(
        self, box: str, mailbox: str, who: str, rights: str, *, actor: str, client: str = ""
    ) -> object:
        """Give rights to a mailbox."""

    def subscribe(self, box: str, mailbox: str, on: bool, *, actor: str, client: str = "") -> bool:
        """Subscribe to a name or no longer."""

    def flags(
        self,
        box: str,
        mailbox: str,
        uids: Sequence[int],
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        *,
        reader: str = "",
        actor: str,
        client: str = "",
    ) -> int:
        """Add and remove flags and keywords."""


class Directory(Protocol):
    """What is needed of whoever changes the directory; as ``mtad.directory.rule_changes``."""

    def set_quota(self, given: str, octets: int | None, messages: int | None) -> object:
        """Say how much a box may hold."""

    def allow(self, given: str, service: str, wanted: Sequence[str]) -> object:
        """Say from where a service may be used."""


class Changing:
    """The changes to one box whose ``folder`` is given."""

    def __init__(
        self,
        box: str,
        folder: Path,
        owner: Owner,
        directory: Directory | None,
        *,
        actor: str,
        client: str,
    ) -> None:
        self._box, self._folder = box, folder
        self._owner, self._directory = owner, directory
        self._who = {"actor": actor, "client": client}

    def carry_out(self, changes: Iterable[Change], did: Callable[[Change], None]) -> None:
        """Do what is to be done; each change that is done is told to ``did``.

        Doing a change twice does nothing more. Raises what the owner and the directory raise.
        """
        for change in changes:
            if self._do(change):
                did(change)

    def _do(self, change: Change) -> bool:
        box, owner = self._box, self._owner
        if isinstance(change, Make):
            return self._make(change)
        if isinstance(change, Share):
            owner.share(box, change.mailbox, change.who, change.rights, **self._who)
        elif isinstance(change, Subscribe):
            owner.subscribe(box, change.mailbox, change.on, **self._who)
        elif isinstance(change, Annotate):
            number = self._number(change.mailbox) if change.mailbox else change.number
            annotations.change(self._folder, number, change.values)
        elif isinstance(change, See):
            self._see(change)
        elif isinstance(change, Delete):
            return self._delete(change.mailbox)
        elif self._directory is None:
            return False
        elif isinstance(change, Limit):
            self._directory.set_quota(box, change.octets, change.messages)
        elif isinstance(change, Allow):
            self._directory.allow(box, change.service, change.networks)
        return True

    def _make(self, change: Make) -> bool:
        traits = change.traits
        made = self._owner.create(
            self._box, change.mailbox, uses=traits.uses, rights=traits.rights, **self._who
        )
        if traits.notes:
            number = self._number(change.mailbox)
            there = annotations.entries(self._folder, number)
            values = {name: value for name, value in traits.notes.items() if name not in there}
            annotations.change(self._folder, number, values)
        return bool(made)

    def _see(self, change: See) -> None:
        with suppress(NothingFound):
            there = {
                one.base: one.uid for one in self._owner.list(self._box, change.mailbox).messages
            }
            uids = sorted(there[base] for base in change.bases if there.get(base))
            self.see(change.mailbox, uids, change.who, change.on)

    def see(self, mailbox: str, uids: Sequence[int], who: str, on: bool) -> None:
        """Messages are seen by a user who is not the owner, or not."""
        marks = [names.flag_names("S"), ()] if on else [(), names.flag_names("S")]
        for start in range(0, len(uids), BATCH):
            few = uids[start : start + BATCH]
            self._owner.flags(self._box, mailbox, few, *marks, reader=who, **self._who)

    def _delete(self, mailbox: str) -> bool:
        """Only without messages: what came since the plan was made stays with its mailbox."""
        with suppress(NothingFound):
            if not self._owner.list(self._box, mailbox).messages:
                self._owner.delete(self._box, mailbox, **self._who)
                return True
        return False

    def _number(self, mailbox: str) -> int:
        every = self._owner.list(self._box, names.INBOX).mailboxes
        return next(one.id for one in every if one.name == mailbox)

"""What transactions of an index did, for whoever keeps a picture of it.

Gathered while a transaction runs and handed over once it is committed, in the thread that
committed it; one that fails did nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

from mtad.store.rows import MailboxRow, Row


@dataclass(slots=True)
class Delta:
    """What one transaction did to one mailbox; the rows are as it left them.

    ``what`` is empty where only messages changed, else created, renamed (to ``target``),
    deleted, subscribed, unsubscribed, or shared: then ``acl`` says with whom. ``seen`` are UIDs
    that users other than the owner have seen, or not.
    """

    mailbox: int
    name: str
    added: list[Row] = field(default_factory=list)
    changed: list[Row] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    what: str = ""
    target: str = ""
    uidnext: int = 0
    modseq: int = 0
    acl: tuple[str, ...] = ()
    seen: list[tuple[str, list[int], bool]] = field(default_factory=list)


class Deltas:
    """The deltas of a transaction under way."""

    def __init__(self) -> None:
        self._messages: dict[int, Delta] = {}
        self._shapes: list[Delta] = []

    def added(self, rows: Iterable[Row]) -> None:
        """Messages that were indexed."""
        for mailbox, part in groupby(rows, attrgetter("mailbox")):
            self._of(mailbox).added.extend(part)

    def changed(self, rows: Iterable[Row]) -> None:
        """Messages whose flags or mod-sequence may be others."""
        for mailbox, part in groupby(rows, attrgetter("mailbox")):
            self._of(mailbox).changed.extend(part)

    def gone(self, mailbox: int, uids: Iterable[int]) -> None:
        """Messages that are indexed no longer."""
        self._of(mailbox).gone.extend(uids)

    def seen(self, mailbox: int, user: str, uids: list[int], on: bool) -> None:
        """Messages that a user has seen, or not."""
        self._of(mailbox).seen.append((user, uids, on))

    def shaped(
        self,
        name: str,
        what: str,
        mailbox: int = 0,
        target: str = "",
        acl: tuple[str, ...] = (),
    ) -> None:
        """Something was done to a mailbox as a whole."""
        self._shapes.append(Delta(mailbox, name, what=what, target=target, acl=acl))

    def take(self, mailboxes: Iterable[MailboxRow]) -> Sequence[Delta]:
        """All of them, with the numbers that the mailboxes have by now; none are left."""
        found = []
        for mailbox in mailboxes:
            delta = self._messages.get(mailbox.id)
            if delta is not None:
                delta.name = mailbox.name
                delta.uidnext, delta.modseq = mailbox.uidnext, mailbox.highestmodseq
                found.append(delta)
        found += self._shapes
        self.clear()
        return found

    def clear(self) -> None:
        """Forget them: the transaction failed."""
        self._messages = {}
        self._shapes = []

    def _of(self, mailbox: int) -> Delta:
        return self._messages.setdefault(mailbox, Delta(mailbox, ""))

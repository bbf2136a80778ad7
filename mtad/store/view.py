r"""A mailbox in memory, as every session of the process sees it; for the event loop's thread only.

Columns by position: position i of each array is the same message. Flags are numbers of
*combinations* (``\Seen``, ``\Seen $Forwarded``), of which a mailbox has few, so that a message
costs some 45 octets and its flags are rendered once for all that share them.

Arrivals are appended to ``uids`` in place. An expunge replaces it by another array, so that a
session keeps the array that it has announced.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mtad.store import names
from mtad.store.deltas import Delta
from mtad.store.rows import MailboxRow, Row
from mtad.store.telling import chunks


@dataclass(frozen=True, slots=True)
class Change:
    """Something happened to a mailbox; ``by`` is the session that did it, None for others.

    ``what`` is empty where only messages changed, else created, renamed (to ``target``),
    deleted, subscribed, unsubscribed, or shared: then ``acl`` says with whom, or annotated: then
    ``entries`` are what was written (RFC 5464), of the box as a whole where ``mailbox`` is "".
    Where only what one user has seen changed, that is the ``reader``; others' flags are as they
    were.
    """

    mailbox: str
    added: tuple[int, ...] = ()
    changed: tuple[int, ...] = ()
    gone: tuple[int, ...] = ()
    modseq: int = 0
    by: object = None
    what: str = ""
    target: str = ""
    acl: tuple[str, ...] = ()
    reader: str = ""
    entries: tuple[str, ...] = ()


class View:
    r"""One mailbox. Everything but ``claim_recent`` is for reading.

    A view for a ``reader`` who is not the owner shows what that user has seen as ``\Seen``.
    """

    def __init__(self, mailbox: MailboxRow, keywords: Iterable[str], reader: str = "") -> None:
        self.number = mailbox.id
        """The mailbox's number in the index."""
        self.name = mailbox.name
        self.id = mailbox.objectid
        """MAILBOXID (RFC 8474 4)."""
        self.uidvalidity = mailbox.uidvalidity
        self.uidnext = mailbox.uidnext
        self.highestmodseq = mailbox.highestmodseq
        self.is_gone = False
        """Whether the mailbox was deleted; the view then stays as it was."""
        self.keywords = [word for word in keywords if word and not names.flag_letter(word)]
        """Keywords that messages have or had, in no order; ``$Forwarded`` is not among them."""
        self.uids = array("I")
        self.modseqs = array("Q")
        self.sizes = array("Q")
        """Octets with CRLF line ends (RFC822.SIZE)."""
        self.dates_ns = array("q")
        """INTERNALDATE in nanoseconds since the epoch."""
        self.saved = array("q")
        """SAVEDATE in microseconds since the epoch (RFC 8514)."""
        self.emails = array("Q")
        """EMAILID (RFC 8474 5.1)."""
        self.marks = array("H")
        """Numbers of combinations of flags."""
        self._combinations: list[tuple[str, tuple[str, ...], bytes]] = []
        self._numbers: dict[tuple[str, str], int] = {}
        self._mailbox = mailbox
        self.reader = reader
        self._seen: set[int] = set()
        """UIDs that the reader has seen."""

    @classmethod
    def load(
        cls,
        mailbox: MailboxRow,
        keywords: Iterable[str],
        found: Iterable[Sequence[Any]],
        *,
        reader: str = "",
        seen: Iterable[int] = (),
    ) -> "View":
        """A view of what an index has (``Index.columns``); in any thread."""
        self = cls(mailbox, keywords, reader)
        self._seen.update(seen)
        plain = self._plain()
        for part in chunks(found, 4000):
            columns = list(zip(*part, strict=True))
            for column, values in zip(plain, columns, strict=False):
                column.extend(values)
            flags: Sequence[str] = columns[6]
            if reader:
                flags = [self._own(*one) for one in zip(columns[0], flags, strict=True)]
            pairs = list(zip(flags, columns[7], strict=True))
            for pair in set(pairs):
                self._combination(*pair)
            self.marks.extend(map(self._numbers.__getitem__, pairs))
        return self

    # ----------------------------------------------------------------- reading

    def __len__(self) -> int:
        return len(self.uids)

    def position(self, uid: int) -> int:
        """Where a message is in the arrays, -1 when it is not there."""
        found = bisect_left(self.uids, uid)
        return found if found < len(self.uids) and self.uids[found] == uid else -1

    def flags(self, uid: int) -> tuple[str, tuple[str, ...]]:
        """Maildir letters and keywords of a message. Raises KeyError when it is not there."""
        letters, words, _ = self._combinations[self.marks[self._at(uid)]]
        return letters, words

    def modseq(self, uid: int) -> int:
        """A message's mod-sequence. Raises KeyError when it is not there."""
        return self.modseqs[self._at(uid)]

    def flag_text(self, position: int) -> bytes:
        r"""The flags of the message at a position, such as ``\Seen $Forwarded Junk``."""
        return self._combinations[self.marks[position]][2]

    def combinations(self) -> Sequence[tuple[str, tuple[str, ...], bytes]]:
        """What the numbers in ``marks`` mean: letters, keywords, and the same as text."""
        return self._combinations

    def unseen(self) -> int:
        r"""How many messages are without ``\Seen``."""
        seen = [("S" in letters) for letters, _, _ in self._combinations]
        return sum(not seen[mark] for mark in self.marks)

    def recent(self) -> list[int]:
        """UIDs that no session was told of yet (RFC 3501 2.3.2)."""
        return list(self.uids[bisect_left(self.uids, self._mailbox.recent) :])

    def claim_recent(self) -> list[int]:
        """The same, for the session that is told of them; no other session gets them."""
        found = self.recent()
        if found:
            self._mailbox.recent = found[-1] + 1
        return found

    def _at(self, uid: int) -> int:
        found = self.position(uid)
        if found < 0:
            raise KeyError(uid)
        return found

    # ---------------------------------------------------------------- changing

    def apply(self, delta: Delta) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Take in what a transaction did; returns UIDs added, changed and gone."""
        if self.reader:
            self._see(delta)
        changed = self._change(delta.changed)
        gone = self._remove(delta.gone)
        added = self._add(delta.added)
        self.uidnext = max(self.uidnext, delta.uidnext)
        self.highestmodseq = max(self.highestmodseq, delta.modseq)
        return added, changed, gone

    def _change(self, rows: Iterable[Row]) -> tuple[int, ...]:
        changed = []
        for row in rows:
            at = self.position(row.uid)
            if at < 0:
                continue
            flags = self._own(row.uid, row.flags) if self.reader else row.flags
            mark = self._combination(flags, row.keywords)
            if self.modseqs[at] != row.modseq or self.marks[at] != mark:
                self.modseqs[at], self.marks[at] = row.modseq, mark
                changed.append(row.uid)
        return tuple(changed)

    def _see(self, delta: Delta) -> None:
        self._seen.difference_update(delta.gone)
        for user, uids, on in delta.seen:
            if user == self.reader and on:
                self._seen.update(uids)
            elif user == self.reader:
                self._seen.difference_update(uids)

    def _own(self, uid: int, flags: str) -> str:
        r"""A message's letters with the reader's own for ``\Seen``."""
        others = flags.replace("S", "")
        return names.letters(others + "S") if uid in self._seen else others

    def _remove(self, uids: Iterable[int]) -> tuple[int, ...]:
        gone = {at: uid for uid in uids if (at := self.position(uid)) >= 0}
        if not gone:
            return ()
        places = sorted(gone)
        columns = self._columns()
        kept = [array(column.typecode) for column in columns]
        for column, rest in zip(columns, kept, strict=True):
            begin = 0
            for at in places:
                rest.extend(column[begin:at])
                begin = at + 1
            rest.extend(column[begin:])
        self._replace(kept)
        return tuple(gone[at] for at in places)

    def _add(self, rows: Sequence[Row]) -> tuple[int, ...]:
        fresh = sorted((row for row in rows if self.position(row.uid) < 0), key=lambda r: r.uid)
        if not fresh:
            return ()
        in_order = not self.uids or fresh[0].uid > self.uids[-1]
        for row in fresh:
            values = (row.uid, row.modseq, row.wire, row.date_ns, row.saved, row.email)
            for column, value in zip(self._plain(), values, strict=True):
                column.append(value)
            flags = self._own(row.uid, row.flags) if self.reader else row.flags
            self.marks.append(self._combination(flags, row.keywords))
        if not in_order:
            order = sorted(range(len(self.uids)), key=self.uids.__getitem__)
            self._replace(
                [array(one.typecode, (one[at] for at in order)) for one in self._columns()]
            )
        return tuple(row.uid for row in fresh)

    def _combination(self, flags: str, words: str) -> int:
        """The number of a combination of letters and keywords."""
        found = self._numbers.get((flags, words))
        if found is None:
            found = self._numbers[flags, words] = len(self._combinations)
            every: tuple[str, ...] = tuple(words.split())
            letters = [names.flag_letter(word) for word in every]
            if any(letters):  # another program keeps $Forwarded as a keyword
                flags = names.letters({*flags, *filter(None, letters)})
                every = tuple(word for word in every if not names.flag_letter(word))
            text = " ".join((*names.flag_names(flags), *every)).encode()
            self._combinations.append((flags, every, text))
            self.keywords += [word for word in every if word not in self.keywords]
            if found == 0xFFFF:
                self.marks = array("I", self.marks)
        return found

    def _plain(self) -> "tuple[array[int], ...]":
        """The columns that an index has as numbers, in the order of ``Index.columns``."""
        return (self.uids, self.modseqs, self.sizes, self.dates_ns, self.saved, self.emails)

    def _columns(self) -> "tuple[array[int], ...]":
        return (*self._plain(), self.marks)

    def _replace(self, columns: "Sequence[array[int]]") -> None:
        (
            self.uids,
            self.modseqs,
            self.sizes,
            self.dates_ns,
            self.saved,
            self.emails,
            self.marks,
        ) = columns

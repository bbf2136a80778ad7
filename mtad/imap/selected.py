"""The mailbox a session has selected, as its client knows it (RFC 9051 2.3.1.2).

All sessions share one ``View`` of a mailbox, which is always up to date. A client is told of
changes only where RFC 9051 7.5 allows it, so each session keeps what it has announced: the
array of UIDs it had (arrivals are appended to it in place, an expunge makes the view use
another) and a count of those announced. Sequence numbers are positions in that array.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mtad.imap.answer import Bad
from mtad.imap.commands import STAR, NumberSet
from mtad.imap.place import READ_WRITE, Place
from mtad.store.box import Box
from mtad.store.view import View

MAX_CHANGES = 1000
"""Changes kept until they may be told; beyond it the mailbox is compared as a whole."""


@dataclass(frozen=True, slots=True)
class News:
    """What the client may be told now: in which order is ``mtad.imap.updates``' matter.

    ``gone`` are (sequence number, UID), the highest first, so that each number is right when
    it is sent. ``flagged`` are UIDs. ``exists`` is None where the count was not raised.
    """

    gone: Sequence[tuple[int, int]] = ()
    flagged: Sequence[int] = ()
    exists: int | None = None


class Selected:
    """A selected mailbox. ``recent`` are the UIDs whose ``\\Recent`` this session has."""

    def __init__(
        self, view: View, place: Place, *, read_only: bool = False, recent: Iterable[int] = ()
    ) -> None:
        self.view = view
        self.place = place
        """Where the mailbox was when it was selected."""
        self.rights = place.rights
        """What the client may do with it."""
        self.read_only = read_only
        """Whether the client asked for no more than to read."""
        self.recent = set(recent)
        self.uids = view.uids
        self.exists = len(view.uids)
        self.saved: list[int] = []
        """The result of SEARCH RETURN (SAVE), ascending UIDs (RFC 5182)."""
        self.keywords = len(view.keywords)
        """How many keywords were announced in FLAGS."""
        self._flagged: list[Sequence[int]] = []
        self._gone: list[Sequence[int]] = []
        self._oldest = 0
        """The mod-sequence before the first change in ``_flagged``."""
        self._since: int | None = None
        """Where set: flags of all messages above this mod-sequence may have changed."""

    @property
    def name(self) -> str:
        """The mailbox's present name as the client has it."""
        return self.place.prefix + self.view.name

    @property
    def box(self) -> Box:
        """The box that the mailbox is in."""
        return self.place.box

    # ---------------------------------------------------------------- rights

    @property
    def is_fixed(self) -> bool:
        """Whether it is told to be READ-ONLY (RFC 4314 5.2)."""
        return self.read_only or READ_WRITE.isdisjoint(self.rights)

    @property
    def is_lost(self) -> bool:
        """Whether the client may not read it any more, or it is gone."""
        return self.view.is_gone or "r" not in self.rights

    def grant(self, rights: str) -> None:
        """The client may do other things with it from here on."""
        if rights != self.rights:
            self.rights = rights
            self.keywords = -1  # flags are to be announced anew

    # --------------------------------------------------------------- numbers

    def number(self, uid: int) -> int:
        """The sequence number of a message, 0 where the client knows of no such message."""
        found = bisect_left(self.uids, uid, 0, self.exists)
        return found + 1 if found < self.exists and self.uids[found] == uid else 0

    @property
    def last(self) -> int:
        """The highest UID that is announced, 0 for none."""
        return self.uids[self.exists - 1] if self.exists else 0

    def resolve(self, numbers: NumberSet, by_uid: bool, *, open_end: bool = False) -> list[int]:
        """The UIDs a set names, ascending, each once. They may have been expunged meanwhile.

        UIDs that are not there are passed over. Raises Bad for a sequence number that is not
        in use (RFC 9051 9, seq-number); with ``open_end`` ``7:*`` is the last message where
        there are fewer, as it is for UIDs.
        """
        if numbers.saved:
            return list(self.saved)
        spans = []
        for first, last in numbers.ranges:
            if open_end and not by_uid and STAR in (first, last):
                first, last = min(first, self.exists), min(last, self.exists)
            span = self._by_uid(first, last) if by_uid else self._by_number(first, last)
            if span[0] < span[1]:
                spans.append(span)
        spans.sort()
        result: list[int] = []
        done = 0
        for begin, end in spans:
            if end > done:
                result += self.uids[max(begin, done) : end]
                done = end
        return result

    def _by_number(self, first: int, last: int) -> tuple[int, int]:
        first, last = first or self.exists, last or self.exists
        if not 0 < min(first, last) <= max(first, last) <= self.exists:
            raise Bad("there is no message with this number")
        return min(first, last) - 1, max(first, last)

    def _by_uid(self, first: int, last: int) -> tuple[int, int]:
        if not self.exists:
            return 0, 0
        top = self.last
        first = top if first == STAR else first
        last = top if last == STAR else last
        low, high = min(first, last), max(first, last)
        return (
            bisect_left(self.uids, low, 0, self.exists),
            bisect_right(self.uids, high, 0, self.exists),
        )

    # ----------------------------------------------------------------- flags

    def flag_text(self, uid: int) -> bytes | None:
        r"""A message's flags with ``\Recent``; None when it is gone."""
        position = self.view.position(uid)
        if position < 0:
            return None
        text = self.view.flag_text(position)
        if uid in self.recent:
            return text + b" \\Recent" if text else b"\\Recent"
        return text

    def claim(self) -> bool:
        r"""Show ``\Recent`` of what nobody was told of; whether there was any.

        No other session shows it then, unless this one may not change the mailbox.
        """
        fresh = self.view.recent() if self.read_only else self.view.claim_recent()
        self.recent.update(fresh)
        return bool(fresh)

    # --------------------------------------------------------------- changes

    def heard(self, changed: Sequence[int], gone: Sequence[int], modseq: int) -> None:
        """Something happened to the mailbox: keep it until it may be told."""
        if gone:
            self._gone.append(gone)
            if len(self._gone) > MAX_CHANGES:
                self._gone.clear()  # found by comparing
        if not changed or self._since is not None:
            return
        if not self._flagged:
            self._oldest = modseq - 1
        self._flagged.append(changed)
        if len(self._flagged) > MAX_CHANGES:
            self._since = self._oldest
            self._flagged.clear()

    def has_gone(self) -> bool:
        """Whether an expunge waits to be told; that of everything, where the mailbox is gone."""
        if self.is_lost:
            return bool(self.exists)
        return self.uids is not self.view.uids

    def has_news(self) -> bool:
        """Whether anything waits to be told."""
        return bool(
            self.has_gone()
            or self._flagged
            or self._since is not None
            or self.exists != len(self.uids)
            or self.keywords != len(self.view.keywords)
        )

    def news(self, *, expunges: bool) -> News:
        """What the client may be told now; what is returned counts as told.

        While an expunge must wait, arrivals wait too: their numbers come after it.
        """
        gone: Sequence[tuple[int, int]] = ()
        if self.has_gone() and expunges:
            gone = self._leave()
        flagged = self._changed()
        exists = None
        if not self.has_gone() and len(self.uids) != self.exists:
            exists = self.exists = len(self.uids)
        return News(gone, flagged, exists)

    def _leave(self) -> list[tuple[int, int]]:
        """Go over to the view's present array; what is not in it any more."""
        old, count = self.uids, self.exists
        now = array("I") if self.is_lost else self.view.uids
        left = bisect_right(now, old[count - 1]) if count else 0
        known = sorted({uid for part in self._gone for uid in part})
        positions = [
            at
            for at, uid in ((bisect_left(old, uid, 0, count), uid) for uid in known)
            if at < count and old[at] == uid
        ]
        if count - len(positions) != left:
            there = set(now[:left])
            positions = [at for at, uid in enumerate(old[:count]) if uid not in there]
        self._gone.clear()
        self.uids, self.exists = now, left
        gone = [(at + 1, old[at]) for at in reversed(positions)]
        if gone:
            lost = {uid for _, uid in gone}
            self.recent -= lost
            self.saved = [uid for uid in self.saved if uid not in lost]
        return gone

    def _changed(self) -> list[int]:
        """UIDs that are announced and there, whose flags changed, ascending."""
        if self._since is not None:
            since, view = self._since, self.view
            uids = [
                uid
                for uid, modseq in zip(view.uids, view.modseqs, strict=True)
                if modseq > since and self.number(uid)
            ]
            self._since = None
            self._flagged.clear()
            return uids
        if not self._flagged:
            return []
        known = sorted({uid for part in self._flagged for uid in part})
        self._flagged.clear()
        return [uid for uid in known if self.number(uid) and self.view.position(uid) >= 0]


def combined(view: View, letter: str) -> set[int]:
    """The combinations of flags that have a Maildir letter, as numbers of ``view.marks``."""
    return {at for at, (letters, _, _) in enumerate(view.combinations()) if letter in letters}

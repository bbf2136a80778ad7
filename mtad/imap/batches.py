"""Messages of an answer in batches: where they are now, what is said of them, line by line.

A batch is small enough to be rendered while everybody else waits. Between two of them, or while
one waits for a disk, the mailbox may change, so positions are looked up anew right before they
are used and messages that are gone are passed over.
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mtad.imap.commands import Item
from mtad.imap.selected import Selected
from mtad.imap.session import Session
from mtad.imap.write import Long
from mtad.store.cache_rendering import Summary

T = TypeVar("T")
SIZE = 256
"""Messages in a batch."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found out about messages, by UID: summaries, what their files said, and header
    fields for each item that asks for some."""

    uids: Sequence[int]
    summaries: Mapping[int, Summary]
    read: Mapping[int, Sequence[bytes | Long]]
    fields: Mapping[Item, Mapping[int, bytes]]


NOTHING = Found((), {}, {}, {})


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages that are there: sequence numbers, UIDs, positions in the view's columns."""

    selected: Selected
    numbers: Sequence[int]
    uids: Sequence[int]
    positions: Sequence[int]
    found: Found

    def column(self, values: Sequence[T]) -> Sequence[T]:
        """Of one of the view's columns what is in the batch."""
        positions = self.positions
        if isinstance(positions, range):
            return values[positions.start : positions.stop]
        return [values[position] for position in positions]


Column = tuple[bytes, Callable[[Batch], Sequence[object]]]
"""How a value stands in a line (``FLAGS (%b)``), and the values of a batch."""


def located(selected: Selected, uids: Sequence[int], found: Found = NOTHING) -> Batch:
    """Where ascending UIDs are, without those that are gone or were never announced."""
    numbers = _positions(selected.uids, uids, selected.exists)
    positions = numbers
    if selected.uids is not selected.view.uids:
        positions = _positions(selected.view.uids, uids, len(selected.view.uids))
    if not (isinstance(numbers, range) and isinstance(positions, range)):
        there = [one for one in zip(numbers, uids, positions, strict=True) if one[0] >= 0 <= one[2]]
        numbers, uids, positions = zip(*there, strict=True) if there else ((), (), ())
    if isinstance(numbers, range):
        numbers = range(numbers.start + 1, numbers.stop + 1)
    else:
        numbers = [number + 1 for number in numbers]
    return Batch(selected, numbers, uids, positions, found)


def _positions(known: "array[int]", uids: Sequence[int], count: int) -> Sequence[int]:
    """Positions of UIDs in an ascending array, -1 where they are not; a range where in a row."""
    if not uids:
        return range(0)
    first = bisect_left(known, uids[0], 0, count)
    end = first + len(uids)
    if end <= count and known[first:end] == array("I", uids):
        return range(first, end)
    found = []
    for uid in uids:
        first = bisect_left(known, uid, first, count)
        found.append(first if first < count and known[first] == uid else -1)
    return found


def cut(uids: Sequence[int], size: int = SIZE) -> Iterator[Sequence[int]]:
    """UIDs in parts."""
    for start in range(0, len(uids), size):
        yield uids[start : start + size]


class Lines:
    """Untagged FETCH or UIDFETCH responses with the same items."""

    def __init__(self, session: Session, columns: Sequence[Column]) -> None:
        self._values = [values for _, values in columns]
        self._by_uid = session.uidonly
        self._opening = b"* %%d %b (" % (b"UIDFETCH" if self._by_uid else b"FETCH")
        self._templates = [(b" " if at else b"") + one for at, (one, _) in enumerate(columns)]
        self._template = self._opening + b"".join(self._templates) + b")\r\n"

    def of(self, batch: Batch) -> bytes:
        """The lines of a batch."""
        template = self._template
        return b"".join([template % row for row in self._rows(batch)])

    def pieces(self, batch: Batch) -> list[bytes]:
        """The same where values may be ``Long``, those apart."""
        found: list[bytes] = []
        said = b""
        for number, *row in self._rows(batch):
            said += self._opening % number
            for template, value in zip(self._templates, row, strict=True):
                if isinstance(value, Long):
                    found += (said + template % value.opening, value.data)
                    said = b""
                else:
                    said += template % value
            said += b")\r\n"
        found.append(said)
        return found

    def _rows(self, batch: Batch) -> Iterator[tuple[object, ...]]:
        """Of each message its number and its values."""
        keys = batch.uids if self._by_uid else batch.numbers
        return zip(keys, *(values(batch) for values in self._values), strict=True)


# ------------------------------------------------------------ what is in memory


def flag_texts(batch: Batch) -> Sequence[bytes]:
    """What stands in the brackets of FLAGS."""
    selected = batch.selected
    texts = [text for _, _, text in selected.view.combinations()]
    said = [texts[mark] for mark in batch.column(selected.view.marks)]
    if selected.recent:
        for at, uid in enumerate(batch.uids):
            if uid in selected.recent:
                said[at] = said[at] + b" \\Recent" if said[at] else b"\\Recent"
    return said


UID: Column = (b"UID %d", lambda batch: batch.uids)
FLAGS: Column = (b"FLAGS (%b)", flag_texts)
MODSEQ: Column = (b"MODSEQ (%d)", lambda batch: batch.column(batch.selected.view.modseqs))

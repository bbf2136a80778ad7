"""The recorder: the one writer of the event log.

Frames of journals come in, transactions on month files go out. A frame may touch two months
and SQLite cannot commit both at once, so each month keeps the last frame applied of every
journal, written with the rows: at replay a month that has a frame skips it and the other one
takes it. All marks of a batch are written to every month it touches and, last of all, to the
newest month there is; what the newest month has, all of them have.
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtad.where import Kept
from tracing import codec, creation, ids, months
from tracing.archive import swap
from tracing.events import BoxMailbox, Event, StoreDelivered
from tracing.projection import COPIES, KIN, MESSAGES, OF_PATH, copy_delivered
from tracing.rows import Home
from tracing.writer import MonthWriter

if TYPE_CHECKING:
    from tracing.postgresql.pen import Shelf

MAX_BATCH = 20_000
"""Events in one transaction; a longer batch is several."""

_ANALYZE_US = 3_600_000_000


class Busy(Exception):
    """Another process writes this log."""


class Renewed(sqlite3.OperationalError):
    """A server was away, and may have lost what it had not yet on its disk: ``resume``."""


@dataclass(frozen=True)
class Applied:
    """A frame for the log: its journal, its number there, its last id, and its events."""

    journal: str
    seq: int
    last_id: int
    events: Sequence[Event]


def month_of(event: Event) -> str:
    """The month file an event is written to."""
    if event.trace > 0 and OF_PATH[type(event)]:
        return ids.month(event.trace)
    return ids.month_at(event.at)


class Recorder:
    """Writes the log in a directory or on a server, which it locks; one thread at a time.

    Month files of an earlier version are brought to this one first. Raises Busy when another
    process has the lock, months.NewerVersion for a log of a later version, and sqlite3.Error
    where a server cannot be reached. ``mint`` makes ids
    above all that were ever recorded.
    """

    def __init__(self, log: Kept, *, node: int = 33) -> None:
        self._writers: dict[str, MonthWriter] = {}
        self._recent: MonthWriter | None = None
        self._recent_wants = False
        self._renewed = False
        self._shelf = shelf(log)
        try:
            if isinstance(self._shelf, creation.Shelf):
                swap.finish(self._shelf.directory)
            listed = self._shelf.listing()
            if listed:
                self._writer(listed[0])
        except BaseException:
            self.close()
            raise
        self.mint = ids.Mint(node, max((w.last_id for w in self._writers.values()), default=0))
        self._analyzed_us = time.time_ns() // 1000
        self._frame: tuple[str, int] = ("", 0)

    # ------------------------------------------------------------------ reading

    def applied(self, journal: str) -> int:
        """The last frame of a journal that every month it touched has; 0 for none."""
        self._mend()
        newest = self._newest()
        return newest.marks.get(journal, 0) if newest else 0

    def gone(self, sts: Iterable[int]) -> set[int]:
        """Those of the stored copies that are known to have been expunged or to have vanished."""
        self._mend()
        found: set[int] = set()
        for month, part in _by_month(sts, set(self._shelf.listing())):
            found |= self._writer(month).gone(part)
        return found

    def spent(self, messages: Iterable[int]) -> set[int]:
        """Those of the messages whose recipients were all elsewhere and have their end."""
        self._mend()
        found: set[int] = set()
        for month, part in _by_month(messages, set(self._shelf.listing())):
            found |= self._writer(month).spent(part)
        return found

    # ------------------------------------------------------------------ writing

    def apply(self, batch: Sequence[Applied]) -> list[tuple[int, Event]]:
        """Record frames, in order; each event with its seq in its month (``month_of``).

        When it returns, all of it is in the files; when it raises, the months already
        written skip their part at the next try. A month skips frames it has already, and
        their events are not in the answer.
        """
        self._mend()
        if self._renewed:
            raise Renewed("the server was away; the journals are read again")
        noted: list[tuple[int, Event]] = []
        part: list[Applied] = []
        count = 0
        for frame in batch:
            if part and any(isinstance(event, BoxMailbox) for event in frame.events):
                noted += self._apply(part)  # a renaming looks for its messages in the file
                part, count = [], 0
            part.append(frame)
            count += len(frame.events)
            if count >= MAX_BATCH:
                noted += self._apply(part)
                part, count = [], 0
        if part:
            noted += self._apply(part)
        now = time.time_ns() // 1000
        if now - self._analyzed_us > _ANALYZE_US:
            self.analyze()
        return noted

    def _apply(self, batch: Sequence[Applied]) -> list[tuple[int, Event]]:
        noted: list[tuple[int, Event]] = []
        marks: dict[str, int] = {}
        last_id = 0
        try:
            for frame in batch:
                self._frame = (frame.journal, frame.seq)
                self._recent_wants = self._recent is not None and self._wants(self._recent)
                for event in frame.events:
                    try:
                        seq = self._project(event)
                    except UnicodeEncodeError:
                        seq = self._project(codec.scrubbed(event))
                    if seq:
                        noted.append((seq, event))
                marks[frame.journal] = max(frame.seq, marks.get(frame.journal, 0))
                last_id = max(last_id, frame.last_id)
            last_id = max([last_id, *(event.trace for _, event in noted)])
            self._commit(marks, last_id)
        except BaseException:
            for writer in self._writers.values():
                with contextlib.suppress(sqlite3.Error):
                    writer.abandon()
            raise
        return noted

    def _project(self, event: Event) -> int:
        """Take an event into the batches of the months it concerns; its seq, 0 if known."""
        of_path, message, kin, copies = _DONE[type(event)]
        by_trace = of_path and event.trace > 0
        home = self._home(event.trace) if by_trace else self._home_at(event.at)
        seq = 0
        if home is not None:
            seq = home.note(event)
            if message is not None:
                message(event, home)
            elif kin is not None:
                kin(event, home, self)
        if copies is not None:
            copies(event, self)
        return seq

    def _commit(self, marks: dict[str, int], last_id: int) -> None:
        """Write the months that have something, eldest first and the newest in any case."""
        newest = self._newest()
        for month in sorted(self._writers):
            writer = self._writers[month]
            if writer is newest or writer.touched:
                higher = {j: s for j, s in marks.items() if s > writer.marks.get(j, 0)}
                if writer.touched or higher:
                    writer.commit(higher, last_id)

    def root_of(self, m: int) -> int:
        """The first ancestor of a message; itself where it has none, or is not known."""
        if m <= 0 or ids.month(m) not in self._shelf.listing():
            return m
        return self._writer(ids.month(m)).root_of(m)

    def home_of(self, st: int) -> Home | None:
        """The month file of an id; None if it has the present frame already."""
        return self._home(st) if st > 0 else None

    def all_homes(self) -> list[Home]:
        """Every month file that has not had the present frame."""
        every = (self._writer(month) for month in self._shelf.listing())
        return [writer for writer in every if self._wants(writer)]

    def _home(self, number: int) -> MonthWriter | None:
        recent = self._recent
        if recent is not None and recent.low <= number < recent.high:
            return recent if self._recent_wants else None
        for writer in self._writers.values():
            if writer.low <= number < writer.high:
                self._recent, self._recent_wants = writer, self._wants(writer)
                return writer if self._recent_wants else None
        writer = self._writer(ids.month(number))
        return writer if self._wants(writer) else None

    def _home_at(self, at: int) -> MonthWriter | None:
        recent = self._recent
        if recent is not None and recent.begin <= at < recent.end:
            return recent if self._recent_wants else None
        for writer in self._writers.values():
            if writer.begin <= at < writer.end:
                return writer if self._wants(writer) else None
        writer = self._writer(ids.month_at(at))
        return writer if self._wants(writer) else None

    def _wants(self, writer: MonthWriter) -> bool:
        journal, seq = self._frame
        return seq > writer.marks.get(journal, 0)

    def _newest(self) -> MonthWriter | None:
        return self._writers[max(self._writers)] if self._writers else None

    def _writer(self, month: str) -> MonthWriter:
        """The writer of a month; its file is made, with the newest month's marks, if needed."""
        writer = self._writers.get(month)
        if writer is None:
            if month not in self._shelf.listing():
                newest = self._newest()
                self._shelf.create(month, dict(newest.marks) if newest else {})
            writer = self._writers[month] = MonthWriter(month, self._shelf.pen(month))
        return writer

    # -------------------------------------------------------------------- care

    def checkpoint(self) -> None:
        """Bring everything applied so far to the disk: journals may drop it afterwards."""
        self._mend()
        for writer in self._writers.values():
            writer.checkpoint()

    def analyze(self) -> None:
        """Refresh the planner's statistics; done by itself early in a month and hourly."""
        newest = self._newest()
        if newest is not None:
            newest.analyze()
        self._analyzed_us = time.time_ns() // 1000

    def forget(self) -> None:
        """Read dictionaries again: somebody else changed them (``mtad erase``)."""
        for writer in self._writers.values():
            writer.abandon()

    def replace(self, month: str, draft: Path, position: dict[str, bytes]) -> bool:
        """Let a draft be the month from now on, if nothing came to the month since the position.

        The position is what ``meta`` says; the draft is durable already. What there was before is
        set aside for ``swap.finish`` to remove, for that may take a while. The newest month stays.
        """
        directory = self._letting_go(month)
        if directory is None or swap.position(months.path(directory, month)) != position:
            return False
        self._release(month)
        swap.put(directory, month, draft)
        return True

    def drop(self, month: str) -> bool:
        """Let go of a month that is over; its file is set aside like by ``replace``."""
        directory = self._letting_go(month)
        if directory is None:
            return False
        self._release(month)
        swap.set_aside(directory, month)
        return True

    def _release(self, month: str) -> None:
        writer = self._writers.pop(month, None)
        if self._recent is writer:
            self._recent = None
        if writer is not None:
            writer.close()

    def _letting_go(self, month: str) -> Path | None:
        """The folder with the month's file, if the month is over."""
        newest = self._newest()
        if newest is None or month >= newest.month or not isinstance(self._shelf, creation.Shelf):
            return None
        return self._shelf.directory

    def close(self) -> None:
        """Close the files and give up the lock."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()
        self._shelf.close()

    def resume(self) -> bool:
        """Go on with what is there; whether a server was away, and frames are to be read again.

        Nothing is applied until this is called: later frames would hide lost ones.
        """
        self._mend()
        renewed, self._renewed = self._renewed, False
        return renewed

    def _mend(self) -> None:
        """Begin anew where the server was gone: what it has is read again."""
        if self._shelf.mend():
            self._renewed = True
            self._writers.clear()
            self._recent = None
            if isinstance(self._shelf, creation.Shelf):
                swap.finish(self._shelf.directory)
            listed = self._shelf.listing()
            if listed:
                self._writer(listed[0])


def shelf(log: Kept) -> "creation.Shelf | Shelf":
    """The months of a log for its one writer. Raises as ``Recorder`` does."""
    if isinstance(log, Path):
        return creation.Shelf(log, Busy)
    from tracing.postgresql.pen import Shelf  # noqa: PLC0415 - an extra

    return Shelf(log, Busy)


def _delivered(event: StoreDelivered, others: Recorder) -> None:
    home = others.home_of(event.st)
    if home is not None:
        copy_delivered(event, home)


_DONE: dict[type[Event], tuple[bool, Any, Any, Any]] = {
    cls: (of_path, MESSAGES.get(cls), KIN.get(cls), COPIES.get(cls))
    for cls, of_path in OF_PATH.items()
}
"""What is done with each kind: by its trace or not, for its message, with kin, to copies."""
_DONE[StoreDelivered] = (*_DONE[StoreDelivered][:3], _delivered)


def _by_month(numbers: Iterable[int], there: set[str]) -> Iterator[tuple[str, list[int]]]:
    """Ids by the months that have a file."""
    by_month: dict[str, list[int]] = {}
    for number in numbers:
        by_month.setdefault(ids.month(number), []).append(number)
    return ((month, part) for month, part in by_month.items() if month in there)

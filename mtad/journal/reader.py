"""Reading a journal beside its writer: what is durable while it lives, all once it is dead.

The writer's mark says how far frames are durable; a dead writer's frames count up to the last
valid one, synced before they are used. Damage inside what was durable is stepped over and
remembered, never taken for the end.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mtad.journal import disk, segment
from mtad.journal.frame import Frame
from mtad.journal.lock import Watch

_ALL = 1 << 32


@dataclass(frozen=True, slots=True)
class Damage:
    """Octets that were durable and can no longer be read as frames."""

    number: int
    start: int
    end: int


class Reader:
    """Frames of one journal in order. Cheap to ask again: it knows where it stood.

    With ``finished`` false, segments are left out that the log role has dealt with for good.
    """

    def __init__(self, directory: Path, *, finished: bool = True) -> None:
        self._finished = finished
        self.directory = directory
        self.name = directory.name
        self.damage: list[Damage] = []
        """Damage found so far, to be reported and cleared by the caller."""
        self._unreadable: set[int] = set()
        self._watch = Watch(directory)
        self._mark_fd = -1
        self._fd = -1
        self._header: segment.Header | None = None
        self._at = 0
        self._walked = 0
        self._seq = 0
        self._exhausted: tuple[int, int] | None = None
        """A dead writer's newest segment, read to its end: nothing comes to it any more."""

    def position(self) -> tuple[int, int]:
        """Segment number and octet up to which frames were handed out."""
        return (self._header.number if self._header else 0, self._at)

    def frames(self, after: int) -> Iterator[Frame]:
        """Frames with a number above ``after``, as far as they count at this moment."""
        if after != self._seq or self._header is None:
            self._rewind(after)
        last = self._last()
        if last <= self.position() or last == self._exhausted:
            return
        self._exhausted = None
        while self._header is not None or self._next(after, last[0]):
            yield from self._segment(after, last)
            if not self._next(after, last[0]):
                break
        if last[1] == _ALL:
            self._exhausted = last

    def is_owned(self) -> bool:
        """Whether a living process writes this journal."""
        return self._watch.is_owned()

    def close(self) -> None:
        """Let the files go."""
        self._watch.close()
        for fd in (self._fd, self._mark_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._mark_fd = -1
        self._header = None

    def _rewind(self, after: int) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._header, self._at, self._walked, self._seq = -1, None, 0, 0, after
        self._exhausted = None

    def _last(self) -> tuple[int, int]:
        """Segment number and octet up to which frames count; ``_ALL`` octets of a dead writer's."""
        if not self._watch.is_owned():
            newest = max((one.number for one in segment.listing(self.directory)), default=0)
            if not self._watch.is_owned():
                return newest, _ALL
        if self._mark_fd < 0:
            try:
                self._mark_fd = os.open(self.directory / segment.MARK, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return 0, 0
        return segment.read_mark(self._mark_fd)

    def _segment(self, after: int, last: tuple[int, int]) -> Iterator[Frame]:
        """The rest of the current segment."""
        header = self._header
        assert header is not None
        limit = self._limit(header, last)
        while True:
            walk = segment.walk(self._fd, header, start=self._at, limit=limit, after=self._walked)
            for one, _, end in walk:
                self._at, self._walked = end, one.seq
                self._seq = max(self._seq, one.seq)
                if one.seq > after:
                    yield one
            if limit is None or self._at >= limit or segment.read_header(self._fd) != header:
                return
            found = segment.resync(self._fd, header, self._at, limit)
            self.damage.append(Damage(header.number, self._at, found or limit))
            self._at = found or limit

    def _limit(self, header: segment.Header, last: tuple[int, int]) -> int | None:
        """Up to where all of a segment was durable once; None: as far as frames are valid."""
        if header.number == last[0] and last[1] != _ALL:
            return last[1]
        following = _open_segment(self.directory, header.number + 1)
        if following is not None:
            os.close(following[0])
            if following[1].previous_end:
                return following[1].previous_end
        if last[1] == _ALL:
            disk.fdatasync(self._fd)
        return None

    def _next(self, after: int, newest: int) -> bool:
        """Go to the following segment that may hold frames above ``after``."""
        present = self._header.number if self._header else 0
        opened = None
        for one in segment.listing(self.directory):
            if not present < one.number <= newest or (one.done and not self._finished):
                continue
            found = _open_segment(self.directory, one.number)
            if found is None:
                self._tell_unreadable(one)
                continue
            if opened is not None and found[1].first_seq > after + 1:
                os.close(found[0])
                break
            if opened is not None:
                os.close(opened[0])
            opened = found
        if opened is None:
            return False
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._header = opened
        self._at, self._walked = segment.START, 0
        return True

    def _tell_unreadable(self, one: segment.Segment) -> None:
        """Remember once a live segment without a header: all of its frames are lost."""
        if not one.done and one.number not in self._unreadable and not segment.has_header(one.path):
            self._unreadable.add(one.number)
            self.damage.append(Damage(one.number, 0, one.size))


def _open_segment(directory: Path, number: int) -> tuple[int, segment.Header] | None:
    """A segment by its number, in use or finished; None when it is gone or is another now."""
    path = segment.live_path(directory, number)
    for name in (path, path.with_suffix(segment.DONE)):
        try:
            fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        header = segment.read_header(fd)
        if header is not None and header.number == number:
            return fd, header
        os.close(fd)
    return None

"""Space for segments: how much there is, which file comes next, what was written last."""

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mtad.journal import disk, segment
from mtad.journal.errors import JournalBroken, JournalFull

_LOOK_SECONDS = 1.0
_LOOK_WHEN_FULL_SECONDS = 0.2
KEEP_SMALL = 64
"""Finished segments too small for reuse that are kept; the oldest beyond it go."""


@dataclass(frozen=True, slots=True)
class Last:
    """The end of what a former writer left: nothing below it is ever given out again."""

    number: int = 0
    end: int = 0
    seq: int = 0
    last_id: int = 0

    @classmethod
    def of(cls, directory: Path) -> Self:
        """Find the end of a journal, and make durable what is found there."""
        for _ in range(10):
            with contextlib.suppress(FileNotFoundError):  # the log role has just renamed one
                return cls._of(directory)
        return cls._of(directory)

    @classmethod
    def _of(cls, directory: Path) -> Self:
        highest = 0
        newest: tuple[int, bool, Path] | None = None
        for found in segment.listing(directory):
            highest = max(highest, found.number)
            fd = os.open(found.path, os.O_RDONLY)
            try:
                header = segment.read_header(fd)
            finally:
                os.close(fd)
            if header is not None:
                highest = max(highest, header.number)
                newest = max(
                    newest or (0, False, found.path), (header.number, not found.done, found.path)
                )
        if newest is None:
            return cls(number=highest)
        fd = os.open(newest[2], os.O_RDONLY)
        try:
            header = segment.read_header(fd)
            assert header is not None
            disk.fdatasync(fd)
            seq, last_id, end = header.first_seq - 1, header.last_id, segment.START
            for one, _, end in segment.walk(fd, header):  # noqa: B007 - the last end is wanted
                seq, last_id = one.seq, max(last_id, one.last_id)
        finally:
            os.close(fd)
        return cls(highest, end if highest == header.number else 0, seq, last_id)


class Room:
    """The files of one journal and the space they may take."""

    def __init__(self, directory: Path, segment_bytes: int, cap_bytes: int) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._cap_bytes = cap_bytes
        self._floor_bytes = cap_bytes + cap_bytes // 20
        self._look_again = 0.0
        self._problem = ""

    def check(self, left: int) -> None:
        """Raise JournalFull unless there is room for more mail; ``left`` is the segment's rest."""
        now = time.monotonic()
        if now >= self._look_again:
            self._problem = self._survey(left)
            self._look_again = now + (_LOOK_WHEN_FULL_SECONDS if self._problem else _LOOK_SECONDS)
        if self._problem:
            raise JournalFull(self._problem)

    def _survey(self, left: int) -> str:
        try:
            stat = os.statvfs(self._directory)
        except OSError as error:
            return f"the journal's file system cannot be asked: {error.strerror}"
        if stat.f_bavail * stat.f_frsize < self._floor_bytes:
            return "the file system is nearly full"
        if left >= self._segment_bytes // 4:
            return ""
        files = segment.listing(self._directory)
        if any(one.done and one.size >= self._segment_bytes for one in files[:-1]):
            return ""
        spare = self._spare_bytes()
        if spare or _total(files) + self._segment_bytes <= self._cap_bytes:
            return ""
        return "the journal has reached its cap; the log role does not keep up or is down"

    def take(self, size: int, before_reuse: Callable[[], None] | None) -> Path:
        """A file of at least ``size`` octets, durable zeros or a finished segment.

        Finished segments too small for it are removed. Those that ``before_reuse`` cannot let
        go yet stay. Raises at the cap JournalFull, or JournalBroken where they are why; OSError.
        """
        files = segment.listing(self._directory)
        finished = [one for one in files[:-1] if one.done]
        kept: Exception | None = None
        if finished and before_reuse is not None:
            try:
                before_reuse()
            except Exception as error:
                kept, finished = error, []
        for one in finished:
            if one.size >= size:
                return one.path
            disk.unlink(one.path)
            files.remove(one)
        spare = self._directory / segment.SPARE
        held = self._spare_bytes()
        if held >= size:
            return spare
        if _total(files) + held + size > self._cap_bytes:
            if kept is not None:
                raise JournalBroken(f"what the segment holds cannot be kept: {kept}") from kept
            raise JournalFull("the journal has reached its cap")
        made = self._directory / "new"
        segment.allocate(made, size)
        return made

    def prepare(self) -> None:
        """Have a file ready for the next segment, so that nobody waits for its making."""
        files = segment.listing(self._directory)
        if any(one.done and one.size >= self._segment_bytes for one in files[:-1]):
            return
        if self._spare_bytes() or _total(files) + self._segment_bytes > self._cap_bytes:
            return
        making = self._directory / f"{segment.SPARE}.new"
        try:
            segment.allocate(making, self._segment_bytes)
            disk.rename(making, self._directory / segment.SPARE)
        except OSError:
            return

    def trim(self) -> None:
        """Remove the oldest finished segments of a journal that is only opened for moments."""
        small = [one for one in segment.listing(self._directory)[:-1] if one.done]
        for one in small[:-KEEP_SMALL]:
            disk.unlink(one.path)

    def _spare_bytes(self) -> int:
        try:
            return (self._directory / segment.SPARE).stat().st_size
        except OSError:
            return 0


def _total(files: list[segment.Segment]) -> int:
    return sum(one.size for one in files)

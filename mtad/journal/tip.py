"""Where a journal is being written: the current segment, its end, and the mark readers see.

All of it happens under the writer's lock. A write that fails leaves the segment behind: the
next one's header says where this one validly ended, so that what was refused stays refused.
"""

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mtad.journal import disk, frame, room, segment
from mtad.journal.bell import Bell


class Tip:
    """The end of a journal on disk. ``room`` says which file comes next."""

    def __init__(
        self, directory: Path, space: room.Room, epoch: int, doorbell: Path | None
    ) -> None:
        self.before_reuse: Callable[[], None] | None = None
        self.sync_seconds = 0.0
        """What a sync takes, averaged over the last few."""
        self._directory = directory
        self._room = space
        self._epoch = epoch
        self._fd = -1
        self._number = self._at = self._size = self._previous_end = 0
        self._unsynced = False
        mark = directory / segment.MARK
        self._mark_fd = os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._bell = None if doorbell is None else Bell(doorbell)

    @property
    def left(self) -> int:
        """Octets that still fit into the current segment; 0 when there is none."""
        return self._size - self._at if self._fd >= 0 else 0

    def go_on_after(self, last: room.Last) -> None:
        """Begin behind what a former writer left, which from now on is all readers see."""
        self._number, self._previous_end, self._at = last.number, last.end, last.end
        self.show()

    def roll(self, need: int, first_seq: int, last_id: int, size: int) -> None:
        """Go on in another segment: header, its sync, its name, the folder's sync.

        Raises OSError, JournalFull or JournalBroken; then there is no current segment.
        """
        if self._fd >= 0:
            if self._unsynced:
                disk.fdatasync(self._fd)
            self.leave()
        size = max(size, -(-(segment.START + need) // segment.START) * segment.START)
        path = self._room.take(size, self.before_reuse)
        number = self._number + 1
        header = segment.Header(number, self._epoch, first_seq, last_id, self._previous_end)
        fd = disk.open_(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            disk.pwrite(fd, header.pack(), 0)
            disk.fsync(fd)
            disk.rename(path, segment.live_path(self._directory, number))
            disk.sync_path(self._directory)
            self._size = os.fstat(fd).st_size
        except BaseException:
            disk.close(fd)
            raise
        self._fd, self._number, self._at = fd, number, segment.START
        self.show()

    def write(self, buffers: Sequence[bytes], size: int, *, sync: bool) -> None:
        """Write frames, ``size`` octets in all, and sync if asked. Raises OSError."""
        done = disk.pwritev(self._fd, buffers, self._at)
        if done < size:
            rest = memoryview(b"".join(buffers))
            while done < size:
                done += disk.pwrite(self._fd, rest[done:], self._at + done)
        if sync:
            began = time.monotonic()
            disk.fdatasync(self._fd)
            self.sync_seconds += (time.monotonic() - began - self.sync_seconds) / 4
        self._unsynced = not sync
        self._at += size

    def refuse(self) -> None:
        """Take back what was written last, and leave the segment."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):  # the next segment's header says it as well
                disk.pwrite(self._fd, bytes(frame.HEADER.size), self._at)
            self.leave()

    def leave(self) -> None:
        """Let the current segment go; the next one's header tells where it ended."""
        self._previous_end = self._at
        disk.close(self._fd)
        self._fd = -1
        self._unsynced = False

    def show(self) -> None:
        """Let readers see the journal up to here."""
        with contextlib.suppress(OSError):  # the next one shows it
            os.pwrite(self._mark_fd, segment.pack_mark(self._number, self._at), 0)

    def ring(self) -> None:
        """Tell readers that there is something."""
        if self._bell is not None:
            self._bell.ring(
                b"%b %d %d" % (os.fsencode(self._directory.name), self._number, self._at)
            )

    def trim(self) -> None:
        """Make all durable and give back the space behind the end. Raises OSError."""
        if self._fd >= 0:
            disk.ftruncate(self._fd, self._at)
            disk.fsync(self._fd)

    def close(self) -> None:
        """Let the files go."""
        if self._fd >= 0:
            disk.close(self._fd)
            self._fd = -1
        if self._mark_fd >= 0:
            os.close(self._mark_fd)
            self._mark_fd = -1
        if self._bell is not None:
            self._bell.close()

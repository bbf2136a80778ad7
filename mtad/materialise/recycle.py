"""Lets segments go that nobody needs any more, and only those.

A segment may be reused once all of its frames are in the log, old enough for the kernel to
have written their files back by itself (which makes the syncs below nearly free), or sooner
when the journal nears its cap: then the whole file system is written back first, which costs
one wait instead of thousands. Order: write what is in memory alone, sync each content file,
sync each mailbox folder the frames touched, checkpoint the log, then rename ``NNN.seg`` to
``NNN.done``, one segment after the other where room is short. A file that is gone by then was
let go by the queue, or expunged and purged; it needs no sync. A segment whose header is damaged
is never reused: it is set aside as ``NNN.bad``, after the reader told of it.
"""

import os
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from mtad.journal import disk, segment
from mtad.journal.frame import Frame
from mtad.journal.reader import Reader
from mtad.materialise.files import Files
from mtad.materialise.pending import Pending

SLICE_SECONDS = 0.05
"""How long a step may keep the log role from new frames."""
LOOK_SECONDS = 1.0


class Recycler:
    """Recycles the segments of all journals in small steps."""

    def __init__(
        self,
        files: Files,
        pending: Pending,
        *,
        keep_seconds: float,
        cap_bytes: int,
        checkpoint: Callable[[], None],
    ) -> None:
        self._files = files
        self._pending = pending
        self.keep_seconds = keep_seconds
        self._cap_bytes = cap_bytes
        self._checkpoint = checkpoint
        self._work: Iterator[None] | None = None
        self._look_again = 0.0

    def step(self, readers: list[Reader], applied: dict[str, int]) -> bool:
        """Do a slice of work; whether there is more at once. Raises OSError, safe to repeat."""
        now = time.monotonic()
        if self._work is None:
            if now < self._look_again:
                return False
            self._look_again = now + LOOK_SECONDS
            self._work = self._recycle(readers, dict(applied))
        try:
            while time.monotonic() - now < SLICE_SECONDS:
                next(self._work)
            return True
        except StopIteration:
            self._work = None
            return False
        except BaseException:
            self._work = None
            raise

    def _recycle(self, readers: list[Reader], applied: dict[str, int]) -> Iterator[None]:
        finished: list[Path] = []
        for reader in readers:
            ripe, crowded = self._ripe(reader)
            if crowded and ripe:
                disk.sync_file_system(reader.directory)
                yield
            for one in ripe:
                if not segment.has_header(one.path):
                    disk.rename(one.path, one.path.with_suffix(segment.BAD))
                    continue
                whole = yield from self._sync(one, applied.get(reader.name, 0))
                if not whole:
                    break
                finished.append(one.path)
                if crowded:
                    self._let_go(finished)
                    self._look_again = 0.0
                    yield
        self._let_go(finished)

    def _let_go(self, finished: list[Path]) -> None:
        """Give segments back to their writers; empties the list."""
        if not finished:
            return
        self._checkpoint()
        for path in finished:
            disk.rename(path, path.with_suffix(segment.DONE))
        for folder in {path.parent for path in finished}:
            disk.sync_path(folder)
        finished.clear()

    def _ripe(self, reader: Reader) -> tuple[list[segment.Segment], bool]:
        """Segments that their writer has left and whose time has come, eldest first.

        And whether that is because the journal fills up.
        """
        every = [one for one in segment.listing(reader.directory) if not one.done]
        left = every[:-1] if reader.is_owned() else every
        crowded = sum(one.size for one in every) > self._cap_bytes // 2
        ripe = []
        for one in left:
            try:
                age = time.time() - one.path.stat().st_mtime
            except FileNotFoundError:
                break
            if age < self.keep_seconds and not crowded:
                break
            ripe.append(one)
        return ripe, crowded

    def _sync(self, one: segment.Segment, applied: int) -> Generator[None, None, bool]:
        """Sync what a segment's frames made; returns whether all of them are in the log."""
        folders: set[str] = set()
        fd = os.open(one.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            header = segment.read_header(fd)
        finally:
            os.close(fd)
        if header is None:
            return False
        # A reader steps over damage: frames behind it need their syncs as well.
        reader = Reader(one.path.parent, finished=False)
        try:
            for frame in reader.frames(header.first_seq - 1):
                if reader.position()[0] != header.number:
                    break
                if frame.seq > applied:
                    return False
                self._sync_frame(frame, folders)
                yield
        finally:
            reader.close()
        for folder in folders:
            disk.sync_path(folder)
            yield
        return True

    def _sync_frame(self, frame: Frame, folders: set[str]) -> None:
        meta = frame.meta
        if meta.content is not None:
            self._pending.keep(meta.content.m)
            path = self._files.content_path(meta.content.m)
            if meta.content.inline:
                disk.sync_path(path)
            folders.add(os.path.dirname(path))
            for link in meta.links:
                folders.add(self._files.folder_of(link.box, link.mailbox) + "/new")
        for act in meta.acts:
            for mailbox in {act.mailbox, getattr(act, "target", act.mailbox)}:
                folder = self._files.folder_of(act.box, mailbox)
                folders.update((f"{folder}/new", f"{folder}/cur"))

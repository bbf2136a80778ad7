"""The durability barrier: what ``commit`` has returned for survives a power cut.

Order of writes: frames into preallocated, synced space of the current segment, fdatasync,
then the mark that lets readers see them, then the bell, then the answers. All commits that
arrive while a sync is running share the next one. A group whose write or sync failed is
refused as a whole; the journal goes on in another segment, whose header says where the
refused group began. Events that need no durability (``note``) travel in the next frame or,
after 200 ms, in one of their own that no sync waits for.
"""

import asyncio
import queue
import secrets
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from mtad import clock
from mtad.journal import disk, frame, room, segment
from mtad.journal.errors import JournalBroken, JournalFull, failure
from mtad.journal.lock import Lock
from mtad.journal.notes import Notes
from mtad.journal.tip import Tip
from tracing import events, ids

__all__ = ["Journal", "JournalBroken", "JournalFull"]

NOTE_SECONDS = 0.2
SOON_SECONDS = 0.005
"""How long an outcome may wait for a group to go with."""
FAST_SYNC_SECONDS = 0.003
"""A sync that takes no longer may run in the event loop's own thread."""
_SHARED = 32
"""Commits to pass through the thread after two were seen at the same time."""
_GROUP = 500
"""Frames per write: each is up to two buffers, and the system takes 1,024 (IOV_MAX)."""
FIRST_BYTES = 2**20
"""A start begins with a small segment, so that a short command does not write 16 MiB."""


class _Entry:
    """A frame on its way to the disk."""

    __slots__ = (
        "body",
        "done",
        "error",
        "future",
        "head",
        "last_id",
        "notes",
        "seq",
        "size",
        "sync",
    )

    def __init__(self, seq: int, last_id: int, notes: list[events.Event], *, sync: bool) -> None:
        self.seq = seq
        self.last_id = last_id
        self.notes = notes
        self.sync = sync
        self.head = self.body = b""
        self.size = 0
        self.done = False
        self.error: Exception | None = None
        self.future: asyncio.Future[int] | None = None


class Journal:
    """One process's journal; ``commit`` and ``note`` are for its event loop's thread."""

    name: str
    mint: ids.Mint

    def __init__(
        self,
        directory: Path,
        lock: Lock,
        segment_bytes: int,
        cap_bytes: int,
        doorbell: Path | None,
        ring_seconds: float = 0.0,
    ) -> None:
        self.directory = directory
        self.name = directory.name
        self._flock = lock
        self._segment_bytes = segment_bytes
        self._room = room.Room(directory, segment_bytes, cap_bytes)
        self._epoch = secrets.randbits(32)
        self._tip = Tip(directory, self._room, self._epoch, doorbell)
        self._seq = 0
        self._order = threading.Lock()
        self._lock = threading.Lock()
        self._queue: deque[_Entry] = deque()
        self._notes = Notes()
        self._timer: asyncio.TimerHandle | None = None
        self._soon: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None
        self._sparing: threading.Thread | None = None
        self._wake: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._shared = 0
        self._inline = False
        self._ring_seconds = ring_seconds
        self._rings = False
        self._closed = False

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        node: int,
        doorbell: Path | None = None,
        segment_bytes: int = 16 * 2**20,
        cap_bytes: int = 256 * 2**20,
        ring_seconds: float = 0.0,
    ) -> Self:
        """Take the journal and begin a fresh segment with a new epoch.

        With ``ring_seconds`` the bell rings that much later, once for all that came meanwhile:
        a reader that works at once takes the writer's core from it. Frame numbers and ids go
        on above everything that is found. Without space the journal opens all the same, and
        refuses frames until there is some. Raises Locked when another process has it,
        JournalBroken when it cannot be written.
        """
        disk.make_folder(directory)
        lock = Lock.take(directory)
        try:
            self = cls(directory, lock, segment_bytes, cap_bytes, doorbell, ring_seconds)
        except OSError as error:
            lock.release()
            raise failure(error) from error
        try:
            last = room.Last.of(directory)
            self.mint = ids.Mint(node, last.last_id)
            self._seq = max(last.seq + segment.SEQ_GAP, clock.now_us())
            self._tip.go_on_after(last)
            self._room.trim()
            try:
                self._tip.roll(0, self._seq + 1, last.last_id, FIRST_BYTES)
            except (OSError, JournalFull) as error:
                refusal = failure(error)
                if isinstance(refusal, JournalBroken):
                    raise refusal from error
        except BaseException:
            self._release()
            raise
        return self

    @property
    def before_reuse(self) -> Callable[[], None] | None:
        """Called before a finished segment of this journal is reused; may raise, then it waits.

        Whoever executes the acts of this journal makes them durable there. It runs in the
        writer's thread.
        """
        return self._tip.before_reuse

    @before_reuse.setter
    def before_reuse(self, call: Callable[[], None] | None) -> None:
        self._tip.before_reuse = call

    # ------------------------------------------------------------ for callers

    async def commit(self, meta: frame.Meta, body: bytes = b"") -> int:
        """Make a frame durable; returns its number.

        Raises JournalFull when there is no space and JournalBroken when it could not be
        written: then the frame does not count. A caller that is cancelled while it waits does
        not take the frame back.
        """
        loop = self._loop or self._begin()
        future: asyncio.Future[int] = loop.create_future()
        if (
            not self._shared
            and not self._inline
            and not self._queue
            and self._tip.sync_seconds < FAST_SYNC_SECONDS
            and self._lock.acquire(blocking=False)
        ):
            try:
                entry = self._enqueue(meta, body, future)
                if entry.size <= self._tip.left:
                    self._settle(self._write_pending())
                    self._inline = True
                    loop.call_soon(self._not_inline)
            finally:
                self._lock.release()
            if not future.done():
                self._wake.put(True)
        else:
            if self._shared and not self._queue and not self._lock.locked():
                self._shared -= 1
            else:
                self._shared = _SHARED
            self._enqueue(meta, body, future)
            self._wake.put(True)
        return await future

    async def commit_soon(self, meta: frame.Meta, body: bytes = b"") -> int:
        """The same as ``commit`` for what nobody outside waits for.

        It goes with the next group that somebody does wait for, or within ``SOON_SECONDS``.
        """
        loop = self._loop or self._begin()
        future: asyncio.Future[int] = loop.create_future()
        self._enqueue(meta, body, future)
        if self._soon is None:
            self._soon = loop.call_later(SOON_SECONDS, self._no_later)
        return await future

    def commit_now(self, meta: frame.Meta, body: bytes = b"") -> int:
        """The same as ``commit`` for threads beside the event loop, or without one.

        Whoever gets the turn writes for all that wait for it.
        """
        entry = self._enqueue(meta, body)
        with self._lock:
            if not entry.done:
                self._announce(self._write_pending())
        if entry.error is not None:
            raise entry.error
        return entry.seq

    def note(self, event: events.Event) -> None:
        """Keep an event for the next frame; never blocks.

        Under overload events are dropped, first those that only describe a connection; a
        ``log.gap`` event then says how many.
        """
        self.keep(event)
        self.time_notes()

    def keep(self, event: events.Event) -> None:
        """The first half of ``note``, for any thread: it goes before what is committed next."""
        self._notes.add(event)

    def time_notes(self) -> None:
        """The second half: what waits is written within ``NOTE_SECONDS``."""
        if self._timer is None and not self._closed:
            loop = self._loop
            if loop is None:
                try:
                    loop = self._begin()
                except RuntimeError:
                    return
            self._timer = loop.call_later(NOTE_SECONDS, self._flush_notes)

    def check_room(self) -> None:
        """Raise JournalFull when a message would not find room; cheap."""
        self._room.check(self._tip.left)

    async def close(self) -> None:
        """Write what waits, make it durable, give the lock back."""
        for timer in (self._timer, self._soon):
            if timer is not None:
                timer.cancel()
        self._timer = self._soon = None
        await asyncio.to_thread(self.close_now)

    def close_now(self) -> None:
        """The same for a process without an event loop."""
        if self._closed:
            return
        self._closed = True
        if self._thread is not None:
            self._wake.put(False)
            self._thread.join()
        if self._sparing is not None:
            self._sparing.join()
        try:
            with self._lock:
                if self._notes:
                    self._enqueue(None, b"")
                self._announce(self._write_pending())
                self._tip.ring()
                self._tip.trim()
        except OSError:
            pass  # what was promised is durable; the segment just keeps its size
        finally:
            self._release()

    # ------------------------------------------------- in the caller's thread

    def _begin(self) -> asyncio.AbstractEventLoop:
        """Start what belongs to a process with an event loop. Raises RuntimeError without."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name=f"journal {self.name}", daemon=True)
        self._thread.start()
        self._prepare()
        return self._loop

    def _enqueue(
        self, meta: frame.Meta | None, body: bytes, future: asyncio.Future[int] | None = None
    ) -> _Entry:
        """Encode a frame behind those that wait, with the notes so far in front of its events."""
        if self._closed and meta is not None:
            raise JournalBroken("the journal is closed")
        with self._order:
            while True:
                notes, more = self._notes.take(self.mint)
                last_id = self.mint.last
                self._seq += 1
                entry = _Entry(self._seq, last_id, notes, sync=meta is not None or self._closed)
                packed = [frame.raw(event) for event in notes]
                if more or meta is None:
                    whole = frame.Meta(events=tuple(packed))
                elif packed:
                    whole = frame.Meta(
                        events=(*packed, *meta.events),
                        content=meta.content,
                        links=meta.links,
                        acts=meta.acts,
                    )
                else:
                    whole = meta
                entry.head, entry.body = frame.encode(
                    whole,
                    b"" if more else body,
                    seq=entry.seq,
                    last_id=last_id,
                    epoch=self._epoch,
                )
                entry.size = len(entry.head) + len(entry.body)
                if not more:
                    entry.future = future
                self._queue.append(entry)
                if not more:
                    return entry

    def _flush_notes(self) -> None:
        self._timer = None
        if self._notes and not self._closed:
            self._enqueue(None, b"")
            self._wake.put(True)

    def _no_later(self) -> None:
        self._soon = None
        if self._queue:
            self._wake.put(True)

    def _not_inline(self) -> None:
        self._inline = False

    # ------------------------------------- under the lock, in whatever thread

    def _run(self) -> None:
        """The writer thread: a group for everything that waits, again and again."""
        while self._wake.get():
            with self._lock:
                written = self._write_pending()
            self._announce(written)

    def _announce(self, written: Sequence[_Entry]) -> None:
        waiting = [entry for entry in written if entry.future is not None]
        if waiting and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settle, waiting)

    def _settle(self, written: Sequence[_Entry]) -> None:
        """Answer those who wait; in the loop's thread."""
        for entry in written:
            future = entry.future
            if future is None or future.done():
                continue
            if entry.error is not None:
                future.set_exception(entry.error)
            else:
                future.set_result(entry.seq)

    def _write_pending(self) -> list[_Entry]:
        """Write and sync all that waits, in groups that fit; each entry says how it ended."""
        entries: list[_Entry] = []
        while self._queue:
            entries.append(self._queue.popleft())
        begin = 0
        while begin < len(entries):
            first = entries[begin]
            group = [first]
            try:
                if first.size > self._tip.left:
                    self._roll(first)
                size = first.size
                for entry in entries[begin + 1 : begin + _GROUP]:
                    if size + entry.size > self._tip.left:
                        break
                    group.append(entry)
                    size += entry.size
                self._write(group, size)
            except (OSError, JournalFull, JournalBroken) as error:
                for entry in reversed(group):
                    entry.error = failure(error)
                    self._notes.put_back(entry.notes)
                self._tip.refuse()
            for entry in group:
                entry.done = True
            begin += len(group)
        if entries:
            self._tip.show()
            self._ring()
        return entries

    def _write(self, group: Sequence[_Entry], size: int) -> None:
        buffers: list[bytes] = []
        sync = False
        for entry in group:
            buffers.append(entry.head)
            if entry.body:
                buffers.append(entry.body)
            sync |= entry.sync
        self._tip.write(buffers, size, sync=sync)

    def _ring(self) -> None:
        """Tell readers, now or soon."""
        loop = self._loop
        if not self._ring_seconds or loop is None or loop.is_closed():
            self._tip.ring()
        elif not self._rings and not self._closed:
            self._rings = True
            loop.call_soon_threadsafe(loop.call_later, self._ring_seconds, self._ring_now)

    def _ring_now(self) -> None:
        self._rings = False
        if not self._closed:
            self._tip.ring()

    def _roll(self, first: _Entry) -> None:
        if self._sparing is not None:
            self._sparing.join()
        self._tip.roll(first.size, first.seq, first.last_id, self._segment_bytes)
        if self._thread is not None:
            self._prepare()

    def _prepare(self) -> None:
        """Make the next segment's file in the background."""
        self._sparing = threading.Thread(target=self._room.prepare, daemon=True)
        self._sparing.start()

    def _release(self) -> None:
        self._tip.close()
        self._flock.release()

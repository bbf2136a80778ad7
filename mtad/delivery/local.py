"""Taking responsibility for a message: plan, frame, barrier.

Order of writes: for a message longer than a frame holds, its content file, written and synced;
then the frame with events, plan and (else) the message; the frame is durable when ``accept``
returns. Only then may anyone be told that the message is ours. What follows (content file,
links, rows) is done by the log role from the frame, and again after a crash.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

from mtad.delivery.framing import Envelope as Envelope
from mtad.delivery.framing import Framed, Resend, framed
from mtad.delivery.holds import Hold
from mtad.journal import frame
from mtad.journal.content import path_of, write_content
from mtad.where import Places
from tracing import ids
from tracing.events import Event
from tracing.sending import QueueAdd, QueueHold


class Barrier(Protocol):
    """What is needed of a journal (``mtad.journal.writer.Journal``)."""

    @property
    def mint(self) -> ids.Mint:
        """Makes this process's ids."""

    async def commit(self, meta: frame.Meta, body: bytes = b"") -> int:
        """Make a frame durable."""

    async def commit_soon(self, meta: frame.Meta, body: bytes = b"") -> int:
        """The same, milliseconds later, for what no client waits for."""

    def note(self, event: Event) -> None:
        """Log an event that may ride with a later frame."""

    def check_room(self) -> None:
        """Raises JournalFull or JournalBroken where a commit would."""


OnQueued = Callable[[Envelope, Sequence[QueueAdd | QueueHold], int, bytes | None], None]
"""Hears of recipients in the queue once that is durable: envelope, the events that put them
there, size, and the message unless it is in a file."""


Sign = Callable[[Sequence[bytes]], Awaitable[Sequence[bytes]]]
"""A message in pieces, and the same with its signatures."""


class Delivery:
    """Takes messages through one process's journal, for boxes and for elsewhere."""

    def __init__(self, journal: Barrier, places: Places, hostname: str) -> None:
        self._journal = journal
        self._places = places
        self.hostname = hostname
        """Stands in file names; may change while running."""
        self.hold: Hold | None = None
        """What is held in the queue; may change while running."""
        self.resend: Resend | None = None
        """What reverse-path mail has that is passed on elsewhere."""
        self.on_queued: OnQueued | None = None
        self.sign: Sign | None = None
        """Signs mail that is made here; what a client submits comes signed."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def accept(self, envelope: Envelope, parts: Sequence[bytes]) -> int:
        """Make a message ours; ``parts`` are its octets in order, line ends LF.

        Our own header lines are part of them. Returns the size as stored. Raises JournalFull,
        JournalBroken, or OSError when a large message's content file cannot be written; in
        each case nothing was promised.
        """
        if envelope.rel and self.sign is not None:
            parts = await self.sign(parts)
        size = sum(map(len, parts))
        if size > frame.MAX_BODY:
            await self._accept_large(envelope, size, parts)
            return size
        body = b"".join(parts)
        digest = hashlib.sha256(body).digest()
        content = frame.Content(envelope.m, size, digest, envelope.arrived_ns, inline=True)
        planned = self._frame(envelope, content, body.count(b"\n"))
        await self._commit(envelope, planned, size, body)
        return size

    async def _accept_large(self, envelope: Envelope, size: int, parts: Sequence[bytes]) -> None:
        """The same with the message in a content file, written and hashed in a thread."""
        loop = asyncio.get_running_loop()
        content, lines = await loop.run_in_executor(None, self._write, envelope, parts)
        try:
            await self._commit(envelope, self._frame(envelope, content, lines), size, b"")
        except Exception:
            # Refused, so nobody has been promised this file.
            path = path_of(self._places, envelope.m)
            await loop.run_in_executor(None, partial(path.unlink, missing_ok=True))
            raise

    def _write(self, envelope: Envelope, parts: Sequence[bytes]) -> tuple[frame.Content, int]:
        """Write and sync the content file; what the frame says of it, and its line count."""
        content = write_content(self._places, envelope.m, parts, envelope.arrived_ns)
        return content, sum(part.count(b"\n") for part in parts)

    def _frame(self, envelope: Envelope, content: frame.Content, lines: int) -> Framed:
        """The frame's events and plan."""
        return framed(
            envelope,
            content,
            lines,
            new_id=self._journal.mint.new,
            hostname=self.hostname,
            hold=self.hold,
            resend=self.resend,
        )

    async def _commit(self, envelope: Envelope, planned: Framed, size: int, body: bytes) -> None:
        """Make a frame durable, and tell of what it puts into the queue."""
        if not planned.queued or self.on_queued is None:
            await self._journal.commit(planned.meta, body)
            return
        # A client that hangs up ends the caller, not the frame: the queue has to hear of it.
        task = asyncio.get_running_loop().create_task(self._queue(envelope, planned, size, body))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # told to the caller already, if that is still there

    async def _queue(self, envelope: Envelope, planned: Framed, size: int, body: bytes) -> None:
        await self._journal.commit(planned.meta, body)
        if self.on_queued is not None:
            content = planned.meta.content
            inline = content is not None and content.inline
            self.on_queued(envelope, planned.queued, size, body if inline else None)

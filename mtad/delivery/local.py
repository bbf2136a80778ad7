"""Taking responsibility for a message: plan, frame, barrier.

Order of writes: for a message longer than a frame holds, its content file, written and synced;
then the frame with events, plan and (else) the message; the frame is durable when ``accept``
returns. Only then may anyone be told that the message is ours. What follows (content file,
links, rows) is done by the log role from the frame, and again after a crash.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from mtad.delivery import route
from mtad.journal import frame
from mtad.journal.content import path_of, write_content
from mtad.store.names import base_name
from mtad.where import Places
from tracing import ids
from tracing.events import (
    Event,
    Recipient,
    RouteAlias,
    RouteDuplicate,
    SmtpAccept,
)

INBOX = "INBOX"


class Barrier(Protocol):
    """What is needed of a journal (``mtad.journal.writer.Journal``)."""

    @property
    def mint(self) -> ids.Mint:
        """Makes this process's ids."""

    async def commit(self, meta: frame.Meta, body: bytes = b"") -> int:
        """Make a frame durable."""

    def note(self, event: Event) -> None:
        """Log an event that may ride with a later frame."""

    def check_room(self) -> None:
        """Raises JournalFull or JournalBroken where a commit would."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message to be taken in, without its octets.

    ``arrived_ns`` becomes the files' mtime and INTERNALDATE; ``started_us`` is when its
    transaction began. ``reply`` is what the peer is told once the message is ours.
    """

    m: int
    sender: str
    recipients: Sequence[route.Accepted]
    arrived_ns: int
    started_us: int
    ip: str = ""
    host: str = ""
    message_id: str = ""
    subject: str = ""
    header_from: str = ""
    reply: str = ""
    actor: str = "remote"


class Delivery:
    """Local delivery through one process's journal."""

    def __init__(self, journal: Barrier, places: Places, hostname: str) -> None:
        self._journal = journal
        self._places = places
        self._hostname = hostname

    async def accept(self, envelope: Envelope, parts: Sequence[bytes]) -> int:
        """Make a message ours; ``parts`` are its octets in order, line ends LF.

        Our own header lines are part of them. Returns the size as stored. Raises JournalFull,
        JournalBroken, or OSError when a large message's content file cannot be written; in
        each case nothing was promised.
        """
        size = sum(map(len, parts))
        if size > frame.MAX_BODY:
            await self._accept_large(envelope, size, parts)
            return size
        body = b"".join(parts)
        digest = hashlib.sha256(body).digest()
        content = frame.Content(envelope.m, size, digest, envelope.arrived_ns, inline=True)
        await self._journal.commit(self._meta(envelope, content, body.count(b"\n")), body)
        return size

    async def _accept_large(self, envelope: Envelope, size: int, parts: Sequence[bytes]) -> None:
        """The same with the message in a content file, written and hashed in a thread."""
        loop = asyncio.get_running_loop()
        content, lines = await loop.run_in_executor(None, self._write, envelope, parts)
        try:
            await self._journal.commit(self._meta(envelope, content, lines))
        except Exception:
            # Refused, so nobody has been promised this file.
            path = path_of(self._places, envelope.m)
            await loop.run_in_executor(None, partial(path.unlink, missing_ok=True))
            raise

    def _write(self, envelope: Envelope, parts: Sequence[bytes]) -> tuple[frame.Content, int]:
        """Write and sync the content file; what the frame says of it, and its line count."""
        content = write_content(self._places, envelope.m, parts, envelope.arrived_ns)
        return content, sum(part.count(b"\n") for part in parts)

    def _meta(self, envelope: Envelope, content: frame.Content, lines: int) -> frame.Meta:
        """The frame's events and plan."""
        size = content.size
        m, at = envelope.m, envelope.arrived_ns // 1000
        new_id: Callable[[], int] = self._journal.mint.new
        events: list[Event] = []
        recipients, links = [], []
        for final in route.plan(envelope.recipients):
            recipients.append(Recipient(final.n, final.box, final.original))
            if final.alias:
                events.append(
                    RouteAlias(at=at, trace=m, n=final.n, addr=final.box, original=final.original)
                )
            if final.first:
                events.append(
                    RouteDuplicate(
                        at=at,
                        trace=m,
                        n=final.n,
                        addr=final.box,
                        original=final.original,
                        first=final.first,
                    )
                )
                continue
            st = new_id()
            base = base_name(st, envelope.arrived_ns, self._hostname, size, size + lines)
            links.append(frame.Link(final.n, st, final.box, INBOX, base))
        code, _, rest = envelope.reply.partition(" ")
        events.append(
            SmtpAccept(
                at=at,
                trace=m,
                addr=envelope.sender,
                ip=envelope.ip,
                host=envelope.host,
                code=int(code or 0),
                enh=rest.partition(" ")[0],
                reply=envelope.reply,
                actor=envelope.actor,
                size=size,
                sha256=content.sha256.hex(),
                count=len(recipients),
                recipients=tuple(recipients),
                message_id=envelope.message_id,
                subject=envelope.subject,
                header_from=envelope.header_from,
                ms=(at - envelope.started_us) / 1000,
            )
        )
        return frame.Meta(events=tuple(map(frame.raw, events)), content=content, links=tuple(links))

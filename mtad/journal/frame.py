"""What a journal holds: frames of events, a plan, and the message itself.

A frame is the atom of durability: all of it counts or nothing. This module knows the octets
and nothing of files (PURE). On disk a frame is

    magic 4 | meta length u32 | body length u32 | seq u64 | last id u64 | crc u32 | meta | body

little-endian, crc32 over everything else in the frame, seeded with the segment's epoch, so
that what a recycled segment still holds of its former life never looks like a frame. ``meta``
is MessagePack of ``Meta``; ``body`` is the message with our header lines, line ends LF, or
nothing when the content file was written and synced before the frame.
"""

import struct
import zlib
from dataclasses import dataclass
from typing import Union

import msgspec

from tracing import events

MAGIC = b"mtF1"
HEADER = struct.Struct("<4sIIQQI")
MAX_META = 64 * 2**20
MAX_BODY = 256 * 1024
"""Octets of a message kept in its frame; a longer one is a synced file in ``content/``."""


class Content(msgspec.Struct, frozen=True, array_like=True):
    """A message of ours: id, octets and sha256 (raw digest) as stored, arrival in ns."""

    m: int
    size: int
    sha256: bytes
    mtime_ns: int
    inline: bool
    """Whether the frame's body is the message; otherwise the content file is there, synced."""


class Link(msgspec.Struct, frozen=True, array_like=True):
    """Place the content for recipient ``n`` of the message into a mailbox of a box."""

    n: int
    st: int
    box: str
    mailbox: str
    base: str


class Copy(msgspec.Struct, frozen=True, array_like=True):
    """One stored message of an act: copy, message, UID there, base name."""

    st: int
    m: int
    uid: int
    base: str


class Expunge(msgspec.Struct, frozen=True, tag="expunge"):
    """Remove messages from a mailbox; a replay removes what is still there."""

    box: str
    mailbox: str
    copies: tuple[Copy, ...]
    modseq: int


class Move(msgspec.Struct, frozen=True, tag="move"):
    """Move messages within a box; ``uids`` are the new UIDs in ``target``."""

    box: str
    mailbox: str
    target: str
    copies: tuple[Copy, ...]
    uids: tuple[int, ...]
    modseq: int


class Flags(msgspec.Struct, frozen=True, tag="flags"):
    """Set flags and keywords, in full, of each message."""

    box: str
    mailbox: str
    copies: tuple[Copy, ...]
    flags: tuple[str, ...]
    keywords: tuple[tuple[str, ...], ...]
    modseq: int


class Seen(msgspec.Struct, frozen=True, tag="seen"):
    """Keep for a user who is not the box's owner whether messages are seen."""

    box: str
    mailbox: str
    user: str
    copies: tuple[Copy, ...]
    seen: bool
    modseq: int


class PutItem(msgspec.Struct, frozen=True, array_like=True):
    """A file in the box's ``tmp/`` that becomes a message; ``flags`` as Maildir letters.

    ``sha256`` is empty where it is not known; ``email`` names the message whose content it has,
    0 for none but itself (RFC 8474 5.1). The file is synced unless it is ``inline``.
    """

    copy: Copy
    tmp: str
    flags: str
    keywords: tuple[str, ...]
    mtime_ns: int
    size: int
    sha256: bytes
    email: int = 0
    inline: bool = False
    """Whether the frame's body is the message, so that a power cut may take the file."""


class Put(msgspec.Struct, frozen=True, tag="put"):
    """Take prepared files into a mailbox (restore, import, APPEND, COPY)."""

    box: str
    mailbox: str
    items: tuple[PutItem, ...]
    modseq: int


Act = Union[Expunge, Move, Flags, Put, Seen]  # noqa: UP007
"""What a box's owner does to files and index once the frame is durable."""


class Meta(msgspec.Struct, frozen=True, omit_defaults=True):
    """The plan and the events of a frame; whoever executes it decides nothing."""

    events: tuple[msgspec.Raw, ...] = ()
    content: Content | None = None
    links: tuple[Link, ...] = ()
    acts: tuple[Act, ...] = ()


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as read back: its number in the journal, plan, events, message."""

    seq: int
    last_id: int
    meta: Meta
    body: bytes

    @property
    def events(self) -> list[events.Event]:
        """The events, decoded."""
        return [events.decode(bytes(raw)) for raw in self.meta.events]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Meta).decode


def raw(event: events.Event) -> msgspec.Raw:
    """An event ready to go into a ``Meta``."""
    return msgspec.Raw(events.encode(event))


def encode(meta: Meta, body: bytes, *, seq: int, last_id: int, epoch: int) -> tuple[bytes, bytes]:
    """Header with meta, and body, to be written one after the other."""
    packed = _encode(meta)
    start = HEADER.pack(MAGIC, len(packed), len(body), seq, last_id, 0)[:-4]
    crc = zlib.crc32(body, zlib.crc32(packed, zlib.crc32(start, epoch)))
    return start + crc.to_bytes(4, "little") + packed, body


def decode(data: bytes | memoryview, offset: int, *, epoch: int) -> tuple[Frame, int] | None:
    """The frame at ``offset`` and where the next begins; None where no whole frame is.

    A torn, damaged or foreign frame is None: the journal ends before it.
    """
    if offset + HEADER.size > len(data):
        return None
    magic, meta_length, body_length, seq, last_id, crc = HEADER.unpack_from(data, offset)
    if magic != MAGIC or meta_length > MAX_META or body_length > MAX_BODY:
        return None
    at = offset + HEADER.size
    end = at + meta_length + body_length
    if end > len(data):
        return None
    view = memoryview(data)
    seen = zlib.crc32(view[offset : at - 4], epoch)
    seen = zlib.crc32(view[at:end], seen)
    if seen != crc:
        return None
    try:
        meta = _decode(view[at : at + meta_length])
    except msgspec.MsgspecError:
        return None
    return Frame(seq, last_id, meta, bytes(view[at + meta_length : end])), end

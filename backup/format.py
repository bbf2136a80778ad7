"""The octets of a snapshot repository: packs of frames, manifests, commits (PURE).

A pack is a clear header, frames, a table frame and a footer. A frame is a clear header and
AES-256-GCM of zstd of its payload; pack header and frame header are the additional
authenticated data. Each pack has a key of its own, made with the 32 octets of salt in its
header (``subkeys.py``), so the nonce is the frame's number and never repeats.

    pack    "mtP1" kind u8 version u8 0 0 salt[32]
    frame   "mtf1" kind u8 codec u8 dictionary u16 number u32 count u32 stored u32 raw u32
            stored octets: ciphertext with its tag
    footer  table offset u64, table octets u32, the pack header again, "mtPe"

A data frame's payload is ``count`` lengths (u32), then the objects. The table frame repeats
what the pack holds; an object's id is computed from its content, so the table can be rebuilt
from the frames and the index from the tables. Frames of manifests are written twice, numbers
2n and 2n + 1, side by side and equally long. Little-endian throughout.
"""

import hashlib
import json
import struct
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = 1
TEXT = b"t"
"""Messages: skeletons in groups."""
BODY = b"b"
"""Decoded bodies, shared by the messages that carry them."""
MANIFEST = b"m"
INDEX = b"i"
COMMIT = b"s"
TABLE = b"x"

PACK = struct.Struct("<4sccxx32s")
FRAME = struct.Struct("<4scBHIIII")
FOOTER = struct.Struct(f"<QI{PACK.size}s4s")
_PACK_MAGIC = b"mtP1"
_FRAME_MAGIC = b"mtf1"
_FOOTER_MAGIC = b"mtPe"
ZSTD = 1
TAG = 16
ID = 32
MAX_RAW = 2**30
"""Ceiling of every expansion, in octets; what a header declares above it is damage."""
MAX_OBJECTS = 2**20


class Damaged(ValueError):
    """Stored octets are not what was written."""


# ------------------------------------------------------------------- frames


class FrameEntry(msgspec.Struct, frozen=True, array_like=True):
    """A frame as tables list it: where its ciphertext is, and the objects in it."""

    number: int
    offset: int
    """Of the frame's header within the pack."""
    stored: int
    raw: int
    lengths: tuple[int, ...]
    ids: bytes
    """The objects' ids one after the other."""

    def objects(self) -> list[tuple[bytes, int, int]]:
        """Each object's id, start within the payload, length."""
        at, found = 4 * len(self.lengths), []
        for i, length in enumerate(self.lengths):
            found.append((self.ids[i * ID : i * ID + ID], at, length))
            at += length
        return found


class PackEntry(msgspec.Struct, frozen=True, array_like=True):
    """A pack as the index lists it; in its own table ``name`` is empty and ``size`` 0."""

    name: bytes
    kind: bytes
    salt: bytes
    size: int
    frames: tuple[FrameEntry, ...]

    @property
    def header(self) -> bytes:
        """The pack's clear header."""
        return pack_header(self.kind, self.salt)


def pack_header(kind: bytes, salt: bytes) -> bytes:
    """What a pack begins with."""
    return PACK.pack(_PACK_MAGIC, kind, bytes([VERSION]), salt)


def read_header(data: bytes) -> tuple[bytes, bytes]:
    """A pack's kind and salt. Raises Damaged."""
    if len(data) < PACK.size:
        raise Damaged("the pack is shorter than its header")
    magic, kind, version, salt = PACK.unpack_from(data)
    if magic != _PACK_MAGIC or version != bytes([VERSION]):
        raise Damaged("no pack header")
    return kind, salt


def frame_header(kind: bytes, number: int, count: int, stored: int, raw: int) -> bytes:
    """A frame's clear header."""
    return FRAME.pack(_FRAME_MAGIC, kind, ZSTD, 0, number, count, stored, raw)


def read_frame_header(data: bytes) -> tuple[bytes, int, int, int, int]:
    """Kind, number, count, stored, raw. Raises Damaged, also beyond the declared ceilings."""
    if len(data) < FRAME.size:
        raise Damaged("the frame is cut off")
    magic, kind, codec, dictionary, number, count, stored, raw = FRAME.unpack_from(data)
    if magic != _FRAME_MAGIC or codec != ZSTD or dictionary:
        raise Damaged("no frame header")
    if raw > MAX_RAW or count > MAX_OBJECTS or stored > raw + raw // 64 + 4096:
        raise Damaged("a frame larger than any that is written")
    return kind, number, count, stored, raw


def seal(
    cipher: AESGCM, pack: bytes, kind: bytes, number: int, count: int, raw: int, packed: bytes
) -> bytes:
    """A frame: header and ciphertext. ``packed`` is the compressed payload of ``raw`` octets."""
    header = frame_header(kind, number, count, len(packed) + TAG, raw)
    return header + cipher.encrypt(number.to_bytes(12, "little"), packed, pack + header)


def unseal(
    cipher: AESGCM, pack: bytes, kind: bytes, number: int, count: int, raw: int, sealed: bytes
) -> bytes:
    """The compressed payload of a frame whose ciphertext is ``sealed``. Raises Damaged.

    The header is made from what the caller knows, so a frame whose stored header is damaged
    is still readable.
    """
    header = frame_header(kind, number, count, len(sealed), raw)
    try:
        return cipher.decrypt(number.to_bytes(12, "little"), sealed, pack + header)
    except (InvalidTag, OverflowError):
        raise Damaged("a frame does not match its authentication tag") from None


def payload(objects: list[bytes]) -> bytes:
    """A data frame's payload."""
    return struct.pack(f"<{len(objects)}I", *map(len, objects)) + b"".join(objects)


def read_lengths(data: bytes, count: int) -> tuple[int, ...]:
    """The objects' lengths in a payload. Raises Damaged when they do not add up."""
    if 4 * count > len(data):
        raise Damaged("a frame is shorter than its table")
    lengths = struct.unpack_from(f"<{count}I", data)
    if 4 * count + sum(lengths) != len(data):
        raise Damaged("a frame's objects do not fill it")
    return lengths


def footer(offset: int, length: int, header: bytes) -> bytes:
    """What a pack ends with: where its table frame is, and its header once more."""
    return FOOTER.pack(offset, length, header, _FOOTER_MAGIC)


def read_footer(data: bytes) -> tuple[int, int, bytes]:
    """Table offset, its octets, and the pack header. Raises Damaged."""
    if len(data) != FOOTER.size:
        raise Damaged("the pack's end is cut off")
    offset, length, header, magic = FOOTER.unpack(data)
    if magic != _FOOTER_MAGIC:
        raise Damaged("the pack's end is not there")
    return offset, length, header


# ---------------------------------------------------------------- manifests


@dataclass(frozen=True, slots=True)
class Entry:
    """One message in a snapshot of a box."""

    mailbox: str
    uid: int
    base: str
    st: int
    m: int
    flags: str
    """Maildir letters."""
    keywords: tuple[str, ...]
    mtime_ns: int
    size: int
    id: bytes
    """The message object."""
    seen: tuple[str, ...] = ()
    """Users other than the box's owner who have seen it, where its mailbox is shared."""


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """Up to 512 entries of a mailbox, column by column: that compresses best."""

    uids: tuple[int, ...]
    bases: tuple[bytes, ...]
    """Octets: a file name need not be UTF-8."""
    sts: tuple[int, ...]
    ms: tuple[int, ...]
    flags: tuple[str, ...]
    keywords: tuple[tuple[str, ...], ...]
    mtimes_ns: tuple[int, ...]
    sizes: tuple[int, ...]
    ids: bytes
    seen: tuple[tuple[str, ...], ...] = ()
    """Empty where no other user has seen any of them."""

    def entries(self, mailbox: str) -> list[Entry]:
        """The rows. Raises Damaged when the columns are not equally long."""
        ids = [self.ids[i : i + ID] for i in range(0, len(self.ids), ID)]
        bases = [base.decode(errors="surrogateescape") for base in self.bases]
        seen = self.seen or ((),) * len(ids)
        columns = (self.uids, bases, self.sts, self.ms, self.flags, self.keywords)
        try:
            return [
                Entry(mailbox, *row)
                for row in zip(*columns, self.mtimes_ns, self.sizes, ids, seen, strict=True)
            ]
        except ValueError:
            raise Damaged("a manifest's columns differ in length") from None


CHUNK = 512
"""A chunk holds the entries of one mailbox with equal ``uid // CHUNK``; unnumbered ones last."""


class MailboxRoot(msgspec.Struct, frozen=True, array_like=True):
    """A mailbox in a snapshot: its numbering, and its chunks' ids one after the other.

    ``rights`` are lines of its list (RFC 4314), ``uses`` those it was made for (RFC 6154),
    ``notes`` its metadata (RFC 5464), in order of their names, ``objectid`` is RFC 8474's.
    """

    name: str
    uidvalidity: int
    uidnext: int
    highestmodseq: int
    messages: int
    chunks: bytes
    rights: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    notes: tuple[tuple[str, bytes], ...] = ()
    objectid: int = 0


class BoxRoot(msgspec.Struct, frozen=True, array_like=True):
    """A box in a snapshot; one without an address is the server itself (``server_part``).

    ``subscribed`` are names of mailboxes, None in snapshots from before such things were kept;
    then rights, uses and notes are not known either. ``notes`` is metadata of the box as a
    whole, under the number 0, and what its owner noted privately of others' mailboxes, under
    their object ids. ``quota`` is octets and messages it may hold, 0 for no limit, ``rules``
    the networks from which it may be logged into, by service; both are empty where the
    directory has no such box.
    """

    address: str
    mailboxes: tuple[MailboxRoot, ...]
    subscribed: tuple[str, ...] | None = None
    notes: tuple[tuple[int, str, bytes], ...] = ()
    quota: tuple[int, ...] = ()
    rules: tuple[tuple[str, tuple[str, ...]], ...] = ()


class BoxLine(msgspec.Struct, frozen=True, array_like=True):
    """A box in a commit: the root's id, messages, their octets."""

    address: str
    root: bytes
    messages: int
    size: int


class Commit(msgspec.Struct, frozen=True, omit_defaults=True):
    """A snapshot's commit file: it exists or the snapshot does not."""

    at: int
    """Microseconds since the Unix epoch, UTC, before the first box was read."""
    scope: str
    boxes: tuple[BoxLine, ...]
    added: int = 0
    """Messages this snapshot was the first to store."""
    stored: int = 0
    """Octets it added to packs."""
    seconds: float = 0.0
    unread: tuple[str, ...] = ()
    """Messages that could not be read, as ``box/mailbox/base``."""
    tags: tuple[str, ...] = ()
    """Words that whoever took it gave it."""
    was: tuple[str, ...] = ()
    """The names it had before it was written anew without boxes that are not kept."""

    @property
    def mail(self) -> tuple[BoxLine, ...]:
        """The boxes, without the server's own part, which has no address."""
        return tuple(line for line in self.boxes if line.address)


def chunks(entries: list[Entry]) -> list[Chunk]:
    """A mailbox's entries as chunks; an unchanged run of 512 UIDs gives an equal chunk."""
    groups: dict[int, list[Entry]] = {}
    last = 2**63
    for entry in sorted(entries, key=lambda e: (e.uid or last, e.base)):
        groups.setdefault(entry.uid // CHUNK if entry.uid else last, []).append(entry)
    return [
        Chunk(
            tuple(e.uid for e in group),
            tuple(e.base.encode(errors="surrogateescape") for e in group),
            tuple(e.st for e in group),
            tuple(e.m for e in group),
            tuple(e.flags for e in group),
            tuple(e.keywords for e in group),
            tuple(e.mtime_ns for e in group),
            tuple(e.size for e in group),
            b"".join(e.id for e in group),
            tuple(e.seen for e in group) if any(e.seen for e in group) else (),
        )
        for group in groups.values()
    ]


T = TypeVar("T")
encode = msgspec.msgpack.Encoder().encode


def decode(data: bytes, kind: type[T]) -> T:
    """A manifest, table or commit. Raises Damaged."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise Damaged(f"no {kind}: {error}") from None


# ------------------------------------------------------------ config, keys


def stamp(fields: dict[str, Any]) -> bytes:
    """A small clear file that shows its own damage: a line of JSON, a line of SHA-256."""
    line = json.dumps(fields, sort_keys=True, ensure_ascii=True).encode() + b"\n"
    return line + hashlib.sha256(line).hexdigest().encode() + b"\n"


def unstamp(data: bytes) -> dict[str, Any]:
    """The fields of a stamped file. Raises Damaged."""
    line, _, digest = data.partition(b"\n")
    if digest != hashlib.sha256(line + b"\n").hexdigest().encode() + b"\n":
        raise Damaged("the file does not match its checksum")
    try:
        fields = json.loads(line)
    except ValueError:
        raise Damaged("the file is no JSON") from None
    if not isinstance(fields, dict):
        raise Damaged("the file holds no object")
    return fields

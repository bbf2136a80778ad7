"""A segment is one preallocated file of a journal: a header, then frames one after another.

The header takes the first 4096 octets: magic, the segment's number, the epoch that seeds the
checksums of its frames, the number of its first frame, the last id known, where the segment
before it validly ended, and its own checksum. Names are ``<number>.seg`` while the log role
needs the file, ``<number>.done`` once it may be reused, ``<number>.bad`` when its header is
damaged (it was synced before the file got its name). A file's content is zeros before it
is first used, so that a sync never has to record new extents.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mtad.journal import disk, frame

MAGIC = b"mtS1"
_HEADER = struct.Struct("<4sIIQQQI")
START = 4096
"""Where the first frame begins."""
LIVE = ".seg"
DONE = ".done"
BAD = ".bad"
"""A segment that nobody can read any more, kept aside for whoever wants to try."""
LOCK = "lock"
MARK = "mark"
SPARE = "spare"
SEQ_GAP = 1 << 20
"""Frame numbers left out at each start: more than can have been written without a sync, so
that a number the log has seen and a power cut has lost is never used for another frame."""
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Header:
    """What the first block of a segment says."""

    number: int
    epoch: int
    first_seq: int
    last_id: int
    previous_end: int
    """Where segment ``number - 1`` ended; what lies behind was refused. 0: not known."""

    def pack(self) -> bytes:
        """The header's octets."""
        data = _HEADER.pack(
            MAGIC, self.number, self.epoch, self.first_seq, self.last_id, self.previous_end, 0
        )[:-4]
        return data + zlib.crc32(data).to_bytes(4, "little")


def unpack(data: bytes) -> Header | None:
    """The header in ``data``, or None when there is none."""
    if len(data) < _HEADER.size:
        return None
    magic, *fields, crc = _HEADER.unpack_from(data)
    if magic != MAGIC or zlib.crc32(data[: _HEADER.size - 4]) != crc:
        return None
    return Header(*fields)


def read_header(fd: int) -> Header | None:
    """The header of an open segment."""
    return unpack(os.pread(fd, _HEADER.size, 0))


def has_header(path: Path) -> bool:
    """Whether a segment can be read, or has gone to be another one meanwhile."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        return read_header(fd) is not None
    finally:
        os.close(fd)


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment file as a folder listing shows it."""

    number: int
    path: Path
    size: int
    done: bool


def listing(directory: Path) -> list[Segment]:
    """The segments of a journal, finished ones too, by rising number."""
    found = []
    try:
        entries = list(os.scandir(directory))
    except FileNotFoundError:
        return []
    for entry in entries:
        stem, dot, suffix = entry.name.partition(".")
        if dot + suffix in (LIVE, DONE) and stem.isdigit():
            try:
                size = entry.stat().st_size
            except FileNotFoundError:
                continue
            found.append(Segment(int(stem), directory / entry.name, size, dot + suffix == DONE))
    return sorted(found, key=lambda segment: segment.number)


def live_path(directory: Path, number: int) -> Path:
    """The name of a segment in use."""
    return directory / f"{number:010}{LIVE}"


def allocate(path: Path, size: int) -> None:
    """Make a file of zeros that is durable in content; the name is left to the caller's sync.

    Raises OSError, ENOSPC among them, and then leaves nothing behind.
    """
    fd = disk.open_(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
    try:
        zeros = memoryview(bytes(min(size, _CHUNK)))
        left = size
        while left:
            disk.write_all(fd, zeros[: min(left, _CHUNK)])
            left -= min(left, _CHUNK)
        disk.fsync(fd)
    except BaseException:
        disk.unlink(path)
        raise
    finally:
        disk.close(fd)


def walk(
    fd: int, header: Header, *, start: int = START, limit: int | None = None, after: int = 0
) -> Iterator[tuple[frame.Frame, int, int]]:
    """Frames from ``start`` up to ``limit`` as (frame, where it begins, where it ends).

    Ends at the first place where no valid frame with a rising number is, and when the file
    has become another segment meanwhile.
    """
    at = start
    seq = max(after, header.first_seq - 1)
    want = _CHUNK
    while limit is None or at < limit:
        size = want if limit is None else min(want, limit - at)
        data = os.pread(fd, size, at)
        if read_header(fd) != header:
            return
        used = 0
        while (found := frame.decode(data, used, epoch=header.epoch)) is not None:
            one, end = found
            if one.seq <= seq:
                return
            seq = one.seq
            yield one, at + used, at + end
            used = end
        at += used
        whole = _length(data, used)
        if len(data) < size or whole is None or used + whole <= len(data):
            return
        if used == 0 and limit is not None and at + size >= limit:
            return
        want = max(_CHUNK, whole)


def _length(data: bytes, at: int) -> int | None:
    """The octets that the frame beginning here claims to have; a whole header when cut off."""
    if at + frame.HEADER.size > len(data):
        return frame.HEADER.size
    magic, meta, body = frame.HEADER.unpack_from(data, at)[:3]
    if magic != frame.MAGIC or meta > frame.MAX_META or body > frame.MAX_BODY:
        return None
    return int(frame.HEADER.size + meta + body)


def resync(fd: int, header: Header, start: int, limit: int) -> int | None:
    """Where, behind damage at ``start``, the next valid frame begins; None when there is none."""
    at = start + 1
    while at < limit:
        data = os.pread(fd, min(limit - at, 4 * _CHUNK), at)
        if not data:
            return None
        hit = data.find(frame.MAGIC)
        while hit >= 0:
            if next(walk(fd, header, start=at + hit, limit=limit), None) is not None:
                return at + hit
            hit = data.find(frame.MAGIC, hit + 1)
        at += max(1, len(data) - len(frame.MAGIC) + 1)
    return None


_MARK = struct.Struct("<Q")


def pack_mark(number: int, end: int) -> bytes:
    """What the mark file says: readers may read up to ``end`` of segment ``number``."""
    return _MARK.pack(number << 32 | end)


def read_mark(fd: int) -> tuple[int, int]:
    """Segment number and end, (0, 0) when nothing was written yet."""
    data = os.pread(fd, _MARK.size, 0)
    if len(data) < _MARK.size:
        return 0, 0
    (value,) = _MARK.unpack(data)
    return value >> 32, value & 0xFFFFFFFF

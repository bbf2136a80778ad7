"""What a client sends becomes a file of the box: line ends LF, as all stored mail has them.

Octets come back as they were sent, but for bare LFs, which no message may have (RFC 5322 2.3)
and which come back as CRLF.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mtad.imap.answer import Bad, No
from mtad.journal import disk
from mtad.store import keywords
from mtad.store.values import Prepared

PIECE = 2**20
"""Octets of a message that are in memory at once."""


def compose(
    path: Path,
    parts: Sequence[bytes | Path],
    flags: Iterable[str],
    at_us: int,
    *,
    max_size: int,
    binary: bool,
) -> Prepared:
    """Write a message, not synced, to ``path``, a free name in the box's Maildir/tmp.

    ``parts`` are octets or files of them. Raises No for one that cannot be
    kept (empty, too big), Bad for a NUL outside of what the client called binary, and OSError.
    """
    size = _check(_read(parts), max_size, binary)
    if not size:
        raise No("An empty message cannot be stored")
    pieces = _read(parts)
    if not _has_lone_return(_read(parts)):
        pieces = _with_line_feeds(pieces)
    digest = hashlib.sha256()
    size = 0
    descriptor = disk.open_(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        for piece in pieces:
            disk.write_all(descriptor, piece)
            digest.update(piece)
            size += len(piece)
    finally:
        disk.close(descriptor)
    letters, words = keywords.sort(flags)
    return Prepared(path.name, "", letters, words, at_us * 1000, size, digest.digest())


def _read(parts: Sequence[bytes | Path]) -> Iterator[bytes]:
    for part in parts:
        if isinstance(part, bytes):
            yield part
            continue
        with part.open("rb") as file:
            while data := file.read(PIECE):
                yield data


def _check(pieces: Iterable[bytes], max_size: int, binary: bool) -> int:
    """The size of what may be kept."""
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > max_size:
            raise No(f"A message may have {max_size} octets", b"TOOBIG")
        if not binary and b"\0" in piece:
            raise Bad("a literal with NUL must be a literal8 (RFC 3516)")
    return size


def _has_lone_return(pieces: Iterable[bytes]) -> bool:
    """Whether a CR stands before a line end: with LF for CRLF it could not be told from one."""
    tail = b""
    for piece in pieces:
        data = tail + piece
        if b"\r\r\n" in data:
            return True
        tail = data[-2:]
    return False


def _with_line_feeds(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """LF for CRLF, also where a piece ends between the two."""
    held = b""
    for piece in pieces:
        data = held + piece
        held = b"\r" if data.endswith(b"\r") else b""
        yield data[: len(data) - len(held)].replace(b"\r\n", b"\n")
    yield held

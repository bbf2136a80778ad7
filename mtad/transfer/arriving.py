"""A message that comes in from elsewhere, and one that is being read: octets, digests, header."""

import hashlib
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from mtad.errors import MtadError
from mtad.headers import MAX_BLOCK, Block
from mtad.transfer import heads
from mtad.transfer.heads import Said

MAX_MESSAGE = 256 * 2**20
"""Octets of a message that is taken."""
HELD = 2**20
"""Octets of a message in memory; more lie in the box's ``tmp`` while they are looked at."""
LAST_NS = 253_402_300_799 * 1_000_000_000
"""The end of the year 9999: later dates cannot be told to mail clients."""


class Numbered(NamedTuple):
    """The number a message had where it comes from, and those of its mailbox."""

    uid: int
    uidvalidity: int
    uidnext: int


class Incoming(NamedTuple):
    """A message of a source.

    ``place`` says where in it, for people. ``at_ns`` is when it arrived as its place says, 0 if
    that says nothing; ``sure`` that it is to be believed more than the header. ``base`` is its
    base name in a Maildir, ``tag`` what tells it apart in a source that names it, "" for none;
    ``asks_header`` that flags stand in the header; ``key`` is the source's own.
    """

    mailbox: str
    place: str
    chunks: Callable[[], Iterator[bytes]]
    flags: str = ""
    keywords: tuple[str, ...] = ()
    at_ns: int = 0
    sure: bool = False
    base: str = ""
    size: int = -1
    number: Numbered | None = None
    asks_header: bool = False
    tag: str = ""
    key: str = ""


_DAMAGE = (OSError, EOFError, zlib.error, zipfile.BadZipFile, tarfile.TarError)


class Unreadable(MtadError):
    """A message cannot be taken: its source does not give it, or it is too large."""


class Content:
    """What tells messages apart, of octets as they come.

    ``same`` is the SHA-256 of the message with LF line ends and without the last one, so
    that it is the same whatever program wrote it down; ``wire`` its octets with CRLF line ends.
    """

    def __init__(self) -> None:
        self._raw = hashlib.sha256()
        self._same = hashlib.sha256()
        self._tail = b""
        self.size = 0
        self.wire = 0
        self.ends_line = False

    def add(self, chunk: bytes) -> None:
        """Take octets."""
        self.size += len(chunk)
        self._raw.update(chunk)
        data = self._tail + chunk
        keep = 2 if data.endswith(b"\r\n") else 1 if data.endswith((b"\r", b"\n")) else 0
        self._tail = data[len(data) - keep :]
        self._count(data[: len(data) - keep])

    def end(self) -> None:
        """There are no more."""
        self.ends_line = self._tail in (b"\n", b"\r\n")
        if self.ends_line:
            self.wire += 2
        else:
            self._count(self._tail)

    @property
    def sha256(self) -> bytes:
        """The digest of the octets as they are."""
        return self._raw.digest()

    @property
    def same(self) -> bytes:
        """The digest that other ways to write the same message have too."""
        return self._same.digest()

    def _count(self, data: bytes) -> None:
        plain = data.replace(b"\r\n", b"\n")
        self.wire += len(plain) + plain.count(b"\n")
        self._same.update(plain)


class Draft:
    """A message while it is read: its octets in memory or in a file, and what is known of them.

    ``new_path`` names that file, which is the caller's from then on.
    """

    def __init__(self, new_path: Callable[[], Path]) -> None:
        self._new_path = new_path
        self._held: list[bytes] = []
        self._file: IO[bytes] | None = None
        self.path: Path | None = None
        self.start = b""
        self.content = Content()

    def fill(self, chunks: Iterator[bytes]) -> None:
        """Read it. Raises Unreadable, and OSError where it cannot be written."""
        try:
            while (chunk := _next(chunks)) is not None:
                self._take(chunk)
            self.content.end()
        finally:
            if self._file is not None:
                self._file.close()

    def _take(self, chunk: bytes) -> None:
        self.content.add(chunk)
        if self.content.size > MAX_MESSAGE:
            raise Unreadable(f"it has more than {MAX_MESSAGE // 2**20} MB")
        if len(self.start) < MAX_BLOCK:
            self.start += chunk[: MAX_BLOCK - len(self.start)]
        if self._file is not None:
            self._file.write(chunk)
            return
        self._held.append(chunk)
        if self.content.size > HELD:
            self._file = self._open()

    def _open(self) -> IO[bytes]:
        self.path = self._new_path()
        file = open(self.path, "xb", opener=private)  # noqa: SIM115 - closed by fill or keep
        for chunk in self._held:
            file.write(chunk)
        self._held.clear()
        return file

    def keep(self) -> Path:
        """Its file, written by now. Raises OSError."""
        if self.path is None:
            self._open().close()
        assert self.path is not None
        return self.path

    def drop(self) -> None:
        """It is not wanted."""
        self._held.clear()
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            self.path = None

    def said(self) -> tuple[Said, int]:
        """What the header says, and when it says the message arrived (0 for never)."""
        block = Block(self.start)
        return heads.said(block), heads.arrival_ns(block)


def _next(chunks: Iterator[bytes]) -> bytes | None:
    """The next octets, None at the end. Raises Unreadable."""
    try:
        return next(chunks, None)
    except _DAMAGE as error:
        said = error.strerror if isinstance(error, OSError) else None
        raise Unreadable(f"it cannot be read: {said or error}") from error


def private(path: str, flags: int) -> int:
    """A file that is the owner's only; an opener for ``open``."""
    return os.open(path, flags, 0o600)

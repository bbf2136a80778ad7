"""The lines of log files, plain or compressed, in bounded memory."""

import contextlib
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from mtad.errors import Corrupt
from tracing.history.stamps import Stamps

MAX_LINE = 16_384
"""Octets of a line that are read; the rest of a longer one is passed over."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file's octets, unpacked. Raises OSError."""
    with path.open("rb") as raw:
        start = raw.read(4)
        raw.seek(0)
        if start[:2] == b"\x1f\x8b":
            yield cast(BinaryIO, gzip.GzipFile(fileobj=raw))
        elif start == b"\x28\xb5\x2f\xfd":
            reader = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
            yield cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, reader), 1 << 17))
        else:
            yield raw


def lines(stream: BinaryIO, path: Path) -> Iterator[bytes]:
    """Lines without their ends. Raises Corrupt where what is compressed is damaged."""
    try:
        while line := stream.readline(MAX_LINE):
            yield line.rstrip(b"\r\n")
            while line and not line.endswith(b"\n"):
                line = stream.readline(MAX_LINE)
    except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
        raise Corrupt(f"{path} is damaged or not whole: {error}") from error


def begins(path: Path, zone: tzinfo | None, year: int | None) -> tuple[int, bytes]:
    """When a file's first line with a time was written (0 for none), and a digest of its first.

    Raises OSError and Corrupt.
    """
    with opened(path) as stream:
        head = b""
        for number, line in zip(range(1000), lines(stream, path), strict=False):
            if number == 0:
                head = hashlib.sha256(line).digest()
            with contextlib.suppress(ValueError, OverflowError, OSError):
                found = stamps(path, zone, year).read(line.decode("utf-8", "replace"))
                if found is not None:
                    return found[0], head
    return 0, head


def stamps(path: Path, zone: tzinfo | None, year: int | None) -> Stamps:
    """A reader of a file's times."""
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return Stamps(written, zone, year)

"""Looks for text in message files, as a process of its own: ``python -m mtad.imap.scanner``.

Decoding mail is work that Python does one thread at a time, so it is done where nobody else
waits for it. Requests come on standard input, answers go to standard output, each a length of
four octets and MessagePack; the end of input, however it comes, is the end of the process.
"""

import os
import struct
import sys
from typing import IO

import msgspec

from mtad.mime import text
from mtad.mime.message import wire

NICENESS = 5
LENGTH = struct.Struct(">I")
MAX_FRAME = 16 * 2**20

ABSENT, MISSES, MATCHES = range(3)
"""What is said of a file: it is not there, it has not or has the text."""


class Request(msgspec.Struct, array_like=True):
    """Files in which ``needle``, folded, is looked for; in the body alone or in all."""

    paths: list[bytes]
    needle: str
    body_only: bool


def look(path: bytes, needle: str, *, body_only: bool) -> int:
    """Whether a file has the text."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            data = file.read()
    except OSError:
        return ABSENT
    return has(data, needle, body_only=body_only)


def has(data: bytes, needle: str, *, body_only: bool) -> int:
    """Whether a stored message has the text."""
    found = text.searchable(wire(data))
    matches = found.has_body(needle) if body_only else found.has_text(needle)
    return MATCHES if matches else MISSES


def send(file: IO[bytes], data: bytes) -> None:
    """Write a frame."""
    file.write(LENGTH.pack(len(data)) + data)
    file.flush()


def receive(file: IO[bytes]) -> bytes | None:
    """Read a frame; None at the end."""
    head = file.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    data = file.read(length)
    return data if len(data) == length else None


def main() -> None:
    """Answer requests until there are no more."""
    os.nice(NICENESS)
    decoder = msgspec.msgpack.Decoder(Request)
    while (data := receive(sys.stdin.buffer)) is not None:
        asked = decoder.decode(data)
        said = [look(path, asked.needle, body_only=asked.body_only) for path in asked.paths]
        send(sys.stdout.buffer, bytes(said))


if __name__ == "__main__":
    main()

"""A stored message as it leaves: without the Return-Path line that delivery put on top.

Only the server that makes the final delivery writes one, and none is to be there before that
(RFC 5321 4.4).
"""

from pathlib import Path
from typing import BinaryIO

OWN = b"Return-Path:"
MAX_LINE = 64 * 1024
"""Octets that such a line of ours may have at most."""


def to_send(message: bytes) -> bytes:
    """What is sent of a message."""
    return message.partition(b"\n")[2] if message.startswith(OWN) else message


def open_to_send(path: Path) -> BinaryIO:
    """A message's file, open at the first octet that is sent. Raises OSError."""
    file = path.open("rb")
    try:
        line = file.readline(MAX_LINE)
        if not (line.startswith(OWN) and line.endswith(b"\n")):
            file.seek(0)
    except BaseException:
        file.close()
        raise
    return file

"""The Subject of a stored message, for the record of its deletion; bounded and never failing."""

import os
from pathlib import Path

from mtad.headers import Block, text
from mtad.store import maildir

MAX_HEADER = 64 * 1024
"""Octets read in search of a Subject."""
MAX_SUBJECT = 200
"""Characters kept of it."""


def of_file(path: Path) -> str:
    """The decoded Subject of a message file, "" where there is none or no file."""
    try:
        descriptor = maildir.open_file(path)
    except OSError:
        return ""
    try:
        return of_header(os.read(descriptor, MAX_HEADER))
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def of_header(data: bytes) -> str:
    """The decoded Subject in the first octets of a message (RFC 5322 3.6.5, RFC 2047)."""
    return text(Block(data, MAX_HEADER).first(b"subject"))[:MAX_SUBJECT]

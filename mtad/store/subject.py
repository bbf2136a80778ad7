"""The Subject of a stored message, for the record of its deletion; bounded and never failing."""

import contextlib
import os
from email.errors import HeaderParseError
from email.header import decode_header
from pathlib import Path

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
    lines = iter(data.replace(b"\r\n", b"\n").split(b"\n"))
    for line in lines:
        if not line:
            break
        if line[:8].lower() == b"subject:":
            value = line[8:]
            for more in lines:
                if more[:1] not in (b" ", b"\t") or len(value) > 4 * MAX_SUBJECT:
                    break
                value += more
            return _decode(value[: 8 * MAX_SUBJECT])
    return ""


def _decode(value: bytes) -> str:
    text = value.decode(errors="replace").strip()
    if "=?" in text:
        with contextlib.suppress(HeaderParseError, ValueError):
            text = "".join(
                part if isinstance(part, str) else _word(part, charset)
                for part, charset in decode_header(text)
            )
    plain = text.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    return plain.strip()[:MAX_SUBJECT]


def _word(part: bytes, charset: str | None) -> str:
    try:
        return part.decode(charset or "utf-8", errors="replace")
    except (LookupError, ValueError):
        return part.decode("utf-8", errors="replace")

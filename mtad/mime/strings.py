"""Strings of IMAP answers that were written by strangers (RFC 9051 4.3, 9; PURE).

A NUL, which no string may have, is shown as octet 128. What is not ASCII is a literal, which
every client can read whether it asked for UTF-8 or not.
"""

import re

_PLAIN = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x21\x23-\x5b\x5d-\x7f\x20]*\Z")


def string(data: bytes) -> bytes:
    """A quoted string, or a literal where that cannot be."""
    if _PLAIN.match(data):
        return b'"' + data + b'"'
    if b"\0" in data:
        data = data.replace(b"\0", b"\x80")
    if data.isascii() and b"\r" not in data and b"\n" not in data:
        return b'"' + data.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    return b"{%d}\r\n" % len(data) + data


def nstring(data: bytes | None) -> bytes:
    """A string, or NIL for None."""
    return b"NIL" if data is None else string(data)

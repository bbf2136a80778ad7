"""Content-Transfer-Encodings undone (RFC 2045 6, RFC 3516; PURE)."""

import binascii
import re

IDENTITY = frozenset({b"7bit", b"8bit", b"binary", b""})

UUENCODED = frozenset({b"x-uuencode", b"x-uue", b"uuencode"})
"""What programs of the time before MIME put into the field; it was never standardised."""

_NO_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")


class UnknownEncoding(ValueError):
    """A Content-Transfer-Encoding that nobody here can undo."""


def decoded(data: bytes, encoding: bytes) -> bytes:
    """Octets without their encoding, which is in lower case; damage gives what can be read.

    Raises UnknownEncoding.
    """
    if encoding in IDENTITY:
        return data
    if encoding == b"quoted-printable":
        return binascii.a2b_qp(data)
    if encoding == b"base64":
        try:
            return binascii.a2b_base64(data)
        except binascii.Error:
            return _damaged_base64(data)
    if encoding in UUENCODED:
        return _uudecoded(data)
    raise UnknownEncoding(encoding.decode("ascii", "replace"))


def _uudecoded(data: bytes) -> bytes:
    """The lines between ``begin 644 name`` and ``end``; those that are none are passed over."""
    found = []
    lines = iter(data.splitlines())
    for line in lines:
        if line.startswith(b"begin "):
            break
    for line in lines:
        if line.rstrip() in (b"end", b"`", b""):
            break
        # Some encoders pad a line with a character too many: what its length covers counts.
        length = (line[0] - 32) & 63
        try:
            found.append(binascii.a2b_uu(line[: 1 + (length + 2) // 3 * 4]))
        except binascii.Error:
            continue
    return b"".join(found)


def _damaged_base64(data: bytes) -> bytes:
    kept = _NO_BASE64.sub(b"", data.partition(b"=")[0])
    kept = kept[: len(kept) - (len(kept) % 4 == 1)]
    return binascii.a2b_base64(kept + b"=" * (-len(kept) % 4))

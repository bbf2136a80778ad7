"""Text of header fields as people read it (RFC 2047; PURE)."""

from mtad import headers
from mtad.mime.fields import MAX_HEADER

_SAYS_LITTLE = frozenset({"", "us-ascii", "utf-8", "iso-8859-1", "windows-1252"})
"""Charsets that are written over text of any kind."""


def decoded(value: bytes, charset: str = "") -> str:
    """A field's value on one line, its encoded words and raw 8-bit text decoded.

    ``charset`` is that of the body, in lower case: whoever writes raw 8-bit text into a header
    writes it in that.
    """
    if charset not in _SAYS_LITTLE and not value.isascii() and b"=?" not in value:
        try:
            value.decode("utf-8")
        except UnicodeDecodeError:
            value = headers.decode(value, charset).encode("utf-8", "replace")
    return headers.text(value, MAX_HEADER)

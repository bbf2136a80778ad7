"""Text of header fields as people read it (RFC 2047; PURE)."""

from mtad import headers
from mtad.mime.fields import MAX_HEADER


def decoded(value: bytes) -> str:
    """A field's value on one line, its encoded words and raw 8-bit text decoded."""
    return headers.text(value, MAX_HEADER)

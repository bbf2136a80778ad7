"""A message as DKIM hashes it: header fields and body in canonical form (RFC 6376 3.4) (PURE).

Messages have LF line ends here as everywhere in mtad; the hash is of the form with CRLF, as it
is on the wire.
"""

import hashlib
from typing import Literal

Canonicalization = Literal["simple", "relaxed"]

BLOCK = 256 * 1024
"""Octets of a body that are put in canonical form at once."""


def header(field: bytes, form: Canonicalization) -> bytes:
    """A field, its line end included, with CRLF (RFC 6376 3.4.1, 3.4.2)."""
    if form == "simple":
        return field.replace(b"\n", b"\r\n")
    name, _, value = field.partition(b":")
    text = _one_space(value.replace(b"\n", b"")).strip(b" ")
    return name.rstrip(b" \t").lower() + b":" + text + b"\r\n"


def _one_space(text: bytes) -> bytes:
    """Every run of spaces and tabs as one space."""
    text = text.replace(b"\t", b" ")
    while b"  " in text:  # halves the longest run each time
        text = text.replace(b"  ", b" ")
    return text


class BodyHash:
    """SHA-256 of a body that is fed in pieces, cut anywhere (RFC 6376 3.4.3, 3.4.4).

    With a ``limit`` only that many octets of the canonical body count (3.5, ``l=``).
    """

    def __init__(self, form: Canonicalization, limit: int | None = None) -> None:
        self._relaxed = form == "relaxed"
        self._left = limit
        self._hash = hashlib.sha256()
        self._line = b""
        self._ends = 0
        self._is_done = False
        self.size = 0
        """Octets of the canonical body."""

    def update(self, piece: bytes) -> None:
        """Take some more of the body."""
        for start in range(0, len(piece), BLOCK):
            self._take(piece[start : start + BLOCK])

    def _take(self, block: bytes) -> None:
        cut = block.rfind(b"\n") + 1
        if not cut and len(self._line) < BLOCK:
            self._line += block
            return
        # A line longer than a block goes on in pieces; spaces at the cut may be its last.
        whole = self._line + (block[:cut] if cut else block)
        self._line = block[cut:] if cut else b""
        if not cut and self._relaxed and whole[-1:] in (b" ", b"\t"):
            whole, self._line = whole.rstrip(b" \t"), b" "
        self._emit(whole)

    def _emit(self, text: bytes) -> None:
        """Hash lines, the empty ones at the end put off: they may be the last of the body."""
        if self._relaxed:
            text = _one_space(text).replace(b" \n", b"\n")
        content = text.rstrip(b"\n")
        if content:
            self._hash_octets((b"\n" * self._ends + content).replace(b"\n", b"\r\n"))
            self._ends = 0
        self._ends += len(text) - len(content)

    def _hash_octets(self, octets: bytes) -> None:
        self.size += len(octets)
        if self._left is not None:
            octets = octets[: self._left]
            self._left -= len(octets)
        self._hash.update(octets)

    def digest(self) -> bytes:
        """The hash of what was fed; nothing may be fed afterwards."""
        if not self._is_done:
            self._is_done = True
            if self._line:
                self._emit(self._line + b"\n")
            if self.size or not self._relaxed:
                self._hash_octets(b"\r\n")
        return self._hash.digest()

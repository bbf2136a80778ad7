"""A message on its way out: what is in it, and the form it has on the wire (PURE).

Stored messages have LF line ends; the wire has CRLF, and a dot more before a line's first dot
(RFC 5321 4.5.2). ``Stuffer`` makes that form and no other: it never emits a CR without LF or
an LF without CR, and what would need one is refused, so that no two servers can disagree on
where the message ends.
"""

import re
from dataclasses import dataclass

BLOCK = 64 * 1024
"""Octets read or sent at once."""
MAX_TEXT_LINE = 998
"""Octets of a line without its line end (RFC 5322 2.1.1)."""
MAX_HEADER = 1024 * 1024
"""Octets of a header that are looked at; what comes after it counts as body."""

_TLS_OPTIONAL = re.compile(rb"^tls-required:[ \t]*no[ \t]*$", re.IGNORECASE | re.MULTILINE)


class BareReturn(ValueError):
    """There is a carriage return in the message that ends no line."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What a server's extensions must be held against.

    ``size`` is in octets on the wire, without stuffed dots (RFC 1870 3). ``has_long_lines``
    tells of lines above 998 octets, ``has_returns`` of CR anywhere. ``tls_optional`` is the
    sender's TLS-Required: No (RFC 8689 5).
    """

    size: int
    has_8bit: bool
    has_8bit_header: bool
    has_long_lines: bool
    has_returns: bool
    tls_optional: bool


class Scanner:
    """Takes a message in pieces and tells its traits."""

    def __init__(self) -> None:
        self._size = 0
        self._lines = 0
        self._line = 0
        """Octets of the last line so far."""
        self._header = b""
        self._in_header = True
        self._has_8bit = self._has_8bit_header = False
        self._has_long_lines = self._has_returns = False

    def feed(self, block: bytes) -> None:
        """Take the next piece."""
        self._size += len(block)
        self._lines += block.count(b"\n")
        self._has_8bit |= not block.isascii()
        self._has_returns |= b"\r" in block
        self._measure(block)
        if self._in_header:
            self._header += block
            end = 0 if self._header.startswith(b"\n") else self._header.find(b"\n\n") + 1
            if end or self._header.startswith(b"\n"):
                self._header, self._in_header = self._header[:end], False
            elif len(self._header) > MAX_HEADER:
                self._in_header = False

    def traits(self) -> Traits:
        """What was in the pieces taken."""
        open_line = 2 if self._line else 0
        return Traits(
            size=self._size + self._lines + open_line,
            has_8bit=self._has_8bit,
            has_8bit_header=not self._header.isascii(),
            has_long_lines=self._has_long_lines,
            has_returns=self._has_returns,
            tls_optional=_TLS_OPTIONAL.search(self._header) is not None,
        )

    def _measure(self, block: bytes) -> None:
        """Look for long lines by jumps of their length: octet by octet is far slower."""
        first = block.find(b"\n")
        if first < 0:
            self._line += len(block)
            self._has_long_lines |= self._line > MAX_TEXT_LINE
            return
        self._has_long_lines |= self._line + first > MAX_TEXT_LINE
        at = first + 1
        while at + MAX_TEXT_LINE < len(block) and not self._has_long_lines:
            end = block.rfind(b"\n", at, at + MAX_TEXT_LINE + 1)
            if end < 0:
                self._has_long_lines = True
            at = end + 1
        self._line = len(block) - block.rfind(b"\n") - 1


def traits_of(content: bytes) -> Traits:
    """The traits of a whole message."""
    scanner = Scanner()
    scanner.feed(content)
    return scanner.traits()


class Stuffer:
    """Takes a message with LF line ends in pieces, gives it as DATA sends it."""

    def __init__(self) -> None:
        self._at_start = True

    def feed(self, block: bytes) -> bytes:
        """The next piece as sent. Raises BareReturn."""
        if not block:
            return b""
        if b"\r" in block:
            raise BareReturn("the message has a carriage return that ends no line")
        sent = block.replace(b"\n.", b"\n..").replace(b"\n", b"\r\n")
        if self._at_start and block.startswith(b"."):
            sent = b"." + sent
        self._at_start = block.endswith(b"\n")
        return sent

    def end(self) -> bytes:
        """What ends the message: a last line end where it has none, and the dot."""
        return b".\r\n" if self._at_start else b"\r\n.\r\n"

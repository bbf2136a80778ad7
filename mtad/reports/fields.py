"""Fields of a header or of a report, written so that no value can be more than a value (PURE)."""

import binascii
import re
from collections.abc import Iterator
from email.utils import format_datetime

from mtad.clock import from_us
from tracing.render import safe

MAX_LINE = 76
"""Characters a folded line is meant to have (RFC 2047 2)."""
MAX_WORD = 900
"""Characters of a word without a space that stay on one line (RFC 5322 2.1.1: 998)."""
MAX_ENCODED = 45
"""Octets in one encoded word."""

_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_POINT = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")


def field(name: str, value: str, *, is_global: bool = False) -> str:
    """A field with its line end, folded; all but ASCII in encoded words unless ``is_global``."""
    plain = safe(" ".join(value.splitlines()))
    parted = plain.split()
    written = parted if is_global or plain.isascii() else _encoded(parted)
    pieces = (word[at : at + MAX_WORD] for word in written for at in range(0, len(word), MAX_WORD))
    lines, line = list[str](), f"{name}:"
    for piece in pieces:
        if len(line) + 1 + len(piece) > MAX_LINE and line != f"{name}:":
            lines.append(line)
            line = ""
        line += f" {piece}"
    return "\n".join((*lines, line)) + "\n"


def _encoded(plain: list[str]) -> Iterator[str]:
    """The words, those from the first to the last that is not ASCII as RFC 2047 has them."""
    odd = [n for n, word in enumerate(plain) if not word.isascii()]
    first, last = odd[0], odd[-1] + 1
    yield from plain[:first]
    octets = b""
    for char in " ".join(plain[first:last]):
        if len(octets) + len(char.encode()) > MAX_ENCODED:
            yield _encoded_word(octets)
            octets = b""
        octets += char.encode()
    yield _encoded_word(octets)
    yield from plain[last:]


def _encoded_word(octets: bytes) -> str:
    coded = binascii.b2a_base64(octets, newline=False).decode("ascii")
    return f"=?utf-8?b?{coded}?="


def date(at: int) -> str:
    """A time in microseconds as RFC 5322 3.3 writes it, in UTC."""
    return format_datetime(from_us(at))


def address(kind: str, value: str, *, is_global: bool = False) -> str:
    r"""An address with its type; in ASCII an international one is spelt ``\x{HEX}``.

    RFC 6533 3: the type ``utf-8``.
    """
    if value.isascii():
        return f"{kind}; {value}"
    if is_global:
        return f"utf-8; {value}"
    return "utf-8; " + "".join(
        char if "!" <= char <= "~" and char not in "\\+=" else f"\\x{{{ord(char):X}}}"
        for char in value
    )


def unquoted(xtext: str) -> str:
    """The text that xtext stands for (RFC 3461 4)."""
    return _XTEXT.sub(lambda found: chr(int(found[1], 16)), xtext)


def from_utf8_xtext(value: str) -> str:
    r"""The address that one spelt with ``\x{HEX}`` stands for (RFC 6533 3)."""

    def char(found: re.Match[str]) -> str:
        point = int(found[1], 16)
        return chr(point) if point < 0x110000 and not 0xD800 <= point < 0xE000 else found[0]

    return _POINT.sub(char, value)

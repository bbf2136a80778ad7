"""The parts of a message, as far as reading reports needs them (RFC 2045, RFC 2046; PURE).

Real mail is broken in every way, so nothing is an error: what has no type is text, a multipart
without boundaries is text, a damaged encoding gives what can be read. Depth, number of parts
and octets are bounded.
"""

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape

from mtad.headers import Block, decode

MAX_MESSAGE = 1024 * 1024
"""Octets of a message that are looked at: what reports say comes first."""
MAX_HEADER = 64 * 1024
"""Octets of a part's header that are looked at."""
MAX_CONTENT = 256 * 1024
"""Octets of a part that are looked at."""
MAX_DEPTH = 6
MAX_PARTS = 40

_TYPE = re.compile(rb"\s*([\w!#$&^.+-]{1,80})/([\w!#$&^.+-]{1,80})")
_PARAMETER = re.compile(rb';\s*([\w-]{1,40})\*?\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))', re.DOTALL)
_BREAK = re.compile(r"<(?:br|/p|/tr|/div|/li|/h\d|hr|p)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][a-zA-Z0-9]{0,20}(?:\s[^<>]*)?/?>")
_HIDDEN = tuple(
    (re.compile(opening, re.IGNORECASE), re.compile(closing, re.IGNORECASE))
    for opening, closing in (
        ("<!--", "-->"),
        (r"<style\b", r"</style\s*>"),
        (r"<script\b", r"</script\s*>"),
        (r"<head\b", r"</head\s*>"),
    )
)


@dataclass(frozen=True, slots=True)
class Part:
    """A part that has none of its own; ``kind`` is its type in lower case."""

    kind: str
    octets: bytes
    """The content, its transfer encoding undone."""
    charset: str = ""

    def text(self) -> str:
        """The content as text, markup of HTML taken out."""
        text = decode(self.octets, self.charset or "us-ascii")
        if self.kind == "text/html":
            for opening, closing in _HIDDEN:
                text = "".join(_outside(text, opening, closing))
            return unescape(_TAG.sub("", _BREAK.sub("\n", text))).replace("\xa0", " ")
        return text


def _outside(text: str, opening: re.Pattern[str], closing: re.Pattern[str]) -> Iterator[str]:
    """What is not between the two, in one pass; without an end nothing is taken out."""
    at = 0
    while (begins := opening.search(text, at)) and (ends := closing.search(text, begins.end())):
        yield text[at : begins.start()]
        at = ends.end()
    yield text[at:]


def normal(message: bytes) -> bytes:
    """A message with line ends LF, bounded; mail of old Macs has CR alone."""
    message = message[:MAX_MESSAGE]
    if b"\r" not in message:
        return message
    return message.replace(b"\r\n", b"\n") if b"\n" in message else message.replace(b"\r", b"\n")


def walk(message: bytes) -> list[Part]:
    """The parts in order, those of multiparts instead of these; messages inside stay whole."""
    return list(_walk(Block(message, MAX_HEADER), message, MAX_DEPTH, [MAX_PARTS]))


def content_type(block: Block) -> tuple[str, dict[str, str]]:
    """Type and parameters, names in lower case; text/plain where there is none."""
    value = block.first(b"content-type")
    found = _TYPE.match(value)
    if not found:
        return "text/plain", {}
    parameters = {
        each[1].lower().decode("ascii", "replace"): re.sub(rb"\\(.)", rb"\1", each[2] or each[3])
        for each in _PARAMETER.finditer(value, found.end())
        if each[2] or each[3]
    }
    kind = f"{found[1].decode('latin-1')}/{found[2].decode('latin-1')}".lower()
    return kind, {name: octets.decode("latin-1") for name, octets in parameters.items()}


def _walk(block: Block, entity: bytes, depth: int, left: list[int]) -> Iterator[Part]:
    """``left`` counts down the parts of the whole message."""
    kind, parameters = content_type(block)
    body = entity[block.end :].removeprefix(b"\n").removeprefix(b"\n")
    boundary = parameters.get("boundary", "").encode("latin-1").rstrip()
    if kind.startswith("multipart/") and boundary and depth:
        inner = list(_split(body, boundary, left[0]))
        if inner:
            for each in inner:
                if left[0] <= 0:
                    return
                yield from _walk(Block(each, MAX_HEADER), each, depth - 1, left)
            return
    left[0] -= 1
    kind = "text/plain" if kind.startswith("multipart/") else kind
    encoding = block.first(b"content-transfer-encoding").strip().lower()
    octets = _decoded(body[:MAX_CONTENT], encoding)
    yield Part(kind, octets, parameters.get("charset", "").lower())


def _split(body: bytes, boundary: bytes, most: int) -> Iterator[bytes]:
    """The entities between boundary lines (RFC 2046 5.1.1)."""
    line = re.compile(rb"^--" + re.escape(boundary) + rb"(--)?[ \t]*$\n?", re.MULTILINE)
    start = -1
    for found in line.finditer(body):
        if start >= 0:
            # The line end before a boundary belongs to it.
            yield body[start : max(start, found.start() - 1)]
            most -= 1
        if found[1] or not most:
            return
        start = found.end()
    if start >= 0:
        yield body[start:]


def _decoded(octets: bytes, encoding: bytes) -> bytes:
    if encoding.startswith(b"quoted-printable"):
        return binascii.a2b_qp(octets)
    if encoding.startswith(b"base64"):
        kept = re.sub(rb"[^A-Za-z0-9+/]", b"", octets)
        kept = kept[: len(kept) - (len(kept) % 4 == 1)]
        return binascii.a2b_base64(kept + b"=" * (-len(kept) % 4)).replace(b"\r\n", b"\n")
    return octets

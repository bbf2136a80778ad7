"""A message as a skeleton and the bodies cut out of it, never losing an octet (PURE).

A base64 body (RFC 2045 6.8) is replaced by what it decodes to, but only where encoding that
again gives the same octets; anything else stays as it is. Short decoded bodies lie in the
skeleton in place of their text, long ones become objects of their own that all messages
carrying them share. A record, the stored form of a message, is

    recipe octets u32 | recipe (MessagePack) | skeleton

with recipe octets 0 for a message that is its own skeleton.
"""

import binascii
import struct
from collections.abc import Callable, Mapping

import msgspec

from backup.format import Damaged

MIN_BODY = 256
"""Octets of base64 text below which cutting costs more than it saves."""
INLINE = 8192
"""Decoded octets up to which a body stays within its message's record."""
MAX_PART_HEADER = 8192
"""How far after the word base64 its part's header may end."""
_LENGTH = struct.Struct("<I")
_WORDS = (b"base64", b"BASE64", b"Base64")


class Part(msgspec.Struct, frozen=True, array_like=True):
    """A body cut out at ``at`` in the skeleton.

    ``length`` decoded octets lie there when it stays inline; otherwise ``id`` names the
    object. ``width`` characters make a line (0: one line), ``crlf`` says how lines end.
    """

    at: int
    length: int
    id: bytes
    width: int
    crlf: bool


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[Part, ...]).decode


def bodies(raw: bytes) -> list[tuple[int, int, bytes, int, bool]]:
    """Every base64 body that can be cut out: start, end, decoded, width, crlf.

    Linear in the message's length whatever it holds: the text after a header is tried up to
    the next dash, which base64 does not have, once for each dash, and up to the next blank
    line, once for each blank line.
    """
    found: list[tuple[int, int, bytes, int, bool]] = []
    at = 0
    dash = -1
    ahead = {word: raw.find(word) for word in _WORDS}
    while True:
        for word, place in ahead.items():
            if 0 <= place < at:
                ahead[word] = raw.find(word, at)
        word_at = min((place for place in ahead.values() if place >= 0), default=-1)
        if word_at < 0:
            return found
        blank, start = _blank_line(raw, word_at)
        if start < 0:
            return found
        if blank - word_at > MAX_PART_HEADER:
            at = max(word_at + 1, blank - MAX_PART_HEADER)
            continue
        at = start
        cut = None
        if dash < start:
            dash = raw.find(b"-", start)
            dash = len(raw) if dash < 0 else dash
            cut = _cut(raw, start, dash)
        if cut is None:
            blank, _ = _blank_line(raw, start)
            cut = _cut(raw, start, dash if blank < 0 else min(blank, dash))
        if cut is not None:
            found.append(cut)
            at = cut[1]


def _blank_line(raw: bytes, at: int) -> tuple[int, int]:
    """Where the line before the next blank line ends and where the line after it begins."""
    plain = raw.find(b"\n\n", at)
    crlf = raw.find(b"\n\r\n", at, len(raw) if plain < 0 else plain)
    if crlf >= 0:
        return crlf, crlf + 3
    return (plain, plain + 2) if plain >= 0 else (-1, -1)


def _cut(raw: bytes, start: int, end: int) -> tuple[int, int, bytes, int, bool] | None:
    """The body between two places, without the line ends after it; None if it is none."""
    while end > start and raw[end - 1] in b"\r\n":
        end -= 1
    if end - start < MIN_BODY:
        return None
    decoded = _decoded(raw[start:end])
    return None if decoded is None else (start, end, *decoded)


def _decoded(text: bytes) -> tuple[bytes, int, bool] | None:
    """What a base64 text stands for, line width, whether lines end CRLF; None unless exact."""
    width = text.find(b"\n")
    crlf = width > 0 and text[width - 1 : width] == b"\r"
    width = max(0, width - crlf)
    joined = text.translate(None, b"\r\n") if width else text
    if width:
        eol = 1 + crlf
        breaks = (len(joined) - 1) // width
        if len(text) != len(joined) + breaks * eol:
            return None
        if text[width + crlf :: width + eol] != b"\n" * breaks:
            return None
        if crlf and text[width :: width + eol] != b"\r" * breaks:
            return None
    try:
        decoded = binascii.a2b_base64(joined)
    except binascii.Error:
        return None
    if binascii.b2a_base64(decoded, newline=False) != joined:
        return None
    return decoded, width, crlf


def _encoded(body: bytes, width: int, crlf: bool) -> bytes:
    """A body as base64 again."""
    text = binascii.b2a_base64(body, newline=False)
    if not width:
        return text
    lines = [text[i : i + width] for i in range(0, len(text), width)]
    return (b"\r\n" if crlf else b"\n").join(lines)


def record(raw: bytes, keep: Callable[[bytes], bytes]) -> bytes:
    """A message's stored form. ``keep`` takes each long body and returns its object's id."""
    cuts = bodies(raw)
    if not cuts:
        return _LENGTH.pack(0) + raw
    pieces: list[bytes] = []
    parts: list[Part] = []
    at = copied = 0
    for start, end, body, width, crlf in cuts:
        pieces.append(raw[copied:start])
        at += start - copied
        if len(body) <= INLINE:
            parts.append(Part(at, len(body), b"", width, crlf))
            pieces.append(body)
            at += len(body)
        else:
            parts.append(Part(at, 0, keep(body), width, crlf))
        copied = end
    pieces.append(raw[copied:])
    recipe = _encode(parts)
    return _LENGTH.pack(len(recipe)) + recipe + b"".join(pieces)


def read(stored: bytes) -> tuple[tuple[Part, ...], bytes]:
    """A record's parts and skeleton. Raises Damaged."""
    if len(stored) < _LENGTH.size:
        raise Damaged("a message record is cut off")
    (length,) = _LENGTH.unpack_from(stored)
    start = _LENGTH.size + length
    if start > len(stored):
        raise Damaged("a message record is cut off")
    try:
        parts = _decode(stored[_LENGTH.size : start]) if length else ()
    except msgspec.MsgspecError as error:
        raise Damaged(f"no recipe: {error}") from None
    return parts, stored[start:]


def wanted(stored: bytes) -> list[bytes]:
    """Ids of the body objects a record needs. Raises Damaged."""
    return [part.id for part in read(stored)[0] if part.id]


def compose(stored: bytes, objects: Mapping[bytes, bytes]) -> bytes:
    """The message a record stands for. Raises Damaged, or KeyError for a body not given."""
    parts, skeleton = read(stored)
    pieces: list[bytes] = []
    at = 0
    for part in parts:
        if not at <= part.at <= part.at + part.length <= len(skeleton):
            raise Damaged("a recipe points outside its message")
        pieces.append(skeleton[at : part.at])
        at = part.at + part.length
        body = objects[part.id] if part.id else skeleton[part.at : at]
        pieces.append(_encoded(body, part.width, part.crlf))
    pieces.append(skeleton[at:])
    return b"".join(pieces)

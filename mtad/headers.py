"""The header fields of a message, read out of whatever octets it has (RFC 5322, RFC 2047; PURE).

Made for hostile input: nothing raises, everything is bounded, the body is never looked at.
Encoded words are decoded; raw 8-bit text, which real mail has, is read as UTF-8 or else as
whichever of windows-1251, koi8-r and windows-1252 it looks like.
"""

import binascii
import re
from itertools import pairwise

MAX_BLOCK = 256 * 1024
"""Octets of a header block that are looked at."""
MAX_FIELD = 8192
"""Octets of one field that are decoded."""
MAX_SAMPLE = 8192
"""Octets of raw text that are looked at to guess its charset."""
MAX_TEXT = 512
"""Characters of a decoded field that are kept."""

_WORD = re.compile(rb"=\?([A-Za-z0-9_-]{1,40})(?:\*[A-Za-z0-9-]*)?\?([bBqQ])\?([^?\n]*)\?=")
_GAP = re.compile(rb"(\?=)[ \t\r\n]+(?==\?[A-Za-z0-9_-]{1,40}(?:\*[A-Za-z0-9-]*)?\?[bBqQ]\?)")
_MSGID = re.compile(rb"<[^<>\s]{1,510}>")
_ESCAPE = re.compile(rb"=([0-9A-Fa-f]{2})")
_HIGH = re.compile(rb"[\x80-\xff]+")
_SPACE = re.compile(r"[\x00-\x20\x7f-\x9f\ud800-\udfff]+")
_ALIAS = {
    "x-cp1251": "cp1251",
    "cp-1251": "cp1251",
    "win-1251": "cp1251",
    "koi8": "koi8-r",
    "iso-8859-1": "cp1252",
}
"""What a name means, whatever it says; Latin-1 has no printable octets that windows-1252 lacks."""
_NO_TEXT = frozenset({"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape"})

_COMMON = frozenset("оеаинтсрвлкмдпу")


class Block:
    """The header block of a message, ready to be asked for fields by their names.

    Names are given in lower case. ``raw`` begins with a line end and has LF only; ``end`` is
    where the empty line after it stands in the message, at most ``limit``.
    """

    __slots__ = ("_lower", "end", "raw")

    def __init__(self, message: bytes, limit: int = MAX_BLOCK) -> None:
        self.end, raw = _split(message, limit)
        self.raw = b"\n" + raw
        self._lower = self.raw.lower()

    def first(self, name: bytes) -> bytes:
        """The value of the first field of this name, still folded; empty without one."""
        start = self._lower.find(b"\n" + name + b":")
        return self._value(start + len(name) + 2) if start >= 0 else b""

    def every(self, name: bytes, most: int) -> list[bytes]:
        """The values of the first ``most`` fields of this name, in order."""
        key, found, at = b"\n" + name + b":", list[bytes](), 0
        while len(found) < most and (at := self._lower.find(key, at)) >= 0:
            at += len(key)
            found.append(self._value(at))
        return found

    def count(self, name: bytes) -> int:
        """How many fields have this name."""
        return self._lower.count(b"\n" + name + b":")

    def _value(self, start: int) -> bytes:
        raw, end = self.raw, start
        limit = min(len(raw), start + MAX_FIELD)
        while True:
            end = raw.find(b"\n", end, limit)
            if end < 0:
                return raw[start:limit]
            if raw[end + 1 : end + 2] not in (b" ", b"\t"):
                return raw[start:end]
            end += 1


def _split(message: bytes, limit: int) -> tuple[int, bytes]:
    """Where the header block ends, and the block with line ends LF."""
    if message.startswith((b"\n", b"\r\n")):
        return 0, b""
    limit = min(limit, len(message))
    end = message.find(b"\n\n", 0, limit)
    end = end if end >= 0 else limit
    if message.find(b"\r\n", 0, end + 1) < 0:
        return end, message[:end]
    crlf = message.find(b"\n\r\n", 0, end)
    end = crlf if crlf >= 0 else end
    return end, message[:end].replace(b"\r\n", b"\n").removesuffix(b"\r")


def text(value: bytes, most: int = MAX_TEXT) -> str:
    """A field's value as one line of at most so many characters: decoded, unfolded."""
    if value.isascii() and b"=?" not in value:
        plain = value.decode("ascii")
    else:
        joined = _GAP.sub(rb"\1", value)
        plain, at = "", 0
        held, charset = b"", ""
        for word in _WORD.finditer(joined):
            between = joined[at : word.start()]
            name = word[1].decode("ascii").lower()
            if between or name != charset:
                # Neighbours of one charset are decoded together: many a mailer cuts a
                # character in two, against RFC 2047 5.
                plain += decode(held, charset) + guess(between)
                held = b""
            held, charset, at = held + _octets(word[2], word[3]), name, word.end()
        plain += decode(held, charset) + guess(joined[at:])
    return _SPACE.sub(" ", plain).strip()[:most]


def message_id(value: bytes) -> str:
    """A Message-ID with its brackets; without brackets, what stands there."""
    found = _MSGID.search(value)
    return _SPACE.sub(" ", guess(found[0] if found else value[:MAX_TEXT])).strip()


def guess(octets: bytes) -> str:
    """Raw text in a charset nobody named: UTF-8, else the likeliest single-octet one."""
    if octets.isascii():
        return octets.decode("ascii")
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        pass
    sample = octets[:MAX_SAMPLE]
    runs = _HIGH.findall(sample)
    high = sum(map(len, runs))
    best, most = "cp1252", 0
    # Accented letters of the West stand alone among ASCII; Cyrillic ones make up words.
    if high >= 2 * len(runs):
        for charset in ("cp1251", "koi8-r"):
            score = _russian(sample.decode(charset, "replace"))
            if score > most and score >= high:
                best, most = charset, score
    return octets.decode(best, "replace")


def decode(octets: bytes, charset: str) -> str:
    """Octets in a named charset; an unknown or false name is replaced by a guess."""
    if not octets:
        return ""
    name = _ALIAS.get(charset, charset)
    if name in _NO_TEXT or name in ("us-ascii", "ascii", "unknown-8bit", "default"):
        return guess(octets)
    try:
        decoded = octets.decode(name, "replace")
    except (LookupError, ValueError, TypeError):
        return guess(octets)
    return decoded if isinstance(decoded, str) else guess(octets)


def _russian(decoded: str) -> int:
    """How Russian a text looks: small letters and the frequent ones count, oddities against."""
    score = 0
    for char in decoded:
        if "а" <= char <= "я" or char == "ё":
            score += 3 if char in _COMMON else 1
        elif "А" <= char <= "Я":
            score += 1
        elif char > "\x7f" and char not in "«»–—№ё\xa0":
            score -= 3
    # One capital inside a word of small letters is rare; a wrong charset swaps the cases.
    swapped = sum(before.islower() and after.isupper() for before, after in pairwise(decoded))
    return score - 4 * swapped


def _octets(encoding: bytes, coded: bytes) -> bytes:
    """The octets of an encoded word; damaged coding gives what can be read."""
    if encoding in b"qQ":
        return _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), coded.replace(b"_", b" "))
    kept = re.sub(rb"[^A-Za-z0-9+/]", b"", coded)
    kept = kept[: len(kept) - (len(kept) % 4 == 1)]
    try:
        return binascii.a2b_base64(kept + b"=" * (-len(kept) % 4))
    except binascii.Error:
        return coded

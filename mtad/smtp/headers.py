"""What the log wants to know of a message's header, read from the header block alone (RFC 5322).

Pure, and made for hostile input: nothing raises, everything is bounded, the body is never
looked at. Encoded words are decoded (RFC 2047); raw 8-bit text, which real mail has, is read
as UTF-8 or else as whichever of windows-1251, koi8-r and windows-1252 it looks like.
"""

import binascii
import re
from dataclasses import dataclass
from itertools import pairwise

MAX_BLOCK = 256 * 1024
"""Octets of a header block that are looked at."""
MAX_FIELD = 8192
"""Octets of one field that are decoded."""
MAX_TEXT = 512
"""Characters of a decoded field that are kept."""

_WORD = re.compile(rb"=\?([A-Za-z0-9_-]{1,40})(?:\*[A-Za-z0-9-]*)?\?([bBqQ])\?([^?\n]*)\?=")
_GAP = re.compile(rb"(\?=)[ \t\r\n]+(?==\?[A-Za-z0-9_-]{1,40}(?:\*[A-Za-z0-9-]*)?\?[bBqQ]\?)")
_MSGID = re.compile(rb"<[^<>\s]{1,510}>")
_ESCAPE = re.compile(rb"=([0-9A-Fa-f]{2})")
_SPACE = re.compile(r"[\x00-\x20\x7f-\x9f\ud800-\udfff]+")
_ALIAS = {"x-cp1251": "cp1251", "cp-1251": "cp1251", "win-1251": "cp1251", "koi8": "koi8-r"}
_NO_TEXT = frozenset({"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape"})

_COMMON = frozenset("оеаинтсрвлкмдпу")


@dataclass(frozen=True, slots=True)
class Headers:
    """Message-ID with its brackets, decoded Subject and From, and how many hops it had."""

    message_id: str = ""
    subject: str = ""
    header_from: str = ""
    received: int = 0


def scan(message: bytes) -> Headers:
    """Read the header block of a message with line ends LF."""
    end = 0 if message.startswith(b"\n") else message.find(b"\n\n", 0, MAX_BLOCK)
    block = b"\n" + message[: MAX_BLOCK if end < 0 else end]
    lower = block.lower()
    return Headers(
        _message_id(_field(block, lower, b"\nmessage-id:")),
        text(_field(block, lower, b"\nsubject:")),
        text(_field(block, lower, b"\nfrom:")),
        lower.count(b"\nreceived:"),
    )


def text(value: bytes) -> str:
    """A field's value as one line of text: decoded, unfolded, bounded."""
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
                plain += _decode(held, charset) + guess(between)
                held = b""
            held, charset, at = held + _octets(word[2], word[3]), name, word.end()
        plain += _decode(held, charset) + guess(joined[at:])
    return _SPACE.sub(" ", plain).strip()[:MAX_TEXT]


def guess(octets: bytes) -> str:
    """Raw text in a charset nobody named: UTF-8, else the likeliest single-octet one."""
    if octets.isascii():
        return octets.decode("ascii")
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        pass
    high = sum(octet > 127 for octet in octets)
    best, most = "cp1252", 0
    for charset in ("cp1251", "koi8-r"):
        score = _russian(octets.decode(charset, "replace"))
        if score > most and score >= high:
            best, most = charset, score
    letters = sum(chr(octet).isalpha() for octet in octets if octet < 128)
    if letters > 2 * high:
        best = "cp1252"
    return octets.decode(best, "replace")


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


def _field(block: bytes, lower: bytes, name: bytes) -> bytes:
    """The value of the first field called ``name``, folded lines included."""
    start = lower.find(name)
    if start < 0:
        return b""
    start += len(name)
    end = start
    limit = min(len(block), start + MAX_FIELD)
    while True:
        end = block.find(b"\n", end, limit)
        if end < 0:
            return block[start:limit]
        if block[end + 1 : end + 2] not in (b" ", b"\t"):
            return block[start:end]
        end += 1


def _message_id(value: bytes) -> str:
    """The id with its brackets; without brackets, what stands there."""
    found = _MSGID.search(value)
    return _SPACE.sub(" ", guess(found[0] if found else value[:MAX_TEXT])).strip()


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


def _decode(octets: bytes, charset: str) -> str:
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

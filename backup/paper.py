"""A key on paper: lines to be typed back, each with a checksum of its own (PURE).

Letters and digits are Crockford's base 32: no I, L, O, U; on reading, small letters, ``O`` for
0 and ``I`` or ``L`` for 1 are taken too. A line holds 8 octets of the key in 13 characters and
a checksum in 2, which covers the line's number; the last line checks them all.
"""

import hashlib

KEY = 32
LINE = 8
LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TAKEN = str.maketrans("OIL", "011")


class Misread(ValueError):
    """What was typed is not what is on the paper; the text says which line."""


def text(key: bytes, name: str, repository: str) -> str:
    """The page for a key file of 32 octets."""
    lines = [
        f"mtad repository key {name}",
        f"of the repository {repository}" if repository else "",
        "",
        *(f"{n}: {line}" for n, line in enumerate(_lines(key), 1)),
        "",
        "Whoever has this page can use the key. To have the key file back, type the five lines",
        "into a file, or after 'mtad snapshot key import -', with or without blanks and hyphens;",
        "a mistyped line is named. There are no letters I, L, O, U.",
    ]
    return "\n".join(lines) + "\n"


def _lines(key: bytes) -> list[str]:
    parts = [key[at : at + LINE] for at in range(0, KEY, LINE)]
    lines = [_grouped(_written(p, 13) + _sum(n, p)) for n, p in enumerate(parts, 1)]
    return [*lines, _sum(0, key) + _sum(9, key)]


def _grouped(line: str) -> str:
    return "-".join(line[at : at + 5] for at in range(0, len(line), 5))


def _written(octets: bytes, length: int) -> str:
    number = int.from_bytes(octets, "big")
    return "".join(LETTERS[number >> (5 * at) & 31] for at in reversed(range(length)))


def _sum(number: int, octets: bytes) -> str:
    digest = hashlib.sha256(b"mtad paper %d " % number + octets).digest()
    return _written(digest[:2], 4)[-2:]


def read(typed: str) -> bytes:
    """The key that was typed. Raises Misread naming the line."""
    found: dict[int, str] = {}
    for line in typed.splitlines():
        number, colon, rest = line.strip().partition(":")
        if colon and number.strip() in ("1", "2", "3", "4", "5"):
            found[int(number)] = "".join(c for c in rest if c.isalnum()).upper().translate(_TAKEN)
    missing = [str(n) for n in range(1, 6) if n not in found]
    if missing:
        raise Misread(f"line {', '.join(missing)} is missing: type '1: ' before the first, and on")
    key = b"".join(_part(number, found[number]) for number in range(1, 5))
    if found[5] != _sum(0, key) + _sum(9, key):
        raise Misread("line 5 does not fit the others: a line is from another page")
    return key


def _part(number: int, line: str) -> bytes:
    if len(line) != 15:
        raise Misread(f"line {number} has {len(line)} characters instead of 15")
    wrong = sorted({c for c in line if c not in LETTERS})
    if wrong:
        raise Misread(f"line {number} has {' '.join(wrong)}, which is on no such page")
    value = 0
    for letter in line[:13]:
        value = value << 5 | LETTERS.index(letter)
    if value >> 64 or line[13:] != _sum(number, octets := value.to_bytes(LINE, "big")):
        raise Misread(f"line {number} is mistyped: its checksum, the last two characters, differs")
    return octets

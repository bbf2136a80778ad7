"""The words and strings that commands are made of (RFC 9051 9; PURE).

A ``Lexer`` walks over one command from left to right; every method takes what it is named for,
or raises ``Bad`` that says what was expected and where. 8-bit octets are taken in quoted
strings and literals only.
"""

import re
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

from mtad import mutf7
from mtad.imap.answer import Bad, No
from mtad.imap.commands import STAR, NumberSet, Spooled

T = TypeVar("T")

MAX_NUMBER = 2**32 - 1
MAX_NUMBER64 = 2**63 - 1
MAX_DEPTH = 100
"""Lists, NOT and OR inside of each other."""
MAX_SHOWN = 30
"""Octets of a word that an error repeats."""

SYSTEM_FLAGS = {
    flag.upper(): flag for flag in ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft")
}

ATOM = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\\]]+")
_ASTRING = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\]+")
_PATTERN = re.compile(rb"[^\x00-\x20\x7f-\xff(){\"\\]+")
_QUOTED = re.compile(rb'"((?:[^\x00\r\n"\\]|\\["\\])*)"')
_PLAIN_QUOTED = re.compile(rb'"([^\x00\r\n"\\]*)"')
_ESCAPED = re.compile(rb"\\(.)")
_LITERAL = re.compile(rb"(~?)\{[0-9]+\+?\}\r\n")
_WORD = re.compile(rb"[A-Za-z0-9][A-Za-z0-9.=_-]*")
_NUMBER = re.compile(rb"[0-9]{1,20}(?![0-9])")
_SET = re.compile(rb"\$|[0-9*:,]+")
_SPAN = re.compile(rb"(\*|[1-9][0-9]{0,9})(?::(\*|[1-9][0-9]{0,9}))?")
_NO_NAME = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""What no name may have (RFC 9755 3)."""
_FLAG = re.compile(rb"\\?[^\x00-\x20\x7f-\xff(){%*\"\\\]]+")


class Lexer:
    """A command and how far it is read. ``utf8``: strings may be UTF-8, names are."""

    __slots__ = ("_literals", "_taken", "at", "depth", "text", "utf8")

    def __init__(
        self, text: bytes, literals: Sequence[bytes | Spooled] = (), *, at: int = 0, utf8: bool
    ) -> None:
        self.text = text
        self.at = at
        self.utf8 = utf8
        self.depth = 0
        self._literals = literals
        self._taken = 0

    # ---------------------------------------------------------------- errors

    def fail(self, expected: str) -> NoReturn:
        """Raises Bad."""
        if self.at >= len(self.text):
            raise Bad(f"expected {expected} at the end")
        raise Bad(f"expected {expected} at octet {self.at + 1}")

    def deeper(self) -> None:
        """Go into something nested; ``depth`` is given back by whoever went in."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Bad(f"nested deeper than {MAX_DEPTH}")

    # ----------------------------------------------------------------- marks

    def peek(self) -> bytes:
        """The next octet, empty at the end."""
        return self.text[self.at : self.at + 1]

    def skip(self, mark: bytes) -> bool:
        """Take ``mark`` if it is next, in any case."""
        end = self.at + len(mark)
        found = self.text[self.at : end]
        if found != mark and found.upper() != mark:
            return False
        self.at = end
        return True

    def expect(self, mark: bytes) -> None:
        """Take ``mark``."""
        if not self.skip(mark):
            self.fail(f'"{mark.decode("ascii")}"')

    def space(self) -> None:
        """Take the one space between arguments."""
        if self.text[self.at : self.at + 1] != b" ":
            self.fail("a space")
        self.at += 1

    def end(self) -> None:
        """The command is over; spaces at its end are forgiven."""
        if self.at < len(self.text) and self.text[self.at :].strip(b" "):
            self.fail("the end of the command")
        self.at = len(self.text)

    def has_more(self) -> bool:
        """Whether an argument follows."""
        return self.at < len(self.text) and bool(self.text[self.at :].strip(b" "))

    def match(self, pattern: re.Pattern[bytes], expected: str) -> re.Match[bytes]:
        """Take what ``pattern`` matches."""
        found = pattern.match(self.text, self.at)
        if found is None:
            self.fail(expected)
        self.at = found.end()
        return found

    # ----------------------------------------------------------------- words

    def word(self, expected: str = "a word") -> str:
        """A keyword, in upper case."""
        return self.match(_WORD, expected)[0].decode("ascii").upper()

    def one_of(self, known: "Sequence[str] | frozenset[str]", expected: str) -> str:
        """A keyword that is known."""
        at = self.at
        found = self.word(expected)
        if found not in known:
            self.at = at
            raise Bad(f"{found[:MAX_SHOWN]} is no {expected.removeprefix('a ')} known here")
        return found

    def atom(self, expected: str = "an atom") -> str:
        """An atom as it is written."""
        return self.match(ATOM, expected)[0].decode("ascii")

    def number(self) -> int:
        """A number of 32 bits."""
        return self._number(MAX_NUMBER)

    def number64(self) -> int:
        """A number of 63 bits."""
        return self._number(MAX_NUMBER64)

    def nz_number(self) -> int:
        """A number of 32 bits that is not 0."""
        at = self.at
        if self.text[at : at + 1] == b"0":
            self.fail("a number above 0")
        return self._number(MAX_NUMBER)

    def _number(self, most: int) -> int:
        at = self.at
        value = int(self.match(_NUMBER, "a number")[0])
        if value > most:
            self.at = at
            self.fail(f"a number up to {most}")
        return value

    # --------------------------------------------------------------- strings

    def quoted(self) -> bytes:
        """A quoted string, without its escapes."""
        found = _PLAIN_QUOTED.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
            return found[1]
        return _ESCAPED.sub(rb"\1", self.match(_QUOTED, "a quoted string")[1])

    def literal(self) -> tuple[bytes | Spooled, bool]:
        """A literal, and whether it is a literal8."""
        found = self.match(_LITERAL, "a literal")
        literal = self._literals[self._taken]
        self._taken += 1
        return literal, bool(found[1])

    def literal8(self) -> bytes:
        """A literal8 that is kept in memory."""
        literal, is_literal8 = self.literal()
        if not (is_literal8 and isinstance(literal, bytes)):
            raise Bad("expected a literal8 of moderate size")
        return literal

    def string(self, expected: str = "a string") -> bytes:
        """A quoted string or a literal."""
        mark = self.text[self.at : self.at + 1]
        if mark == b'"':
            return self.quoted()
        if mark != b"{":
            self.fail(expected)
        literal, _ = self.literal()
        if not isinstance(literal, bytes):
            raise Bad("the literal is too big for a string")
        return literal

    def astring(self, expected: str = "a string") -> bytes:
        """An atom that may have "]", or a string."""
        found = _ASTRING.match(self.text, self.at)
        if found is None:
            return self.string(expected)
        self.at = found.end()
        return found[0]

    def nstring(self) -> bytes | None:
        """A string, or None for NIL."""
        return None if self.nil() else self.string("a string or NIL")

    def nil(self) -> bool:
        """Take NIL if it is next."""
        found = ATOM.match(self.text, self.at)
        if found is None or found[0].upper() != b"NIL":
            return False
        self.at = found.end()
        return True

    def words(self, expected: str = "a string") -> str:
        """An astring that is text: UTF-8, of which ASCII is a part."""
        at = self.at
        try:
            return self.astring(expected).decode("utf-8")
        except UnicodeDecodeError:
            self.at = at
            self.fail("text in UTF-8")

    # ----------------------------------------------------------------- names

    def mailbox(self) -> str:
        """A mailbox name as people read it; INBOX, also as first level, in upper case."""
        return self.named(self.astring("a mailbox name"))

    def pattern(self) -> str:
        """A name with the wildcards of LIST."""
        found = _PATTERN.match(self.text, self.at)
        if found is None:
            return self.named(self.string("a mailbox pattern"))
        self.at = found.end()
        return self.named(found[0])

    def named(self, written: bytes) -> str:
        """What a written name means. Raises No for what is no name in modified UTF-7."""
        if self.utf8:
            try:
                name = written.decode("utf-8")
            except UnicodeDecodeError:
                # RFC 9755 3
                raise Bad("the mailbox name is not UTF-8") from None
        else:
            try:
                name = mutf7.decode(written.decode("ascii"))
            except ValueError:
                raise No("the mailbox name is not modified UTF-7", b"CANNOT") from None
        if _NO_NAME.search(name):
            raise No("a mailbox name has no control characters", b"CANNOT")
        if name[:5].upper() == "INBOX" and name[5:6] in ("", "/"):
            return "INBOX" + name[5:]
        return name

    # ---------------------------------------------------------- sets and flags

    def numbers(self, *, saved: bool = True, star: bool = True) -> NumberSet:
        """A set of numbers; with ``saved`` also ``$`` (RFC 5182), with ``star`` also ``*``."""
        at = self.at
        text = self.match(_SET, "a set of numbers")[0]
        if text == b"$" and saved:
            return NumberSet(saved=True)
        ranges = []
        for part in text.split(b","):
            found = _SPAN.fullmatch(part)
            if found is None or (not star and b"*" in part):
                self.at = at
                self.fail("a set of numbers")
            first = STAR if found[1] == b"*" else int(found[1])
            second = found[2]
            last = first if second is None else STAR if second == b"*" else int(second)
            if first > MAX_NUMBER or last > MAX_NUMBER:
                self.at = at
                self.fail(f"numbers up to {MAX_NUMBER}")
            ranges.append((first, last))
        return NumberSet(tuple(ranges))

    def flag(self) -> str:
        r"""A flag that can be set: a system flag as RFC 9051 2.3.2 spells it, or a keyword."""
        flag = self.match(_FLAG, "a flag")[0].decode("ascii")
        if not flag.startswith("\\"):
            return flag
        known = SYSTEM_FLAGS.get(flag.upper())
        if known is None:
            raise Bad(f"{flag[:MAX_SHOWN]} is no flag that can be set")
        return known

    def flags(self) -> tuple[str, ...]:
        """``(\\Seen $Label1)``, each once whatever its case."""
        return unique(self.listed(self.flag, empty=True))

    # ----------------------------------------------------------------- lists

    def listed(self, one: Callable[[], T], *, empty: bool = False) -> list[T]:
        """``(one one ...)``; ``empty`` tells whether ``()`` is allowed."""
        self.expect(b"(")
        if empty and self.skip(b")"):
            return []
        found = [one()]
        while not self.skip(b")"):
            self.space()
            found.append(one())
        return found

    def one_or_listed(self, one: Callable[[], T]) -> list[T]:
        """``one`` or ``(one one ...)``."""
        return self.listed(one) if self.peek() == b"(" else [one()]


def once(names: Sequence[str]) -> None:
    """Raises Bad where a name is given twice."""
    if len(set(names)) < len(names):
        raise Bad("a parameter is given twice")


def unique(names: Sequence[str]) -> tuple[str, ...]:
    """Names in order, each once whatever its case."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(name.upper(), name)
    return tuple(found.values())

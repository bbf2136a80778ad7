"""Address lists of header fields, however they were written (RFC 5322 3.4 and 4.4; PURE).

Nothing is decoded and nothing fails: what is no address still gives one, so that a client
shows that something is there.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_ADDRESSES = 10_000
"""Addresses of one field that are read."""

MISSING_DOMAIN = b"MISSING_DOMAIN"
"""The host of an address without one; None would begin a group (RFC 9051 7.5.2)."""
MISSING_MAILBOX = b"MISSING_MAILBOX"
"""The mailbox of an address that has none."""


class Address(NamedTuple):
    """An address as ENVELOPE has it (RFC 9051 7.5.2).

    A group begins with one whose ``host`` is None and whose ``mailbox`` is its name, and ends
    with one of which all is None.
    """

    name: bytes | None
    route: bytes | None
    mailbox: bytes | None
    host: bytes | None


GROUP_END = Address(None, None, None, None)

# Nothing here is tried again in another way (``*+``), so all takes linear time.
_WS = rb"[ \t\r\n]*+"
_PLAIN = rb"[^\x00-\x20()<>@,;:\\\"\[\]]++"
_SIMPLE = re.compile(
    _WS
    + rb"(?:(?:\"([^\"\\\r\n\x00]*)\"|(" + _PLAIN + rb"(?:[ \t]++" + _PLAIN + rb")*+))?" + _WS
    + rb"<(" + _PLAIN + rb")@(" + _PLAIN + rb")>|(" + _PLAIN + rb")@(" + _PLAIN + rb"))"
    + _WS + rb"(?:,|\Z)"
)  # fmt: skip
_TOKEN = re.compile(
    rb"[ \t\r\n]++|(\()|\"((?:[^\"\\]++|\\.)*+)\"|(\[(?:[^\]\\]++|\\.)*+\]?)"
    rb"|([<>@,;:])|([^ \t\r\n()<>@,;:\"\[]++|.)",
    re.S,
)  # fmt: skip
_COMMENT = re.compile(rb"[^()\\]+|\\.|[()]|\\", re.S)
_ESCAPED = re.compile(rb"\\(.)", re.S)
_FOLD = re.compile(rb"\r*\n")


def parse(value: bytes) -> list[Address]:
    """The addresses of a field's value."""
    found: list[Address] = []
    at, end = 0, len(value)
    while at < end:
        simple = _SIMPLE.match(value, at)
        if simple is None:
            _Reader(value, at, found).read()
            break
        quoted, atoms, local, host, bare, bare_host = simple.groups()
        if bare is not None:
            found.append(Address(None, None, bare, bare_host))
        else:
            name = quoted or (b" ".join(atoms.split()) if atoms else None)
            found.append(Address(name, None, local, host))
        at = simple.end()
    return found[:MAX_ADDRESSES]


class _Reader:
    """Reads whatever the simple form does not cover, one address after the other."""

    def __init__(self, value: bytes, at: int, found: list[Address]) -> None:
        self._found = found
        self._tokens = _tokens(value, at)
        self._next()
        self._in_group = False

    def _next(self) -> None:
        self._kind, self._value = next(self._tokens, _END)

    def read(self) -> None:
        while self._kind != "" and len(self._found) < MAX_ADDRESSES:
            self._one()
            if self._kind == ";" and self._in_group:
                self._in_group = False
                self._found.append(GROUP_END)
            if self._kind in (",", ";"):
                self._next()
        if self._in_group:
            self._found.append(GROUP_END)

    def _one(self) -> None:
        """One address or the start of a group, up to the mark that ends it."""
        words: list[bytes] = []
        comment: bytes | None = None
        is_phrase = False
        while True:
            kind = self._kind
            if kind == "(":
                comment = self._value
            elif kind in ("word", "quoted"):
                is_phrase = kind == "quoted" or bool(words)
                words.append(self._value)
            elif kind == ":" and not self._in_group:
                self._in_group = True
                self._found.append(Address(None, None, b" ".join(words), None))
                words, comment, is_phrase = [], None, False
            elif kind in _ENDS or kind in ("<", "@"):
                break
            self._next()
        if kind == "@":
            self._bare(words, comment)
        elif kind == "<":
            self._in_brackets(_phrase(words), comment)
        elif is_phrase:
            self._found.append(Address(_phrase(words), None, MISSING_MAILBOX, MISSING_DOMAIN))
        elif words:
            self._found.append(Address(comment or None, None, words[0], MISSING_DOMAIN))
        while self._kind not in _ENDS:
            self._next()

    def _bare(self, words: list[bytes], comment: bytes | None) -> None:
        """``mailbox@host (name)``; what stands before the mailbox is taken for a name."""
        start = max(len(words) - 1, 0)
        while start and (words[start - 1].endswith(b".") or words[start].startswith(b".")):
            start -= 1
        local = b"".join(words[start:])
        self._next()
        host, said = self._host(comment)
        if self._kind == "<":
            self._in_brackets(_phrase([*words[:start], local + b"@" + host]), said)
            return
        name = _phrase(words[:start]) or said or None
        self._found.append(Address(name, None, local or MISSING_MAILBOX, host or MISSING_DOMAIN))

    def _in_brackets(self, name: bytes | None, comment: bytes | None) -> None:
        """``<mailbox@host>``, and a comment after it that may be the name."""
        self._next()
        route, local, host = self._angle()
        while self._kind not in _ENDS:
            if self._kind == "(":
                comment = self._value
            self._next()
        self._found.append(Address(name or comment or None, route, local, host))

    def _angle(self) -> tuple[bytes | None, bytes, bytes]:
        """Route, mailbox and host of what stands in angle brackets."""
        route: bytes | None = None
        if self._kind in ("@", ","):
            parts = bytearray()
            while self._kind not in ("", ":", ">", "<"):
                parts += self._value if self._kind != "(" else b""
                self._next()
            if self._kind == ":":
                self._next()
            route = bytes(parts)
        local = bytearray()
        while self._kind not in ("", "@", ">", "<", ","):
            if self._kind != "(":
                is_parted = _is_word(bytes(local[-1:])) and _is_word(self._value[:1])
                local += b" " * is_parted + self._value
            self._next()
        host: bytes = b""
        if self._kind == "@":
            self._next()
            host, _ = self._host(None)
        while self._kind not in (">", *_ENDS):
            self._next()
        return route, bytes(local) or MISSING_MAILBOX, host or MISSING_DOMAIN

    def _host(self, comment: bytes | None) -> tuple[bytes, bytes | None]:
        """The words of a domain as one, and the last comment seen."""
        host = bytearray()
        while self._kind not in _ENDS and self._kind not in (">", "<", "@", ":"):
            if self._kind == "(":
                comment = self._value
            elif not host or host.endswith(b".") or self._value.startswith(b"."):
                host += self._value
            self._next()
        return bytes(host), comment


_END = ("", b"")
_ENDS = frozenset({"", ",", ";"})
"""What an address ends with."""


def _is_word(octet: bytes) -> bool:
    return octet not in (b"", b".", b":", b";", b"@")


def _phrase(words: list[bytes]) -> bytes | None:
    return b" ".join(words) or None


def _tokens(value: bytes, at: int) -> Iterator[tuple[str, bytes]]:
    """Words, comments and marks; white space parts them and is dropped."""
    end = len(value)
    while at < end:
        found = _TOKEN.match(value, at)
        assert found is not None
        at = found.end()
        comment, quoted, literal, mark, atom = found.groups()
        if comment is not None:
            text, at = _comment(value, at)
            yield "(", text
        elif quoted is not None:
            yield "quoted", unquoted(quoted)
        elif literal is not None:
            yield "word", literal
        elif mark is not None:
            yield mark.decode("ascii"), mark
        elif atom is not None and atom != b'"':
            yield "word", atom


def unquoted(value: bytes) -> bytes:
    """The content of a quoted string without folds and backslashes."""
    if b"\n" in value:
        value = _FOLD.sub(b"", value)
    if b"\\" in value:
        value = _ESCAPED.sub(rb"\1", value)
    return value


def _comment(value: bytes, at: int) -> tuple[bytes, int]:
    """A comment's text and where it ends; ``at`` is behind its parenthesis."""
    start, depth, end = at, 1, len(value)
    while at < end:
        found = _COMMENT.match(value, at)
        assert found is not None
        at = found.end()
        if found[0] == b"(":
            depth += 1
        elif found[0] == b")":
            depth -= 1
            if not depth:
                return unquoted(value[start : at - 1]).strip(), at
    return unquoted(value[start:]).strip(), end

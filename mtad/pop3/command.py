"""POP3's commands as they are written, and the status lines that answer them (PURE)."""

import re
from dataclasses import dataclass

MAX_LINE = 512
"""Octets of a command with its CRLF; RFC 2449 4 asks for 255."""

_NUMBER = re.compile(rb"[0-9]{1,9}")
_LINE_ENDS = bytes.maketrans(b"\r\n\0", b"   ")


class Negative(Exception):
    """The command did not succeed. ``code`` is a response code (RFC 2449 8), empty for none."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.code = code


class Bad(Negative):
    """The command is against the protocol."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its name in upper case, and what follows the space after it."""

    name: str
    argument: bytes


def parse(line: bytes) -> Command:
    """The command of a line. Raises Bad."""
    if b"\0" in line:
        raise Bad("a command has no NUL in it")
    name, _, argument = line.partition(b" ")
    verb = name.decode("ascii", "replace").upper()
    if not verb.isalnum():
        raise Bad("that is no command")
    return Command(verb, argument)


def none(argument: bytes) -> None:
    """Raises Bad where there is an argument."""
    if argument.strip(b" "):
        raise Bad("this command takes no argument")


def number(argument: bytes) -> int | None:
    """A message number, None where there is none. Raises Bad."""
    found = numbers(argument)
    if len(found) > 1:
        raise Bad("give one message number")
    return found[0] if found else None


def numbers(argument: bytes) -> list[int]:
    """The numbers that an argument consists of. Raises Bad."""
    words = argument.split()
    if not all(map(_NUMBER.fullmatch, words)):
        raise Bad("that is no number")
    return [int(word) for word in words]


def ok(text: str) -> bytes:
    """A positive status line."""
    return b"+OK %b\r\n" % _said(text)


def err(text: str, code: str = "") -> bytes:
    """A negative status line."""
    return b"-ERR %b%b\r\n" % (f"[{code}] ".encode() if code else b"", _said(text))


def _said(text: str) -> bytes:
    """Text that cannot end the line, short enough (RFC 2449 4: 512 octets with the rest)."""
    return text.encode("utf-8", "replace").translate(_LINE_ENDS)[:400]

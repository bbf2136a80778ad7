"""What a client sends, cut into commands with their literals (RFC 9051 2.2.1 and 4.3; PURE).

Octets go in through ``Reader.feed``, events come out of ``Reader.next``. A command is one
``Request``: its lines as they came, each announcement of a literal (``{5}`` CRLF) left where it
stood, and the literals beside it. Line ends may be a bare LF, as with other servers.

Every octet is looked at a fixed number of times, however they arrive, and nothing is held beyond
the limits: what is too long or too big is passed over without being kept, up to the end of its
command, so that nothing inside of it is ever taken for a command (RFC 7888 4).
"""

import re
from dataclasses import dataclass
from typing import Protocol

from mtad.imap.answer import Bad, Negative, No
from mtad.imap.commands import Spooled

MAX_LINE = 64 * 1024
"""Octets of a command without its literals."""
MAX_LITERAL = 1024 * 1024
"""Octets of all literals of a command that are kept in memory."""
MAX_PASSED_OVER = 256 * 1024 * 1024
"""Octets of a literal that nobody waits for and that is too big; beyond it, the end."""
TOGETHER = 5
"""Messages of the greatest size that one APPEND may have, so that it does not fill the disk."""
SPOOL_FROM = 64 * 1024
"""Octets of a message from which it goes to a sink."""

_ANNOUNCED = re.compile(rb"(~?)\{([0-9]{1,20})(\+?)\}\Z")
_MAX_ANNOUNCED = 25
_MAX_TAG = 100
"""Octets of a line that is too long in which its tag is looked for."""
_TAG = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\+]+(?= )")
_WITH_MESSAGE = re.compile(rb"[^ ]+ (?:APPEND|(?:UID )?REPLACE) ", re.IGNORECASE)
_AT_MAILBOX = re.compile(rb"[^ ]+ (?:APPEND|(?:UID )?REPLACE [^ ]+) ~?\{", re.IGNORECASE)


class Sink(Spooled, Protocol):
    """Where a message literal goes while it arrives; what came is one of the literals then."""

    def write(self, data: bytes) -> None:
        """Take octets. Never raises: a sink that fails says so when its message is used."""


@dataclass(frozen=True, slots=True)
class Request:
    """A whole command; ``line`` has no line end behind it."""

    line: bytes
    literals: tuple[bytes | Spooled, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """A line of ``raw`` mode: a client's answer in AUTHENTICATE, or DONE."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Wanted:
    """A literal is announced; ``Reader.accept`` or ``Reader.refuse`` must follow.

    ``line`` is the command so far. ``waits`` tells that the client waits for ``+``, ``spool``
    that the literal is part of a message and needs a sink.
    """

    line: bytes
    size: int
    waits: bool
    spool: bool


@dataclass(frozen=True, slots=True)
class Rejected:
    """A command that was not taken: ``error`` (with its tag) is the answer.

    Sinks that were given for it have no use. With ``close`` the connection has to end with BYE:
    nothing that follows can be understood.
    """

    error: Negative
    close: bool = False


Event = Request | Line | Wanted | Rejected


class Reader:
    """One connection's octets. The limits may be changed between commands."""

    def __init__(
        self,
        *,
        max_line: int = MAX_LINE,
        max_literal: int = MAX_LITERAL,
        max_message: int = MAX_LITERAL,
        max_passed_over: int = MAX_PASSED_OVER,
    ) -> None:
        """``max_message`` is the size of one message (RFC 7889)."""
        self.max_line = max_line
        self.max_literal = max_literal
        self.max_message = max_message
        self.max_passed_over = max_passed_over
        self.raw = False
        """Whether the next lines are ``Line`` events, whatever stands in them."""
        self._buffer = bytearray()
        self._seen = 0
        self._is_over = False
        self._asked = False
        self._reset()

    def _reset(self) -> None:
        """Be ready for a command."""
        self._pieces: list[bytes] = []
        self._length = 0
        self._literals: list[bytes | Spooled] = []
        self._held = 0
        self._messages = 0
        self._left = 0
        self._size = 0
        self._binary = False
        self._waits = False
        self._is_refused = False
        self._into: bytearray | Sink | None = None
        self._error: Negative | None = None

    # ---------------------------------------------------------------- octets

    def feed(self, data: bytes) -> None:
        """Take what arrived."""
        if not self._is_over:
            self._buffer += data

    def take(self) -> bytes:
        """All that arrived and is not used up, which is forgotten.

        After STARTTLS it must not be used (what came in clear may be an attacker's); after
        COMPRESS it is compressed already.
        """
        taken = bytes(self._buffer)
        self._buffer.clear()
        self._seen = 0
        return taken

    # ---------------------------------------------------------------- events

    def next(self) -> Event | None:
        """The next event, None where more octets are needed."""
        assert not self._asked, "a literal was announced and not answered for"
        if self._is_refused:
            self._is_refused = False
            event = self._rejected() if self._waits else self._pass_over(self._size)
            if event is not None:
                return event
        while True:
            if self._left and not self._pour():
                return None
            end = self._buffer.find(b"\n", self._seen)
            if end < 0:
                self._no_end_yet()
                return None
            line = bytes(self._buffer[:end]).removesuffix(b"\r")
            del self._buffer[: end + 1]
            self._seen = 0
            if self.raw:
                return self._raw_line(line)
            found = None
            if line.endswith(b"}"):
                found = _ANNOUNCED.search(line, max(0, len(line) - _MAX_ANNOUNCED))
            event = self._end(line) if found is None else self._announced(line, found)
            if event is not None:
                return event

    def accept(self, sink: Sink | None = None) -> None:
        """The announced literal may come: into ``sink``, or into memory."""
        self._asked = False
        self._into = bytearray() if sink is None else sink
        self._left = self._size
        if not self._left:
            self._keep()

    def refuse(self, error: Negative) -> None:
        """The announced literal and its command are not wanted; ``Rejected`` follows."""
        assert self._asked
        self._asked = False
        self._is_refused = True
        self._fail(error)

    # ----------------------------------------------------------------- lines

    def _no_end_yet(self) -> None:
        self._seen = len(self._buffer)
        if self._length + self._seen > self.max_line:
            if not self._error:
                self._pieces.append(bytes(self._buffer[:_MAX_TAG]))
                self._fail(_too_long())
            # What is left may be the beginning of a literal's announcement.
            del self._buffer[: max(0, len(self._buffer) - _MAX_ANNOUNCED - 1)]
            self._seen = len(self._buffer)

    def _raw_line(self, line: bytes) -> Event:
        if len(line) > self.max_line:
            self._fail(_too_long())
        return self._rejected() if self._error else Line(line)

    def _end(self, line: bytes) -> Event:
        if self._length + len(line) > self.max_line:
            self._pieces.append(line)
            self._fail(_too_long())
        if self._error:
            return self._rejected()
        self._pieces.append(line)
        request = Request(b"".join(self._pieces), tuple(self._literals))
        self._reset()
        return request

    # -------------------------------------------------------------- literals

    def _announced(self, line: bytes, found: re.Match[bytes]) -> Event | None:
        size, waits = int(found[2]), not found[3]
        self._length += len(line) + 2
        is_message = False
        if not self._error:
            self._pieces.append(line + b"\r\n")
            is_message = self._is_message()
            if self._length > self.max_line:
                self._fail(_too_long())
            elif is_message and size > self.max_message:
                self._fail(No("the message is too big", b"TOOBIG"))
            elif is_message and size > self.max_message * TOGETHER - self._messages:
                self._fail(No("the messages are too big together", b"LIMIT"))
            elif not is_message and size > self.max_literal - self._held:
                self._fail(No("the literal is too big", b"LIMIT"))
        if self._error:
            return self._rejected() if waits else self._pass_over(size)
        self._messages += size if is_message else 0
        self._size, self._binary = size, bool(found[1])
        spool = is_message and (size >= SPOOL_FROM or size > self.max_literal - self._held)
        if not (waits or spool):
            self.accept()
            return None
        self._asked, self._waits = True, waits
        return Wanted(b"".join(self._pieces), size, waits, spool)

    def _is_message(self) -> bool:
        first = self._pieces[0]
        if not _WITH_MESSAGE.match(first):
            return False
        return len(self._pieces) > 1 or not _AT_MAILBOX.match(first)

    def _pass_over(self, size: int) -> Event | None:
        if size > self.max_passed_over:
            self._is_over = True
            self.take()
            return self._rejected(close=True)
        self._left = size
        return None

    def _pour(self) -> bool:
        """Move what arrived of a literal; whether it is whole."""
        data = bytes(self._buffer[: self._left])
        if not data:
            return False
        del self._buffer[: len(data)]
        self._seen = 0
        self._left -= len(data)
        if self._into is not None:
            if not self._binary and b"\0" in data:
                self._fail(Bad("a literal with NUL must be a literal8 (RFC 3516)"))
            elif isinstance(self._into, bytearray):
                self._into += data
            else:
                self._into.write(data)
        if self._left:
            return False
        self._keep()
        return True

    def _keep(self) -> None:
        """A literal is whole."""
        into, self._into = self._into, None
        if isinstance(into, bytearray):
            self._literals.append(bytes(into))
            self._held += len(into)
        elif into is not None:
            self._literals.append(into)

    # ---------------------------------------------------------------- errors

    def _fail(self, error: Negative) -> None:
        """From here to its end the command is passed over; the first error counts."""
        if self._error is not None:
            return
        if self._pieces and (tag := _TAG.match(self._pieces[0])):
            error.tag = tag[0].decode("ascii")
        self._error = error
        self._into = None

    def _rejected(self, *, close: bool = False) -> Rejected:
        assert self._error is not None
        rejected = Rejected(self._error, close)
        self._reset()
        return rejected


def _too_long() -> Negative:
    return Bad("the line is too long")

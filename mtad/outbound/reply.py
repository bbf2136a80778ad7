"""Replies of a server, taken apart (RFC 5321 4.2) (PURE).

Octets go in through ``feed``, whole replies come out of ``next``. Everything is bounded, since
the other side may be anything: a line, the lines of a reply, and the octets that wait.
"""

import re
from dataclasses import dataclass

MAX_LINE = 4096
"""Octets of a line with its line end; RFC 5321 4.5.3.1.5 says 512, servers write more."""
MAX_LINES = 100
"""Lines of one reply; an EHLO answer has some twenty."""
MAX_WAITING = 64 * 1024
"""Octets that may wait to be read as replies: what a server sends unasked must end somewhere."""

_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])([^\r\n]*))?")
_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?=[ \t]|$)")
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_QUEUE_IDS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\bqueued as ([A-Za-z0-9.-]{4,64})",  # Postfix and many more, ourselves too
        r"\bid=([A-Za-z0-9-]{6,64})",  # Exim
        r"\bInternalId=(\d{4,32})",  # Exchange
        r"\bqp (\d{1,20})\b",  # qmail
        r"^(?:[A-Za-z]+:? +)?([A-Za-z0-9.]{6,64})[:,]? +message accepted",  # sendmail, OpenSMTPD
        r"^ok +\d+ +([A-Za-z0-9.-]{6,64}) +- +gsmtp",  # Gmail
        r"<[^<>]*> +([A-Za-z0-9]{6,64}) Saved$",  # Dovecot's LMTP
        r"\bMessage-?id[: =]+<?([A-Za-z0-9.@-]{6,64})",
    )
)


class BadReply(Exception):
    """What the server sent is no SMTP reply, or too much of one; the connection is of no use."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply; ``text`` is verbatim with its codes, lines joined by LF.

    Control characters and octets that are not UTF-8 are shown as ``\\xNN``.
    """

    code: int
    text: str

    @property
    def is_positive(self) -> bool:
        """2yz or 3yz."""
        return self.code < 400

    @property
    def words(self) -> tuple[str, ...]:
        """The text of each line without its code."""
        return tuple(line[4:] for line in self.text.split("\n"))

    @property
    def enhanced(self) -> str:
        """The enhanced status code (RFC 2034), or the general one of the reply's class."""
        for words in reversed(self.words):
            found = _ENHANCED.match(words)
            if found and found[1] == str(self.code)[0]:
                return found[0]
        return f"{self.code // 100}.0.0"

    @property
    def queue_id(self) -> str:
        """The id under which the server says it has the message, or empty."""
        words = _ENHANCED.sub("", self.words[-1], count=1).strip()
        for pattern in _QUEUE_IDS:
            if found := pattern.search(words):
                return found[1].rstrip(".")
        return ""

    def __str__(self) -> str:
        return self.text


class Replies:
    """Takes octets and gives replies, in order."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._lines: list[bytes] = []

    def feed(self, data: bytes) -> None:
        """Take what the server sent. Raises BadReply when too much of it waits."""
        self._buffer += data
        if len(self._buffer) > MAX_WAITING:
            raise BadReply("far more was sent than asked for")

    def next(self) -> Reply | None:
        """The next reply, or None while it is incomplete. Raises BadReply."""
        while True:
            end = self._buffer.find(b"\n", 0, MAX_LINE)
            if end < 0:
                if len(self._buffer) >= MAX_LINE:
                    raise BadReply(f"a line of more than {MAX_LINE} octets")
                return None
            line = bytes(self._buffer[:end]).removesuffix(b"\r")
            del self._buffer[: end + 1]
            found = _LINE.fullmatch(line)
            if found is None:
                raise BadReply(f"not an SMTP reply: {shown(line[:200])!r}")
            self._lines.append(line)
            if found[2] == b"-":
                if len(self._lines) >= MAX_LINES:
                    raise BadReply(f"a reply of more than {MAX_LINES} lines")
                continue
            lines, self._lines = self._lines, []
            return Reply(int(found[1]), "\n".join(map(shown, lines)))

    def discard(self) -> int:
        """Forget what was not read yet (RFC 3207 4.2); how many octets that was."""
        count = len(self._buffer) + sum(map(len, self._lines))
        self._buffer.clear()
        self._lines.clear()
        return count


def shown(line: bytes) -> str:
    r"""A line as text for the log: what is not printable UTF-8 as ``\xNN``."""
    text = line.decode("utf-8", "backslashreplace")
    return _UNSAFE.sub(lambda found: f"\\x{ord(found[0]):02x}", text)

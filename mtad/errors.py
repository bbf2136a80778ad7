"""Errors an operator or a mail client sees.

Two families and no more. ``MtadError`` ends a command: its text is written for the
person at the terminal and says what to do. ``Refusal`` is an answer on the wire: it is
returned or raised below a protocol handler and becomes a reply at one place. Everything
else is a bug.
"""

from enum import IntEnum


class Exit(IntEnum):
    """Exit statuses of every command; an unknown status counts as a failure."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    PARTIAL = 3
    NOTHING_FOUND = 4
    PROBLEMS = 5
    UNREACHABLE = 10
    LOCKED = 11
    NOT_PERMITTED = 12
    CORRUPT = 13
    INTERRUPTED = 130


class MtadError(Exception):
    """A failure the operator can act on; shown as one sentence, without a traceback."""

    exit_code: Exit = Exit.FAILURE


class UsageError(MtadError):
    """The command was asked for something that makes no sense."""

    exit_code = Exit.USAGE


class ConfigError(MtadError):
    """The settings file says something that cannot be obeyed; lists every problem."""

    exit_code = Exit.USAGE


class NothingFound(MtadError):
    """The question was sound and the answer is empty."""

    exit_code = Exit.NOTHING_FOUND


class Unreachable(MtadError):
    """The daemon or the database cannot be reached."""

    exit_code = Exit.UNREACHABLE


class Locked(MtadError):
    """Another process owns what this one needs."""

    exit_code = Exit.LOCKED


class NotPermitted(MtadError):
    """The operating system or the daemon said no."""

    exit_code = Exit.NOT_PERMITTED


class Corrupt(MtadError):
    """Stored data does not match its checksum."""

    exit_code = Exit.CORRUPT


class Refusal(Exception):
    """A negative SMTP reply (RFC 5321 4.2.1) with its enhanced status (RFC 3463).

    ``code`` decides what the peer does next, 4yz retries and 5yz gives up, so it is
    never derived from the text.
    """

    def __init__(self, code: int, status: str, text: str, *, close: bool = False) -> None:
        super().__init__(text)
        self.code = code
        self.status = status
        self.text = text
        self.close = close

    @property
    def is_temporary(self) -> bool:
        """Whether the peer is expected to try again."""
        return 400 <= self.code < 500

    def __str__(self) -> str:
        return f"{self.code} {self.status} {self.text}"

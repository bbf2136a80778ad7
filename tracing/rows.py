"""The rows of messages, recipients and stored copies while a batch of events is applied.

A message is read from its file once, changed in memory while its events come by, and written
once with the batch: in the usual case, where everything from MAIL FROM to delivery arrives
together, each row is written a single time.
"""

from dataclasses import dataclass, field
from typing import Protocol

from tracing import codec
from tracing.codec import ASIDE
from tracing.states import State, summary


@dataclass(slots=True)
class Recipient:
    """A row of ``rcpt``, without its message's id."""

    n: int
    addr: int
    dom: int
    orig: int | None
    ts: int
    last: int
    status: int
    tries: int = 0
    next_try: int | None = None
    host: int | None = None
    code: int | None = None
    enh: str | None = None
    reply: str | None = None
    st: int | None = None
    params: str | None = None
    rqid: str | None = None
    changed: bool = True


@dataclass(slots=True)
class Message:
    """A row of ``msg`` with its recipients."""

    id: int
    cn: int | None = None
    ts: int = 0
    last: int = 0
    dir: int = 0
    sender: int | None = None
    sdom: int | None = None
    login: str | None = None
    ip: bytes | None = None
    helo: int | None = None
    status: int = State.RECEIVING
    size: int | None = None
    message_id: str | None = None
    subject: str | None = None
    header_from: str | None = None
    sha256: bytes | None = None
    root: int | None = None
    parent: int | None = None
    rel: str | None = None
    fresh_subject: bool = False
    recipients: dict[int, Recipient] = field(default_factory=dict)
    dropped: list[int] = field(default_factory=list)

    def aside(self) -> int:
        """A number for a recipient that is none of the accepted ones."""
        n = ASIDE
        while n in self.recipients:
            n += 1
        return n

    def settle(self) -> None:
        """Take the state that the recipients' states add up to."""
        rows = self.recipients.values()
        if len(rows) == 1:
            for one in rows:
                self.status = one.status
        elif rows:
            self.status = summary([State(one.status) for one in rows])


@dataclass(slots=True)
class Stored:
    """A row of ``st``."""

    id: int
    msg: int
    n: int
    box: int
    mailbox: int
    base: str
    size: int
    gone: int | None = None


class Home(Protocol):
    """A month file as the projection sees it."""

    @property
    def names(self) -> codec.Names:
        """The dictionaries."""

    def message(self, m: int) -> Message | None:
        """The message, from the batch or the file."""

    def open_message(self, m: int, at: int) -> Message:
        """The message, made if there is none."""

    def begin_message(self, m: int, at: int) -> Message:
        """A message that no event told of before."""

    def stored(self, st: int) -> Stored | None:
        """The stored copy, from the batch or the file."""

    def store(self, copy: Stored) -> None:
        """Take a stored copy into the batch."""

    def rename(self, box: int, mailbox: str, target: str) -> None:
        """A mailbox and those below it have another name from here on."""


class Others(Protocol):
    """Finds the month files of other messages and of stored copies."""

    def root_of(self, m: int) -> int:
        """The first ancestor of a message; itself where it has none, or is not known."""

    def home_of(self, st: int) -> Home | None:
        """The month file of an id; None if it has this frame already."""

    def all_homes(self) -> list[Home]:
        """Every month file that has not had this frame."""

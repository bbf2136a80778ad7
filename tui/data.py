"""Everything the screens show is read here, in threads, never in the event loop.

``Reading`` is what a screen may ask; ``tui.disk`` answers it from the log's month files, the
control sockets, the snapshot repository and the file system. This module is only the words
the two use, so that screens can be shown a server that does not exist.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from tui.vtable import RowSource

if TYPE_CHECKING:
    from tracing.queries import Recipient, Row, Stored
    from tracing.search import Query
    from tracing.states import State


@dataclass(frozen=True, slots=True)
class Flow:
    """Messages per minute, oldest first; the last minute is the present one."""

    since: int
    """The beginning of the first minute, microseconds."""
    accepted: tuple[int, ...]
    refused: tuple[int, ...]
    delivered: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Role:
    """A process of the daemon."""

    name: str
    alive: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Saved:
    """A snapshot."""

    id: str
    at: int
    scope: str
    boxes: int
    messages: int
    octets: int
    """Of mail, before anything is compressed."""
    added: int
    """Messages that no earlier snapshot had."""
    stored: int
    """Octets this snapshot added to the repository."""
    unread: int = 0
    """Messages that could not be read."""


@dataclass(frozen=True, slots=True)
class SavedBox:
    """A box as it was in a snapshot."""

    address: str
    messages: int
    octets: int


@dataclass(frozen=True, slots=True)
class SavedMailbox:
    """A mailbox of a box in a snapshot."""

    name: str
    messages: int


@dataclass(frozen=True, slots=True)
class SavedMessage:
    """A message as it was in a snapshot; what the log does not know is empty."""

    m: int
    uid: int
    arrived: int
    """Microseconds, from the file's own time."""
    octets: int
    flags: str
    keywords: tuple[str, ...] = ()
    sender: str = ""
    subject: str = ""
    message_id: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """A message that was not delivered, and the reply that says why."""

    row: "Row"
    why: str


@dataclass(frozen=True, slots=True)
class Glance:
    """What the Overview shows of log and disk. None means not known, and the screen says so."""

    flow: Flow | None = None
    outcomes: Mapping["State", int] = field(default_factory=dict)
    """Messages of the last 24 hours by state."""
    failures: Sequence[Failure] = ()
    """The last of them, latest first."""
    messages: int | None = None
    """Messages in the whole log."""
    events: int | None = None
    day_octets: int | None = None
    """Received in the last 24 hours."""
    log_octets: int | None = None
    boxes: int | None = None
    """Boxes that have a folder."""
    disk_total: int | None = None
    disk_free: int | None = None


@dataclass(frozen=True, slots=True)
class Around:
    """What the Overview shows of processes and snapshots."""

    roles: Sequence[Role] = ()
    snapshots: int | None = None
    last_snapshot: Saved | None = None
    trouble: str = ""
    """Why the repository could not be read."""


@dataclass(frozen=True, slots=True)
class Story:
    """All of one message."""

    row: "Row | None"
    recipients: Sequence["Recipient"]
    events: Sequence["Stored"]


class Reading(Protocol):
    """What screens may ask. Every method but ``parse`` may raise ``Trouble``."""

    def parse(self, text: str, now_us: int) -> "Query":
        """A filter. Raises tracing.search.SearchError. PURE."""
        ...

    def messages(self, query: "Query") -> "RowSource[Row]":
        """The messages that fit, newest first."""
        ...

    async def total(self) -> int:
        """How many messages there are without a filter."""
        ...

    async def recipients(self, m: int) -> Sequence["Recipient"]:
        """A message's recipients and where their copies lie now."""
        ...

    async def story(self, m: int) -> Story:
        """All of one message."""
        ...

    async def glance(self, now_us: int) -> Glance:
        """The figures of log and disk."""
        ...

    async def around(self) -> Around:
        """The processes and the last snapshot."""
        ...

    async def snapshots(self) -> Sequence[Saved]:
        """All snapshots, latest first."""
        ...

    async def boxes(self, snapshot: str) -> Sequence[SavedBox]:
        """The boxes in a snapshot."""
        ...

    async def mailboxes(self, snapshot: str, box: str) -> Sequence[SavedMailbox]:
        """The mailboxes of a box in a snapshot."""
        ...

    async def saved(self, snapshot: str, box: str, mailbox: str) -> Sequence[SavedMessage]:
        """The messages of a mailbox in a snapshot, latest first."""
        ...

    async def banner(self) -> str:
        """A sentence that concerns every screen (daemon down, no log yet); empty if none."""
        ...

    def bell(self) -> AsyncIterator[None]:
        """Rings when the log has grown; ends when nobody rings any longer."""
        ...

    async def close(self) -> None:
        """Let everything go."""
        ...

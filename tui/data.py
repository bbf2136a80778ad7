"""What the screens are told of a server: the words that ``tui.disk`` answers in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backup.catalog import Snapshot
    from tracing.queries import Recipient, Row, Stored
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
    last_snapshot: "Snapshot | None" = None
    trouble: str = ""
    """Why the repository could not be read."""


@dataclass(frozen=True, slots=True)
class Story:
    """All of one message."""

    row: "Row | None"
    recipients: Sequence["Recipient"]
    events: Sequence["Stored"]


@dataclass(frozen=True, slots=True)
class Destination:
    """A domain that mail waits for; times in microseconds, 0 where there is none."""

    domain: str
    recipients: int
    held: int
    oldest: int
    next_try: int
    reply: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A recipient that waits."""

    m: int
    n: int
    state: "State"
    sender: str
    to: str
    subject: str
    size: int
    accepted: int
    tries: int
    next_try: int
    held: str
    """Why it is held; empty where it is not."""
    reply: str

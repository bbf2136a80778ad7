"""What the screens are told of a server: the words that ``tui.disk`` answers in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backup.catalog import Snapshot
    from mtad.store.values import Message
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


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain that mail is taken for."""

    name: str
    boxes: int
    aliases: int
    relay: bool
    """Whether its mail is passed on to another server."""


@dataclass(frozen=True, slots=True)
class Account:
    """A box, or an alias, which has no more than ``leads_to``. Times in microseconds, 0 for never.

    Limits of 0 are none.
    """

    address: str
    leads_to: tuple[str, ...] = ()
    octets: int = 0
    messages: int = 0
    max_octets: int = 0
    max_messages: int = 0
    locked: bool = False
    added: int = 0
    last_login: int = 0
    aliases: tuple[str, ...] = ()
    """Those that lead to it."""
    forwards: tuple[str, ...] = ()
    keeps: bool = True
    """Whether a copy of what is passed on stays."""
    rules: tuple[str, ...] = ()
    """Where from it may log in: a service and its networks each."""

    @property
    def is_alias(self) -> bool:
        """Whether it is a name only."""
        return bool(self.leads_to)


@dataclass(frozen=True, slots=True)
class Folder:
    """A mailbox of a box."""

    name: str
    messages: int
    unseen: int
    octets: int


@dataclass(frozen=True, slots=True)
class Letter:
    """A message of a mailbox, with what its header says."""

    kept: "Message"
    sender: str
    subject: str
    message_id: str

    @property
    def arrived(self) -> int:
        """When it came into the box, in microseconds."""
        return self.kept.internaldate_ns // 1000

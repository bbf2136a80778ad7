"""Policy: what is asked at each stage of a mail transaction, and in which order.

A check is a question with a name; its answer is a ``Refusal`` or None. The stages follow each
other as connection, source address, destination address, content, and each recipient once more
with the whole message before it; within a stage the first refusal ends it. Checks look and
never change anything. The connection's own check, the limits on their number, is asked by
``mtad.smtp.arrival`` before a session begins.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from mtad.address import Address
from mtad.clients.rates import Share
from mtad.delivery.route import Accepted
from mtad.errors import Refusal
from mtad.smtp.command import Path
from mtad.smtp.headers import Headers
from mtad.smtp.usage import Used


class Target(Protocol):
    """A box or an address elsewhere that an address leads to."""

    @property
    def box(self) -> str:
        """Its address."""

    @property
    def remote(self) -> bool:
        """Whether it is elsewhere."""

    @property
    def forward(self) -> bool:
        """Whether a box that passes its mail on led there."""

    @property
    def alias(self) -> bool:
        """Whether an alias led there."""


class Directory(Protocol):
    """Who receives mail here; answers from memory."""

    def is_local(self, domain: str) -> bool:
        """Whether we take mail for a domain in normal form."""

    def resolve(self, address: Address) -> Sequence[Target]:
        """The boxes an address leads to; empty when it is unknown."""

    def is_open(self, box: str) -> bool:
        """Whether a box is there and may log in."""

    def may_send_as(self, box: str, address: Address) -> bool:
        """Whether an address is a box's own."""

    def postmaster(self) -> Address:
        """Where mail for ``<Postmaster>`` goes."""

    @property
    def passwords(self) -> Mapping[tuple[str, str], int]:
        """By box and name of a password since when it is what it is."""

    def quota(self, box: str) -> tuple[int, int]:
        """Octets and messages that a box may hold, each 0 for no limit."""

    def refresh(self) -> None:
        """Take over changes made by other processes."""


@dataclass(slots=True)
class Recipient:
    """A forward-path and where it leads; ``domain`` in normal form, empty when it has none."""

    path: Path
    domain: str
    targets: Sequence[Target]
    is_return_path: bool = False
    """Whether it is a reverse-path made here, and the targets are where its bounces belong."""


@dataclass(slots=True)
class Transaction:
    """A mail transaction as far as it has come; checks read it and change nothing."""

    m: int
    cn: int
    ip: str
    helo: str
    started_us: int
    sender: str
    declared_size: int = 0
    smtputf8: bool = False
    body: str = ""
    """As the client said: 7BIT, 8BITMIME, BINARYMIME or empty."""
    requiretls: bool = False
    ret: str = ""
    envid: str = ""
    recipients: list[Accepted] = field(default_factory=list)
    refused: int = 0
    """Recipients that were refused."""
    numbers: int = 0
    """Recipient numbers given out; one per target, and one for a refused recipient."""
    size: int = 0
    headers: Headers = field(default_factory=Headers)
    login: str = ""
    """The box of the user who submits it; empty for mail that comes from elsewhere."""
    is_revoked: bool = False
    """Whether the password that the user logged in with is gone, or another one."""
    is_secure: bool = False
    """Whether it comes over TLS."""
    is_trusted: bool = False
    """Whether it is submitted from a network that needs no login."""
    authors: Sequence[str] | None = ()
    """The addresses in From and Sender of a submitted message; None where these are malformed."""
    is_header_cut: bool = False
    """Whether the header of a submitted message is longer than what is read of it."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What the user who submits a message may do; 0 stands for no limit."""

    own_addresses_only: bool
    max_messages: int
    max_recipients: int
    used: Callable[[], Used]
    """What was sent within the last hour, what is under way included."""


@dataclass(slots=True)
class Facts:
    """What checks may consult besides the transaction."""

    directory: Directory
    check_room: Callable[[], None]
    """Raises mtad.journal.writer.JournalFull or JournalBroken."""
    max_message_bytes: int
    max_recipients: int
    holds: Callable[[str], Awaitable[tuple[int, int]]]
    """Octets and messages that a box holds."""
    candidate: Recipient | None = None
    """The recipient in question, at the stage ``destination``."""
    share: Share | None = None
    """What the client may send; None where that is not limited."""
    rights: Rights | None = None
    """Those of the user, where mail is submitted by one."""


Check = Callable[[Transaction, Facts], Awaitable[Refusal | None]]
RecipientCheck = Callable[[Transaction, Accepted], Awaitable[Refusal | None]]
"""Whether one recipient may have the message, which is complete."""
Objection = tuple[str, Refusal]
"""The name of a check, and what it answers."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The checks of each stage, in order."""

    source: tuple[Check, ...]
    destination: tuple[Check, ...]
    content: tuple[Check, ...]
    recipient: tuple[RecipientCheck, ...] = ()


A = TypeVar("A")


async def first_refusal(
    checks: Sequence[Callable[[Transaction, A], Awaitable[Refusal | None]]],
    transaction: Transaction,
    about: A,
) -> Objection | None:
    """The first check that objects."""
    for check in checks:
        refusal = await check(transaction, about)
        if refusal is not None:
            return check.__name__, refusal
    return None

"""What the queue hands out for an attempt, and what it gets back.

The queue decides when to try and what an outcome means for a recipient; a ``Courier`` only
tries. Both sides can be tested against these values, without a network.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from tracing.event import Event

Note = Callable[[Event], None]
"""Takes an event for the log without waiting (``journal.note``)."""

Kind = Literal["delivered", "deferred", "failed"]
Stage = Literal[
    "",
    "dns",
    "policy",
    "connect",
    "banner",
    "ehlo",
    "starttls",
    "tls",
    "auth",
    "mail",
    "rcpt",
    "data",
    "dot",
    "command",
]
"""Where an attempt ended; empty for what was delivered, ``command`` for a program's exit."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A message as it is to be sent, one reverse-path for all recipients of the attempt.

    ``content`` is the message with LF line ends as it is sent, or the path of a file that holds
    it as it is stored (``stored.open_to_send``).
    ``sender`` is the reverse-path, empty for ``<>``. ``body`` is 8BITMIME or empty as declared
    by the client (RFC 6152), ``ret`` FULL, HDRS or empty and ``envid`` xtext as received (RFC
    3461); ``arrived_us`` microseconds since the epoch.
    """

    m: int
    sender: str
    size: int
    content: bytes | Path
    arrived_us: int
    body: str = ""
    smtputf8: bool = False
    requiretls: bool = False
    ret: str = ""
    envid: str = ""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One final recipient; ``attempt`` counts from 1.

    ``notify`` is comma-separated and ``orcpt`` as received, ``type;xtext`` (RFC 3461). With
    ``is_suspect`` the last attempt was answered by 421, perhaps because of this recipient.
    """

    n: int
    address: str
    attempt: int = 1
    notify: str = ""
    orcpt: str = ""
    is_suspect: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one recipient in one attempt.

    ``reply`` is the remote's, verbatim, its lines joined by LF; ``code`` and ``enh`` are of
    that reply, or the ones of RFC 3463 that say the same of ``why``, our own words where no
    reply decided (``code`` is 0 then). ``rqid`` is the remote's queue id where its reply tells
    one; ``tls`` is version and cipher, or empty; ``verdict`` as in ``out.tls``. Times are
    milliseconds: ``connect`` until the remote's banner (0 on a connection used again), ``ms``
    from MAIL to the reply. ``lmtp`` tells that the remote delivered instead of relaying, and
    ``dsn`` that it takes over the duty to report (RFC 3461 5.2.1).
    """

    n: int
    kind: Kind
    stage: Stage = ""
    code: int = 0
    enh: str = ""
    reply: str = ""
    why: str = ""
    host: str = ""
    ip: str = ""
    port: int = 0
    cn: int = 0
    rqid: str = ""
    tls: str = ""
    verdict: str = ""
    connect: float = 0.0
    ms: float = 0.0
    lmtp: bool = False
    dsn: bool = False


class Courier(Protocol):
    """Carries mail to other servers and programs."""

    def destination_of(self, address: str) -> str:
        """The key that addresses share when one ``deliver`` may take them together."""

    def room(self, destination: str) -> int:
        """How many more ``deliver`` calls may run for a destination at this moment."""

    async def deliver(
        self, mail: Mail, recipients: Sequence[Recipient], note: Note
    ) -> Sequence[Outcome]:
        """Try once; one outcome per recipient, in their order.

        All recipients share one destination. Raises nothing but CancelledError: whatever goes
        wrong, our own mistakes included, is an outcome. Notes ``out.dns``, ``out.try``,
        ``out.tls`` and ``out.transcript``; the outcomes are the caller's to log.
        """

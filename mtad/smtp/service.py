"""What all SMTP sessions of a process share: settings, journal, directory, TLS, counters."""

import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mtad.clients.networks import networks
from mtad.clients.rates import Clients, Share
from mtad.config import Lmtp, Smtp
from mtad.delivery.local import Barrier, Delivery
from mtad.smtp.checks.standard import LOCAL
from mtad.smtp.limits import crowded
from mtad.smtp.policy import Directory, Facts, Policy, Target
from mtad.smtp.submission import Submission

MAX_HELD = 256 * 2**20
"""Octets of unfinished large messages in memory, all sessions together; above it 452."""


WayHome = Callable[[str, str], Awaitable[Sequence[Target]]]


async def _nowhere(local: str, domain: str) -> Sequence[Target]:
    return ()


@dataclass(slots=True)
class Service:
    """One process's SMTP service. Sessions count themselves in and out.

    Settings may be replaced while it runs: ``hostname`` and ``tls`` count at once, ``limits``
    from the next connection on, since a session was told what holds for it.
    """

    hostname: str
    limits: Smtp
    journal: Barrier
    directory: Directory
    delivery: Delivery
    policy: Policy
    holds: Callable[[str], Awaitable[tuple[int, int]]]
    """Octets and messages that a box holds."""
    tls: ssl.SSLContext | None = None
    lmtp: Lmtp = field(default_factory=Lmtp)
    lmtp_policy: Policy = LOCAL
    way_home: WayHome = _nowhere
    """Finds where a bounce to a return path made here belongs, by its local part and domain."""
    submission: Submission | None = None
    """What sessions of our own users share; None where there are none."""
    max_held: int = MAX_HELD
    sessions: set[Any] = field(default_factory=set)
    """The open sessions (``mtad.smtp.receiver.Receiver``)."""
    clients: Clients = field(default_factory=Clients)
    held: int = 0
    """Octets of unfinished messages in memory."""
    connections: int = 0
    """Connections since the start, refused ones included."""
    messages: int = 0
    """Messages accepted since the start."""
    started: float = field(default_factory=time.monotonic)
    is_stopping: bool = False

    @property
    def facts(self) -> Facts:
        """What checks may consult; one per session."""
        return Facts(
            self.directory,
            self.journal.check_room,
            self.limits.max_message_bytes,
            self.limits.max_recipients,
            self.holds,
        )

    def why_full(self) -> str:
        """Why no further connection is taken; empty when one is."""
        if self.is_stopping:
            return "shutting down"
        if len(self.sessions) >= self.limits.max_connections:
            return "too many connections"
        return ""

    def why_not(self, ip: str) -> str:
        """Why a further connection from ``ip`` is not taken; empty when it is."""
        return self.why_full() or crowded(self.limits, self.clients, ip, time.monotonic())

    def enter(self, session: Any, ip: str) -> None:
        """Count a session in."""
        self.sessions.add(session)
        self.clients.enter(ip, time.monotonic())

    def share(self, ip: str) -> Share | None:
        """What a client may send within an hour; None for no limit."""
        limits = self.limits
        messages, recipients = (
            limits.max_messages_per_hour_per_ip,
            limits.max_recipients_per_hour_per_ip,
        )
        if not (messages or recipients) or ip in networks(limits.never_limit):
            return None
        clock = time.monotonic
        return Share(self.clients, ip, clock, max_messages=messages, max_recipients=recipients)

    def leave(self, session: Any, ip: str) -> None:
        """Count a session out, once its socket is closed."""
        self.sessions.discard(session)
        self.clients.leave(ip)

    def status(self) -> dict[str, Any]:
        """What the control socket tells."""
        return {
            "connections": len(self.sessions),
            "connections_total": self.connections,
            "messages": self.messages,
            "uptime_seconds": round(time.monotonic() - self.started, 1),
            "tls": self.tls is not None,
        }

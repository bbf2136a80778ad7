"""What all POP3 sessions of a process share: settings, journal, boxes, logins, TLS, locks."""

import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from mtad.config import Pop3
from mtad.directory.logins import Logins
from mtad.journal.frame import Meta
from mtad.store.box import Box
from tracing import ids
from tracing.event import Event


class Journal(Protocol):
    """What sessions need of a journal."""

    mint: ids.Mint

    async def commit(self, meta: Meta) -> int:
        """Make a frame durable. Raises JournalFull, JournalBroken."""

    def note(self, event: Event) -> None:
        """Record what needs no durability of its own."""


class Gate(Protocol):
    """Who is let in; counts clients."""

    def arrives(self, session: Any) -> str:
        """Why a connection is not taken, for the client; empty where it is."""

    async def enters(self, session: Any, box: str) -> str:
        """Why a login that succeeded is not let in for now; empty where it is."""

    def leaves(self, session: Any) -> None:
        """The connection is over; called once for each that was taken."""


Opener = Callable[[str], AbstractAsyncContextManager[Box]]
"""Gives the box of an address for as long as it is used. Raises MtadError."""


@dataclass(slots=True)
class Service:
    """One process's POP3 service. Settings may be replaced while it runs."""

    hostname: str
    limits: Pop3
    journal: Journal
    logins: Logins
    open_box: Opener
    gate: Gate
    log_reading: bool = True
    tls: ssl.SSLContext | None = None
    end_point: bytes = b""
    """The hash of the certificate, for channel bindings."""
    sessions: set[Any] = field(default_factory=set)
    """The open connections (``mtad.pop3.dialog.Dialog``)."""
    is_stopping: bool = False
    locked: set[str] = field(default_factory=set)
    """The boxes that a session has for itself (RFC 1939 4)."""
    entered: dict[str, float] = field(default_factory=dict)
    """When each box was last logged into, in the loop's time; while LOGIN-DELAY is on."""

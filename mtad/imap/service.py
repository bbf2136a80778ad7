"""What all IMAP sessions of a process share: settings, journal, boxes, logins, TLS."""

import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from mtad.config import Imap
from mtad.directory.logins import Logins
from mtad.store.box import Box
from mtad.store.shares import Shares
from tracing import ids
from tracing.event import Event


class Journal(Protocol):
    """What sessions need of a journal."""

    mint: ids.Mint

    def note(self, event: Event) -> None:
        """Record what needs no durability of its own."""


@dataclass(frozen=True, slots=True)
class Barred:
    """Why a client is not let in: a text for it, and a response code (RFC 9051 7.1)."""

    text: str
    code: bytes = b""


class Gate(Protocol):
    """Who is let in; counts clients and knows the rules for networks."""

    def arrives(self, session: Any) -> str:
        """Why a connection is not taken, for the client; empty where it is."""

    async def enters(self, session: Any, box: str) -> Barred | None:
        """Why a login that succeeded is not let in all the same; None where it is."""

    def leaves(self, session: Any) -> None:
        """The connection is over; called once for each that was taken."""


Opener = Callable[[str], AbstractAsyncContextManager[Box]]
"""Gives the box of an address for as long as it is used. Raises MtadError."""


@dataclass(slots=True)
class Service:
    """One process's IMAP service. Settings may be replaced while it runs."""

    hostname: str
    limits: Imap
    journal: Journal
    logins: Logins
    open_box: Opener
    shares: Shares
    gate: Gate
    tls: ssl.SSLContext | None = None
    end_point: bytes = b""
    """The hash of the certificate, for channel bindings."""
    sessions: set[Any] = field(default_factory=set)
    """The open connections (``mtad.imap.connection.Connection``)."""
    is_stopping: bool = False
    log_reading: bool = True
    """Whether it is written down who read which message."""

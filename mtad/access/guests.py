"""Who is connected to read mail: how many at once, from where, as whom."""

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from mtad.clients.networks import networks
from mtad.clients.rates import keys
from mtad.clock import now_us
from mtad.config import Access
from mtad.imap.service import Barred

log = logging.getLogger("mtad.access")

FILES_ASIDE = 200
"""Open files that are neither clients nor boxes: journal, databases, control sockets."""
FILES_EACH = 9
"""Open files of a client: its socket, and those of its box at its busiest."""


def in_force(settings: Access, open_files: int) -> Access:
    """The settings, with no more connections than there can be ``open_files`` for them."""
    room = max(1, (open_files - FILES_ASIDE) // FILES_EACH)
    if settings.max_connections <= room:
        return settings
    log.warning(
        "access.max_connections is %d, but with %d open files there is room for %d clients and "
        "their boxes: raise the limit (LimitNOFILE= of a systemd unit, ulimit -n)",
        settings.max_connections,
        open_files,
        room,
    )
    return settings.model_copy(update={"max_connections": room})


@dataclass(slots=True)
class Guest:
    """A connection; ``since`` is when its client logged in, in microseconds."""

    ip: str
    box: str = ""
    password: str = ""
    """The name of the password it logged in with, empty for the box's own."""
    since: int = 0


@dataclass(slots=True)
class Guests:
    """The connections of all services together, by their session."""

    settings: Access
    here: dict[Any, Guest] = field(default_factory=dict)
    clients: Counter[str] = field(default_factory=Counter)
    users: Counter[str] = field(default_factory=Counter)

    def arrives(self, session: Any) -> str:
        """Count a connection in; says why it is not taken, empty where it is."""
        settings, client = self.settings, keys(session.ip)[0] if session.ip else ""
        if len(self.here) >= settings.max_connections:
            return "too many connections"
        is_counted = session.ip not in networks(settings.never_limit)
        if is_counted and self.clients[client] >= settings.max_connections_per_ip:
            return "too many connections from your address"
        self.here[session] = Guest(session.ip)
        self.clients[client] += 1
        return ""

    def enters(self, session: Any, box: str) -> str:
        """Count a login in; says why it is not taken, empty where it is."""
        guest = self.here[session]
        self._forget(guest)
        if self.users[box] >= self.settings.max_connections_per_user:
            return "too many sessions of this user"
        self.users[box] += 1
        welcome = session.caller.welcome if session.caller else None
        guest.box, guest.since = box, now_us()
        guest.password = welcome.name if welcome else ""
        return ""

    def leaves(self, session: Any) -> None:
        """Count a connection out."""
        guest = self.here.pop(session)
        self._forget(guest)
        client = keys(guest.ip)[0] if guest.ip else ""
        self.clients[client] -= 1
        if not self.clients[client]:
            del self.clients[client]

    def _forget(self, guest: Guest) -> None:
        if guest.box:
            self.users[guest.box] -= 1
            if not self.users[guest.box]:
                del self.users[guest.box]
            guest.box = ""


class PopGate:
    """The guests, as POP3 asks about them."""

    def __init__(self, guests: Guests) -> None:
        self._guests = guests
        self.arrives = guests.arrives
        self.leaves = guests.leaves

    async def enters(self, session: Any, box: str) -> str:
        """Why a login that succeeded is not let in for now; empty where it is."""
        return self._guests.enters(session, box)


class ImapGate:
    """The guests, as IMAP asks about them."""

    def __init__(self, guests: Guests) -> None:
        self._guests = guests
        self.arrives = guests.arrives
        self.leaves = guests.leaves

    async def enters(self, session: Any, box: str) -> Barred | None:
        """Why a login that succeeded is not let in for now; None where it is."""
        why = self._guests.enters(session, box)
        return Barred(why.capitalize(), b"LIMIT") if why else None

"""A session as its handlers see it: who it is, what it has selected, where answers go.

``mtad.imap.dialog`` reads commands and calls handlers with it; ``mtad.imap.connection`` moves
the octets.
"""

import enum
from typing import Protocol

from mtad.imap.answer import line
from mtad.imap.selected import Selected
from mtad.imap.service import Service
from mtad.store.box import Box

MAX_PENDING = 64 * 1024
"""Octets that are gathered before a handler waits for the client to read them."""
MAX_SOFTWARE = 80
"""Characters kept of what a client calls itself."""


class State(enum.Flag):
    """Where a session is (RFC 9051 3)."""

    NOT_AUTHENTICATED = enum.auto()
    AUTHENTICATED = enum.auto()
    SELECTED = enum.auto()
    LOGOUT = enum.auto()


class Output(Protocol):
    """Where a session's octets go."""

    pending: int
    """Octets that the client has not read yet."""

    def put(self, data: bytes) -> None:
        """Send octets, in order, as soon as the event loop has a turn."""

    async def drain(self) -> None:
        """Wait until the client has read enough. Raises Gone."""


class Session:
    """One client's session."""

    def __init__(self, service: Service, output: Output, *, cn: int, ip: str, name: str) -> None:
        """``cn`` names the connection in the log, ``name`` its listener: imap or imaps."""
        self.service = service
        self.cn = cn
        self.ip = ip
        self.name = name
        self.state = State.NOT_AUTHENTICATED
        self.address = ""
        """The box's address, empty before the login."""
        self.software = ""
        """What the client calls itself (RFC 2971)."""
        self.enabled: set[str] = set()
        """What ENABLE and commands that imply it switched on, in upper case."""
        self.selected: Selected | None = None
        self._output = output
        self._box: Box | None = None

    # ------------------------------------------------------------------- who

    @property
    def box(self) -> Box:
        """The box of who has logged in."""
        assert self._box is not None
        return self._box

    @box.setter
    def box(self, box: Box) -> None:
        self._box = box

    @property
    def actor(self) -> str:
        """Who acts, for events."""
        return f"user:{self.address}"

    @property
    def client(self) -> str:
        """With what, for events: "imap Thunderbird 128 from 192.0.2.7"."""
        return " ".join(filter(None, ("imap", self.software, "from", self.ip)))

    # ----------------------------------------------------------- what is on

    @property
    def utf8(self) -> bool:
        """Whether strings may be UTF-8 (RFC 9755, RFC 9051)."""
        return not self.enabled.isdisjoint(("UTF8=ACCEPT", "IMAP4REV2"))

    @property
    def rev2(self) -> bool:
        """Whether the client asked for IMAP4rev2's answers."""
        return "IMAP4REV2" in self.enabled

    @property
    def condstore(self) -> bool:
        """Whether answers carry mod-sequences (RFC 7162 3.1)."""
        return not self.enabled.isdisjoint(("CONDSTORE", "QRESYNC"))

    @property
    def qresync(self) -> bool:
        """Whether expunges are told as VANISHED (RFC 7162 3.2)."""
        return "QRESYNC" in self.enabled

    @property
    def uidonly(self) -> bool:
        """Whether there are no sequence numbers (RFC 9586)."""
        return "UIDONLY" in self.enabled

    # --------------------------------------------------------------- answers

    async def write(self, data: bytes) -> None:
        """Send octets; waits while the client does not read. Raises Gone."""
        self._output.put(data)
        if self._output.pending > MAX_PENDING:
            await self._output.drain()

    def put(self, data: bytes) -> None:
        """Send octets without waiting; for answers that are short."""
        self._output.put(data)

    async def drain(self) -> None:
        """Wait until the client has read enough, and give others a turn. Raises Gone."""
        await self._output.drain()

    async def ok(self, text: str, code: bytes = b"") -> None:
        """Send an untagged OK."""
        await self.write(line(b"*", b"OK", text, code))

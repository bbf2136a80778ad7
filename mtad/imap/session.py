"""A session as its handlers see it: who it is, what it has selected, where answers go.

``mtad.imap.dialog`` reads commands and calls handlers with it; ``mtad.imap.connection`` moves
the octets.
"""

import enum
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Protocol

from mtad.directory.logins import Caller
from mtad.imap.answer import line
from mtad.imap.notices import Notices
from mtad.imap.selected import Selected
from mtad.imap.service import Service
from mtad.store import acl
from mtad.store.box import Box
from mtad.store.mailboxes import ANNOTATED, SHARED, SUBSCRIBED, UNSUBSCRIBED
from mtad.store.view import Change

MAX_PENDING = 64 * 1024
"""Octets that are gathered before a handler waits for the client to read them."""
MAX_SOFTWARE = 80
"""Characters kept of what a client calls itself."""


class Teller(Protocol):
    """Sends what is new (``mtad.imap.news``)."""

    async def __call__(self, *, expunges: bool) -> None:
        """``expunges`` tells whether numbers may change. Raises Gone."""


class State(enum.Flag):
    """Where a session is (RFC 9051 3)."""

    NOT_AUTHENTICATED = enum.auto()
    AUTHENTICATED = enum.auto()
    SELECTED = enum.auto()
    LOGOUT = enum.auto()


LOGGED_IN = State.AUTHENTICATED | State.SELECTED
ANY = State.NOT_AUTHENTICATED | LOGGED_IN


class Output(Protocol):
    """Where a session's octets go."""

    @property
    def pending(self) -> int:
        """Octets that the client has not read yet."""

    def put(self, data: bytes) -> None:
        """Send octets, in order, as soon as the event loop has a turn."""

    async def drain(self) -> None:
        """Wait until the client has read enough. Raises Gone."""


class Input(Protocol):
    """Where a session's lines come from, for exchanges within a command."""

    async def line(self, session: "Session") -> bytes | None:
        """The client's next line without its CRLF; None when there is news. Raises Gone, Bad."""

    def poke(self) -> None:
        """There is news for who waits for a line."""


class Connection(Output, Input, Protocol):
    """What a session needs of its connection."""

    @property
    def is_tls(self) -> bool:
        """Whether it is encrypted."""

    def bindings(self) -> dict[str, bytes]:
        """What a login can be bound to (RFC 5929, RFC 9266); empty without TLS."""

    async def secure(self, session: "Session") -> None:
        """Begin with TLS; nothing that came before counts. Raises Gone when it fails."""

    def trust(self) -> None:
        """The client has logged in: its commands may be longer."""

    @property
    def is_deflated(self) -> bool:
        """Whether it is compressed."""

    def start_deflate(self) -> None:
        """Compress from here on, after what was put (RFC 4978)."""

    async def delay(self, seconds: float) -> None:
        """Let the client wait. Raises Gone."""


class Session:
    """One client's session."""

    def __init__(
        self, service: Service, connection: Connection, *, cn: int, ip: str, name: str
    ) -> None:
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
        self.is_idle = False
        """Whether the client is in IDLE."""
        self.notices: Notices | None = None
        """What the client asked to be told of (RFC 5465)."""
        self.tell: Teller
        """Sends what is new; set by who carries out commands."""
        self.caller: Caller | None = None
        """The client's attempts to log in."""
        self.then: Callable[[], Awaitable[None]] | None = None
        """What is done once the tagged answer is sent, such as to begin with TLS."""
        self.connection = connection
        self._box: Box | None = None
        self._closing = AsyncExitStack()
        self._listening = AsyncExitStack()
        """What NOTIFY holds of other boxes."""
        self._leaving = AsyncExitStack()
        """What the selected mailbox holds, where it is in another box."""

    # ------------------------------------------------------------------- who

    @property
    def box(self) -> Box:
        """The box of who has logged in."""
        assert self._box is not None
        return self._box

    async def log_in(self, address: str) -> None:
        """The client owns the box of this address from here on. Raises MtadError."""
        box = await self._closing.enter_async_context(self.service.open_box(address))
        box.watch(self.hear)
        self._closing.callback(box.unwatch, self.hear)
        await box.sync()
        self._box, self.address, self.state = box, address, State.AUTHENTICATED
        self.connection.trust()

    def select(self, selected: Selected, holding: AsyncExitStack) -> None:
        """A mailbox is selected; none may be. What is ``holding`` its box ends with it."""
        assert self.selected is None
        self.selected, self.state, self._leaving = selected, State.SELECTED, holding
        if selected.place.reader:
            selected.box.watch(self._hear_selected)
            holding.callback(selected.box.unwatch, self._hear_selected)

    async def unselect(self) -> None:
        """No mailbox is selected any more."""
        selected, self.selected = self.selected, None
        if selected is not None:
            self.state = State.AUTHENTICATED
            selected.box.release(selected.view)
            await self._leaving.aclose()

    async def close(self) -> None:
        """The session is over: give back what it held."""
        await self.unselect()
        await self.listen(None)
        self.state = State.LOGOUT
        await self._closing.aclose()

    async def listen(
        self, notices: Notices | None, listening: AsyncExitStack | None = None
    ) -> None:
        """The client wants to be told of other things; ``listening`` ends with that."""
        former, self._listening = self._listening, listening or AsyncExitStack()
        self.notices = notices
        await former.aclose()

    def has_news(self) -> bool:
        """Whether there is anything that was not told."""
        if self.notices is not None and self.notices.is_waiting:
            return True
        return self.selected is not None and self.selected.has_news()

    def hear(self, change: Change) -> None:
        """Something happened to the box, whoever did it."""
        selected, notices = self.selected, self.notices
        tells = self.is_idle
        if notices is not None and change.what in (SUBSCRIBED, UNSUBSCRIBED):
            notices.subscribe(change.mailbox, on=change.what == SUBSCRIBED)
        if change.by is self:
            notices = None  # who did it knows (RFC 5465 5)
        if change.what == ANNOTATED:
            if notices is not None:
                notices.hear_entries(change.mailbox, change.entries)
        elif change.what:
            if notices is not None and change.what != SHARED:
                notices.hear_name(change.mailbox, change.what, change.target)
        elif selected is not None and change.mailbox == selected.name:
            tells |= self._heard(selected, change)
        elif notices is not None:
            notices.hear_messages(
                change.mailbox,
                came_or_went=bool(change.added or change.gone),
                flagged=bool(change.changed),
            )
        if tells or (notices is not None and notices.is_waiting):
            self.connection.poke()

    def _hear_selected(self, change: Change) -> None:
        """Something happened to the box of another, in which a mailbox is selected."""
        selected = self.selected
        if selected is None or change.mailbox != selected.view.name:
            return
        tells = self.is_idle
        if change.what == SHARED:
            selected.grant(acl.parse(change.acl).of(self.address))
        elif not change.what:
            tells |= self._heard(selected, change)
        if tells:
            self.connection.poke()

    def _heard(self, selected: Selected, change: Change) -> bool:
        """Messages of the selected mailbox changed; whether NOTIFY wants that told at once."""
        is_same = change.reader not in ("", selected.place.reader) and not self.condstore
        changed = () if change.by is self or is_same else change.changed
        notices = self.notices
        if notices is not None and "FlagChange" not in notices.selected:
            changed = ()
        selected.heard(changed, change.gone, change.modseq)
        return notices is not None and bool(notices.selected)

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

    def use_modseqs(self) -> None:
        """A command makes answers carry mod-sequences; the first tells the present one."""
        if self.condstore:
            return
        self.enabled.add("CONDSTORE")
        if self.selected is not None:
            modseq = self.selected.view.highestmodseq
            self.put(line(b"*", b"OK", "Highest", b"HIGHESTMODSEQ %d" % modseq))

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
        self.connection.put(data)
        if self.connection.pending > MAX_PENDING:
            await self.connection.drain()

    def put(self, data: bytes) -> None:
        """Send octets without waiting; for answers that are short."""
        self.connection.put(data)

    async def drain(self) -> None:
        """Wait until the client has read enough, and give others a turn. Raises Gone."""
        await self.connection.drain()

    async def ok(self, text: str, code: bytes = b"") -> None:
        """Send an untagged OK."""
        await self.write(line(b"*", b"OK", text, code))

"""A POP3 session: who it is, and what it has done (RFC 1939 3)."""

import enum
import ipaddress
from contextlib import AsyncExitStack

from mtad.clock import now_us
from mtad.directory.channel import bindings
from mtad.directory.logins import Caller
from mtad.pop3.command import MAX_LINE, Bad
from mtad.pop3.maildrop import Maildrop
from mtad.pop3.service import Service
from mtad.pop3.wire import Lines, TooLong
from mtad.sasl import lines
from mtad.store.box import Box
from mtad.stream import NEVER, Gone, Stream
from tracing.events import Pop3Retr

MAX_AUTH_LINE = lines.MAX_LINE + 64
"""Octets of a line while one may log in: room for a SASL message and for AUTH before it."""
MAX_GATHERED = 1000
"""Fetched messages in one event."""
MAX_IN_A_ROW = 50
"""Pipelined commands run before other sessions have their turn."""
MAX_PENDING = 64 * 1024
"""Octets that are gathered before the session waits for the client to read them."""


class State(enum.Flag):
    """Where a session is (RFC 1939 3)."""

    AUTHORIZATION = enum.auto()
    TRANSACTION = enum.auto()
    UPDATE = enum.auto()


class Session:
    """One client's session. It reads lines and sends octets by its stream."""

    def __init__(self, service: Service, stream: Stream, *, cn: int, name: str) -> None:
        """``cn`` names the connection in the log, ``name`` its listener: pop3 or pop3s."""
        self.service = service
        self.stream = stream
        self.cn = cn
        self.ip = stream.ip
        self.name = name
        self.state = State.AUTHORIZATION
        self.address = ""
        """The box's address, empty before the login."""
        self.user: bytes | None = None
        """What USER said, until PASS."""
        self.caller: Caller | None = None
        """The client's attempts to log in."""
        self.utf8 = False
        """Whether the client asked for RFC 6856's UTF-8 mode."""
        self.retrieved = self.deleted = 0
        """Messages fetched, and deleted for good."""
        self.fetched: set[int] = set()
        """The numbers of messages fetched whole."""
        self.closing = AsyncExitStack()
        """Gives back the box and its lock."""
        self.between = False
        """Whether a command is waited for, and none is under way."""
        self._box: Box | None = None
        self._maildrop: Maildrop | None = None
        self._untold: list[int] = []
        self._lines = Lines(MAX_AUTH_LINE)
        self._began = stream.loop.time()
        self._in_a_row = 0

    # ------------------------------------------------------------------- who

    @property
    def actor(self) -> str:
        """Who acts, for events."""
        return f"user:{self.address}"

    @property
    def client(self) -> str:
        """With what, for events."""
        return f"pop3 from {self.ip}"

    @property
    def box(self) -> Box:
        """The box of who has logged in."""
        assert self._box is not None
        return self._box

    @property
    def maildrop(self) -> Maildrop:
        """Its messages."""
        assert self._maildrop is not None
        return self._maildrop

    def log_in(self, address: str, box: Box, maildrop: Maildrop) -> None:
        """The client owns the box of this address from here on."""
        self.address, self._box, self._maildrop = address, box, maildrop
        self.state = State.TRANSACTION
        self._lines.max_line = MAX_LINE

    def bindings(self) -> dict[str, bytes]:
        """What a login can be bound to; empty without TLS."""
        link = self.stream.link
        if not self.stream.is_tls or link is None:
            return {}
        return bindings(link.get_extra_info("ssl_object"), self.service.end_point)

    def mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms it may use now; none while its password could be overheard."""
        service = self.service
        if not (self.stream.is_tls or service.limits.clear_text_logins or is_local(self.ip)):
            return ()
        return service.logins.offered(self.bindings())

    # ------------------------------------------------------------------ octets

    def put(self, data: bytes) -> None:
        """Send octets, in order, as soon as the event loop has a turn."""
        self.stream.put(data)

    async def write(self, data: bytes) -> None:
        """Send octets; waits while the client does not read. Raises Gone."""
        self.stream.put(data)
        if self.stream.pending > MAX_PENDING:
            await self.stream.drain()

    async def line(self) -> bytes:
        """The client's next line without its end. Raises Bad, Gone."""
        stream, limits = self.stream, self.service.limits
        self._in_a_row += 1
        if self._in_a_row > MAX_IN_A_ROW or stream.pending > MAX_PENDING:
            self._in_a_row = 0
            await stream.drain()
        try:
            while (line := self._lines.next()) is None:
                self._in_a_row = 0
                if self.state is State.AUTHORIZATION:
                    stream.deadline = self._began + limits.login_timeout_seconds
                else:
                    stream.deadline = stream.loop.time() + limits.idle_timeout_seconds
                await stream.wait()
                stream.deadline = NEVER
                self._lines.feed(stream.take())
        except TooLong:
            raise Bad("the line is too long") from None
        if stream.is_lost:
            # What a lost client had still to say is not carried out.
            raise Gone("lost")
        return line

    def start_over(self) -> None:
        """TLS begins: nothing that came before it counts (RFC 2595 4)."""
        self._lines.forget()
        self.user, self.caller, self.utf8 = None, None, False

    # ------------------------------------------------------------------ the log

    def has_fetched(self, number: int) -> None:
        """The client has been sent a whole message."""
        self.retrieved += 1
        self.fetched.add(number)
        self._untold.append(number)
        if len(self._untold) >= MAX_GATHERED:
            self.tell()

    def tell(self) -> None:
        """Write down what was fetched, unless reading is nobody's business."""
        numbers, self._untold = self._untold, []
        if not numbers or not self.service.log_reading:
            return
        items = tuple(self.maildrop.item(number) for number in dict.fromkeys(numbers))
        known = tuple(dict.fromkeys(item.m for item in items if item.m))
        is_one = len(items) == 1 and bool(known)
        self.service.journal.note(
            Pop3Retr(
                at=now_us(),
                trace=known[0] if is_one else self.service.journal.mint.new(),
                also=() if is_one else known,
                addr=self.address,
                ip=self.ip,
                mailbox="INBOX",
                items=items,
                client=self.client,
                actor=self.actor,
            )
        )


def is_local(ip: str) -> bool:
    """Whether a client is on this machine; what is no address is a socket of this machine."""
    try:
        return ipaddress.ip_address(ip).is_loopback
    except ValueError:
        return not ip

"""One SMTP connection's octets: lines in, replies out, deadlines, TLS; nothing of their meaning.

The protocol object that asyncio calls back. It buffers what arrives (bounded: reading pauses),
gathers replies until somebody waits (RFC 2920: pipelined commands are answered in one write),
and turns every way a connection can end into one exception, ``Gone``. Nothing here ever cancels
the session: a client that hangs up during a commit changes nothing about the commit.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import cast

from mtad import tls
from mtad.config import Smtp
from mtad.smtp.command import MAX_LINE

MAX_INPUT = 128 * 1024
"""Octets of input that may wait before reading pauses."""
HANDSHAKE_SECONDS = 30
LINGER_SECONDS = 1.0
"""After a refusal that closes: time for the client to read it before the socket goes."""
GRACE_SECONDS = 60.0
"""How long a message may come at any speed."""
MAX_IN_A_ROW = 50
"""Pipelined commands run before the other sessions have their turn."""
NEVER = float("inf")


class Gone(Exception):
    """The session cannot go on; ``why`` as in ``conn.close``."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class BadLine(Exception):
    """A command line that must not be read as one: a bare CR or LF in it, or too long."""

    def __init__(self, line: bytes, *, is_long: bool) -> None:
        super().__init__("bad line")
        self.line = line
        self.is_long = is_long


class Wire:
    """The transport's side of a session; mixed into the receiver."""

    link: asyncio.Transport | None
    """The transport, the secure one once TLS is on."""
    loop: asyncio.AbstractEventLoop
    input: bytes
    """What has arrived; up to ``_at`` it is used up."""
    deadline: float
    """For what is waited for at present, in the loop's time."""
    last: float
    """For everything, likewise."""
    max_line = MAX_LINE
    """Octets of a command line with its CRLF."""
    is_lost: bool

    def _open_wire(self, loop: asyncio.AbstractEventLoop, limits: Smtp) -> None:
        self.loop = loop
        self._limits = limits
        self.last = loop.time() + limits.max_session_seconds
        self.link = None
        self.input = b""
        self._at = 0
        self._in_a_row = 0
        self.deadline = NEVER
        self.is_lost = False
        self._output: list[bytes] = []
        self._sink: Callable[[bytes], bytes | None] | None = None
        self._began = self._drunk = 0.0
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._alarm: asyncio.Future[None] | None = None
        self._is_half_closed = False
        self._is_paused = False
        self._is_between = False
        self._end = ""

    # ------------------------------------------------ called by the transport

    def data_received(self, data: bytes) -> None:
        """Octets arrived."""
        if self._sink is not None:
            # Waking the session for every piece of a long message costs more than reading it.
            self._pour(data)
            return
        if self._at:
            self.input, self._at = self.input[self._at :], 0
        self.input = self.input + data if self.input else data
        if self._waiter is not None:
            self._wake()
        elif len(self.input) > MAX_INPUT and not self._is_paused and self.link is not None:
            self._is_paused = True
            self.link.pause_reading()

    def eof_received(self) -> bool:
        """The client sends no more but may still read; true keeps our half open."""
        self._is_half_closed = True
        self._wake()
        return self.link is not None and self.link.get_extra_info("sslcontext") is None

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone in both directions."""
        self.is_lost = True
        self._wake()
        self._ring()
        self.resume_writing()

    def pause_writing(self) -> None:
        """The client does not read; replies wait."""
        if self._room is None:
            self._room = self.loop.create_future()

    def resume_writing(self) -> None:
        """There is room for replies again."""
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    # ------------------------------------------------- called by the listener

    def overdue(self, now: float) -> str:
        """Why the session has to end; empty when it may go on."""
        if self.deadline < now:
            return "timeout"
        if self.last < now:
            return "age"
        if self._sink is not None and (passed := now - self._began) > GRACE_SECONDS:
            return "slow" if self._drunk < passed * self._limits.min_data_rate else ""
        return ""

    def expire(self, why: str) -> None:
        """End the session at its next wait, or the present one."""
        self._end = self._end or why
        self._wake()
        self._ring()
        self.resume_writing()

    def abort(self) -> None:
        """Cut the connection without further words."""
        self.expire("shutdown")
        if self.link is not None:
            self.link.abort()

    def drain(self) -> None:
        """End the session once its current command is answered."""
        if self._is_between:
            self.expire("shutdown")

    # -------------------------------------------------- called by the session

    async def _line(self) -> bytes:
        """The next command line without its CRLF. Raises BadLine, Gone."""
        self.deadline = self.loop.time() + self._limits.command_timeout_seconds
        self._in_a_row += 1
        if self._in_a_row > MAX_IN_A_ROW:
            await self._breathe()
        start = self._at
        while True:
            end = self.input.find(b"\n", start)
            if end >= 0:
                break
            self._give_back(self._take_input())
            start = len(self.input)
            if start > self.max_line:
                raise BadLine(await self._skip_line(), is_long=True)
            self._is_between = True
            try:
                await self._more()
            finally:
                self._is_between = False
        if self.is_lost:
            # RFC 5321 4.1.1.10: what a lost client had still to say is not carried out.
            raise Gone("lost")
        self.deadline = NEVER
        line, self._at = self.input[self._at : end], end + 1
        if line.endswith(b"\r") and line.find(b"\r") == len(line) - 1:
            if len(line) < self.max_line:
                return line[:-1]
            raise BadLine(line, is_long=True)
        raise BadLine(line, is_long=False)

    async def _skip_line(self) -> bytes:
        """Forget the rest of a line that is too long; its beginning, for the log."""
        begin = self.input[:MAX_LINE]
        while (end := self.input.find(b"\n")) < 0:
            self._take_input()
            await self._more()
        self._at = end + 1
        self.deadline = NEVER
        return begin

    def _take_input(self) -> bytes:
        """All that has arrived and is not used up."""
        taken = self.input[self._at :] if self._at else self.input
        self.input, self._at = b"", 0
        return taken

    async def _drink(self, sink: Callable[[bytes], bytes | None]) -> None:
        """Let ``sink`` have all input as it arrives, until it returns what it has no use for.

        Raises Gone. The sink runs in the transport's callbacks and must not block or raise.
        """
        self._sink = sink
        self._began, self._drunk = self.loop.time(), 0
        self.deadline = self._began + self._limits.data_timeout_seconds
        try:
            if taken := self._take_input():
                self._pour(taken)
            while self._sink is not None:
                await self._more()
        finally:
            self._sink = None

    def _pour(self, octets: bytes) -> None:
        """Input for the sink; once that has enough the session goes on with the rest."""
        assert self._sink is not None
        self.deadline = self.loop.time() + self._limits.data_timeout_seconds
        self._drunk += len(octets)
        rest = self._sink(octets)
        if rest is not None:
            self._sink = None
            self._give_back(rest)
            self._wake()

    def _give_back(self, octets: bytes) -> None:
        """Put what was taken too much in front again; nothing may have arrived meanwhile."""
        self.input, self._at = octets, 0

    async def _breathe(self) -> None:
        """Let the other sessions run: this one has had input enough for a while."""
        self._in_a_row = 0
        if self._output:
            self._send()
        if self._room is not None:
            await self._room
        else:
            await asyncio.sleep(0)
        if self._end:
            raise Gone(self._end)

    async def _more(self) -> None:
        """Send what is due and wait until input, an end, or the deadline arrives."""
        self._in_a_row = 0
        if self._output:
            self._send()
        has, sink = len(self.input), self._sink
        if self._room is not None:
            await self._room
        if self._end:
            raise Gone(self._end)
        if len(self.input) > has or self._sink is not sink:
            return
        if self.is_lost or self._is_half_closed or self.link is None:
            raise Gone("lost")
        if self._is_paused:
            self._is_paused = False
            self.link.resume_reading()
        self._waiter = self.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        if self._end:
            raise Gone(self._end)

    async def _delay(self, seconds: float) -> None:
        """Let the client wait; what it says meanwhile waits too. Raises Gone."""
        if self._output:
            self._send()
        if seconds and not (self._end or self.is_lost):
            self._alarm = self.loop.create_future()
            timer = self.loop.call_later(seconds, self._ring)
            try:
                await self._alarm
            finally:
                timer.cancel()
                self._alarm = None
        if self._end or self.is_lost:
            raise Gone(self._end or "lost")

    def _send(self) -> None:
        """Write the gathered replies at once."""
        output, self._output = self._output, []
        if self.link is not None and not self.is_lost:
            self.link.write(output[0] if len(output) == 1 else b"".join(output))

    async def _start_tls(self, context: ssl.SSLContext, *, first: bool = False) -> None:
        """Become a TLS connection.

        What was sent in clear is forgotten (RFC 3207 4.2); with ``first``, where TLS comes
        before anything else, what arrived already is the handshake's. Raises OSError
        (ssl.SSLError among them) when the handshake fails.
        """
        assert self.link is not None
        self._send()
        self._is_paused = False
        taken = self._take_input()
        try:
            secure = await tls.start(
                self.loop,
                self.link,
                cast(asyncio.Protocol, self),
                context,
                taken=taken if first else b"",
                handshake_seconds=HANDSHAKE_SECONDS,
                shutdown_seconds=LINGER_SECONDS,
            )
        except BaseException:
            self.is_lost = True
            self.link.abort()
            raise
        self.link = secure

    async def _close(self, *, linger: bool) -> None:
        """Send what is due and close; with ``linger`` the client can read it first."""
        self._send()
        link = self.link
        if link is None or self.is_lost:
            return
        if linger and not self._is_half_closed and link.can_write_eof():
            # Closing a socket with unread input resets it, and the reset overtakes the reply.
            with contextlib.suppress(OSError, Gone):
                link.write_eof()
                self._end = ""
                give_up = self.loop.call_later(LINGER_SECONDS, self.expire, "lost")
                try:
                    while True:
                        self._take_input()
                        await self._more()
                finally:
                    give_up.cancel()
        if not link.is_closing():  # asyncio's TLS breaks when it is closed twice
            link.close()
        if link.get_write_buffer_size():
            await asyncio.sleep(0)
            if link.get_write_buffer_size():
                # Unread replies would keep the socket for as long as the client likes.
                self.loop.call_later(LINGER_SECONDS, link.abort)

    def _ring(self) -> None:
        if self._alarm is not None and not self._alarm.done():
            self._alarm.set_result(None)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

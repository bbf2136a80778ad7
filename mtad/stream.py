"""A client's connection as octets: input in order, output gathered, deadlines, TLS, deflate.

For services in which one task reads what a client says and answers it (IMAP, POP3). Everything
is bounded: reading pauses while enough input waits, and who writes waits for a client that does
not read. What is put is sent when the event loop has its next turn, so that the answers to
pipelined commands are one write, and none waits for slow work behind it. Every way in which a
connection can end is one exception, ``Gone``, at the task's next wait; nothing here cancels it.
"""

import asyncio
import contextlib
import socket
import ssl
import zlib
from collections.abc import Callable, Coroutine
from typing import Any, cast

from mtad import tls

MAX_INPUT = 64 * 1024
"""Octets of input that may wait before reading pauses."""
MAX_OUTPUT = 64 * 1024
"""Octets that the transport may hold before writing waits."""
MIN_APART = 32 * 1024
"""Octets of output from which it is handed over in pieces, since joining them takes longer."""
HANDSHAKE_SECONDS = 30
LINGER_SECONDS = 1.0
"""After the last word: time for the client to read it before the socket goes."""
WRITE_SECONDS = 300.0
"""How long a client may let an answer wait without reading any of it."""
NEVER = float("inf")
WINDOW_BITS = -13
"""Our window for deflate without a header (RFC 4978): 8 KiB, for 40 KiB of memory at most."""
MEMORY_LEVEL = 5


class Gone(Exception):
    """The session cannot go on; ``why`` as in ``conn.close``."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Stream(asyncio.Protocol):
    """One connection. ``serve`` is what the task runs, from the connection's first moment."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        serve: "Callable[[Stream], Coroutine[Any, Any, None]]",
    ) -> None:
        self.loop = loop
        self.link: asyncio.Transport | None = None
        """The transport, the secure one once TLS is on."""
        self.ip = ""
        """Where the client is."""
        self.proxy = ""
        """The proxy that it came through; empty without one."""
        self.task: asyncio.Task[None] | None = None
        self.deadline = NEVER
        """For what is waited for at present, in the loop's time."""
        self.is_lost = False
        self.is_tls = False
        self.received = self.sent = 0
        """Octets of the protocol, within TLS and deflate."""
        self._serve: Callable[[Stream], Coroutine[Any, Any, None]] | None = serve
        self._input: list[bytes] = []
        self._waits = 0
        self._output: list[bytes] = []
        self._gathered = 0
        self._flushing: asyncio.Handle | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._alarm: asyncio.Future[None] | None = None
        self._is_poked = False
        self._is_half_closed = False
        self._is_paused = False
        self._end = ""
        self._deflate: Any = None
        self._inflate: Any = None
        self._compressed = b""

    # ------------------------------------------------ called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there; STARTTLS may call this again."""
        if self.link is not None:
            return
        self.link = cast(asyncio.Transport, transport)
        self.link.set_write_buffer_limits(MAX_OUTPUT)
        peer = transport.get_extra_info("peername") or ("",)
        self.ip = str(peer[0]).removeprefix("::ffff:")
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            # asyncio does it for some sockets only; without, an answer in two writes takes 40 ms.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        serve, self._serve = self._serve, None
        assert serve is not None
        self.task = self.loop.create_task(serve(self))

    def data_received(self, data: bytes) -> None:
        """Octets arrived."""
        if self._inflate is not None:
            self._compressed += data
            self._expand()
        else:
            self._take_in(data)
        if len(self._compressed) + self._waits > MAX_INPUT:
            self._pause()

    def _take_in(self, data: bytes) -> None:
        self._input.append(data)
        self._waits += len(data)
        self.received += len(data)
        self._wake()

    def _expand(self) -> None:
        """Inflate what arrived, as far as there is room for it."""
        while self._compressed and self._waits < MAX_INPUT:
            try:
                data = self._inflate.decompress(self._compressed, MAX_INPUT)
            except zlib.error:
                self.expire("lost")
                return
            self._compressed = self._inflate.unconsumed_tail
            if data:
                self._take_in(data)
            if self._inflate.eof:
                self.eof_received()
                return

    def _pause(self) -> None:
        if not self._is_paused and self.link is not None:
            self._is_paused = True
            self.link.pause_reading()

    def eof_received(self) -> bool:
        """The client sends no more but may still read; true keeps our half open."""
        self._is_half_closed = True
        self._wake()
        return not self.is_tls

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone in both directions."""
        self.is_lost = True
        self._wake()
        self._ring()
        self.resume_writing()

    def pause_writing(self) -> None:
        """The client does not read; answers wait."""
        if self._room is None:
            self._room = self.loop.create_future()

    def resume_writing(self) -> None:
        """There is room for answers again."""
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    # ------------------------------------------------- called by the listener

    def overdue(self, now: float) -> bool:
        """Whether what is waited for should have come by now."""
        return self.deadline < now

    def expire(self, why: str) -> None:
        """End the session at its next wait, or the present one."""
        self._end = self._end or why
        self._wake()
        self._ring()
        self.resume_writing()

    def abort(self, why: str) -> None:
        """Cut the connection without further words."""
        self.expire(why)
        if self.link is not None:
            self.link.abort()

    # -------------------------------------------------- called by the session

    async def wait(self) -> None:
        """Return when there is input or somebody poked. Raises Gone."""
        self._flush()
        if self._end:
            raise Gone(self._end)
        if not (self._input or self._is_poked):
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
            if self.is_lost:
                # What a lost client had still to say is not carried out.
                raise Gone("lost")
        self._is_poked = False

    def take(self) -> bytes:
        """All input that has arrived and was not taken; may be none."""
        taken, self._input = self._input, []
        self._waits = 0
        if self._compressed:
            self.loop.call_soon(self._expand)
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def give_back(self, octets: bytes) -> None:
        """Put what was taken too much in front again."""
        if octets:
            self._input.insert(0, octets)
            self._waits += len(octets)

    def poke(self) -> None:
        """Let ``wait`` return, now or the next time."""
        self._is_poked = True
        self._wake()

    @property
    def pending(self) -> int:
        """Octets that were put and are not with the system yet."""
        link = self.link
        return self._gathered + (link.get_write_buffer_size() if link is not None else 0)

    def put(self, data: bytes) -> None:
        """Send octets in order, at the loop's next turn."""
        self._output.append(data)
        self._gathered += len(data)
        if self._flushing is None:
            self._flushing = self.loop.call_soon(self._flush)

    async def drain(self) -> None:
        """Give others a turn, and wait until the client has read enough. Raises Gone."""
        self._flush()
        if self._room is None:
            await asyncio.sleep(0)
        before, self.deadline = self.deadline, self.loop.time() + WRITE_SECONDS
        try:
            while self._room is not None and not (self._end or self.is_lost):
                await self._room
        finally:
            self.deadline = before
        if self._end or self.is_lost:
            raise Gone(self._end or "lost")

    async def delay(self, seconds: float) -> None:
        """Let the client wait; what it says meanwhile waits too. Raises Gone."""
        self._flush()
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

    def _flush(self) -> None:
        """Write what was gathered."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if not self._output:
            return
        output, self._output = self._output, []
        gathered, self._gathered = self._gathered, 0
        self.sent += gathered
        if gathered >= MIN_APART and self._deflate is None:
            if self.link is not None and not self.is_lost:
                self.link.writelines(output)
            return
        data = output[0] if len(output) == 1 else b"".join(output)
        if self._deflate is not None:
            data = self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        if self.link is not None and not self.is_lost:
            self.link.write(data)

    async def start_tls(self, context: ssl.SSLContext, *, first: bool = False) -> None:
        """Become a TLS connection.

        What was sent in clear is forgotten (RFC 9051 6.2.1); with ``first``, where TLS comes
        before anything else, what arrived already is the handshake's. Raises OSError
        (ssl.SSLError among them) when the handshake fails.
        """
        assert self.link is not None
        self._flush()
        self._is_paused = False
        taken = self.take()
        try:
            secure = await tls.start(
                self.loop,
                self.link,
                self,
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
        self.link.set_write_buffer_limits(MAX_OUTPUT)
        self.is_tls = True

    def start_deflate(self) -> None:
        """Compress from here on in both directions (RFC 4978)."""
        self._flush()
        self._deflate = zlib.compressobj(6, zlib.DEFLATED, WINDOW_BITS, MEMORY_LEVEL)
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self.data_received(self.take())

    @property
    def is_deflated(self) -> bool:
        """Whether the connection is compressed."""
        return self._deflate is not None

    async def close(self, *, linger: bool) -> None:
        """Send what is due and close; with ``linger`` the client can read it first."""
        self._flush()
        link = self.link
        if link is None or self.is_lost:
            return
        if linger and not self._is_half_closed and link.can_write_eof():
            # Closing a socket with unread input resets it, and the reset overtakes the answer.
            with contextlib.suppress(OSError, Gone):
                link.write_eof()
                self._end = ""
                give_up = self.loop.call_later(LINGER_SECONDS, self.expire, "lost")
                try:
                    while True:
                        await self.wait()
                        self.take()
                finally:
                    give_up.cancel()
        if not link.is_closing():  # asyncio's TLS breaks when it is closed twice
            link.close()
        if link.get_write_buffer_size():
            await asyncio.sleep(0)
            if link.get_write_buffer_size():
                # Unread answers would keep the socket for as long as the client likes.
                self.loop.call_later(LINGER_SECONDS, link.abort)

    def _ring(self) -> None:
        if self._alarm is not None and not self._alarm.done():
            self._alarm.set_result(None)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

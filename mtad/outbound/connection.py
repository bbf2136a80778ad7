"""One outbound connection: a socket, TLS and clocks around ``protocol.Client``.

The client says what to send and what the server's octets mean; here they are moved, and every
wait ends: at the stage's time limit (RFC 5321 4.5.3.2), at the end of the connection, or with
what was waited for. A server that sends one octet at a time gains no time by it.
"""

import asyncio
import contextlib
import os
import ssl
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from mtad.outbound.attempt import Stage
from mtad.outbound.content import BLOCK, BareReturn, Stuffer
from mtad.outbound.envelope import Envelope
from mtad.outbound.protocol import Body, Client, Done, Happening, Ready, Refused, StartTls
from mtad.outbound.stored import open_to_send

QUIT_SECONDS = 2.0
"""For the answer to QUIT, which decides nothing."""
HANDSHAKE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait, by what is waited for; defaults of RFC 5321 4.5.3.2."""

    connect: float = 30
    command: float = 300
    data: float = 120
    block: float = 180
    dot: float = 600

    def of(self, stage: Stage) -> float:
        """For the reply of a stage."""
        return {"data": self.data, "dot": self.dot}.get(stage, self.command)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect: an address and port, or the path of a unix socket.

    ``host`` is the name for people and for certificates.
    """

    host: str
    ip: str = ""
    port: int = 0
    path: str = ""
    source: str = ""

    @property
    def tls_name(self) -> str:
        """The name, or for a literal the address, that a certificate must be for."""
        return self.ip if self.host.startswith("[") else self.host

    def __str__(self) -> str:
        return self.path or f"{self.host} [{self.ip}]:{self.port}"


class ConnectFailed(Exception):
    """There is no connection; says why."""


class Connection(asyncio.Protocol):
    """A connection that is being opened, or open. Not safe for concurrent use.

    While it is open it is in ``everyone``.
    """

    def __init__(
        self,
        client: Client,
        endpoint: Endpoint,
        timeouts: Timeouts,
        cn: int,
        everyone: "set[Connection]",
    ) -> None:
        self.client = client
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._everyone = everyone
        self.endpoint = endpoint
        self.cn = cn
        self.messages = 0
        """Transactions begun."""
        self.connect_ms = 0.0
        """From connecting until the server was ready for mail."""
        self._timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self._link: asyncio.Transport | None = None
        self._happened: deque[Happening] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._is_quitting = False

    # ------------------------------------------------ called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected."""
        self._link = cast(asyncio.Transport, transport)
        self._everyone.add(self)

    def data_received(self, data: bytes) -> None:
        """The server sent something."""
        self._happened.extend(self.client.receive(data))
        if self._happened and isinstance(self._happened[-1], StartTls) and self._link is not None:
            # What follows in clear must not be taken for a reply.
            self._link.pause_reading()
        self._flush()
        if self._is_quitting:
            self.abort()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._gone()
        self._happened.extend(self.client.lost("connection lost"))
        self._wake()
        self.resume_writing()

    def pause_writing(self) -> None:
        """The server does not read; what is to be sent waits."""
        if self._room is None:
            self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        """There is room again."""
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    # ------------------------------------------------------------- the session

    async def open(self, context: ssl.SSLContext | None = None) -> None:
        """Connect; with ``context`` TLS comes first. Raises ConnectFailed, ssl.SSLError."""
        to = self.endpoint
        try:
            async with asyncio.timeout(self._timeouts.connect):
                if to.path:
                    await self._loop.create_unix_connection(lambda: self, to.path)
                else:
                    await self._loop.create_connection(
                        lambda: self,
                        to.ip,
                        to.port,
                        ssl=context,
                        server_hostname=to.tls_name if context else None,
                        local_addr=(to.source, 0) if to.source else None,
                    )
        except ssl.SSLError:
            raise
        except TimeoutError as error:
            raise ConnectFailed(f"no connection within {self._timeouts.connect:g} s") from error
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else str(error) or "no connection"
            raise ConnectFailed(why.lower()) from error

    async def start_tls(self, context: ssl.SSLContext) -> ssl.SSLObject:
        """Do the handshake. Raises OSError (ssl.SSLError among them) and closes then."""
        assert self._link is not None
        self._link.resume_reading()
        try:
            secure = await self._loop.start_tls(
                self._link,
                self,
                context,
                server_hostname=self.endpoint.tls_name,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
            )
        except BaseException:
            # The transport tells the handshake of its end and not us.
            self._gone()
            self._link.abort()
            raise
        if secure is None:
            self._gone()
            raise ConnectionResetError("connection lost")
        self._link = secure
        return self.ssl_object()

    def ssl_object(self) -> ssl.SSLObject:
        """The TLS session, which must be there."""
        assert self._link is not None
        return cast(ssl.SSLObject, self._link.get_extra_info("ssl_object"))

    @property
    def source(self) -> str:
        """The address we send from, empty where there is none."""
        name = self._link.get_extra_info("sockname") if self._link else None
        return str(name[0]) if isinstance(name, tuple) else ""

    def secured(self, description: str) -> None:
        """Go on after the handshake."""
        self.client.secured(description)
        self._flush()

    async def greeted(self) -> StartTls | Ready | Refused:
        """What the greeting came to, or a handshake to be done before it goes on."""
        happening = await self._next()
        assert isinstance(happening, StartTls | Ready | Refused)
        return happening

    async def transact(self, envelope: Envelope, content: bytes | Path, size: int) -> Done:
        """Send one message. Raises OSError when its file cannot be read; nothing was sent then."""
        self.messages += 1
        async with _reading(content) as source:
            self._happened.extend(self.client.begin(envelope))
            self._flush()
            happening = await self._next()
            if isinstance(happening, Body):
                await self._send(source, size)
                happening = await self._next()
        assert isinstance(happening, Done)
        return happening

    def quit(self) -> None:
        """End the session as it should end, without waiting for it."""
        if self._link is None or self.client.is_closed or self._is_quitting:
            self.abort()
            return
        self.client.quit()
        self._flush()
        self._is_quitting = True
        self._loop.call_later(QUIT_SECONDS, self.abort)

    def abort(self) -> None:
        """Cut the connection."""
        if self._link is not None:
            self._link.abort()

    # -------------------------------------------------------------- inside

    async def _send(self, source: "bytes | BinaryIO", size: int) -> None:
        """The message, until the server has had enough of it."""
        stuffer, ready = Stuffer(), b""
        try:
            async for block in _blocks(source):
                await self._drain()
                if self._happened:
                    return
                self._write(ready)
                ready = stuffer.feed(block)
        except (OSError, BareReturn) as error:
            # Nothing may follow that could be taken for the end of the message.
            self._give_up(f"the message cannot be read: {error}")
        if not self._happened:
            self.client.sent(stuffer.end(), size)
            # The last block and the end together: a short message is one segment.
            self._write(ready + self.client.take())

    async def _drain(self) -> None:
        """Wait until the socket takes more."""
        if self._room is None:
            return
        try:
            async with asyncio.timeout(self._timeouts.block):
                await self._room
        except TimeoutError:
            self._give_up(f"the message was not taken within {self._timeouts.block:g} s")

    async def _next(self) -> Happening:
        """The next thing that happens; the end of the connection is one."""
        while not self._happened:
            answered = self.client.answered
            seconds = self._timeouts.of(self.client.waits_for)
            timer = self._loop.call_later(seconds, self._give_up, f"no answer within {seconds:g} s")
            try:
                while not self._happened and self.client.answered == answered:
                    self._waiter = self._loop.create_future()
                    await self._waiter
            finally:
                self._waiter = None
                timer.cancel()
        return self._happened.popleft()

    def _give_up(self, why: str) -> None:
        """The other side is as good as gone."""
        self._happened.extend(self.client.lost(why))
        self.abort()
        self._wake()
        self.resume_writing()

    def _gone(self) -> None:
        self._everyone.discard(self)
        if not self.ended.done():
            self.ended.set_result(None)

    def _flush(self) -> None:
        self._write(self.client.take())

    def _write(self, octets: bytes) -> None:
        if octets and self._link is not None and not self._link.is_closing():
            self._link.write(octets)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


async def _blocks(source: "bytes | BinaryIO") -> AsyncIterator[bytes]:
    """The message in pieces; a file is read in a thread. Raises OSError."""
    if isinstance(source, bytes):
        for at in range(0, len(source), BLOCK):
            yield source[at : at + BLOCK]
        return
    loop = asyncio.get_running_loop()
    while block := await loop.run_in_executor(None, source.read, BLOCK):
        yield block


@contextlib.asynccontextmanager
async def _reading(content: bytes | Path) -> "AsyncIterator[bytes | BinaryIO]":
    """The message itself, or its file, open."""
    if isinstance(content, bytes):
        yield content
        return
    loop = asyncio.get_running_loop()
    file = await loop.run_in_executor(None, open_to_send, content)
    try:
        yield file
    finally:
        await loop.run_in_executor(None, file.close)

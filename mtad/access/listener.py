"""Listening sockets of mail clients: who is behind a proxy, deadlines, draining."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mtad.clients import proxy
from mtad.clients.networks import networks
from mtad.clock import now_us
from mtad.config import Access
from mtad.imap.dialog import Dialog as ImapDialog
from mtad.imap.service import Service as Imap
from mtad.pop3.dialog import Dialog as PopDialog
from mtad.pop3.service import Service as Pop3
from mtad.stream import NEVER, Gone, Stream
from tracing.events import ConnRefused

SERVICES = ("imap", "imaps", "pop3", "pop3s")
"""The services of ``[listen]`` that are served here."""
DRAIN_SECONDS = 5.0
"""At a stop: time for sessions to finish their present command."""
BACKLOG = 1024
SWEEP_SECONDS = 1.0
PROXY_SECONDS = 5.0
"""How long a proxy may take to say for whom it connects."""

Dialog = ImapDialog | PopDialog


@dataclass(slots=True)
class Services:
    """Both protocols, and what holds for clients of either."""

    settings: Access
    imap: Imap
    pop3: Pop3

    @property
    def dialogs(self) -> list[Dialog]:
        """The open connections."""
        return [*self.imap.sessions, *self.pop3.sessions]


class Listener:
    """Accepts on given sockets until it is stopped."""

    def __init__(self, services: Services, sockets: Mapping[str, Sequence[socket.socket]]) -> None:
        self._services = services
        self._sockets = sockets
        self._servers: list[asyncio.Server] = []
        self._streams: set[Stream] = set()
        self._loop = asyncio.get_running_loop()
        # One timer for all: arming one per command costs more than most commands.
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Accept connections."""
        for name, sockets in self._sockets.items():
            for sock in sockets:
                self._servers.append(await self._serve(name, sock))
        self._sweep()

    async def _serve(self, name: str, sock: socket.socket) -> asyncio.Server:
        def connection() -> Stream:
            return Stream(self._loop, lambda stream: self._run(name, stream))

        return await self._loop.create_server(connection, sock=sock, backlog=BACKLOG)

    async def _run(self, name: str, stream: Stream) -> None:
        """One connection, whose client may be behind a proxy."""
        services = self._services
        self._streams.add(stream)
        try:
            if stream.ip in networks(services.settings.proxies) and not await self._behind(stream):
                return
            if name.startswith("imap"):
                await ImapDialog(services.imap, stream, name).run()
            else:
                await PopDialog(services.pop3, stream, name).run()
        finally:
            self._streams.discard(stream)

    async def _behind(self, stream: Stream) -> bool:
        """Read what a proxy says first; False when it said nothing of use."""
        octets = b""
        stream.deadline = self._loop.time() + PROXY_SECONDS
        try:
            while (header := proxy.parse(octets)) is None:
                await stream.wait()
                octets += stream.take()
        except (proxy.BadHeader, Gone) as error:
            # Not a word to a client that nobody vouched for.
            journal = self._services.pop3.journal
            trace, why = journal.mint.new(), f"from the proxy: {error}"
            journal.note(ConnRefused(at=now_us(), trace=trace, ip=stream.ip, why=why))
            await stream.close(linger=False)
            return False
        stream.deadline = NEVER
        stream.give_back(octets[header.length :])
        stream.proxy, stream.ip = stream.ip, header.ip or stream.ip
        return True

    def _sweep(self) -> None:
        """End the sessions whose deadline has passed."""
        now = self._loop.time()
        for stream in self._streams:
            if stream.overdue(now):
                stream.expire("timeout")
        self._timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)

    async def stop(self, seconds: float = DRAIN_SECONDS) -> None:
        """Take no further connections, let sessions finish their command, then cut them."""
        services = self._services
        services.imap.is_stopping = services.pop3.is_stopping = True
        for server in self._servers:
            server.close()
        for dialog in services.dialogs:
            dialog.stop()
        if not await self._empty(seconds):
            for stream in tuple(self._streams):
                stream.abort("shutdown")
            await self._empty(seconds)
        if self._timer is not None:
            self._timer.cancel()

    async def _empty(self, seconds: float) -> bool:
        """Wait until no connection is left; whether that came in time."""
        tasks = [stream.task for stream in self._streams if stream.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        return not self._streams

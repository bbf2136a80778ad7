"""Listening sockets and the sessions behind them: accepting, deadlines, draining."""

import asyncio
import socket

from mtad import sockets
from mtad.smtp.lmtp import LmtpReceiver
from mtad.smtp.receiver import Receiver
from mtad.smtp.service import Service
from mtad.smtp.submitter import Submitter

DRAIN_SECONDS = 10.0
"""At a stop: time for sessions to finish their current command."""
COMMIT_SECONDS = 10.0
"""Then: time for messages whose end was seen to become durable."""
BACKLOG = 1024
INBOUND, LOCAL = "smtp", "lmtp"
"""The listeners for other servers, and for those of our own; the others are for our users."""


class Listener:
    """Accepts on given sockets until it is stopped."""

    def __init__(self, service: Service, links: sockets.Sockets) -> None:
        self._service = service
        self._links = links
        self._servers: list[asyncio.Server] = []
        self._loop = asyncio.get_running_loop()
        # One timer for all sessions: arming one per command costs more than the command.
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Accept connections."""
        for name, links in self._links.items():
            for sock in links:
                self._servers.append(await self._serve(name, sock))
        self._sweep()

    async def _serve(self, name: str, sock: socket.socket) -> asyncio.Server:
        label = f"{name} {sockets.place(sock)}"
        service, submission = self._service, self._service.submission

        def session() -> Receiver:
            if name == LOCAL:
                return LmtpReceiver(service, label, self._loop)
            if name == INBOUND or submission is None:
                return Receiver(service, label, self._loop)
            return Submitter(service, submission, label, self._loop)

        if sock.family == socket.AF_UNIX:
            return await self._loop.create_unix_server(session, sock=sock, backlog=BACKLOG)
        return await self._loop.create_server(session, sock=sock, backlog=BACKLOG)

    def _sweep(self) -> None:
        """End the sessions whose deadline has passed."""
        now = self._loop.time()
        for session in self._service.sessions:
            if why := session.overdue(now):
                session.expire(why)
        limits = self._service.limits
        shortest = min(limits.command_timeout_seconds, limits.data_timeout_seconds)
        period = min(1.0, shortest / 4)
        self._timer = self._loop.call_later(period, self._sweep)

    async def stop(self, seconds: float = DRAIN_SECONDS) -> None:
        """Take no further connections and let the sessions finish their command (RFC 5321 3.8).

        What has not ended after ``seconds`` is cut, except for commits under way, which are
        waited for: their message is ours already or will be refused by the journal.
        """
        service = self._service
        service.is_stopping = True
        for server in self._servers:
            server.close()
        for session in tuple(service.sessions):
            session.drain()
        if not await self._empty(seconds):
            for session in tuple(service.sessions):
                session.abort()
            await self._empty(COMMIT_SECONDS)
        if self._timer is not None:
            self._timer.cancel()

    async def _empty(self, seconds: float) -> bool:
        """Wait until no session is left; whether that came in time."""
        tasks = [session.task for session in self._service.sessions]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        return not self._service.sessions

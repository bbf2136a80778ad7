"""How a session begins: where the client is, and whether it is taken in.

Of a connection from a listed proxy nothing counts before its header: the client is the one
behind it, in limits, in events and in ``Received``. Of any other a header is never read.
"""

import asyncio
from collections.abc import Callable
from typing import ClassVar, cast

from mtad.clients import proxy
from mtad.clients.networks import networks
from mtad.clients.rates import Share
from mtad.clock import now_us
from mtad.smtp import received
from mtad.smtp.policy import Facts
from mtad.smtp.service import Service
from mtad.smtp.wire import NEVER, Gone, Wire
from tracing.events import ConnOpen, ConnRefused, Event

PROXY_SECONDS = 5.0
"""How long a proxy may take to say for whom it connects."""


class Arrival(Wire):
    """A connection before its greeting; mixed into the session."""

    task: asyncio.Task[None] | None
    cn: int
    _service: Service
    _listener: str
    _client: received.Client
    _facts: Facts
    _opened: float
    _note: Callable[[Event], None]
    has_proxies: ClassVar[bool] = True
    """Whether clients of this service may come by one."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there: take it in or turn it away. STARTTLS may call this again."""
        if self.link is not None:
            return
        self.link = cast(asyncio.Transport, transport)
        service = self._service
        peer = transport.get_extra_info("peername")
        # That of a unix socket is text: a path, mostly none.
        ip = str(peer[0]).removeprefix("::ffff:") if isinstance(peer, tuple) else ""
        self._client = received.Client(ip)
        self.cn = service.journal.mint.new()
        self._opened = self.loop.time()
        service.connections += 1
        if self.has_proxies and ip in networks(service.limits.proxies):
            if why := service.why_full():
                self._turn_away(why)
                return
            service.sessions.add(self)
            self.task = self.loop.create_task(self._behind(ip))
        elif self._is_taken():
            self.task = self.loop.create_task(self._handle_client())

    def _is_taken(self, proxy_ip: str = "") -> bool:
        """Count the client in and open its trace, or turn it away."""
        service, ip = self._service, self._client.ip
        if why := self._why_not(ip):
            self._turn_away(why)
            return False
        service.enter(self, ip)
        self._facts.share = self._share(ip)
        self._note(
            ConnOpen(at=now_us(), trace=self.cn, ip=ip, listener=self._listener, proxy=proxy_ip)
        )
        return True

    def _why_not(self, ip: str) -> str:
        """Why a client is not taken; empty when it is."""
        return self._service.why_not(ip)

    def _share(self, ip: str) -> Share | None:
        """What a client may send within an hour; None for no limit."""
        return self._service.share(ip)

    async def _behind(self, proxy_ip: str) -> None:
        """The session of a client behind a proxy."""
        service = self._service
        try:
            header = await self._header()
        except (proxy.BadHeader, Gone) as error:
            # Not a word to a client that nobody vouched for.
            why = f"from the proxy: {error}"
            self._note(ConnRefused(at=now_us(), trace=self.cn, ip=proxy_ip, why=why))
            await self._close(linger=False)
            header = None
        service.sessions.discard(self)
        if header is None:
            return
        self._client = received.Client(header.ip or proxy_ip)
        if self._is_taken(proxy_ip):
            await self._handle_client()

    async def _header(self) -> proxy.Header:
        """Read what the proxy says first. Raises proxy.BadHeader, Gone."""
        self.deadline = self.loop.time() + PROXY_SECONDS
        self._is_between = True
        while (header := proxy.parse(self.input)) is None:
            await self._more()
        self._is_between = False
        self.deadline = NEVER
        self._give_back(self.input[header.length :])
        return header

    def _turn_away(self, why: str) -> None:
        """Answer 421 instead of a greeting (RFC 5321 3.1 allows it)."""
        status = "4.3.2" if self._service.is_stopping else "4.7.0"
        reply = f"421 {status} {self._service.hostname} {why}"
        self._note(
            ConnRefused(
                at=now_us(),
                trace=self.cn,
                ip=self._client.ip,
                code=421,
                enh=status,
                reply=reply,
                why=why,
            )
        )
        assert self.link is not None
        self.link.write(reply.encode() + b"\r\n")
        self.link.close()

    async def _handle_client(self) -> None:
        """The session, from its greeting on."""
        raise NotImplementedError

"""One HTTPS request, for policies and reports: verified, bounded, by our own resolver.

The certificate must be valid for the host's name, redirects are not followed, and size and time
have limits. The standard library's client does the talking, in a thread of its own.
"""

import asyncio
import contextlib
import http.client
import socket
import ssl
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from mtad.dns import DnsError, Resolver
from mtad.outbound import hosts, security

PORT = 443
SECONDS = 20.0
"""For a whole request; mail may wait for it."""
THREADS = 4
"""Requests at the same time."""


class HttpsFailed(Exception):
    """There is no answer; ``is_untrusted`` tells that the certificate is why."""

    def __init__(self, why: str, *, is_untrusted: bool = False) -> None:
        super().__init__(why)
        self.is_untrusted = is_untrusted


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a host; a body makes it a POST."""

    host: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None = None
    port: int = PORT


@dataclass(frozen=True, slots=True)
class Response:
    """``kind`` is the media type in lower case; ``body`` is whole, or one octet over the limit."""

    status: int
    kind: str
    body: bytes


class Https:
    """Makes requests; calling it with one gives the response."""

    def __init__(
        self,
        resolver: Resolver,
        context: ssl.SSLContext,
        versions: Sequence[str] = ("ipv4", "ipv6"),
        *,
        seconds: float = SECONDS,
    ) -> None:
        self._resolver = resolver
        self._context = context
        self._versions = versions
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(THREADS, "https")

    async def __call__(self, request: Request, limit: int) -> Response:
        """The response, at most one octet more than ``limit`` of its body. Raises HttpsFailed."""
        try:
            found = await hosts.addresses(self._resolver, request.host, self._versions)
        except DnsError as error:
            raise HttpsFailed(str(error)) from error
        if not found.ips:
            raise HttpsFailed(f"{request.host} has no address")
        talk = _Talk(request, found.ips[0], self._context, self._seconds, limit)
        running = asyncio.get_running_loop().run_in_executor(self._threads, talk.run)
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.shield(running)
        except TimeoutError as error:
            raise HttpsFailed("no answer in time") from error
        finally:
            talk.stop()
            # Its end comes soon, and nobody may be left to hear of it.
            running.add_done_callback(lambda done: done.cancelled() or done.exception())


class _Talk:
    """One request, in a thread; ``stop`` ends it from another."""

    def __init__(
        self, request: Request, ip: str, context: ssl.SSLContext, seconds: float, limit: int
    ) -> None:
        self._request = request
        self._ip = ip
        self._context = context
        self._seconds = seconds
        self._limit = limit
        self._socket: socket.socket | None = None
        self._is_stopped = False

    def stop(self) -> None:
        """Cut the connection, where there still is one."""
        self._is_stopped = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def run(self) -> Response:
        """Raises HttpsFailed."""
        if self._is_stopped:
            raise HttpsFailed("too many requests at a time")
        to = self._request
        try:
            with socket.create_connection((self._ip, to.port), self._seconds) as plain:
                self._socket = plain
                with self._context.wrap_socket(plain, server_hostname=to.host) as secure:
                    self._socket = secure
                    return self._exchange(secure)
        except ssl.SSLCertVerificationError as error:
            raise HttpsFailed(security.failure(error), is_untrusted=True) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise HttpsFailed(str(error) or "no answer") from error

    def _exchange(self, secure: ssl.SSLSocket) -> Response:
        to = self._request
        with contextlib.closing(http.client.HTTPConnection(to.host, to.port)) as connection:
            connection.sock = secure
            headers = {"Host": to.host, **to.headers, "Connection": "close"}
            method = "GET" if to.body is None else "POST"
            connection.request(method, to.path, body=to.body, headers=headers)
            with connection.getresponse() as response:
                kind = (response.getheader("Content-Type") or "").partition(";")[0]
                body = response.read(self._limit + 1)
                if len(body) <= self._limit and response.length:
                    raise HttpsFailed("the answer broke off")
                return Response(response.status, kind.strip().lower(), body)

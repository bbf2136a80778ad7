"""Fetching an MTA-STS policy file by HTTPS (RFC 8461 3.3).

The certificate must be valid for ``mta-sts.DOMAIN``; redirects are not followed; size and time
are bounded. The name is looked up by our own resolver, as everything else is.
"""

import asyncio
import contextlib
import http.client
import socket
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from mtad.dns import DnsError, Resolver
from mtad.outbound import hosts, security
from mtad.outbound.mta_sts import MAX_POLICY
from mtad.outbound.sts_cache import HOST, FetchFailed

PATH = "/.well-known/mta-sts.txt"
SECONDS = 20.0
"""For a whole fetch; mail waits for it."""
THREADS = 4
"""Fetches at the same time."""
HTTPS = 443


class StsFetcher:
    """Fetches policy files; calling it with a domain gives the file's octets."""

    def __init__(
        self,
        resolver: Resolver,
        context: ssl.SSLContext,
        versions: Sequence[str] = ("ipv4", "ipv6"),
        *,
        port: int = HTTPS,
        seconds: float = SECONDS,
    ) -> None:
        self._resolver = resolver
        self._context = context
        self._versions = versions
        self._port = port
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(THREADS, "mta-sts")

    async def __call__(self, domain: str) -> bytes:
        """A domain's policy file. Raises FetchFailed."""
        host = HOST + domain
        try:
            found = await hosts.addresses(self._resolver, host, self._versions)
        except DnsError as error:
            raise FetchFailed("sts-policy-fetch-error", str(error)) from error
        if not found.ips:
            raise FetchFailed("sts-policy-fetch-error", f"{host} has no address")
        fetch = _Fetch(host, found.ips[0], self._port, self._context, self._seconds)
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._threads, fetch.run)
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.shield(running)
        except TimeoutError as error:
            raise FetchFailed("sts-policy-fetch-error", "no policy in time") from error
        finally:
            fetch.stop()
            # Its end comes soon, and nobody is left to hear of it.
            running.add_done_callback(lambda done: done.cancelled() or done.exception())


class _Fetch:
    """One fetch, in a thread; ``stop`` ends it from another."""

    def __init__(
        self, host: str, ip: str, port: int, context: ssl.SSLContext, seconds: float
    ) -> None:
        self._host = host
        self._ip = ip
        self._port = port
        self._context = context
        self._seconds = seconds
        self._socket: socket.socket | None = None
        self._is_stopped = False

    def stop(self) -> None:
        """Cut the connection, where there still is one."""
        self._is_stopped = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def run(self) -> bytes:
        """Raises FetchFailed."""
        if self._is_stopped:
            raise FetchFailed("sts-policy-fetch-error", "too many fetches at a time")
        try:
            with socket.create_connection((self._ip, self._port), self._seconds) as plain:
                self._socket = plain
                with self._context.wrap_socket(plain, server_hostname=self._host) as secure:
                    self._socket = secure
                    return self._get(secure)
        except ssl.SSLCertVerificationError as error:
            raise FetchFailed("sts-webpki-invalid", security.failure(error)) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise FetchFailed("sts-policy-fetch-error", str(error) or "no answer") from error

    def _get(self, secure: ssl.SSLSocket) -> bytes:
        with contextlib.closing(http.client.HTTPConnection(self._host)) as connection:
            connection.sock = secure
            headers = {"Host": self._host, "Accept": "text/plain", "Connection": "close"}
            connection.request("GET", PATH, headers=headers)
            with connection.getresponse() as response:
                return _body(response)


def _body(response: http.client.HTTPResponse) -> bytes:
    """The policy file of an answer. Raises FetchFailed."""
    if response.status != 200:
        # RFC 8461 3.3: redirects must not be followed.
        raise FetchFailed("sts-policy-fetch-error", f"HTTP status {response.status}")
    kind = (response.getheader("Content-Type") or "").partition(";")[0].strip().lower()
    if kind != "text/plain":
        raise FetchFailed("sts-policy-fetch-error", f"media type {kind[:40]!r}")
    body = response.read(MAX_POLICY + 1)
    if len(body) > MAX_POLICY:
        raise FetchFailed("sts-policy-invalid", "the policy is too long")
    if response.length:
        raise FetchFailed("sts-policy-fetch-error", "the answer broke off")
    return body

"""TLS for servers: contexts made of certificate files, and their memory kept small."""

import asyncio.sslproto
import ssl
import threading
from pathlib import Path
from typing import Any

from mtad.errors import ConfigError

RECORD = 16384
"""Octets of a TLS record (RFC 8446 5.1): what one connection's read buffer needs."""


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A context for servers, TLS 1.2 and up (RFC 8996). Raises ConfigError that says why not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    for path in (certificate, key):
        if not path.is_file():
            raise ConfigError(
                f"there is no file {path}; set tls.certificate and tls.key, or remove both"
            )
    try:
        context.load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(
            f"cannot use certificate {certificate} with key {key}: {_reason(error)}"
        ) from error
    return context


class _Buffer(threading.local):
    """Where a thread's loop reads a record into."""

    def __init__(self) -> None:
        self.octets = bytearray(RECORD)


_BUFFER = _Buffer()


class _Protocol(asyncio.sslproto.SSLProtocol):
    """asyncio's TLS, but its connections have one buffer of one record in common.

    What is read leaves it before anything else is. asyncio has 256 KiB for each connection, and
    so has the TLS of uvloop, where that cannot be changed: a client that once sends much at a
    time takes 280 kB for as long as it stays.
    """

    max_size = RECORD

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._ssl_buffer = _BUFFER.octets
        self._ssl_buffer_view = memoryview(self._ssl_buffer)


async def start(
    loop: asyncio.AbstractEventLoop,
    link: asyncio.Transport,
    protocol: asyncio.Protocol,
    context: ssl.SSLContext,
    *,
    taken: bytes = b"",
    handshake_seconds: int,
    shutdown_seconds: float,
) -> asyncio.Transport:
    """Be a TLS server on a connection, with ``protocol`` above; the transport for it.

    ``taken`` is what arrived before and belongs to the handshake. Raises OSError (ssl.SSLError
    and TimeoutError among them) when the handshake fails; the connection is to be aborted then.
    """
    done = loop.create_future()
    secure = _Protocol(
        loop,
        protocol,
        context,
        done,
        server_side=True,
        call_connection_made=False,
        ssl_handshake_timeout=handshake_seconds,
        ssl_shutdown_timeout=shutdown_seconds,
    )
    link.pause_reading()
    link.set_protocol(secure)
    secure.connection_made(link)
    while taken and not link.is_closing():
        room = secure.get_buffer(len(taken))
        count = min(len(room), len(taken))
        room[:count] = taken[:count]
        secure.buffer_updated(count)
        taken = taken[count:]
    if not link.is_closing():
        link.resume_reading()
    await done
    return secure._app_transport


def reason(error: BaseException) -> str:
    """Why a handshake failed, in one line."""
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionError):
        return "connection lost"
    return _reason(error)


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__

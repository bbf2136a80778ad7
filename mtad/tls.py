"""TLS for servers: contexts made of certificate files, and their memory kept small."""

import asyncio.sslproto
import ssl
from pathlib import Path

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


def bound_memory() -> None:
    """Let asyncio's TLS keep one record per connection instead of 256 KiB."""
    asyncio.sslproto.SSLProtocol.max_size = RECORD


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

"""Where exported lines go: standard output, a file, a unix socket, a server by TCP or TLS."""

import contextlib
import errno
import os
import socket
import ssl
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from mtad.errors import Unreachable, UsageError
from tracing.export.lines import counted

SECONDS = 30.0
"""Longest wait for a connection, or until the other side takes what is sent."""


class Place(Protocol):
    """Takes what is exported."""

    def send(self, messages: Sequence[bytes]) -> None:
        """Send messages. Raises Unreachable."""


class Output:
    """Lines on standard output."""

    def send(self, messages: Sequence[bytes]) -> None:
        """Write and flush them."""
        sys.stdout.buffer.write(b"".join(message + b"\n" for message in messages))
        sys.stdout.buffer.flush()


class _Stream:
    """A connection on which each message has its length before it."""

    def __init__(self, link: socket.socket, name: str) -> None:
        self._link, self._name = link, name

    def send(self, messages: Sequence[bytes]) -> None:
        try:
            self._link.sendall(b"".join(map(counted, messages)))
        except OSError as error:
            raise Unreachable(f"{self._name} takes no more: {error}") from error


class _Datagrams:
    """A unix socket that takes one message at a time, as ``/dev/log`` does."""

    def __init__(self, link: socket.socket, name: str) -> None:
        self._link, self._name = link, name

    def send(self, messages: Sequence[bytes]) -> None:
        try:
            for message in messages:
                self._link.send(message)
        except OSError as error:
            raise Unreachable(f"{self._name} takes no more: {error}") from error


@contextlib.contextmanager
def opened(target: str, authority: Path | None = None) -> Iterator[Place]:
    """The place that a text names: ``-``, ``unix:PATH``, ``tcp:HOST:PORT``, ``tls:HOST:PORT``.

    A TLS server must show a certificate of its name, by ``authority`` or those that the system
    trusts. Raises UsageError for another text, Unreachable.
    """
    kind, _, rest = target.partition(":")
    if target == "-":
        yield Output()
    elif kind == "unix" and rest:
        with _unix(rest) as place:
            yield place
    elif kind in ("tcp", "tls") and rest:
        host, port = _host_and_port(rest, target)
        with contextlib.ExitStack() as stack:
            try:
                link = stack.enter_context(socket.create_connection((host, port), SECONDS))
                if kind == "tls":
                    context = ssl.create_default_context(cafile=authority)
                    link = stack.enter_context(context.wrap_socket(link, server_hostname=host))
            except OSError as error:  # ssl.SSLError is one
                raise Unreachable(f"cannot reach {target}: {error}") from error
            yield _Stream(link, target)
    else:
        raise UsageError(
            f"{target} is no place to send to; write unix:/dev/log, tcp:host:port or tls:host:6514"
        )


@contextlib.contextmanager
def _unix(path: str) -> Iterator[Place]:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with contextlib.closing(socket.socket(socket.AF_UNIX, kind)) as link:
            link.settimeout(SECONDS)
            try:
                link.connect(os.fspath(path))
            except OSError as error:
                if kind == socket.SOCK_DGRAM and error.errno == errno.EPROTOTYPE:
                    continue
                raise Unreachable(f"cannot reach unix:{path}: {error.strerror}") from error
            place = _Datagrams if kind == socket.SOCK_DGRAM else _Stream
            yield place(link, f"unix:{path}")
            return


def _host_and_port(text: str, target: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536 or not host:
        raise UsageError(f"{target} has no port; write tcp:host:514 or tls:host:6514")
    return host.strip("[]"), int(port)

"""Listening sockets: bound once by the supervisor, before the roles that accept on them."""

import contextlib
import errno
import socket
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mtad.config import Loaded
from mtad.config_mail import is_path
from mtad.errors import MtadError, NotPermitted, Unreachable

BACKLOG = 1024
EVERYBODY = 0o666
"""Mode of a unix socket: who may connect is a matter of the folder it is in."""

Sockets = Mapping[str, Sequence[socket.socket]]
"""By the names of ``[listen]``."""


def bind_ports(loaded: Loaded, services: Iterable[str]) -> Sockets:
    """Listening sockets of some services. Raises MtadError that names service and place."""
    bound: dict[str, list[socket.socket]] = {}
    for service in services:
        for endpoint in getattr(loaded.config.listen, service):
            if not is_path(endpoint):
                bound.setdefault(service, []).append(_bind_port(service, endpoint))
    return bound


def bind_paths(loaded: Loaded, services: Iterable[str]) -> Sockets:
    """Their unix sockets, likewise; the folders they are in must let this user make files."""
    bound: dict[str, list[socket.socket]] = {}
    for service in services:
        for endpoint in getattr(loaded.config.listen, service):
            if is_path(endpoint):
                link = _bind_path(service, loaded.beside(endpoint))
                bound.setdefault(service, []).append(link)
    return bound


def together(*bound: Sockets) -> Sockets:
    """All of them."""
    names = dict.fromkeys(name for one in bound for name in one)
    return {name: [link for one in bound for link in one.get(name, ())] for name in names}


def place(link: socket.socket) -> str:
    """Where a socket listens, as people write it."""
    at = link.getsockname()
    return at if isinstance(at, str) else f"{at[0]}:{at[1]}"


def places(bound: Sockets) -> list[str]:
    """Where all of them listen, service by service."""
    return [place(link) for links in bound.values() for link in links]


def forget(bound: Sockets) -> None:
    """Close the sockets; unix sockets lose their names."""
    for link in (link for links in bound.values() for link in links):
        if link.family == socket.AF_UNIX:
            Path(place(link)).unlink(missing_ok=True)
        link.close()


def _bind_port(service: str, endpoint: str) -> socket.socket:
    host, _, port = endpoint.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    link = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        link.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        link.bind((host, int(port)))
        link.listen(BACKLOG)
    except PermissionError as error:
        link.close()
        raise NotPermitted(
            f"may not listen on {endpoint} ({service}): start as root, give CAP_NET_BIND_SERVICE, "
            f"or choose a port above 1023 in listen.{service}"
        ) from error
    except OSError as error:
        link.close()
        raise Unreachable(
            f"cannot listen on {endpoint} ({service}): {error.strerror}; "
            f"stop the other program or change listen.{service} in the settings"
        ) from error
    return link


def _bind_path(service: str, path: Path) -> socket.socket:
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        _clear(path)
        link.bind(str(path))
        path.chmod(EVERYBODY)
        link.listen(BACKLOG)
    except OSError as error:
        link.close()
        kind = NotPermitted if isinstance(error, PermissionError) else MtadError
        raise kind(
            f"cannot listen on {path} ({service}): {error.strerror or error}; "
            f"change listen.{service} in the settings"
        ) from error
    return link


def _clear(path: Path) -> None:
    """Take away a socket on which nobody listens any more. Raises OSError for all else."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(errno.EEXIST, "a file that is no socket is there")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
                return
        raise OSError(errno.EADDRINUSE, "another program listens there")

"""Ports for a server that serves this machine only: high ones that are free now."""

import contextlib
import socket
from collections.abc import Mapping

from mtad.errors import MtadError

LOOPBACK = "127.0.0.1"
NEAR: Mapping[str, int] = {
    "smtp": 2525,
    "submission": 2587,
    "submissions": 2465,
    "imap": 2143,
    "imaps": 2993,
    "pop3": 2110,
    "pop3s": 2995,
    "managesieve": 4190,
}
"""Every service of ``[listen]`` that is on by itself, and where to look first."""
TRIES = 1000


def choose(first: int | None = None) -> dict[str, int]:
    """A free port on the loopback for each service: the next free one from where it looks first.

    With ``first`` all are looked for from there on. A port is free if nothing listens there
    now. Raises MtadError where there is none.
    """
    chosen: dict[str, int] = {}
    for service, near in NEAR.items():
        start = near if first is None else first
        for port in range(start, min(start + TRIES, 65536)):
            if port not in chosen.values() and is_free(port):
                chosen[service] = port
                break
        else:
            raise MtadError(f"no free port for {service} between {start} and {start + TRIES}")
    return chosen


def is_free(port: int) -> bool:
    """Whether the server could listen on a loopback port now."""
    with socket.socket() as link, contextlib.suppress(OSError):
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        link.bind((LOOPBACK, port))
        link.listen(1)
        return True
    return False

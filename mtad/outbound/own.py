"""Whether an address and port are where this server itself takes mail."""

import contextlib
import functools
import ipaddress
import socket
from collections.abc import Iterable


class OwnAddresses:
    """The SMTP listeners' endpoints, ADDRESS:PORT; 0.0.0.0 and [::] stand for every address."""

    def __init__(self, listening: Iterable[str]) -> None:
        self._endpoints = set()
        for text in listening:
            host, _, port = text.rpartition(":")
            self._endpoints.add((ipaddress.ip_address(host.strip("[]")), int(port)))

    def has(self, ip: str, port: int) -> bool:
        """Whether a connection to there would be one to ourselves."""
        wanted = ipaddress.ip_address(ip)
        return any(
            port == own_port and (own == wanted or (own.is_unspecified and is_of_this_machine(ip)))
            for own, own_port in self._endpoints
        )


@functools.lru_cache(maxsize=1024)
def is_of_this_machine(ip: str) -> bool:
    """Whether an address belongs to this machine: only such a one can be bound."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((ip, 0))
        return True
    return False

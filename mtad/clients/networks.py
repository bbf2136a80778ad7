"""Sets of addresses named by networks, and the network an address is in."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache


class Networks:
    """Networks as the settings write them, asked whether they hold an address."""

    def __init__(self, given: Sequence[str]) -> None:
        self._networks = tuple(map(ipaddress.ip_network, given))

    def __contains__(self, ip: str) -> bool:
        if not self._networks:
            return False
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return False  # a unix socket's peer has none
        return any(address in network for network in self._networks)


networks = lru_cache(maxsize=16)(Networks)
"""The same set for the same tuple: settings are asked for every connection."""

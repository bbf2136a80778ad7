"""What clients do: connections at once, and what they did lately, in bounded memory (PURE).

A client is an address of IPv4 or, since a machine has as many addresses of IPv6 as it likes, a
/64 of them. Its network is the /24 or the /48 around it. All times are in seconds of one clock
that never goes back.
"""

import ipaddress
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

MAX_KEYS = 20_000
"""Clients of which a rate knows at a time; beyond it those heard of first are forgotten."""
MINUTE, HOUR = 60.0, 3600.0
CLIENT_BITS = 64
NETWORK_BITS = 48
"""Of an IPv6 address."""


@lru_cache(maxsize=4096)
def keys(ip: str) -> tuple[str, str]:
    """The client that an address is of, and its network."""
    if ":" not in ip:
        return ip, ip.rpartition(".")[0] + "."
    address = ipaddress.IPv6Address(ip)
    client = ipaddress.IPv6Network((address, CLIENT_BITS), strict=False)
    return str(client), str(client.supernet(new_prefix=NETWORK_BITS))


class Rate:
    """How often something happened within the last ``seconds``, by key.

    Counts of two fixed windows are kept and not each event: what is told weighs the older
    window by how much of it lies within ``seconds``, as if its events were spread evenly.
    """

    __slots__ = ("_before", "_began", "_counts", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began = 0.0
        self._counts: dict[str, int] = {}
        self._before: dict[str, int] = {}

    def add(self, key: str, at: float) -> None:
        """It happened once more."""
        self._turn(at)
        counts = self._counts
        if key not in counts and len(counts) >= MAX_KEYS:
            del counts[next(iter(counts))]
        counts[key] = counts.get(key, 0) + 1

    def of(self, key: str, at: float) -> float:
        """How often it happened."""
        self._turn(at)
        count = float(self._counts.get(key, 0))
        if before := self._before.get(key):
            count += before * (1 - (at - self._began) / self._seconds)
        return count

    def _turn(self, at: float) -> None:
        """Begin another window when the present one is over."""
        passed = at - self._began
        if passed >= self._seconds:
            self._before = self._counts if passed < 2 * self._seconds else {}
            self._counts = {}
            self._began += passed // self._seconds * self._seconds


class Clients:
    """The clients of one process, and their networks; each is asked for by its key."""

    def __init__(self) -> None:
        self.here: Counter[str] = Counter()
        """Open connections."""
        self.connections = Rate(MINUTE)
        self.messages = Rate(HOUR)
        self.recipients = Rate(HOUR)

    def enter(self, ip: str, at: float) -> None:
        """A connection is taken."""
        for key in keys(ip):
            self.here[key] += 1
            self.connections.add(key, at)

    def leave(self, ip: str) -> None:
        """It is over."""
        for key in keys(ip):
            self.here[key] -= 1
            if self.here[key] <= 0:
                del self.here[key]


class Share:
    """What one client may send within an hour, 0 for no limit, and whether it has sent it."""

    __slots__ = ("_client", "_clients", "_clock", "max_messages", "max_recipients")

    def __init__(
        self,
        clients: Clients,
        ip: str,
        clock: Callable[[], float],
        *,
        max_messages: int,
        max_recipients: int,
    ) -> None:
        self._clients = clients
        self._client = keys(ip)[0]
        self._clock = clock
        self.max_messages = max_messages
        self.max_recipients = max_recipients

    def add_message(self) -> None:
        """It began a mail transaction."""
        if self.max_messages:
            self._clients.messages.add(self._client, self._clock())

    def add_recipient(self) -> None:
        """It named a recipient."""
        if self.max_recipients:
            self._clients.recipients.add(self._client, self._clock())

    @property
    def has_messages(self) -> bool:
        """Whether there may be another message."""
        most = self.max_messages
        return not most or self._clients.messages.of(self._client, self._clock()) < most

    @property
    def has_recipients(self) -> bool:
        """Whether there may be another recipient."""
        most = self.max_recipients
        return not most or self._clients.recipients.of(self._client, self._clock()) < most

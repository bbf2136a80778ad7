"""Ids that are times: 63-bit integers that only ever rise.

Layout, high to low: 41 bits of milliseconds since 2024-01-01 UTC, 6 bits of node (which
process made it), 16 bits of counter. The integer order is the time order, so an id is the
queue id, names the month file that holds it, and sorts "newest first" by itself. People see
13 characters of Crockford's base32 in lower case (no i, l, o, u).
"""

import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

EPOCH_MS = 1_704_067_200_000
"""2024-01-01T00:00:00Z in milliseconds since the Unix epoch."""

NODE_BITS = 6
COUNTER_BITS = 16
SHIFT = NODE_BITS + COUNTER_BITS
_COUNTERS = 1 << COUNTER_BITS
HOUR = 3_600_000 << SHIFT
"""The ids of one hour: ``id // HOUR`` counts hours since 2024."""
IMPORTED = (1 << NODE_BITS) - 1
"""The node of messages that the logs of other servers told of."""
LENGTH = 13
"""Characters of an id as text."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
_VALUE = {c: i for i, c in enumerate(_ALPHABET)} | {"i": 1, "l": 1, "o": 0}
_SHAPE = re.compile(r"[0-9a-zA-Z]{13}")


def text(number: int) -> str:
    """An id as people read it."""
    p = _PAIRS
    return (
        _ALPHABET[number >> 60]
        + p[(number >> 50) & 1023]
        + p[(number >> 40) & 1023]
        + p[(number >> 30) & 1023]
        + p[(number >> 20) & 1023]
        + p[(number >> 10) & 1023]
        + p[number & 1023]
    )


def parse(shown: str) -> int | None:
    """The id that ``shown`` spells, or None when it spells none."""
    if not _SHAPE.fullmatch(shown):
        return None
    number = 0
    for char in shown.lower():
        digit = _VALUE.get(char)
        if digit is None:
            return None
        number = number << 5 | digit
    return number if number < 1 << 63 else None


def lowest(at_us: int) -> int:
    """The smallest id that can have been made at ``at_us`` (microseconds, Unix epoch)."""
    return max(0, at_us // 1000 - EPOCH_MS) << SHIFT


def time_us(number: int) -> int:
    """When an id was made, in microseconds since the Unix epoch (millisecond precision)."""
    return ((number >> SHIFT) + EPOCH_MS) * 1000


def is_imported(number: int) -> bool:
    """Whether it names a message that the log of another server told of."""
    return number >> COUNTER_BITS & IMPORTED == IMPORTED


def month(number: int) -> str:
    """The month file an id belongs to, as ``2026-11`` (UTC)."""
    return month_at(time_us(number))


def month_at(at_us: int) -> str:
    """The month of a time in microseconds since the Unix epoch, as ``2026-11`` (UTC)."""
    when = datetime.fromtimestamp(at_us / 1_000_000, UTC)
    return f"{when.year:04}-{when.month:02}"


class Mint:
    """Makes the ids of one node. A clock that goes back cannot make an id twice.

    ``last`` is the highest id this node is known to have made; the next one is above it
    whatever the clock says. Safe for several threads.
    """

    def __init__(
        self, node: int, last: int = 0, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        if not 0 <= node < 1 << NODE_BITS:
            raise ValueError(f"node {node} is not below {1 << NODE_BITS}")
        self.node = node
        self._clock_ns = clock_ns
        self._ms = last >> SHIFT
        self._counter = last & (_COUNTERS - 1) if last else -1
        self._turn = threading.Lock()

    @property
    def last(self) -> int:
        """An id no lower than any made so far: what has to be kept across a restart."""
        return self._ms << SHIFT | self.node << COUNTER_BITS | max(0, self._counter)

    def new(self) -> int:
        """The next id."""
        ms = self._clock_ns() // 1_000_000 - EPOCH_MS
        with self._turn:
            if ms > self._ms:
                self._ms, self._counter = ms, 0
            else:
                self._counter += 1
                if self._counter == _COUNTERS:
                    self._ms, self._counter = self._ms + 1, 0
            return self._ms << SHIFT | self.node << COUNTER_BITS | self._counter

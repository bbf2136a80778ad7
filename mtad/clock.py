"""The time, in the two forms this program uses."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


def now_us() -> int:
    """Microseconds since the Unix epoch, UTC: the unit of every ``at``."""
    return time.time_ns() // 1000


def from_us(at: int) -> datetime:
    """A stored time as an aware datetime in UTC."""
    return datetime.fromtimestamp(at / 1_000_000, UTC)

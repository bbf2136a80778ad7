"""How much a box may hold, and what it holds: octets as stored, and messages.

The index counts both in the transactions that change them. Links of one file count each, since
each may be what is left of it. Acts that would go above a limit are refused as a whole, unless a
restore is told to; mail that was taken before the limit was reached is not.
"""

import sqlite3
from pathlib import Path
from typing import NamedTuple

from mtad.errors import MtadError


class OverQuota(MtadError):
    """A box has no room for what is to be put into it."""


class Limits(NamedTuple):
    """What a box may hold; 0 for no limit."""

    octets: int = 0
    messages: int = 0


def is_over(limits: Limits, octets: int, messages: int) -> bool:
    """Whether so much is more than a box may hold."""
    return bool(
        (limits.octets and octets > limits.octets)
        or (limits.messages and messages > limits.messages)
    )


def held(folder: Path) -> tuple[int, int]:
    """Octets and messages of a box by its index, from any process; zeros where there is none."""
    path = folder / "index.db"
    if not path.exists():
        return 0, 0
    try:
        link = sqlite3.connect(path, isolation_level=None, timeout=1)
        try:
            link.execute("PRAGMA query_only=1")
            found = dict(
                link.execute("SELECT k, v FROM meta WHERE k IN ('octets', 'messages')").fetchall()
            )
        finally:
            link.close()
    except sqlite3.Error:
        return 0, 0
    return found.get("octets", 0), found.get("messages", 0)

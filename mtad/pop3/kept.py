"""What POP3 clients deleted and is still there: the file ``pop3-deleted`` beside a box's index.

Where it is lost or damaged, POP3 shows those messages again, and nothing else happens.
"""

import threading
from collections.abc import Callable
from pathlib import Path

from mtad.pop3 import beside

NAME = "pop3-deleted"

Kept = dict[int, int]
"""Stored copies, and when each was deleted, in microseconds."""
_changing = threading.Lock()


def read(folder: Path) -> Kept:
    """What a box keeps though it was deleted."""
    return beside.read(folder / NAME, Kept) or {}


def change(folder: Path, how: Callable[[Kept], Kept]) -> None:
    """Have what ``how`` makes of it instead; durable when this returns. Raises OSError."""
    with _changing:
        beside.write(folder / NAME, how(read(folder)))

"""What the C library does with memory that is free.

By default glibc gives memory back to the system after each large answer and takes it again for
the next, page by page; for a client that loads its mailbox that is half of the work. And each
thread has an arena of its own, of which none gets what another has free.
"""

import ctypes
from contextlib import suppress

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
"""Parameters of mallopt(3)."""
KEPT = 16 * 2**20
"""Octets that may stay free at the end of an arena."""
APART = 4 * 2**20
"""Octets from which a block is taken from the system, and given back at once."""
ARENAS = 2


def keep_memory() -> None:
    """Let the process keep what it will use again; nothing where the C library has no mallopt."""
    with suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(TRIM_THRESHOLD, KEPT)
        mallopt(MMAP_THRESHOLD, APART)
        mallopt(ARENA_MAX, ARENAS)


def give_back() -> None:
    """Return to the system what the process has freed (malloc_trim(3)).

    What SQLite frees lies between what others still have, where the allocator keeps it. A C
    library without the call keeps it as well.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)

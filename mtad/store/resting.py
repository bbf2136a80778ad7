"""A SQLite connection that is there while it is used.

One that has been asked costs some 100 KiB and more, mostly pages and statements it keeps, and most
boxes that are open wait for mail. Opening one again takes less than a millisecond.
"""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path


class Resting:
    """One connection, opened by ``connect`` when it is wanted. Not safe for concurrent threads."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._link: sqlite3.Connection | None = None
        self._used = 0.0
        self._is_over = False

    def get(self) -> sqlite3.Connection:
        """The connection. Raises sqlite3.Error where it cannot be made, or after ``end``."""
        self._used = time.monotonic()
        if self._link is None:
            if self._is_over:
                raise sqlite3.ProgrammingError("the database is closed")
            self._link = self._connect()
        return self._link

    @property
    def is_open(self) -> bool:
        """Whether there is one now."""
        return self._link is not None

    def rest(self, before: float) -> bool:
        """Close it where nobody wanted it since ``before`` (time.monotonic); whether it closed.

        The last connection to a database writes its log back durably as it closes.
        """
        if self._link is None or self._used >= before:
            return False
        self.close()
        return True

    def close(self) -> None:
        """Close it; who wants it later gets another."""
        if self._link is not None:
            link, self._link = self._link, None
            link.close()

    def end(self) -> None:
        """Close it for good."""
        self._is_over = True
        self.close()


def opened(path: Path, *, make: bool = False) -> sqlite3.Connection:
    """A connection for any thread to a file, which is there unless one may ``make`` it.

    A file that somebody took away while its box rested is missed, not made again empty. Raises
    sqlite3.OperationalError.
    """
    name = f"{path.absolute().as_uri()}?mode={'rwc' if make else 'rw'}"
    return sqlite3.connect(name, uri=True, isolation_level=None, check_same_thread=False)

"""SQLite files beside a box's index that may be lost: what is damaged is thrown away.

Nothing in them is the only place of anything. Any process may write to one; none waits long.
"""

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from mtad.store.resting import Resting

BUSY_SECONDS = 10
"""How long a transaction waits for that of another process."""
MAX_LOG = 16 * 2**20
"""Octets that the write-ahead log keeps when it is empty."""

T = TypeVar("T")
_log = logging.getLogger("mtad.store")


class Droppable:
    """One such file with the index attached as ``idx``. Safe for concurrent threads, which
    wait for each other."""

    def __init__(
        self, index: Path, name: str, connect: Callable[[Path], sqlite3.Connection]
    ) -> None:
        """The file of this name beside an index; opened when it is first asked."""
        self.path = index.with_name(name)
        self._index = index
        self._connect = connect
        self._link = Resting(self._attached)
        self._turn = threading.Lock()

    def close(self) -> None:
        """Give the connection back; a later question opens another."""
        with self._turn:
            self._link.close()

    def rest(self, before: float) -> bool:
        """The same where nobody asked since ``before``, see ``Resting.rest``."""
        with self._turn:
            return self._link.rest(before)

    def throw_away(self, why: object) -> None:
        """Drop all of it; the next question makes it again."""
        with self._turn:
            self._throw_away(why)

    def _try(self, ask: Callable[[sqlite3.Connection], T]) -> T:
        """Ask; of a file that is damaged, throw it away and ask again.

        Raises sqlite3.DatabaseError where that does not help: then it is not the file.
        """
        with self._turn:
            try:
                return ask(self._link.get())
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                self._throw_away(error)
            return ask(self._link.get())

    def _throw_away(self, why: object) -> None:
        _log.warning("%s is made again: %s", self.path, why)
        self._link.close()
        remove(self.path)

    def _attached(self) -> sqlite3.Connection:
        link = self._connect(self.path)
        try:
            link.execute("ATTACH ? AS idx", (str(self._index),))
            link.execute("PRAGMA idx.cache_size=-512")
        except BaseException:
            link.close()
            raise
        return link


_NOT_DAMAGE = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_NOMEM}
)


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether an error may be the file's, so that another file helps."""
    is_operational = isinstance(error, sqlite3.OperationalError)
    return not (is_operational and error.sqlite_errorcode & 0xFF in _NOT_DAMAGE)


def connect(path: Path, form: int, names: Sequence[str], tables: str) -> sqlite3.Connection:
    """A file, made or emptied where it is of another format. Raises sqlite3.DatabaseError.

    ``form`` numbers the format, ``names`` are those of all ``tables``, which are made.
    """
    link = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS
    )
    try:
        link.execute("PRAGMA page_size=8192")
        link.execute("PRAGMA journal_mode=WAL")
        link.execute("PRAGMA synchronous=NORMAL")
        link.execute("PRAGMA cache_size=-1024")
        link.execute(f"PRAGMA journal_size_limit={MAX_LOG}")
        if link.execute("PRAGMA user_version").fetchone()[0] != form:
            with transaction(link):
                if link.execute("PRAGMA user_version").fetchone()[0] != form:
                    for name in names:
                        link.execute(f"DROP TABLE IF EXISTS {name}")
                    for statement in tables.split(";"):
                        link.execute(statement)
                    link.execute(f"PRAGMA user_version={form}")
    except BaseException:
        link.close()
        raise
    return link


def remove(path: Path) -> None:
    """Take a file away with what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


@contextmanager
def transaction(link: sqlite3.Connection) -> Iterator[None]:
    """Write: all of it or nothing."""
    link.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if link.in_transaction:  # SQLite may have ended it, as where there is no space
            link.execute("ROLLBACK")
        raise
    link.execute("COMMIT")


def which(uids: Sequence[int]) -> tuple[str, tuple[object, ...]]:
    """The condition that finds ascending UIDs fastest, which may find others between them."""
    if not uids or uids[-1] - uids[0] < 2 * len(uids) + 16:
        return "BETWEEN ? AND ?", (uids[0], uids[-1]) if uids else (1, 0)
    return "IN (SELECT value FROM json_each(?))", (json.dumps([*uids]),)


def storable(text: str) -> str:
    """Text that SQLite can keep, character for character."""
    return text.encode("utf-8", "replace").decode("utf-8")

"""Summaries of a box's messages in ``cache.db``, beside its index; made again if it is lost.

Content never changes and copies of a message share its email id, so that is the key: a summary
outlives flags, moves and copies. Nothing here is the only place of anything: a cache that is
damaged, or of another format, is thrown away. Any process may add to it; none waits long.
"""

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mtad.store.cache_rendering import FORMAT, Summary

__all__ = ["NAME", "Cache", "Summary"]

NAME = "cache.db"
BUSY_SECONDS = 10
"""How long a transaction waits for that of another process."""
SPARE = 1000
"""Summaries of messages that are gone which may lie about before they are cleared away."""

TABLES = """
CREATE TABLE IF NOT EXISTS outline (
  email INTEGER PRIMARY KEY, envelope BLOB, body BLOB, bodystructure BLOB, rest BLOB
);
CREATE TABLE IF NOT EXISTS header (email INTEGER PRIMARY KEY, header BLOB);
"""

_OUTLINE = "o.envelope, o.body, o.bodystructure, o.rest"

T = TypeVar("T")
_log = logging.getLogger("mtad.store")


class Cache:
    """One box's summaries. Safe for concurrent threads, which wait for each other."""

    def __init__(self, index: Path) -> None:
        """The cache of the box with this index; opened when it is first asked."""
        self.path = index.with_name(NAME)
        self._index = index
        self._link: sqlite3.Connection | None = None
        self._turn = threading.Lock()

    def read(
        self, mailbox: int, uids: Sequence[int], *, outline: bool, header: bool
    ) -> tuple[dict[int, Summary], list[int]]:
        """Summaries of messages by UID, and the UIDs of those that are there and have none.

        ``uids`` is ascending; ``mailbox`` its number in the index.
        """
        if not uids:
            return {}, []
        columns, tables = ["m.uid"], ["idx.msg m"]
        if outline:
            columns.append(_OUTLINE)
            tables.append("LEFT JOIN outline o ON o.email = m.email")
        else:
            columns.append("x'', x'', x'', x''")
        if header:
            columns.append("h.header")
            tables.append("LEFT JOIN header h ON h.email = m.email")
        else:
            columns.append("x''")
        first, last = uids[0], uids[-1]
        is_dense = last - first < 2 * len(uids) + 16
        which = "BETWEEN ? AND ?" if is_dense else "IN (SELECT value FROM json_each(?))"
        ask = (
            f"SELECT {', '.join(columns)} FROM {' '.join(tables)} "  # noqa: S608
            f"WHERE m.mailbox = ? AND m.uid {which} ORDER BY m.uid"
        )
        values = (mailbox, first, last) if is_dense else (mailbox, json.dumps([*uids]))
        rows = self._try(lambda link: link.execute(ask, values).fetchall())
        wanted = None if is_dense and last - first + 1 == len(uids) else set(uids)
        found: dict[int, Summary] = {}
        missing: list[int] = []
        for uid, envelope, body, bodystructure, rest, kept in rows:
            if wanted is not None and uid not in wanted:
                continue
            if rest is None or kept is None:
                missing.append(uid)
            else:
                found[uid] = Summary(envelope, body, bodystructure, rest, kept)
        return found, missing

    def missing(self, mailbox: int, uids: Sequence[int] | None = None) -> list[int]:
        """Of a mailbox's messages, or some, the UIDs of those without summary, ascending."""
        ask = (
            "SELECT m.uid FROM idx.msg m LEFT JOIN header h ON h.email = m.email "
            "WHERE m.mailbox = ? AND h.email IS NULL"
        )
        values: tuple[object, ...] = (mailbox,)
        if uids is not None:
            ask += " AND m.uid IN (SELECT value FROM json_each(?))"
            values = (mailbox, json.dumps([*uids]))
        ask += " ORDER BY m.uid"
        return [uid for (uid,) in self._try(lambda link: link.execute(ask, values).fetchall())]

    def add(self, summaries: Mapping[int, Summary]) -> None:
        """Keep summaries by email id."""
        self._try(lambda link: write(link, summaries))

    def clear_away(self) -> int:
        """Drop what no message has any more, if that is much; returns how many went."""
        return self._try(_cleared)

    def close(self) -> None:
        """Give the connection back; a later question opens another."""
        with self._turn:
            self._close()

    def _close(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def _try(self, ask: Callable[[sqlite3.Connection], T]) -> T:
        """Ask; of a cache that is damaged, throw it away and ask again.

        Raises sqlite3.DatabaseError where that does not help: then it is not the cache.
        """
        with self._turn:
            try:
                return ask(self._open())
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF in _NOT_DAMAGE:
                    raise
                self._throw_away(error)
            except sqlite3.DatabaseError as error:
                self._throw_away(error)
            return ask(self._open())

    def _throw_away(self, error: Exception) -> None:
        _log.warning("the cache %s is made again: %s", self.path, error)
        self._close()
        remove(self.path)

    def _open(self) -> sqlite3.Connection:
        if self._link is None:
            link = connect(self.path)
            try:
                link.execute("ATTACH ? AS idx", (str(self._index),))
            except BaseException:
                link.close()
                raise
            self._link = link
        return self._link


_NOT_DAMAGE = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_NOMEM}
)


def connect(path: Path) -> sqlite3.Connection:
    """A cache, made or emptied where it is of another format. Raises sqlite3.DatabaseError."""
    link = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS
    )
    try:
        link.execute("PRAGMA page_size=8192")
        link.execute("PRAGMA journal_mode=WAL")
        link.execute("PRAGMA synchronous=NORMAL")
        link.execute("PRAGMA cache_size=-1024")
        if link.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
            link.execute("BEGIN IMMEDIATE")
            if link.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
                link.execute("DROP TABLE IF EXISTS outline")
                link.execute("DROP TABLE IF EXISTS header")
                for statement in TABLES.split(";"):
                    link.execute(statement)
                link.execute(f"PRAGMA user_version={FORMAT}")
            link.execute("COMMIT")
    except BaseException:
        link.close()
        raise
    return link


def remove(path: Path) -> None:
    """Take a cache away with what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def write(link: sqlite3.Connection, summaries: Mapping[int, Summary]) -> None:
    """Keep summaries by email id, in one transaction."""
    outlines: Iterable[tuple[Any, ...]] = (
        (email, *one.outline()) for email, one in summaries.items()
    )
    headers = ((email, one.header) for email, one in summaries.items())
    link.execute("BEGIN IMMEDIATE")
    try:
        link.executemany("INSERT OR REPLACE INTO outline VALUES (?, ?, ?, ?, ?)", outlines)
        link.executemany("INSERT OR REPLACE INTO header VALUES (?, ?)", headers)
    except BaseException:
        link.execute("ROLLBACK")
        raise
    link.execute("COMMIT")


def _cleared(link: sqlite3.Connection) -> int:
    kept = link.execute("SELECT count(*) FROM header").fetchone()[0]
    needed = link.execute("SELECT count(*) FROM idx.msg").fetchone()[0]
    if kept - needed < SPARE:
        return 0
    gone = "email NOT IN (SELECT email FROM idx.msg)"
    link.execute("BEGIN IMMEDIATE")
    count = link.execute(f"DELETE FROM header WHERE {gone}").rowcount  # noqa: S608
    link.execute(f"DELETE FROM outline WHERE {gone}")  # noqa: S608
    link.execute("COMMIT")
    return int(count)

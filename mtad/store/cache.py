"""Summaries of a box's messages in ``cache.db``, beside its index; made again if it is lost.

Content never changes and copies of a message share its email id, so that is the key: a summary
outlives flags, moves and copies. Nothing here is the only place of anything: a cache that is
damaged, or of another format, is thrown away. Any process may add to it; none waits long.
"""

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from mtad.store.cache_rendering import FORMAT, SEARCHED, Summary

__all__ = ["NAME", "Cache", "Summary"]

NAME = "cache.db"
BUSY_SECONDS = 10
"""How long a transaction waits for that of another process."""
MAX_LOG = 16 * 2**20
"""Octets that the write-ahead log keeps when it is empty."""
SPARE = 1000
"""Summaries of messages that are gone which may lie about before they are cleared away."""

TABLES = """
CREATE TABLE IF NOT EXISTS outline (
  email INTEGER PRIMARY KEY, envelope BLOB, body BLOB, bodystructure BLOB, rest BLOB
);
CREATE TABLE IF NOT EXISTS header (email INTEGER PRIMARY KEY, header BLOB);
CREATE TABLE IF NOT EXISTS searched (
  email INTEGER PRIMARY KEY, "bcc" TEXT, "cc" TEXT, "from" TEXT, "subject" TEXT, "to" TEXT
);
CREATE TABLE IF NOT EXISTS choice (
  number INTEGER PRIMARY KEY, fields TEXT NOT NULL UNIQUE, day INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS chosen (
  number INTEGER, email INTEGER, text BLOB, PRIMARY KEY (number, email)
) WITHOUT ROWID;
"""
_NAMES = ("outline", "header", "searched", "choice", "chosen")
MAX_CHOICES = 6
"""Lists of header fields that are kept ready: each client asks for the same again and again."""
_DAY = 86_400

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
        which, given = _which(uids)
        ask = (
            f"SELECT {', '.join(columns)} FROM {' '.join(tables)} "  # noqa: S608
            f"WHERE m.mailbox = ? AND m.uid {which} ORDER BY m.uid"
        )
        values = (mailbox, *given)
        rows = self._try(lambda link: link.execute(ask, values).fetchall())
        wanted = None if uids[-1] - uids[0] + 1 == len(uids) else set(uids)
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

    def matching(
        self, mailbox: int, uids: Sequence[int], field: str, wanted: str
    ) -> tuple[list[int], list[int]]:
        """Of messages with a summary the UIDs of those whose field has a folded text; the UIDs
        of those without. ``uids`` is ascending, ``field`` one of ``SEARCHED``."""
        which, values = _which(uids)
        ask = (
            "SELECT m.uid, s.email IS NULL FROM idx.msg m "  # noqa: S608
            "LEFT JOIN searched s ON s.email = m.email "
            f'WHERE m.mailbox = ? AND m.uid {which} AND (s.email IS NULL OR instr(s."{field}", ?)) '
            "ORDER BY m.uid"
        )
        assert field in SEARCHED
        given = (mailbox, *values, _text(wanted))
        rows = self._try(lambda link: link.execute(ask, given).fetchall())
        asked = set(uids)
        rows = [row for row in rows if row[0] in asked]
        return [uid for uid, new in rows if not new], [uid for uid, new in rows if new]

    def choice(self, fields: str, now: int) -> int | None:
        """The number of a list of header fields; None where there are too many others.

        One that nobody has asked for since yesterday makes room. ``now`` is in seconds.
        """
        return self._try(lambda link: _choice(link, fields, now // _DAY))

    def chosen(
        self, number: int, mailbox: int, uids: Sequence[int]
    ) -> tuple[dict[int, bytes], list[int]]:
        """The header fields of a choice by UID, and the UIDs of messages without."""
        which, values = _which(uids)
        ask = (
            "SELECT m.uid, c.text FROM idx.msg m "  # noqa: S608
            "LEFT JOIN chosen c ON c.number = ? AND c.email = m.email "
            f"WHERE m.mailbox = ? AND m.uid {which}"
        )
        given = (number, mailbox, *values)
        rows = self._try(lambda link: link.execute(ask, given).fetchall())
        found = dict(rows)
        return {uid: text for uid in uids if (text := found.get(uid)) is not None}, [
            uid for uid in uids if uid in found and found[uid] is None
        ]

    def choose(self, number: int, mailbox: int, texts: Mapping[int, bytes]) -> None:
        """Keep the header fields of a choice, by UID."""
        ask = (
            "INSERT OR IGNORE INTO chosen "
            "SELECT ?, email, ? FROM idx.msg WHERE mailbox = ? AND uid = ?"
        )
        rows = [(number, text, mailbox, uid) for uid, text in texts.items()]

        def keep(link: sqlite3.Connection) -> None:
            with _transaction(link):
                link.executemany(ask, rows)

        self._try(keep)

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
        link.execute(f"PRAGMA journal_size_limit={MAX_LOG}")
        if link.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
            link.execute("BEGIN IMMEDIATE")
            if link.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
                for name in _NAMES:
                    link.execute(f"DROP TABLE IF EXISTS {name}")
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
    searched = ((email, *map(_text, one.searched)) for email, one in summaries.items())
    with _transaction(link):
        link.executemany("INSERT OR REPLACE INTO outline VALUES (?, ?, ?, ?, ?)", outlines)
        link.executemany("INSERT OR REPLACE INTO header VALUES (?, ?)", headers)
        link.executemany("INSERT OR REPLACE INTO searched VALUES (?, ?, ?, ?, ?, ?)", searched)


@contextmanager
def _transaction(link: sqlite3.Connection) -> Iterator[None]:
    link.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        link.execute("ROLLBACK")
        raise
    link.execute("COMMIT")


def _which(uids: Sequence[int]) -> tuple[str, tuple[object, ...]]:
    """The condition that finds ascending UIDs fastest, which may find others between them."""
    if not uids or uids[-1] - uids[0] < 2 * len(uids) + 16:
        return "BETWEEN ? AND ?", (uids[0], uids[-1]) if uids else (1, 0)
    return "IN (SELECT value FROM json_each(?))", (json.dumps([*uids]),)


def _text(text: str) -> str:
    """Text that SQLite can keep."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _choice(link: sqlite3.Connection, fields: str, day: int) -> int | None:
    found = link.execute("SELECT number, day FROM choice WHERE fields = ?", (fields,)).fetchone()
    if found is not None and found[1] >= day:
        return int(found[0])
    with _transaction(link):
        if found is None:
            known = link.execute("SELECT number, day FROM choice ORDER BY day").fetchall()
            if len(known) >= MAX_CHOICES:
                number, used = known[0]
                if used >= day - 1:
                    return None
                link.execute("DELETE FROM chosen WHERE number = ?", (number,))
                link.execute("DELETE FROM choice WHERE number = ?", (number,))
            link.execute("INSERT OR IGNORE INTO choice VALUES (NULL, ?, ?)", (fields, day))
        link.execute("UPDATE choice SET day = ? WHERE fields = ?", (day, fields))
        found = link.execute("SELECT number FROM choice WHERE fields = ?", (fields,)).fetchone()
    return int(found[0])


def _cleared(link: sqlite3.Connection) -> int:
    kept = link.execute("SELECT count(*) FROM header").fetchone()[0]
    needed = link.execute("SELECT count(*) FROM idx.msg").fetchone()[0]
    if kept - needed < SPARE:
        return 0
    gone = "email NOT IN (SELECT email FROM idx.msg)"
    with _transaction(link):
        count = link.execute(f"DELETE FROM header WHERE {gone}").rowcount  # noqa: S608
        for name in ("outline", "searched", "chosen"):
            link.execute(f"DELETE FROM {name} WHERE {gone}")  # noqa: S608
    return int(count)

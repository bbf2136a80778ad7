"""Summaries of a box's messages in ``cache.db``, beside its index; made again if it is lost.

Content never changes and copies of a message share its email id, so that is the key: a summary
outlives flags, moves and copies. Nothing here is the only place of anything: a cache that is
damaged, or of another format, is thrown away. Any process may add to it; none waits long.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mtad.store import droppable
from mtad.store.cache_rendering import FORMAT, SEARCHED, Summary
from mtad.store.droppable import Droppable, storable, transaction, which

__all__ = ["NAME", "Cache", "Summary"]

NAME = "cache.db"
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

_OUTLINE = "o.envelope, o.body, o.bodystructure"


class Cache(Droppable):
    """One box's summaries. Safe for concurrent threads, which wait for each other."""

    def __init__(self, index: Path) -> None:
        """The cache of the box with this index; opened when it is first asked."""
        super().__init__(index, NAME, connect)

    def read(
        self, mailbox: int, uids: Sequence[int], *, outline: bool, header: bool, keys: bool
    ) -> tuple[dict[int, Summary], list[int]]:
        """What is asked of messages by UID, and the UIDs of those that are there without it.

        ``uids`` is ascending; ``mailbox`` its number in the index.
        """
        if not uids:
            return {}, []
        tables = ["idx.msg m"]
        if outline or keys:
            tables.append("LEFT JOIN outline o ON o.email = m.email")
        if header:
            tables.append("LEFT JOIN header h ON h.email = m.email")
        columns = [
            "m.uid",
            _OUTLINE if outline else "x'', x'', x''",
            "o.rest" if keys else "x''",
            "h.header" if header else "x''",
        ]
        those, given = which(uids)
        ask = (
            f"SELECT {', '.join(columns)} FROM {' '.join(tables)} "  # noqa: S608
            f"WHERE m.mailbox = ? AND m.uid {those} ORDER BY m.uid"
        )
        values = (mailbox, *given)
        rows = self._try(lambda link: link.execute(ask, values).fetchall())
        wanted = None if uids[-1] - uids[0] + 1 == len(uids) else set(uids)
        found: dict[int, Summary] = {}
        missing: list[int] = []
        for uid, envelope, body, bodystructure, rest, kept in rows:
            if wanted is not None and uid not in wanted:
                continue
            if None in (envelope, rest, kept):
                missing.append(uid)
            else:
                found[uid] = Summary(envelope, body, bodystructure, rest, kept)
        return found, missing

    def matching(
        self, mailbox: int, uids: Sequence[int], field: str, wanted: str
    ) -> tuple[list[int], list[int]]:
        """Of messages with a summary the UIDs of those whose field has a folded text; the UIDs
        of those without. ``uids`` is ascending, ``field`` one of ``SEARCHED``."""
        those, values = which(uids)
        ask = (
            "SELECT m.uid, s.email IS NULL FROM idx.msg m "  # noqa: S608
            "LEFT JOIN searched s ON s.email = m.email "
            f'WHERE m.mailbox = ? AND m.uid {those} AND (s.email IS NULL OR instr(s."{field}", ?)) '
            "ORDER BY m.uid"
        )
        assert field in SEARCHED
        given = (mailbox, *values, storable(wanted))
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
        those, values = which(uids)
        ask = (
            "SELECT m.uid, c.text FROM idx.msg m "  # noqa: S608
            "LEFT JOIN chosen c ON c.number = ? AND c.email = m.email "
            f"WHERE m.mailbox = ? AND m.uid {those}"
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
            with transaction(link):
                link.executemany(ask, rows)

        self._try(keep)

    def missing(self, mailbox: int, uids: Sequence[int] | None = None, *, whole: bool) -> list[int]:
        """Of a mailbox's messages, or some, the UIDs of those without summary, ascending.

        With ``whole`` also of those that have one for answers alone.
        """
        ask = (
            "SELECT m.uid FROM idx.msg m LEFT JOIN outline o ON o.email = m.email "  # noqa: S608
            f"WHERE m.mailbox = ? AND {'o.rest' if whole else 'o.email'} IS NULL"
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


def connect(path: Path) -> sqlite3.Connection:
    """A cache, made or emptied where it is of another format. Raises sqlite3.DatabaseError."""
    return droppable.connect(path, FORMAT, _NAMES, TABLES)


def write(link: sqlite3.Connection, summaries: Mapping[int, Summary]) -> None:
    """Keep summaries by email id, in one transaction.

    One that is not whole replaces none.
    """
    whole = {email: one for email, one in summaries.items() if one.is_whole}
    parts = {email: one for email, one in summaries.items() if not one.is_whole}
    searched = ((email, *map(storable, one.searched)) for email, one in whole.items())
    with transaction(link):
        for insert, some in (("INSERT OR REPLACE INTO", whole), ("INSERT OR IGNORE INTO", parts)):
            outlines: Iterable[tuple[Any, ...]] = (
                (email, *(text or None for text in one.outline())) for email, one in some.items()
            )
            headers = ((email, one.header) for email, one in some.items())
            link.executemany(f"{insert} outline VALUES (?, ?, ?, ?, ?)", outlines)
            link.executemany(f"{insert} header VALUES (?, ?)", headers)
        link.executemany("INSERT OR REPLACE INTO searched VALUES (?, ?, ?, ?, ?, ?)", searched)


def _choice(link: sqlite3.Connection, fields: str, day: int) -> int | None:
    found = link.execute("SELECT number, day FROM choice WHERE fields = ?", (fields,)).fetchone()
    if found is not None and found[1] >= day:
        return int(found[0])
    with transaction(link):
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
    with transaction(link):
        count = link.execute(f"DELETE FROM header WHERE {gone}").rowcount  # noqa: S608
        for name in ("outline", "searched", "chosen"):
            link.execute(f"DELETE FROM {name} WHERE {gone}")  # noqa: S608
    return int(count)

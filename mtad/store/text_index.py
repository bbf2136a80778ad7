"""Which messages of a box may hold a text, in ``text.db`` beside its index; droppable.

SEARCH looks for any part of any word (RFC 9051 6.4.4), so what is indexed are the runs of
three characters of each message's folded text, ``mtad.mime.text.searchable``: a message that
lacks one of those of a text cannot hold it. Which of the others do, their files say. As in the
cache, content never changes and the email id is the key.

The index keeps no text, so it cannot forget one message: when most of what it knows is gone,
it is emptied and filled again.
"""

import sqlite3
import sys
import unicodedata
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from mtad.mime import text
from mtad.mime.message import wire
from mtad.store import droppable
from mtad.store.droppable import Droppable, storable, transaction, which

NAME = "text.db"
FORMAT = 1
"""Higher whenever ``searchable`` comes out otherwise, since an older index would hide mail."""
LEAST = 3
"""Characters of the shortest text that the index knows anything of."""
MAX_TEXT = 2**20
"""Characters of a message that are indexed; one with more may hold any text."""
MAX_RUNS = 32
"""Runs of a text that are looked up; a long one needs no more to be rare."""
MARK = "\x02" * LEAST
"""A run that every indexed message has, so that it shows when the index has lost some."""
SPARE = 1000
"""Messages that are gone which may always lie about in the index."""

TABLES = """
CREATE TABLE doc (
  number INTEGER PRIMARY KEY AUTOINCREMENT, email INTEGER NOT NULL UNIQUE, whole INTEGER NOT NULL
);
CREATE VIRTUAL TABLE run USING fts5(
  text, content='', columnsize=0, detail=none, tokenize='trigram case_sensitive 1'
);
INSERT INTO run (run, rank) VALUES ('hashsize', 16777216)
"""
"""``hashsize`` octets are sorted in memory before they are written."""
_LOST = """
SELECT (SELECT count(*) FROM doc WHERE whole) > (SELECT count(*) FROM run WHERE run MATCH ?)
"""
_FORM = (
    zlib.crc32(f"{FORMAT} {unicodedata.unidata_version} {sys.version_info[:2]}".encode()) >> 1 or 1
)
"""Case and charsets are Python's, so another Python's index is of another format."""


class TextIndex(Droppable):
    """One box's index. Safe for concurrent threads, which wait for each other."""

    def __init__(self, index: Path) -> None:
        """The one of the box with this index; opened when it is first asked."""
        super().__init__(index, NAME, connect)

    def _attached(self) -> sqlite3.Connection:
        """FTS5 takes some damage for an empty index; then too it is thrown away."""
        link = super()._attached()
        try:
            if link.execute(_LOST, (expression(MARK),)).fetchone()[0]:
                raise sqlite3.DatabaseError("it has lost messages")
        except BaseException:
            link.close()
            raise
        return link

    def candidates(
        self, mailbox: int, uids: Sequence[int], wanted: str
    ) -> tuple[list[int], list[int]]:
        """Of messages the UIDs of those that may hold a folded text, and, among them, of those
        that are not indexed. ``uids`` is ascending, ``mailbox`` its number in the index."""
        those, values = which(uids)
        ask = (
            "SELECT m.uid, d.email IS NULL FROM idx.msg m "  # noqa: S608
            "LEFT JOIN doc d ON d.email = m.email "
            f"WHERE m.mailbox = ? AND m.uid {those} AND (d.email IS NULL OR NOT d.whole "
            "OR d.number IN (SELECT rowid FROM run WHERE run MATCH ?)) ORDER BY m.uid"
        )
        given = (mailbox, *values, expression(wanted))
        rows = self._try(lambda link: link.execute(ask, given).fetchall())
        asked = set(uids)
        rows = [row for row in rows if row[0] in asked]
        return [uid for uid, _ in rows], [uid for uid, new in rows if new]

    def missing(self, mailbox: int) -> list[int]:
        """UIDs of a mailbox's messages that are not indexed, ascending."""
        ask = (
            "SELECT m.uid FROM idx.msg m LEFT JOIN doc d ON d.email = m.email "
            "WHERE m.mailbox = ? AND d.email IS NULL ORDER BY m.uid"
        )
        return [uid for (uid,) in self._try(lambda link: link.execute(ask, (mailbox,)).fetchall())]

    def clear_away(self) -> bool:
        """Empty the index where most of it is of messages that are gone; whether it was so."""
        return self._try(_cleared)


def connect(path: Path) -> sqlite3.Connection:
    """An index, made or emptied where it is of another format. Raises sqlite3.DatabaseError."""
    return droppable.connect(path, _FORM, ("doc", "run"), TABLES)


@lru_cache(maxsize=1)
def is_possible() -> bool:
    """Whether this SQLite can have such an index (3.34 with FTS5)."""
    link = sqlite3.connect(":memory:")
    try:
        for statement in TABLES.split(";"):
            link.execute(statement)
    except sqlite3.DatabaseError:
        return False
    finally:
        link.close()
    return True


def expression(wanted: str) -> str:
    """What FTS5 is asked for a text of ``LEAST`` characters or more: all of its runs.

    Of too many those that lie evenly over the text.
    """
    said = _kept(wanted)
    runs = [*dict.fromkeys(said[at : at + LEAST] for at in range(len(said) - LEAST + 1))]
    if len(runs) > MAX_RUNS:
        runs = [runs[at * len(runs) // MAX_RUNS] for at in range(MAX_RUNS)]
    return " AND ".join('"' + run.replace('"', '""') + '"' for run in runs)


def searched(stored: bytes) -> str | None:
    """What is indexed of a message as it is stored; None where that is too much (PURE)."""
    found = text.searchable(wire(stored))
    if len(found.header) + len(found.body) >= MAX_TEXT:
        return None
    return f"{found.header}\n{found.body}"


def add(link: sqlite3.Connection, email: int, said: str | None) -> None:
    """Index a message that is not indexed, in a transaction of the caller's.

    ``said`` as from ``searched``.
    """
    number = link.execute(
        "INSERT INTO doc (email, whole) VALUES (?, ?)", (email, said is not None)
    ).lastrowid
    if said is not None:
        link.execute("INSERT INTO run (rowid, text) VALUES (?, ?)", (number, _kept(MARK + said)))


def is_known(link: sqlite3.Connection, email: int) -> bool:
    """Whether a message is indexed."""
    return link.execute("SELECT 1 FROM doc WHERE email = ?", (email,)).fetchone() is not None


def _kept(said: str) -> str:
    """Text as FTS5 takes it, where NUL would be the end; a character for each."""
    return storable(said).replace("\0", "\x01")


def _cleared(link: sqlite3.Connection) -> bool:
    kept = link.execute("SELECT count(*) FROM doc").fetchone()[0]
    gone = link.execute(
        "SELECT count(*) FROM doc WHERE email NOT IN (SELECT email FROM idx.msg)"
    ).fetchone()[0]
    if gone < SPARE or gone * 2 < kept:
        return False
    with transaction(link):
        link.execute("DELETE FROM doc")
        link.execute("INSERT INTO run (run) VALUES ('delete-all')")
    link.execute("VACUUM main")
    return True

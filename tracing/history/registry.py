"""Which message of an imported log has which id, and how far each file was read.

Beside the months of imported mail, in ``log/imported/keys.db``. It is written before the
events: a crash between the two leaves an id without events, which the next run fills.
"""

import hashlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tracing.history.groups import Group, id_at

NAME = "keys.db"
LONGEST = 8 * 86_400_000_000
"""Microseconds for which a server may keep a message: lines of one id further apart are two."""

_TABLES = """
CREATE TABLE IF NOT EXISTS part(
  id INTEGER PRIMARY KEY, key TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
  over INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS part_key ON part(key);
CREATE TABLE IF NOT EXISTS file(
  head BLOB NOT NULL, lines INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY(head, lines)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Place:
    """The id of a message; ``is_new`` where no line of it was read before."""

    id: int
    is_new: bool


class Registry:
    """The registry in a folder; one writer at a time, who holds the lock of the months there."""

    def __init__(self, folder: Path) -> None:
        self._link = sqlite3.connect(folder / NAME, isolation_level=None)
        self._link.execute("PRAGMA journal_mode=WAL")
        self._link.executescript(_TABLES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()

    def places(self, groups: list[Group]) -> list[Place]:
        """The ids of messages, durable when it returns.

        Raises ValueError for a message from before ids begin, before anything is written.
        """
        self._link.execute("BEGIN IMMEDIATE")
        try:
            found = [self._place(group) for group in groups]
            self._link.execute("COMMIT")
        except BaseException:
            self._link.execute("ROLLBACK")
            raise
        return found

    def _place(self, group: Group) -> Place:
        key = f"{group.server} {group.key}"
        for number, first, last, over in self._link.execute(
            "SELECT id, first, last, over FROM part WHERE key=? AND last>=? AND first<=?",
            (key, group.first - LONGEST, group.last + LONGEST),
        ):
            overlaps = group.first <= last and first <= group.last
            goes_on = not over and first <= group.first
            if overlaps or goes_on:
                self._link.execute(
                    "UPDATE part SET first=?, last=?, over=? WHERE id=?",
                    (min(first, group.first), max(last, group.last), over or group.over, number),
                )
                return Place(number, is_new=False)
        digest = hashlib.sha256(f"{key} {group.first}".encode("utf-8", "replace")).digest()
        number = id_at(group.first, int.from_bytes(digest[:8]))
        while self._link.execute("SELECT 1 FROM part WHERE id=?", (number,)).fetchone():
            number += 1
        self._link.execute(
            "INSERT INTO part VALUES (?,?,?,?,?)",
            (number, key, group.first, group.last, group.over),
        )
        return Place(number, is_new=True)

    def read_before(self, head: bytes) -> dict[int, bytes]:
        """How far files that begin so were read: numbers of lines, and their digests."""
        rows = self._link.execute("SELECT lines, digest FROM file WHERE head=?", (head,))
        return dict(rows.fetchall())

    def keep(self, head: bytes, lines: int, digest: bytes) -> None:
        """Remember that a file's first lines were read and are in the log."""
        self._link.execute("INSERT OR REPLACE INTO file VALUES (?,?,?)", (head, lines, digest))

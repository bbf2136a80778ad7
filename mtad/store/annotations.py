"""What clients note down about mailboxes and the box (RFC 5464), in a file beside the index.

Entries are of a mailbox's object id, so they stay with it when it is renamed; 0 is the box as a
whole. Functions block for a moment: call them in a thread. What is written is durable.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

FILE = "annotations.db"
MAX_VALUE = 64 * 1024
"""Octets of a value."""
MAX_ENTRIES = 200
"""Entries of one mailbox."""
BOX = 0
_TABLE = """
CREATE TABLE IF NOT EXISTS entry (
  mailbox INTEGER NOT NULL,
  name TEXT NOT NULL,
  value BLOB NOT NULL,
  PRIMARY KEY (mailbox, name)
) WITHOUT ROWID
"""


class TooMany(Exception):
    """The mailbox would have more entries than it may."""


@contextmanager
def _open(folder: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder / FILE, isolation_level=None, timeout=10)) as db:
        db.execute("PRAGMA synchronous=FULL")
        db.execute(_TABLE)
        yield db


def entries(folder: Path, mailbox: int) -> dict[str, bytes]:
    """All entries of a mailbox of the box in ``folder``, by name."""
    if not (folder / FILE).exists():
        return {}
    with _open(folder) as db:
        found = db.execute(
            "SELECT name, value FROM entry WHERE mailbox = ? ORDER BY name", (mailbox,)
        )
        return dict(found.fetchall())


def everything(folder: Path) -> dict[tuple[int, str], bytes]:
    """All entries of the box in ``folder``, by mailbox and name. Raises sqlite3.Error."""
    if not (folder / FILE).exists():
        return {}
    with closing(sqlite3.connect(folder / FILE, isolation_level=None, timeout=10)) as db:
        db.execute("PRAGMA query_only=1")
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'entry'").fetchone():
            return {}  # its maker is about to make it
        found = db.execute("SELECT mailbox, name, value FROM entry").fetchall()
        return {(mailbox, name): bytes(value) for mailbox, name, value in found}


def change(folder: Path, mailbox: int, changes: Mapping[str, bytes | None]) -> None:
    """Set entries, and remove those that become None; all or nothing. Raises TooMany."""
    with _open(folder) as db:
        db.execute("BEGIN IMMEDIATE")
        try:
            for name, value in changes.items():
                db.execute("DELETE FROM entry WHERE mailbox = ? AND name = ?", (mailbox, name))
                if value is not None:
                    db.execute("INSERT INTO entry VALUES (?, ?, ?)", (mailbox, name, value))
            count = db.execute("SELECT count(*) FROM entry WHERE mailbox = ?", (mailbox,))
            if count.fetchone()[0] > MAX_ENTRIES:
                raise TooMany
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise

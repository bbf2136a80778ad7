"""Month files for the one who writes: making them, writing, bringing an earlier one up to date.

A file appears under its name only when whole: tables, full-text tables and the revision
stamp are written to ``.2026-12.db.new``, synced, renamed, and the directory is synced.
"""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from tracing import months, tables
from tracing.interning import begin
from tracing.months import quoted

_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=NORMAL",
    "PRAGMA wal_autocheckpoint=4000",
    "PRAGMA cache_size=-65536",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA busy_timeout=10000",
)

_INSERT = {
    "ev": "INSERT INTO ev VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
    "also": "INSERT OR IGNORE INTO also VALUES (?,?)",
    "dom": "INSERT INTO dom VALUES (?,?)",
    "addr": "INSERT INTO addr VALUES (?,?,?)",
    "str": "INSERT INTO str VALUES (?,?)",
    "addr_tri": "INSERT INTO addr_tri(rowid, a) VALUES (?,?)",
    "msg_fts": "INSERT INTO msg_fts(rowid, subject) VALUES (?,?)",
    "msg": "INSERT OR REPLACE INTO msg VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    "rcpt": "INSERT OR REPLACE INTO rcpt VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    "st": "INSERT OR REPLACE INTO st VALUES (?,?,?,?,?,?,?,?)",
    "stat_hour": "INSERT INTO stat_hour VALUES (?,?,?,?) ON CONFLICT DO UPDATE "
    "SET n=n+excluded.n, bytes=bytes+excluded.bytes",
    "meta": "INSERT OR REPLACE INTO meta VALUES (?,?)",
    "chain": "INSERT INTO chain VALUES (?,?)",
}


def engine(file: Path) -> sa.Engine:
    """An engine for one month file; every statement stands alone unless BEGIN is said.

    WAL with synchronous=NORMAL: a commit survives a crash of the process, and one lost with
    the power is made again from the journal.
    """
    made = sa.create_engine(f"sqlite:///{file}", isolation_level="AUTOCOMMIT")

    @event.listens_for(made, "connect")
    def prepare(link: object, _: object) -> None:
        cursor = link.cursor()  # type: ignore[attr-defined]
        for pragma in _PRAGMAS:
            cursor.execute(pragma)
        cursor.close()

    return made


def create(
    directory: Path,
    month: str,
    marks: dict[str, int],
    fill: Callable[["Pen"], None] = begin,
) -> None:
    """Make the file of a month, with the journals' marks it begins with, durably.

    ``fill`` writes what else it begins with: all there is, or what every month begins with.
    """
    file = months.path(directory, month)
    draft = directory / f".{month}.db.new"
    for stale in (
        draft,
        draft.with_name(draft.name + "-wal"),
        draft.with_name(draft.name + "-shm"),
    ):
        stale.unlink(missing_ok=True)
    made = engine(draft)
    try:
        with made.connect() as link:
            link.exec_driver_sql("BEGIN")
            tables.metadata.create_all(link)
            for statement in tables.FULL_TEXT:
                link.exec_driver_sql(statement)
            link.exec_driver_sql(
                "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
                "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
            )
            link.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (months.REVISION,))
            link.exec_driver_sql(
                "INSERT INTO meta VALUES (?, ?)",
                [("month", month.encode())]
                + [(f"applied.{name}", str(seq).encode()) for name, seq in marks.items()],
            )
            link.exec_driver_sql("COMMIT")
    finally:
        made.dispose()
    with contextlib.closing(Pen(draft)) as pen:
        with pen.transaction():
            fill(pen)
        pen.checkpoint()
    sync(draft)
    os.rename(draft, file)
    sync(directory)


def upgrade(file: Path) -> None:
    """Bring a month file to the present revision, in one transaction. Raises NewerVersion."""
    with contextlib.closing(sqlite3.connect(f"file:{quoted(file)}?mode=ro", uri=True)) as link:
        revision = months.check_revision(file, link)
    if revision != months.REVISION:
        from mtad import db  # noqa: PLC0415 - Alembic is wanted once per version

        db.upgrade(file, db.LOG)


class Pen:
    """Writes one month file."""

    def __init__(self, file: Path) -> None:
        self._engine = engine(file)
        self._link = self._engine.connect()
        driver: Any = self._link.connection.driver_connection
        try:
            months.check_revision(file, driver)
        except BaseException:
            self.close()
            raise
        self._driver: sqlite3.Connection = driver
        self._cursor = driver.cursor()

    def execute(self, text: str, values: Any = (), /) -> sqlite3.Cursor:
        """Ask for rows."""
        found: sqlite3.Cursor = self._cursor.execute(text, values)
        return found

    def cursor(self) -> sqlite3.Cursor:
        """What asks further questions."""
        return self._driver.cursor()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written within, or nothing. Raises sqlite3.Error."""
        self._cursor.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._cursor.execute("COMMIT")
        except BaseException:
            if self._driver.in_transaction:
                self._cursor.execute("ROLLBACK")
            raise

    def write(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Add rows, or replace those there are."""
        self._cursor.executemany(_INSERT[table], rows)

    def drop(self, recipients: Sequence[tuple[int, int]]) -> None:
        """Take recipients away, given by message and number."""
        self._cursor.executemany("DELETE FROM rcpt WHERE msg=? AND n=?", recipients)

    def uncount(self, hours: Sequence[tuple[int, int]]) -> None:
        """Take away the counts of hours and states that came to nothing."""
        text = "DELETE FROM stat_hour WHERE h=? AND status=? AND n=0"
        self._cursor.executemany(text, hours)

    def checkpoint(self) -> None:
        """Bring the write-ahead log into the file and sync both."""
        self._link.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def analyze(self) -> None:
        """Tell the planner what the tables look like; tens of milliseconds."""
        self._link.exec_driver_sql("PRAGMA analysis_limit=1000")
        self._link.exec_driver_sql("ANALYZE")

    def close(self) -> None:
        """Close the file."""
        self._link.close()
        self._engine.dispose()


class Shelf:
    """The month files in a folder, for their one writer, who has the folder's lock.

    ``busy`` makes the error for a log that another process writes. Files of an earlier version
    are brought to this one. Raises months.NewerVersion for one of a later version.
    """

    def __init__(self, directory: Path, busy: Callable[[str], Exception]) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        self.directory = directory
        self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise busy(f"another process writes the log in {directory}") from error
        try:
            for month in self.listing():
                file = months.path(directory, month)
                if months.is_hot(file):  # others are brought up to date when something comes late
                    upgrade(file)
        except BaseException:
            self.close()
            raise

    def mend(self) -> bool:
        """Whether what was open had broken: files do not."""
        return False

    def listing(self) -> list[str]:
        """The months there are, newest first."""
        return months.listing(self.directory)

    def create(
        self, month: str, marks: dict[str, int], fill: Callable[[Pen], None] = begin
    ) -> None:
        """Make the file of a month, with the journals' marks it begins with, durably.

        ``fill`` writes what else it begins with.
        """
        create(self.directory, month, marks, fill)

    def pen(self, month: str) -> Pen:
        """What writes a month."""
        file = months.path(self.directory, month)
        if months.is_hot(file):
            return Pen(file)
        from tracing.archive import late  # noqa: PLC0415 - seldom, and hot months need no zstd

        upgrade(file)
        return late.LatePen(file)

    def close(self) -> None:
        """Give up the lock."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def sync(path: Path) -> None:
    """Make a file, or a directory's names, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

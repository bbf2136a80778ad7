"""Making a month file, opening it to write, and bringing one of an earlier version up to date.

A file appears under its name only when whole: tables, full-text tables and the revision
stamp are written to ``.2026-12.db.new``, synced, renamed, and the directory is synced.
"""

import contextlib
import os
import sqlite3
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event

from tracing import months, tables
from tracing.months import quoted

_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=NORMAL",
    "PRAGMA wal_autocheckpoint=4000",
    "PRAGMA cache_size=-65536",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA busy_timeout=10000",
)


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


def create(directory: Path, month: str, marks: dict[str, int]) -> None:
    """Make the file of a month, with the journals' marks it begins with, durably."""
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
            link.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        made.dispose()
    _sync(draft)
    os.rename(draft, file)
    _sync(directory)


def upgrade(file: Path) -> None:
    """Bring a month file to the present revision, in one transaction. Raises NewerVersion."""
    with contextlib.closing(sqlite3.connect(f"file:{quoted(file)}?mode=ro", uri=True)) as link:
        revision = months.check_revision(file, link)
    if revision != months.REVISION:
        from mtad import db  # noqa: PLC0415 - Alembic is wanted once per version

        db.upgrade(file, db.LOG)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

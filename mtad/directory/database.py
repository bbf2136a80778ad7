"""Connections to ``state.db``: many readers, one writer at a time, a commit survives a power cut.

The database is in WAL mode: a reader never waits. ``mtad.db`` makes and migrates it.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

from mtad.errors import Locked, MtadError, Unreachable

BUSY_SECONDS = 10
"""How long a writer waits for another."""


@contextlib.contextmanager
def reading(state_db: Path) -> Iterator[sa.Connection]:
    """One consistent view. Raises Unreachable where there is no readable database."""
    if not state_db.exists():
        raise Unreachable(f"there is no database {state_db}; 'mtad quickstart' makes one")
    with _sentences(state_db), _engine(state_db, "ro").connect() as connection:
        connection.exec_driver_sql("BEGIN")
        yield connection


@contextlib.contextmanager
def writing(state_db: Path) -> Iterator[sa.Connection]:
    """A transaction that no other writer is beside of; committed at the end, synced by then.

    Raises Locked when another writer is not done within BUSY_SECONDS, and Unreachable.
    """
    if not state_db.exists():
        raise Unreachable(f"there is no database {state_db}; 'mtad quickstart' makes one")
    with _sentences(state_db), _engine(state_db, "rw").connect() as connection:
        connection.exec_driver_sql("PRAGMA synchronous = FULL")
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.exec_driver_sql("ROLLBACK")
            raise
        connection.exec_driver_sql("COMMIT")


def _engine(state_db: Path, mode: str) -> sa.Engine:
    """An engine that leaves transactions to us (``isolation_level=None``) and pools nothing."""
    uri = f"file:{quote(str(state_db.absolute()))}?mode={mode}"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)

    return sa.create_engine("sqlite://", creator=connect, poolclass=sa.NullPool)


@contextlib.contextmanager
def _sentences(state_db: Path) -> Iterator[None]:
    """Failures of the database in words for the person at the terminal."""
    try:
        yield
    except sa.exc.DatabaseError as error:
        said = str(error.orig)
        if "locked" in said:
            raise Locked(f"{state_db} is being changed by another program; try again") from error
        if isinstance(error, sa.exc.OperationalError):
            raise Unreachable(f"cannot use the database {state_db}: {said}") from error
        raise MtadError(f"the database {state_db} says: {said}") from error

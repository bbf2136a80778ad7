"""Connections to ``state.db``: many readers, one writer at a time, a commit survives a power cut.

The database is in WAL mode, so that a reader never waits.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from mtad import db
from mtad.errors import Locked, MtadError, Unreachable


@contextlib.contextmanager
def reading(state_db: Path) -> Iterator[sa.Connection]:
    """One consistent view. Raises Unreachable where there is no readable database."""
    with _connection(state_db, read_only=True) as connection:
        connection.exec_driver_sql("BEGIN")
        yield connection


@contextlib.contextmanager
def writing(state_db: Path) -> Iterator[sa.Connection]:
    """A transaction that no other writer is beside of; committed at the end, synced by then.

    Raises Locked when another writer takes too long, and Unreachable.
    """
    with _connection(state_db, read_only=False) as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection
        connection.commit()


@contextlib.contextmanager
def _connection(state_db: Path, *, read_only: bool) -> Iterator[sa.Connection]:
    """A connection of its own; what was not committed is rolled back at the end."""
    if not state_db.exists():
        raise Unreachable(f"there is no database {state_db}; 'mtad quickstart' makes one")
    engine = db.engine(state_db, read_only=read_only)
    try:
        with engine.connect() as connection:
            yield connection
    except sa.exc.DatabaseError as error:
        said = str(error.orig)
        if "locked" in said:
            raise Locked(f"{state_db} is being changed by another program; try again") from error
        if isinstance(error, sa.exc.OperationalError):
            raise Unreachable(f"cannot use the database {state_db}: {said}") from error
        raise MtadError(f"the database {state_db} says: {said}") from error
    finally:
        engine.dispose()

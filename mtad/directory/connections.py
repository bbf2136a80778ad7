"""Connections to the directory: many readers, one writer at a time, a commit survives a power cut.

``state.db`` is in WAL mode, so that a reader never waits. On a PostgreSQL server those who
follow the directory are notified of each change.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from mtad import db
from mtad.errors import Locked, MtadError, Unreachable
from mtad.postgresql import DIRECTORY_CHANNEL, DIRECTORY_LOCK
from mtad.where import Kept


@contextlib.contextmanager
def reading(state_db: Kept) -> Iterator[sa.Connection]:
    """One consistent view. Raises Unreachable where there is no readable database."""
    with _connection(state_db, read_only=True) as connection:
        if isinstance(state_db, Path):
            connection.exec_driver_sql("BEGIN")
        else:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield connection


@contextlib.contextmanager
def writing(state_db: Kept) -> Iterator[sa.Connection]:
    """A transaction that no other writer is beside of; committed at the end, synced by then.

    Raises Locked when another writer takes too long, and Unreachable.
    """
    with _connection(state_db, read_only=False) as connection:
        if isinstance(state_db, Path):
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout TO '{db.BUSY_SECONDS}s'")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({DIRECTORY_LOCK})")
            connection.exec_driver_sql(f"NOTIFY {DIRECTORY_CHANNEL}")
        yield connection
        connection.commit()


@contextlib.contextmanager
def _connection(state_db: Kept, *, read_only: bool) -> Iterator[sa.Connection]:
    """A connection of its own; what was not committed is rolled back at the end."""
    if isinstance(state_db, Path) and not state_db.exists():
        raise Unreachable(f"there is no database {state_db}; 'mtad quickstart' makes one")
    engine = db.engine(state_db, read_only=read_only)
    try:
        with engine.connect() as connection:
            yield connection
    except sa.exc.DatabaseError as error:
        said = str(error.orig)
        if "locked" in said or "lock timeout" in said:
            raise Locked(f"{state_db} is being changed by another program; try again") from error
        if isinstance(error, sa.exc.OperationalError):
            raise Unreachable(f"cannot use the database {state_db}: {said}") from error
        raise MtadError(f"the database {state_db} says: {said}") from error
    finally:
        engine.dispose()

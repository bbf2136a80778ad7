"""Writing the log on a server: the rows of a batch go into a month's tables in one transaction.

Commits do not wait for the server's disk, because the journal is the barrier: what a crash of
the server takes back is made again from there. ``checkpoint`` waits, before a journal lets go.
"""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

from sqlalchemy.dialects import postgresql

from mtad.where import Server
from tracing.interning import begin
from tracing.postgresql import dialect, schema
from tracing.postgresql.session import Month, Session

CHANNEL = "mtad_log"
"""What is notified of each batch: the month and its last seq, as ``2026-11 4711``."""
LOCK = 0x6D746164
"""The advisory lock of the log's one writer."""
LOCK_SECONDS = 2.0

Row = tuple[Any, ...]
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
_ADDED = frozenset({"dom", "addr", "addr_tri", "str", "ev", "chain", "msg_fts"})
_SUMMED = {"stat_hour": ("n", "bytes")}


@cache
def _columns(table: str) -> tuple[tuple[str, str], ...]:
    """Names and types of a table's columns, without those the server fills."""
    found = schema.divided().tables[f"{schema.SCHEMA}.{table}"]
    kept = [one for one in found.columns if one.computed is None and one.name != schema.MONTH]
    return tuple((one.name, one.type.compile(_DIALECT).partition(" ")[0]) for one in kept)


@cache
def _put(table: str) -> str:
    """The statement that adds rows, given by columns, or replaces those there are."""
    columns = _columns(table)
    names = ", ".join(name for name, _ in columns)
    lists = ", ".join(f"%s::{kind.lower()}[]" for _, kind in columns)
    found = schema.divided().tables[f"{schema.SCHEMA}.{table}"]
    keys = [one.name for one in found.primary_key.columns]
    summed = _SUMMED.get(table, ())
    changed = ", ".join(
        f"{name}={table}.{name}+excluded.{name}" if name in summed else f"{name}=excluded.{name}"
        for name, _ in columns
        if name not in keys
    )
    does = f"UPDATE SET {changed}" if changed else "NOTHING"
    return (
        f"INSERT INTO {table} ({names}) SELECT * FROM unnest({lists}) "  # noqa: S608 - our own names
        f"ON CONFLICT ({', '.join(keys)}) DO {does}"
    )


class Pen(Month):
    """Writes one month over the log's writing session."""

    def __init__(self, session: Session, month: str) -> None:
        super().__init__(session, month)
        self._to = session
        self._of = month

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written within, or nothing. Raises sqlite3.Error."""
        self._to.run("BEGIN", month=self._of)
        try:
            yield
            self._to.run("COMMIT")
        except BaseException:
            self._to.turn_back()
            raise

    def write(self, table: str, rows: Sequence[Row]) -> None:
        """Add rows, or replace those there are."""
        if table == "msg_fts":
            rows = [
                (number, " ".join(f"'{word}'" for word in dialect.words(text)))
                for number, text in rows
            ]
        if table in _ADDED:
            names = ", ".join(name for name, _ in _columns(table))
            self._to.copy(table, names, rows)
        else:
            self._to.run(_put(table), [list(column) for column in zip(*rows, strict=True)])
        if table == "ev":
            self._to.run("SELECT pg_notify(%s, %s)", (CHANNEL, f"{self._of} {rows[-1][0]}"))

    def drop(self, recipients: Sequence[tuple[int, int]]) -> None:
        """Take recipients away, given by message and number."""
        self._remove(
            "DELETE FROM rcpt USING gone WHERE rcpt.msg=gone.a AND rcpt.n=gone.b", recipients
        )

    def uncount(self, hours: Sequence[tuple[int, int]]) -> None:
        """Take away the counts of hours and states that came to nothing."""
        self._remove(
            "DELETE FROM stat_hour c USING gone WHERE c.h=gone.a AND c.status=gone.b AND c.n=0",
            hours,
        )

    def _remove(self, text: str, pairs: Sequence[tuple[int, int]]) -> None:
        listed = "WITH gone AS (SELECT * FROM unnest(%s::bigint[], %s::bigint[]) AS g(a, b)) "
        self._to.run(listed + text, [list(column) for column in zip(*pairs, strict=True)])

    def checkpoint(self) -> None:
        """Wait until all that was committed is on the server's disk."""
        with self.transaction():
            self._to.run("SET LOCAL synchronous_commit TO on")
            self._to.run(_put("meta"), [["month"], [self._of.encode()]])

    def analyze(self) -> None:
        """Tell the planner what the tables look like."""
        for table in schema.divided().sorted_tables:
            self._to.run(f"ANALYZE {table.name}", month=self._of)

    def close(self) -> None:
        """Nothing: the session is the shelf's."""


class Shelf:
    """The months of a log on a server, for its one writer. Raises as ``Session`` does.

    ``busy`` makes the error for a log that another process writes.
    """

    def __init__(self, server: Server, busy: Callable[[str], Exception]) -> None:
        self._busy = busy
        self._session = Session(server, name="mtad log writer")
        self._there: set[str] = set()
        self._open()

    def _open(self) -> None:
        session = self._session
        try:
            session.run("SET synchronous_commit TO off")
            session.run("SET client_min_messages TO warning")
            self._take_lock()
            if not session.revision():
                self._all(schema.statements())
            session.check()
            if step := schema.UPGRADES.get(session.revision()):
                self._all(step)
            self._there = set(session.listing())
        except BaseException:
            session.close()
            raise

    def _take_lock(self) -> None:
        """A process that was killed has it for a moment, until the server notices."""
        end = time.monotonic() + LOCK_SECONDS
        while not self._session.run("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone()[0]:
            if time.monotonic() > end:
                raise self._busy(f"another process writes the log in {self._session.server}")
            time.sleep(0.05)

    def mend(self) -> bool:
        """Connect again if the connection broke; whether it had. Raises sqlite3.Error, Busy."""
        if self._session.is_open:
            return False
        self._open()
        return True

    def listing(self) -> list[str]:
        """The months there are, newest first."""
        return sorted(self._there, reverse=True)

    def create(
        self, month: str, marks: dict[str, int], fill: Callable[[Pen], None] = begin
    ) -> None:
        """Make the tables of a month, with the journals' marks it begins with, durably.

        ``fill`` writes what else it begins with.
        """
        rows = [("month", month.encode())]
        rows += [(f"applied.{name}", str(seq).encode()) for name, seq in marks.items()]
        session = self._session
        session.run("BEGIN")
        try:
            for text in schema.month_statements(month):
                session.run(text)
            session.run("SET LOCAL synchronous_commit TO on", month=month)
            pen = self.pen(month)
            pen.write("meta", rows)
            fill(pen)
            session.run("COMMIT")
        except BaseException:
            session.turn_back()
            raise
        self._there.add(month)

    def pen(self, month: str) -> Pen:
        """What writes a month."""
        return Pen(self._session, month)

    def close(self) -> None:
        """Give up the lock and close the connection."""
        with contextlib.suppress(sqlite3.Error):
            if self._session.is_open:
                self._session.run("SELECT pg_advisory_unlock_all()")
        self._session.close()

    def _all(self, statements: Sequence[str]) -> None:
        self._session.run("BEGIN")
        for text in statements:
            self._session.run(text)
        self._session.run("COMMIT")

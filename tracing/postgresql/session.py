"""One connection to the server, and a month on it as the readers know a month file.

Errors are those of sqlite3, which all readers of the log expect: OperationalError where the
server is gone or refuses, DatabaseError for anything else.
"""

import contextlib
import itertools
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from mtad import postgresql
from mtad.errors import MtadError
from mtad.where import Server
from tracing import months
from tracing.postgresql import dialect, schema

_LISTING = "SELECT nspname FROM pg_namespace WHERE nspname ~ '^log_[0-9]{4}_[0-9]{2}$'"
_REVISION = "SELECT version_num FROM log.alembic_version"
_SETTINGS = ("jit TO off", "random_page_cost TO 1.1", "work_mem TO '16MB'")
"""For many short questions: compiling one costs more than it takes, and indexes are in memory."""
_FRESH_SECONDS = 5
_numbers = itertools.count()


class Session:
    """A connection that is made when it is wanted, and again when it broke; for one thread."""

    def __init__(self, server: Server, *, name: str = "mtad log") -> None:
        self.server = server
        self._name = name
        self._link: Any = None
        self._month = ""
        self._known: tuple[float, list[str]] = (0.0, [])

    @property
    def is_open(self) -> bool:
        """Whether there is a connection that was not seen to break."""
        return self._link is not None and not self._link.closed

    @property
    def in_transaction(self) -> bool:
        """Whether a BEGIN was said that has no end yet."""
        return self.is_open and self._link.info.transaction_status.name in ("INTRANS", "INERROR")

    def listing(self) -> list[str]:
        """The months there are, newest first. Raises NewerVersion."""
        found = [schema.month_of(name) for (name,) in self.run(_LISTING)]
        self._known = time.monotonic(), sorted(filter(None, found), reverse=True)
        return list(self._known[1])

    def has(self, month: str) -> bool:
        """Whether there is a month, as far as was seen lately."""
        at, known = self._known
        if month not in known or time.monotonic() - at > _FRESH_SECONDS:
            known = self.listing()
        return month in known

    def revision(self) -> str:
        """The revision of the log, "" while there is none."""
        there = self.run("SELECT to_regclass('log.alembic_version')").fetchone()
        return str(self.run(_REVISION).fetchone()[0]) if there[0] else ""

    def check(self) -> None:
        """Raises NewerVersion where this version does not understand the log."""
        found = self.revision()
        if found and found not in (months.REVISION, *schema.UPGRADES):
            raise months.NewerVersion(str(self.server), found)

    def month(self, month: str) -> "Month":
        """A month, to be read; it need not be there."""
        return Month(self, month)

    def run(self, text: str, values: dialect.Values = (), month: str = "") -> Any:
        """Run a statement in PostgreSQL's words, with a month's tables by their bare names."""
        with self.saying():
            if month:
                self._turn(month)
            return self._opened().execute(text, values)

    def turn_back(self) -> None:
        """Undo the transaction, if there is one and the server is there to undo it."""
        with contextlib.suppress(sqlite3.Error):
            if self.in_transaction:
                self.run("ROLLBACK")
        self._month = ""  # a month that was set in the transaction is forgotten with it

    def copy(self, table: str, columns: str, rows: Sequence[Sequence[Any]]) -> None:
        """Add rows to a table of the month that the last statement was for."""
        said = f"COPY {table} ({columns}) FROM STDIN"
        with self.saying(), self._opened().cursor() as cursor, cursor.copy(said) as out:
            for row in rows:
                out.write_row(row)

    def stream(self, text: str, values: dialect.Values, month: str) -> Any:
        """A cursor on a long answer, to be closed; other statements may go between."""
        with self.saying():
            self._turn(month)
            cursor = self._opened().cursor(f"c{next(_numbers)}", withhold=True)
            cursor.itersize = 5_000
            return cursor.execute(text, values)

    @contextlib.contextmanager
    def saying(self) -> Iterator[None]:
        """Turns the driver's errors into those of sqlite3."""
        error, gone = postgresql.errors()
        try:
            yield
        except gone as raised:
            if self._link is not None and self._link.closed:
                self._link = None
            raise sqlite3.OperationalError(" ".join(str(raised).split())) from raised
        except error as raised:
            raise sqlite3.DatabaseError(" ".join(str(raised).split())) from raised

    def close(self) -> None:
        """Close the connection; the next statement makes one again."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def _opened(self) -> Any:
        if not self.is_open:
            try:
                self._link = postgresql.connect(self.server, name=self._name)
                for setting in _SETTINGS:
                    self._link.execute(f"SET {setting}")
            except MtadError as error:
                raise sqlite3.OperationalError(str(error)) from error
            self._month = ""
        return self._link

    def _turn(self, month: str) -> None:
        link = self._opened()
        if month != self._month:
            link.execute(f"SET search_path TO {schema.schema_of(month)}")
            self._month = month


class Month:
    """A month on the server, asked in the log's SQL as a month file is."""

    def __init__(self, session: Session, month: str, *, own: bool = False) -> None:
        self._session = session
        self._name = month
        self._own = own

    def execute(self, text: str, values: dialect.Values = ()) -> Any:
        """Run a statement; the answer is iterable and can be fetched."""
        said = dialect.statement(text)
        return self._session.run(said.text, said.values(values), self._name)

    def cursor(self) -> "Month":
        """What ``sqlite3.Connection`` has for further statements."""
        return self

    def stream(self, text: str, values: dialect.Values = ()) -> Any:
        """As ``execute``, for a long answer; the cursor is to be closed."""
        said = dialect.statement(text)
        return self._session.stream(said.text, said.values(values), self._name)

    def close(self) -> None:
        """Close the session, where it is of this month alone."""
        if self._own:
            self._session.close()


def reading(server: Server, month: str) -> Month:
    """A month with a connection of its own. Raises FileNotFoundError, NewerVersion."""
    session = Session(server)
    try:
        session.check()
        if month not in session.listing():
            raise FileNotFoundError(f"no log of that month: {month} at {server}")
    except BaseException:
        session.close()
        raise
    return Month(session, month, own=True)


def listing(server: Server) -> list[str]:
    """The months there are, newest first."""
    session = Session(server)
    try:
        return session.listing()
    finally:
        session.close()


_short: dict[Server, tuple[threading.Lock, Session]] = {}
_away: dict[Server, float] = {}


def asked_shortly(server: Server, month: str, text: str, values: dialect.Values) -> Any:
    """The one row of a question, or None, over a connection that the whole process shares.

    Raises sqlite3.Error, for some seconds without asking a server that was just away.
    """
    lock, session = _short.setdefault(server, (threading.Lock(), Session(server)))
    if time.monotonic() < _away.get(server, 0.0):
        raise sqlite3.OperationalError(f"PostgreSQL at {server} was away just now")
    with lock:
        try:
            if not session.has(month):
                return None
            return session.month(month).execute(text, values).fetchone()
        except sqlite3.OperationalError:
            _away[server] = time.monotonic() + _FRESH_SECONDS
            raise

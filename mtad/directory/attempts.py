"""Failed logins, bans, and where people logged in from: shared by all processes, worth nothing.

A small database in the cache folder. It may be deleted at any time; a damaged one, or one of
another version, is made anew, so it needs no revisions. Nothing in it is synced: after a power
cut the last failures are forgotten.
"""

import contextlib
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event

from mtad import db

VERSION = 1
MAX_ROWS = 50_000
"""Rows of a table; beyond it the oldest go. An attacker chooses what is counted."""
NETWORK_BITS = 64
"""An IPv6 client has at least a /64 to itself, so that much counts as one."""

_metadata = sa.MetaData()

failure = sa.Table(
    "failure",
    _metadata,
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("since", sa.BigInteger, nullable=False, comment="microseconds"),
    sa.Column("count", sa.Integer, nullable=False),
)
ban = sa.Table(
    "ban",
    _metadata,
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("until", sa.BigInteger, nullable=False, comment="microseconds"),
)
seen = sa.Table(
    "seen",
    _metadata,
    sa.Column("ip", sa.Text, primary_key=True),
    sa.Column("box", sa.Text, primary_key=True),
    sa.Column("service", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False, comment="microseconds"),
)
_AGES = ((failure, failure.c.since), (ban, ban.c.until), (seen, seen.c.at))


def network(ip: str) -> str:
    """What is counted as one client: an IPv4 address, or an IPv6 network."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ip
    if address.version == 4:
        return ip
    return str(ipaddress.ip_network((address, NETWORK_BITS), strict=False))


class Attempts:
    """The database of one data directory. Safe for several threads and processes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._engine = self._open()
        except sa.exc.OperationalError:
            raise
        except sa.exc.DatabaseError:
            # It is no database any more. That it is locked or cannot be written says otherwise.
            for end in ("", "-wal", "-shm"):
                path.with_name(path.name + end).unlink(missing_ok=True)
            self._engine = self._open()

    def _open(self) -> sa.Engine:
        engine = db.engine(self._path)

        @event.listens_for(engine, "connect")
        def hurry(link: object, _: object) -> None:
            link.execute("PRAGMA synchronous=OFF")  # type: ignore[attr-defined]

        try:
            with engine.begin() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                found = connection.exec_driver_sql("PRAGMA user_version").scalar()
                if found != VERSION:
                    _metadata.drop_all(connection)
                    _metadata.create_all(connection)
                    connection.exec_driver_sql(f"PRAGMA user_version={VERSION}")
        except sa.exc.DatabaseError:
            engine.dispose()
            raise
        return engine

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    def banned_until(self, subject: str, now: int) -> int:
        """Until when a subject is banned; 0 where it is not."""
        with self._engine.connect() as connection:
            until = connection.scalar(sa.select(ban.c.until).where(ban.c.subject == subject))
        return until if until is not None and until > now else 0

    def count(self, subject: str, now: int, window: int) -> int:
        """Count one more failure; how many there were within ``window`` microseconds."""
        with self._writing() as connection:
            row = connection.execute(
                sa.select(failure.c.since, failure.c.count).where(failure.c.subject == subject)
            ).one_or_none()
            if row is None or row[0] < now - window:
                _put(connection, failure, subject=subject, since=now, count=1)
                return 1
            count = int(row[1]) + 1
            more = failure.update().where(failure.c.subject == subject)
            connection.execute(more.values(count=count))
            return count

    def ban(self, subject: str, until: int) -> None:
        """Ban a subject and count its failures from the start."""
        with self._writing() as connection:
            _put(connection, ban, subject=subject, until=until)
            connection.execute(failure.delete().where(failure.c.subject == subject))

    def bans(self, now: int) -> list[tuple[str, int]]:
        """Every subject that is banned and until when, the longest first."""
        wanted = sa.select(ban.c.subject, ban.c.until).where(ban.c.until > now)
        with self._engine.connect() as connection:
            rows = connection.execute(wanted.order_by(ban.c.until.desc(), ban.c.subject))
            return [(subject, until) for subject, until in rows]

    def lift(self, subject: str) -> None:
        """Forget the ban of a subject, and its failures."""
        with self._writing() as connection:
            for table in (ban, failure):
                connection.execute(table.delete().where(table.c.subject == subject))

    def note_login(self, ip: str, box: str, service: str, now: int, every: int) -> None:
        """Somebody logged in; written at most each ``every`` microseconds."""
        ip = network(ip)
        same = (seen.c.ip == ip, seen.c.box == box, seen.c.service == service)
        with self._engine.connect() as connection:
            before = connection.scalar(sa.select(seen.c.at).where(*same))
        if before is None or before < now - every:
            with self._writing() as connection:
                _put(connection, seen, ip=ip, box=box, service=service, at=now)

    def knows(self, ip: str, box: str, since: int) -> bool:
        """Whether a box was logged into from a client since then."""
        with self._engine.connect() as connection:
            at = connection.scalar(
                sa.select(sa.func.max(seen.c.at)).where(seen.c.ip == network(ip), seen.c.box == box)
            )
        return at is not None and at >= since

    def recent_login(self, ip: str, since: int, services: tuple[str, ...]) -> str | None:
        """The box that was last logged into from an address through one of the services."""
        with self._engine.connect() as connection:
            return connection.scalar(
                sa.select(seen.c.box)
                .where(seen.c.ip == network(ip), seen.c.service.in_(services), seen.c.at >= since)
                .order_by(seen.c.at.desc())
                .limit(1)
            )

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            connection.commit()


def _put(connection: sa.Connection, table: sa.Table, **values: object) -> None:
    """Write a row in place of the one with its key; where there are too many the oldest go."""
    keys = [column == values[column.name] for column in table.primary_key]
    if not connection.execute(table.delete().where(*keys)).rowcount:
        age = dict(_AGES)[table]
        count = connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
        if count >= MAX_ROWS:
            middle = sa.select(age).order_by(age).offset(count // 10).limit(1).scalar_subquery()
            connection.execute(table.delete().where(age < middle))
    connection.execute(table.insert().values(**values))

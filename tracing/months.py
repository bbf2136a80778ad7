"""The months of a log: which there are, what they span, and opening them to read.

``log/2026-11.db`` holds what the ids and events of that month (UTC) brought, ``2026-11.sealed``
the same once the month is over and compressed (``tracing.archive``), ``2026-11.summary`` what is
left when its events were let go of, ``2026-11.copies`` only what is still in boxes. Each replaces
the one before, so the later form counts where two are there. ``log/imported/2026-11.db`` is what
was read out of the logs of other servers; on a PostgreSQL server a schema of the month has our own
(``tracing.postgresql``). Reading hot months needs nothing but the standard library, so that a
question to them starts at once.
"""

import os
import re
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from mtad.where import Kept
from tracing import ids
from tracing.archive import sealed

REVISION = "log_0005"
"""The Alembic revision of the month files this version makes and writes."""

_COUNTED = (
    f"CREATE TEMP VIEW stat_hour AS SELECT id/{ids.HOUR} AS h, status, count(*) AS n, "  # noqa: S608
    "coalesce(sum(size), 0) AS bytes FROM main.msg GROUP BY 1, 2"
)
_FOUND = "NULL AS rqid, last-ts AS wait"
_WITH_RQID = f"CREATE TEMP VIEW rcpt AS SELECT *, {_FOUND} FROM main.rcpt"  # noqa: S608
_WITH_PARAMS = f"CREATE TEMP VIEW rcpt AS SELECT *, NULL AS params, {_FOUND} FROM main.rcpt"  # noqa: S608
_AS_IF = {
    REVISION: (),
    "log_0004": (),
    "log_0003": (_WITH_RQID,),
    "log_0002": (_COUNTED, _WITH_RQID),
    "log_0001": (_COUNTED, _WITH_PARAMS),
}
"""Revisions this version can read, and what makes each look like the present one to readers."""

IMPORTED = "imported"
"""The folder, in that of the log, with the months of other servers."""

HOT, SEALED, SUMMARY, COPIES = FORMS = (".db", ".sealed", ".summary", ".copies")
"""The forms a month takes, one after the other."""
_NAME = re.compile(r"(\d{4}-(?:0[1-9]|1[0-2]))\.(?:db|sealed|summary|copies)")
_BUSY_SECONDS = 10


class NewerVersion(Exception):
    """A month file was made by a later version of mtad than this one."""

    def __init__(self, place: Path | str, revision: str) -> None:
        super().__init__(
            f"the database {place} is from a newer version of mtad (revision {revision}); "
            "upgrade mtad"
        )


class Link(Protocol):
    """A month to be read: what ``sqlite3.Connection`` has, errors as well."""

    def execute(self, text: str, values: Sequence[Any] | Mapping[str, Any] = ..., /) -> Any:
        """Run a statement; the answer is iterable and can be fetched."""

    def close(self) -> None:
        """Let it go."""


def path(directory: Path, month: str) -> Path:
    """The file of a month such as ``2026-11``; of one without a file, where it will be."""
    for form in reversed(FORMS):
        file = directory / (month + form)
        if file.exists():
            return file
    return directory / (month + HOT)


def is_hot(file: Path) -> bool:
    """Whether a month file is in the form in which months are written."""
    return file.suffix == HOT


def listing(log: Kept) -> list[str]:
    """The months there are, newest first."""
    if not isinstance(log, Path):
        from tracing.postgresql import session  # noqa: PLC0415 - an extra

        return session.listing(log)
    try:
        names = os.listdir(log)
    except FileNotFoundError:
        return []
    return sorted({found[1] for name in names if (found := _NAME.fullmatch(name))}, reverse=True)


def checked(month: str) -> str:
    """A month's name, if it is one. Raises ValueError."""
    if not _NAME.fullmatch(month + HOT):
        raise ValueError(f"{month!r} is no month like 2026-11")
    return month


def home(number: int) -> str:
    """The month file of a message, also one that was imported."""
    month = ids.month(number)
    return f"{IMPORTED}/{month}" if ids.is_imported(number) else month


def everything(directory: Path) -> list[tuple[str, ...]]:
    """The months there are files of, newest first, each with our own and the imported one."""
    files: dict[str, tuple[str, ...]] = {month: (month,) for month in listing(directory)}
    for month in listing(directory / IMPORTED):
        files[month] = (*files.get(month, ()), f"{IMPORTED}/{month}")
    return [files[month] for month in sorted(files, reverse=True)]


def times(month: str) -> tuple[int, int]:
    """Bounds [begin, end) of a month in microseconds since the Unix epoch."""
    year, number = int(month[-7:-3]), int(month[-2:])
    begin = datetime(year, number, 1, tzinfo=UTC)
    end = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)
    return int(begin.timestamp()) * 1_000_000, int(end.timestamp()) * 1_000_000


def span(month: str) -> tuple[int, int]:
    """Bounds [low, high) of the ids made in a month."""
    begin, end = times(month)
    return ids.lowest(begin), ids.lowest(end)


def reading(log: Kept, month: str) -> Link:
    """A month by itself. Raises as ``open_reading`` does."""
    if isinstance(log, Path):
        return open_reading(path(log, month))
    from tracing.postgresql import session  # noqa: PLC0415 - an extra

    return session.reading(log, month)


class Links:
    """The months of a log, opened once and as they are wanted; one thread at a time."""

    def __init__(self, log: Kept) -> None:
        self._log = log
        self._files: dict[str, tuple[tuple[int, int], sqlite3.Connection]] = {}
        self._session: Any = None
        if not isinstance(log, Path):
            from tracing.postgresql.session import Session  # noqa: PLC0415 - an extra

            self._session = Session(log)

    def listing(self) -> list[str]:
        """The months there are, newest first."""
        if isinstance(self._log, Path):
            return listing(self._log)
        self._session.check()
        return list(self._session.listing())

    def everything(self) -> list[tuple[str, ...]]:
        """The months there are, newest first, each with our own and the imported one."""
        if isinstance(self._log, Path):
            return everything(self._log)
        return [(month,) for month in self.listing()]

    def open(self, month: str) -> Link | None:
        """What has this name at present; None where there is nothing."""
        if not isinstance(self._log, Path):
            return self._session.month(month) if self._session.has(month) else None
        for _ in range(2):  # it may take its next form between the two looks
            file = path(self._log, month)
            try:
                there = os.stat(file)
                place, link = self._files.get(month, (None, None))
                if link is None or place != (there.st_dev, there.st_ino):
                    link = open_reading(file)
                    self._files[month] = (there.st_dev, there.st_ino), link
            except FileNotFoundError:
                continue
            return link
        self._files.pop(month, None)
        return None

    def close(self) -> None:
        """Close what was opened."""
        for _, link in self._files.values():
            link.close()
        self._files.clear()
        if self._session is not None:
            self._session.close()


def stream(link: Link, text: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> Any:
    """A cursor, to be closed, on a long answer that need not be in memory at once."""
    return getattr(link, "stream", link.execute)(text, values)


def open_reading(file: Path) -> sqlite3.Connection:
    """A read-only connection to a month file.

    Raises FileNotFoundError, NewerVersion, or sqlite3.DatabaseError for what is no log.
    """
    if not file.is_file():
        file = path(file.parent, file.stem)  # it may have taken its next form meanwhile
    if not file.is_file():
        raise FileNotFoundError(f"no log of that month: {file}")
    link = _connection(file)
    try:
        for view in _AS_IF[check_revision(file, link)]:
            link.execute(view)
        if not is_hot(file):
            sealed.prepare(link)
        link.execute("PRAGMA query_only=ON")
    except BaseException:
        link.close()
        raise
    return link


def _connection(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quoted(file)}?mode=ro",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        factory=sqlite3.Connection if is_hot(file) else sealed.Sealed,
    )


def check_revision(file: Path, link: sqlite3.Connection) -> str:
    """The file's revision. Raises NewerVersion where this version does not understand it."""
    row = link.execute("SELECT version_num FROM alembic_version").fetchone()
    revision = str(row[0]) if row else ""
    if revision not in _AS_IF:
        raise NewerVersion(file, revision)
    return revision


def quoted(file: Path) -> str:
    """A path inside a ``file:`` name (RFC 3986 2.1)."""
    return os.fspath(file.resolve()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")

"""What a snapshot holds of a server besides boxes: directory, event log, settings and secrets.

It is kept as a box without an address whose mailboxes are files and whose messages are their
pieces, so that whatever proves, copies or reclaims snapshots has it at once. Databases are
copied by SQLite itself, each as of one moment; a month of the log that nobody wrote to since
the last snapshot is not read again. Names begin with ``settings/`` (beside the settings file),
``data/`` (in the data directory) or ``elsewhere/`` (named by an absolute path).
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from backup.format import BoxRoot, Entry, MailboxRoot
from mtad import control
from mtad.config import Loaded
from mtad.errors import Locked, Unreachable
from mtad.store import maildir
from tracing import ids, months

ADDRESS = ""
"""Of the box that is the server."""
PIECE = 128 * 1024
"""Octets of a file that are one object: what changes in a database is a few of them."""
SETTINGS, DATA, ELSEWHERE = "settings", "data", "elsewhere"
_MAGIC = b"SQLite format 3\0"
_SECRETS = 1 << 20
"""Octets up to which files beside the settings are taken: keys and certificates are small."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file of the server; one with ``copied`` is a database, copied to be of one moment."""

    name: str
    path: Path
    copied: bool = False


def level(loaded: Loaded) -> None:
    """Bring the log up to what is durable in the journals, so that the copy of it has it.

    Raises Locked, MtadError.
    """
    places = loaded.places
    with contextlib.suppress(Unreachable):
        control.ask(places.socket("log"), "position", seconds=120)
        return
    if not any(places.journal.glob("*/*")):
        return
    from mtad.materialise.worker import Worker  # noqa: PLC0415 - brings a database library
    from tracing import answers  # noqa: PLC0415
    from tracing.log import Busy  # noqa: PLC0415

    try:
        with answers.readable(places.log):
            worker = Worker(places)
    except Busy as error:
        raise Locked("the log is being written but its server does not answer") from error
    try:
        worker.start()
        worker.turn()
    finally:
        worker.close()


def sources(loaded: Loaded) -> Iterator[Source]:
    """Every file of the server that a dead machine is rebuilt from."""
    config, beside, data = loaded.config, loaded.path.resolve().parent, loaded.places.data
    yield Source(f"{SETTINGS}/mtad.toml", loaded.path.resolve())
    named = [
        config.tls.certificate,
        config.tls.key,
        config.outbound.ca_file,
        config.database.password_file,
        config.backup.access_file,
        *(str(path.relative_to(beside)) for path in sorted((beside / "dkim").glob("*.pem"))),
    ]
    for name in dict.fromkeys(filter(None, named)):
        path = loaded.beside(name)
        if path.is_file() and path.stat().st_size <= _SECRETS:
            inside = not Path(name).is_absolute() and ".." not in Path(name).parts
            yield Source(f"{SETTINGS}/{name}" if inside else f"{ELSEWHERE}{path}", path)
    if loaded.places.auth_key.is_file():
        yield Source(f"{DATA}/{loaded.places.auth_key.relative_to(data)}", loaded.places.auth_key)
    if loaded.places.server is None:
        yield from _databases(loaded)


def _databases(loaded: Loaded) -> Iterator[Source]:
    places = loaded.places
    if places.state_file.is_file():
        yield Source(f"{DATA}/{places.state_file.name}", places.state_file, copied=True)
    for path in sorted(places.log_folder.rglob("*")):
        if path.suffix in months.FORMS and path.is_file():
            yield Source(f"{DATA}/{path.relative_to(places.data)}", path, _is_sqlite(path))
    views = places.log_folder / "views.json"
    if views.is_file():
        yield Source(f"{DATA}/{views.relative_to(places.data)}", views)
    yield from _waiting(loaded)


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def _waiting(loaded: Loaded) -> Iterator[Source]:
    """Messages of the queue: their recipients are open in the log."""
    from tracing.queries import Log  # noqa: PLC0415 - brings a database library

    places = loaded.places
    files = {ids.parse(path.name): path for path in sorted(places.content.glob("*/*"))}
    if not files:
        return
    with contextlib.closing(Log(places.log)) as log:
        for m in sorted(log.open_among(filter(None, files))):
            yield Source(f"{DATA}/{files[m].relative_to(places.data)}", files[m])


def stamp_of(source: Source) -> tuple[int, int]:
    """Size and time by which an unchanged file is known; zeros where that cannot be told."""
    at = source.path.stat()
    wal = source.path.with_name(source.path.name + "-wal")
    if source.copied and wal.exists() and wal.stat().st_size:
        return 0, 0
    return at.st_size, at.st_mtime_ns


def pieces(source: Source, aside: Path) -> Iterator[bytes]:
    """A file's octets, piece by piece; a database's out of a copy made in ``aside``.

    Raises OSError, sqlite3.Error.
    """
    path = source.path
    if source.copied:
        path = aside / "database"
        path.unlink(missing_ok=True)
        with (
            contextlib.closing(sqlite3.connect(source.path, timeout=60)) as one,
            contextlib.closing(sqlite3.connect(path)) as other,
        ):
            one.execute("PRAGMA query_only=1")
            one.backup(other)
    with os.fdopen(maildir.open_file(path), "rb", buffering=0) as file:
        while piece := file.read(PIECE):
            yield piece
    if source.copied:
        path.unlink()


def root(files: list[MailboxRoot]) -> BoxRoot:
    """The server as a box."""
    return BoxRoot(ADDRESS, tuple(sorted(files, key=lambda one: one.name)), ())


def entry(name: str, number: int, piece: bytes, object_id: bytes, mtime_ns: int) -> Entry:
    """A piece of a file as a message."""
    return Entry(name, number, str(number), 0, 0, "", (), mtime_ns, len(piece), object_id)

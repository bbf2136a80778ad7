"""How old the newest snapshot is, told without a key and without asking another machine."""

import contextlib
import os
import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from backup import access
from backup.keys import CONFIG

if TYPE_CHECKING:
    from mtad.config import Loaded


def newest(loaded: "Loaded") -> float:
    """When the newest snapshot was written, in seconds since the Unix epoch; 0.0 for never.

    In a folder its files tell; of another place the local cache is asked, which knows of every
    snapshot that this server took. Raises OSError.
    """
    times = [0.0]
    if access.is_remote(loaded.config.backup.repository):
        for path in loaded.places.cache.glob("repository-*.sqlite"):
            with contextlib.suppress(sqlite3.Error, ValueError):
                times.append(_cached(path.absolute().as_uri()))
        return max(times)
    folder = loaded.repository / "snapshots"
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as files:
        times += [file.stat().st_mtime for file in files]
    return max(times)


def _cached(uri: str) -> float:
    with contextlib.closing(sqlite3.connect(f"{uri}?mode=ro", uri=True, timeout=5)) as db:
        (name,) = db.execute("SELECT max(name) FROM snapshot").fetchone()
    if not name:
        return 0.0
    written = datetime.strptime(name.partition("-")[0], "%Y%m%dT%H%M%SZ")  # noqa: DTZ007 - next
    return written.replace(tzinfo=UTC).timestamp()


def made(loaded: "Loaded") -> float:
    """When the repository was made, in seconds since the Unix epoch. Raises OSError."""
    with contextlib.closing(access.repository_of(loaded)) as place:
        return place.modified(CONFIG)

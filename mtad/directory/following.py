"""Following what is read from the directory: a file's times tell of a change, or a server does.

Nothing that an event loop calls waits for a server: a thread listens for its notifications and
reads, and what was read last is at hand, also while the server is away.
"""

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import sqlalchemy as sa

from mtad import postgresql
from mtad.directory import connections
from mtad.errors import MtadError
from mtad.where import Kept, Server

UNSETTLED_NS = 50_000_000
"""A file this young may change again without its time or size showing it."""
AGAIN_SECONDS = 1.0
"""Between attempts to reach a server that is away."""
LOOK_SECONDS = 60.0
"""A listener that heard nothing reads again after this long."""

log = logging.getLogger("mtad.directory")

T = TypeVar("T")
_Signature = tuple[tuple[int, int, int] | None, ...]


class Followed(Generic[T]):
    """What ``read`` makes of the directory, read again when it changed."""

    def __init__(self, state_db: Kept, read: Callable[[sa.Connection], T]) -> None:
        """Read nothing yet: ``refresh`` does."""
        self._state_db = state_db
        self._read = read
        self._seen: _Signature | None = None
        self._fetched = self._taken = 0
        self._fresh: T | None = None

    @property
    def is_stale(self) -> bool:
        """Whether ``refresh`` would give something new; costs two stats, or nothing."""
        if isinstance(self._state_db, Path):
            return self._seen is None or self._seen != self._look()
        return not self._taken or self._taken != self._fetched

    def refresh(self) -> T | None:
        """What is there now, None where it did not change. Raises Unreachable, MtadError.

        From a server that was reached once nothing is raised: what was read last stays.
        """
        if not self.is_stale:
            return None
        if not isinstance(self._state_db, Path):
            return self._follow(self._state_db)
        before = self._look()
        with connections.reading(self._state_db) as connection:
            found = self._read(connection)
        newest = max((entry[0] for entry in before if entry), default=0)
        self._seen = before if time.time_ns() - newest > UNSETTLED_NS else None
        return found

    def _look(self) -> _Signature:
        return tuple(map(_signature, (str(self._state_db), f"{self._state_db}-wal")))

    def _follow(self, server: Server) -> T | None:
        if not self._fetched:
            self.fetch()
            name = "directory listener"
            own = weakref.ref(self)
            threading.Thread(target=_listen, args=(server, own), name=name, daemon=True).start()
        self._taken = self._fetched
        return self._fresh

    def fetch(self) -> None:
        """Read from the server, for ``refresh`` to give."""
        with connections.reading(self._state_db) as connection:
            self._fresh = self._read(connection)
        self._fetched += 1


def _listen(server: Server, follower: "weakref.ref[Followed[T]]") -> None:
    """Read again whenever the server tells of a change, until nobody follows any more."""
    error, _ = postgresql.errors()
    away = False
    while (followed := follower()) is not None:
        del followed
        try:
            link = postgresql.connect(server, name="mtad directory listener")
            try:
                link.execute(f"LISTEN {postgresql.DIRECTORY_CHANNEL}")
                if away:
                    log.warning("the directory on the database server is in reach again")
                away = False
                while (followed := follower()) is not None:
                    followed.fetch()
                    del followed
                    for _ in link.notifies(timeout=LOOK_SECONDS, stop_after=1):
                        pass
            finally:
                link.close()
        except (error, MtadError) as said:
            if not away:
                log.warning("the directory stays as it was: %s", " ".join(str(said).split()))
            away = True
            time.sleep(AGAIN_SECONDS)


def _signature(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino

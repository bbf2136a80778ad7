"""Who uses a repository: shared locks for readers and adders, exclusive ones for removers.

A lock is a file in ``locks/`` whose time is its heartbeat. It is stale when its process is
known to be dead, or, on another machine, when it has not beaten for five minutes.

Exclusion needs no more of a place than that it lists what was written: everyone writes his
lock first and looks around second, so that of two that come together at least one sees the
other. Folders, SFTP servers and S3 (consistent since 2020) do that. Ages are by the place's
own clock, that of the lock just written. Whoever could not beat for half of the five minutes,
or whose file is gone, no longer trusts his lock: ``Storage.assure`` raises before a commit
or a removal.
"""

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from backup.places import Storage
from mtad.errors import Locked

BEAT_SECONDS = 30.0
STALE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Holder:
    """A lock that was found; ``age`` is seconds since it last beat."""

    name: str
    exclusive: bool
    host: str
    pid: int
    started: str
    age: float

    @property
    def is_stale(self) -> bool:
        """Whether whoever held it is gone."""
        if self.host == socket.gethostname():
            return _started(self.pid) != self.started
        return self.age > STALE_SECONDS

    @property
    def told(self) -> str:
        """Who it is, in words."""
        kind = "exclusively" if self.exclusive else "shared"
        return f"{kind} by process {self.pid} on {self.host}, last heard {self.age:.0f} s ago"


class Lock:
    """A held lock; a context manager. Raises Locked when another excludes it.

    ``say`` is told of stale locks that were removed.
    """

    def __init__(
        self,
        folder: Storage,
        *,
        exclusive: bool = False,
        beat_seconds: float = BEAT_SECONDS,
        say: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self._folder = folder
        self.name = f"locks/{secrets.token_hex(16)}"
        self._stop = threading.Event()
        fields = {
            "exclusive": exclusive,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": _started(os.getpid()),
        }
        self._beaten = time.monotonic()
        try:
            folder.put(self.name, json.dumps(fields).encode())
            self._check(exclusive, say)
        except BaseException:
            with contextlib.suppress(OSError):
                folder.remove(self.name)
            raise
        self._beat_seconds = beat_seconds
        self._thread = threading.Thread(target=self._beat, name="lock", daemon=True)
        self._thread.start()
        folder.guards.append(self.assure)

    def _check(self, exclusive: bool, say: Callable[[str], None]) -> None:
        """Written first, looked around second: of two that come together at least one sees."""
        for other in holders(self._folder, self._folder.modified(self.name)):
            if other.name == self.name:
                continue
            if other.is_stale:
                with contextlib.suppress(OSError):  # a place may let nobody remove anything
                    self._folder.remove(other.name)
                    say(f"removed a stale lock: it was held {other.told}")
            elif exclusive or other.exclusive:
                raise Locked(f"the repository is in use {other.told}; wait for it to end")

    def _beat(self) -> None:
        while not self._stop.wait(self._beat_seconds):
            try:
                self.assure()
                self._folder.beat(self.name)
            except (Locked, FileNotFoundError):
                self._beaten = float("-inf")
                return
            except OSError:
                continue
            self._beaten = time.monotonic()

    def assure(self) -> None:
        """Raise Locked when others may no longer see this lock."""
        if time.monotonic() - self._beaten > STALE_SECONDS / 2:
            raise Locked(
                f"the lock of this process on {self._folder.shown} was lost: the place did not "
                "answer for minutes, or somebody removed it; nothing was committed, try again"
            )

    def release(self) -> None:
        """Give the lock back; quiet when it is gone, or may not be removed: it goes stale."""
        self._stop.set()
        self._thread.join()
        with contextlib.suppress(ValueError):
            self._folder.guards.remove(self.assure)
        with contextlib.suppress(OSError):
            self._folder.remove(self.name)

    def __enter__(self) -> "Lock":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.release()


def holders(folder: Storage, now: float) -> list[Holder]:
    """Every lock there is, stale ones too. ``now`` is the time by the place's clock."""
    found = []
    for each in folder.names("locks"):
        name = f"locks/{each}"
        try:
            age = max(0.0, now - folder.modified(name))
            fields = json.loads(folder.get(name))
            about = (
                bool(fields["exclusive"]),
                str(fields["host"]),
                int(fields["pid"]),
                str(fields["started"]),
            )
        except FileNotFoundError:
            continue
        except (ValueError, KeyError, TypeError):
            about = (True, "an unreadable lock", 0, "")
        found.append(Holder(name, *about, age))
    return found


def _started(pid: int) -> str:
    """When a process began, as the kernel counts; empty for one that is not there."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError):
        return ""

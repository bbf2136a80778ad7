"""Who uses a repository: shared locks for readers and adders, exclusive ones for removers.

A lock is a file in ``locks/`` whose time is its heartbeat. It is stale when its process is
known to be dead, or, on another machine, when it has not beaten for five minutes.
"""

import json
import os
import secrets
import socket
import threading
import time
from types import TracebackType
from typing import Any

from backup.places import Folder
from mtad.errors import Locked

BEAT_SECONDS = 30.0
STALE_SECONDS = 300.0


class Lock:
    """A held lock; a context manager. Raises Locked when another excludes it."""

    def __init__(
        self, folder: Folder, *, exclusive: bool = False, beat_seconds: float = BEAT_SECONDS
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
        folder.put(self.name, json.dumps(fields).encode())
        try:
            self._check(exclusive)
        except BaseException:
            folder.remove(self.name)
            raise
        self._beat_seconds = beat_seconds
        self._thread = threading.Thread(target=self._beat, name="lock", daemon=True)
        self._thread.start()

    def _check(self, exclusive: bool) -> None:
        """Written first, looked around second: of two that come together at least one sees."""
        for other in others(self._folder, self.name):
            if exclusive or other["exclusive"]:
                kind = "exclusively" if other["exclusive"] else "shared"
                raise Locked(
                    f"the repository is in use ({kind}) by process {other['pid']} on "
                    f"{other['host']}; wait for it to end"
                )

    def _beat(self) -> None:
        path = self._folder.root / self.name
        while not self._stop.wait(self._beat_seconds):
            try:
                os.utime(path)
            except OSError:
                return

    def release(self) -> None:
        """Give the lock back; quiet when it is gone."""
        self._stop.set()
        self._thread.join()
        (self._folder.root / self.name).unlink(missing_ok=True)

    def __enter__(self) -> "Lock":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.release()


def others(folder: Folder, own: str = "") -> list[dict[str, Any]]:
    """Every lock but ``own`` that is alive; stale ones are removed."""
    found = []
    for name in folder.names("locks"):
        path = folder.root / "locks" / name
        if f"locks/{name}" == own:
            continue
        try:
            age = time.time() - path.stat().st_mtime
            fields = json.loads(path.read_bytes())
            lock = {
                "exclusive": bool(fields["exclusive"]),
                "host": str(fields["host"]),
                "pid": int(fields["pid"]),
                "started": str(fields["started"]),
            }
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError):
            lock = {"exclusive": True, "host": "an unreadable lock", "pid": 0, "started": ""}
        if _stale(lock, age):
            path.unlink(missing_ok=True)
        else:
            found.append(lock)
    return found


def _stale(lock: dict[str, Any], age: float) -> bool:
    if lock["host"] == socket.gethostname():
        return _started(int(lock["pid"])) != str(lock["started"])
    return age > STALE_SECONDS


def _started(pid: int) -> str:
    """When a process began, as the kernel counts; empty for one that is not there."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError):
        return ""

"""Who owns a journal: a lock that ends with its process, however it ends."""

import fcntl
import os
import time
from pathlib import Path
from typing import Self

from mtad.errors import Locked

NAME = "lock"
_PATIENCE_SECONDS = 0.3
"""A reader asks by taking the lock for an instant; an owner tries again for so long."""


class Lock:
    """The exclusive lock of a journal's writer."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def take(cls, directory: Path) -> Self:
        """Take the lock. Raises Locked when another process has it."""
        fd = os.open(directory / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return cls(fd)
            except BlockingIOError:
                if time.monotonic() > until:
                    os.close(fd)
                    raise Locked(f"another process writes the journal {directory}") from None
                time.sleep(0.005)

    def release(self) -> None:
        """Give the lock back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Watch:
    """Tells whether a journal has an owner, without being one."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / NAME
        self._fd = -1

    def is_owned(self) -> bool:
        """Whether a living process holds the lock."""
        if self._fd < 0:
            try:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return False
        try:
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        return False

    def close(self) -> None:
        """Let the file go."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

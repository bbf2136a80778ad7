"""The bell on a wire: a datagram that says "there is something", and may be lost.

Whoever hears it looks for itself; what it looks at (marks, folders) is the truth. So ringing
never blocks, never fails, and needs nobody at the other end.
"""

import os
import socket
from pathlib import Path


class Bell:
    """Rings at a unix datagram socket that may not be there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._name = os.fspath(path)
        self._folder = -1
        self._link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def ring(self, said: bytes) -> bool:
        """Send a datagram; False when nobody took it."""
        try:
            if self._folder < 0 and len(os.fsencode(self._path)) >= 100:
                self._folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
                self._name = f"/proc/self/fd/{self._folder}/{self._path.name}"
            self._link.sendto(said, self._name)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Let the socket go."""
        self._link.close()
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1

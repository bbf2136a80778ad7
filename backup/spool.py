"""A file for a place that takes files only whole: written to disk here, sent at its end.

Nothing of it is seen there before ``finish``, and what was not sent can be sent again.
"""

import tempfile
from collections.abc import Callable
from typing import IO

from backup.places import Storage

CHUNK = 2**20
"""Octets handed over at once."""


class Spooled:
    """A draft in a nameless temporary file; ``send`` carries it over under a name."""

    def __init__(self, storage: Storage, send: Callable[[str, IO[bytes]], None]) -> None:
        self._storage, self._send = storage, send
        storage.step("create")
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by finish or abandon
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append octets."""
        self._storage.step("write")
        self._file.write(data)
        self.size += len(data)

    def finish(self, name: str) -> None:
        """Send the file; returns when the other side has it whole."""
        self._storage.step("send")
        self._send(name, self._file)
        self._file.close()

    def abandon(self) -> None:
        """Remove what was written."""
        self._file.close()

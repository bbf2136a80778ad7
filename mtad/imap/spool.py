"""A message that a client sends, in a file while it arrives."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from mtad.errors import MtadError

MAX_HELD = 256 * 1024
"""Octets in memory before the disk is waited for."""


class Spool:
    """A literal in a private file of the box, which a handler may make a message of.

    ``draft`` names the file to be made. What cannot be written is told once the file is asked
    for: the literal has to be read to its end in any case.
    """

    def __init__(self, draft: Callable[[], Path]) -> None:
        self.size = 0
        self.held = 0
        self._draft = draft
        self._path: Path | None = None
        self._pieces: list[bytes] = []
        self._error: OSError | None = None

    def write(self, data: bytes) -> None:
        """Take octets."""
        self._pieces.append(data)
        self.size += len(data)
        self.held += len(data)

    async def flush(self) -> None:
        """Give the system what was taken. Waits for a disk in a thread."""
        pieces, self._pieces, self.held = self._pieces, [], 0
        if self._error is None:
            await asyncio.to_thread(self._append, pieces)

    def _append(self, pieces: list[bytes]) -> None:
        try:
            if self._path is None:
                path = self._draft()
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
                self._path = path
            with self._path.open("ab", buffering=0) as file:
                for piece in pieces:
                    view = memoryview(piece)
                    while view:
                        view = view[file.write(view) :]
        except OSError as error:
            self._error = error

    def path(self) -> str:
        """The file, whole once its command is being carried out. Raises MtadError."""
        if self._error is not None or self._path is None:
            raise MtadError(f"a message cannot be kept: {self._error}")
        return str(self._path)

    async def remove(self) -> None:
        """The file goes, unless it was made a message of."""
        self._pieces.clear()
        if self._path is not None:
            await asyncio.to_thread(self._path.unlink, True)

"""The journals that are there, each with its reader and how far it was applied.

Deliveries come before what owners did to them: within a round the journals of ``mta`` are
read first.
"""

import os
from pathlib import Path

from mtad.journal.reader import Reader


class Journals:
    """All journals below a folder, new ones found as they appear."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._readers: dict[str, Reader] = {}

    def look(self) -> list[Reader]:
        """A reader for each journal, those of ``mta`` first."""
        try:
            names = [entry.name for entry in os.scandir(self._directory) if entry.is_dir()]
        except FileNotFoundError:
            names = []
        for name in names:
            if name not in self._readers:
                self._readers[name] = Reader(self._directory / name, finished=False)
        return sorted(self._readers.values(), key=_order)

    def close(self) -> None:
        """Let the files go."""
        for reader in self._readers.values():
            reader.close()


def _order(reader: Reader) -> tuple[bool, str]:
    return not reader.name.startswith("mta-"), reader.name

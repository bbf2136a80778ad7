"""The rows that a recorder writes, written a second time by nothing but sqlite3.

A batch goes into a file of its own with the same tables, indexes and pragmas, as one transaction of
``executemany``: what is above that is what the recorder itself costs.
"""

import sqlite3
import time
from pathlib import Path
from typing import Any

from tracing import creation, months
from tracing.log import Recorder
from tracing.writer import MonthWriter


class Twin:
    """Writes what a recorder writes, into ``directory``; ``wall`` and ``cpu`` are its seconds."""

    def __init__(self, recorder: Recorder, directory: Path) -> None:
        self.wall = self.cpu = 0.0
        self._directory = directory
        directory.mkdir()
        self._links: dict[str, sqlite3.Connection] = {}
        self._batch: dict[str, list[tuple[str, list[tuple[Any, ...]]]]] = {}
        self._heard: set[int] = set()
        self._recorder = recorder

    def listen(self) -> None:
        """Hear of what the recorder's months are given from now on."""
        for month, writer in self._recorder._writers.items():
            if id(writer) not in self._heard:
                self._heard.add(id(writer))
                self._follow(month, writer)

    def _follow(self, month: str, writer: MonthWriter) -> None:
        own, pen = self._batch.setdefault(month, []), writer._pen
        write = pen.write

        def both(table: str, rows: Any) -> None:
            own.append((creation._INSERT[table], list(rows)))
            write(table, rows)

        pen.write = both  # type: ignore[method-assign]

    def write(self) -> None:
        """Write the batch."""
        for month, batch in self._batch.items():
            if not batch:
                continue
            link = self._links.get(month) or self._open(month)
            begin, used = time.perf_counter(), time.process_time()
            link.execute("BEGIN IMMEDIATE")
            for text, rows in batch:
                link.executemany(text, rows)
            link.execute("COMMIT")
            self.wall += time.perf_counter() - begin
            self.cpu += time.process_time() - used
            batch.clear()

    def _open(self, month: str) -> sqlite3.Connection:
        creation.create(self._directory, month, {})
        link = sqlite3.connect(months.path(self._directory, month), isolation_level=None)
        for pragma in creation._PRAGMAS:
            link.execute(pragma)
        self._links[month] = link
        return link

    def close(self) -> None:
        """Close the files."""
        for link in self._links.values():
            link.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            link.close()

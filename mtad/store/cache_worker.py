"""Processes that make summaries and index texts, so that nobody who talks to clients has to.

``python -m mtad.store.cache_worker`` reads batches from standard input and answers each on
standard output, both MessagePack with the length before it. It ends with its standard input,
so with whoever started it, and after a while without work.
"""

import atexit
import os
import select
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

from mtad.store import maildir, text_index
from mtad.store.cache import connect, write
from mtad.store.cache_rendering import MAX_ROW, Summary, rendered
from mtad.store.droppable import is_damage, transaction

IDLE_SECONDS = 120
"""How long a process waits for work before it ends."""
NICENESS = 5
"""Of a process that indexes texts, for which nobody waits."""
MAX_MESSAGE = 200 * 2**20
"""Octets of a file that are read for its summary or text."""
DAMAGED = -2
"""Answer of a process that found the file to write to damaged."""


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """Email ids with the paths of their files, and the path of the cache, or the text index,
    they are for."""

    target: bytes
    files: Sequence[tuple[int, bytes]]
    is_text: bool = False
    is_whole: bool = True
    """Whether summaries are made whole, or as far as answers need them."""


class Maker:
    """Makes summaries and indexes texts; keeps open what it was last asked for."""

    def __init__(self) -> None:
        self._link: sqlite3.Connection | None = None
        self._file: tuple[bytes, int, int] | None = None

    def make(self, batch: Batch) -> int:
        """Summarise a batch into its cache, or index it; returns how many are kept.

        Files that are gone are passed over. Raises sqlite3.DatabaseError.
        """
        return self._index(batch) if batch.is_text else self._summarise(batch)

    def _summarise(self, batch: Batch) -> int:
        found: dict[int, Summary] = {}
        for email, path in batch.files:
            try:
                data = read(maildir.open_file(os.fsdecode(path)))
            except OSError:
                continue
            summary = rendered(data, whole=batch.is_whole)
            if summary.size <= MAX_ROW:
                found[email] = summary
        write(self._open(batch.target, connect), found)
        return len(found)

    def _index(self, batch: Batch) -> int:
        """One text after the other, so that only one is in memory."""
        count = 0
        link = self._open(batch.target, text_index.connect)
        with transaction(link):
            for email, path in batch.files:
                if text_index.is_known(link, email):
                    continue
                try:
                    data = read(maildir.open_file(Path(os.fsdecode(path))))
                except OSError:
                    continue
                said = text_index.searched(data) if len(data) < MAX_MESSAGE else None
                text_index.add(link, email, said)
                count += 1
        return count

    def _open(
        self, target: bytes, connect: Callable[[Path], sqlite3.Connection]
    ) -> sqlite3.Connection:
        """The file, which may have been thrown away and made again meanwhile."""
        if self._link is None or self._file != _file(target):
            self.close()
            self._link = connect(Path(os.fsdecode(target)))
            self._file = _file(target)
        return self._link

    def close(self) -> None:
        """Give the cache back."""
        if self._link is not None:
            self._link.close()
            self._link = None


def _file(path: bytes) -> tuple[bytes, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return path, found.st_dev, found.st_ino


def read(descriptor: int) -> bytes:
    """What an open file holds, up to ``MAX_MESSAGE``; closes it. Raises OSError."""
    try:
        left = min(os.fstat(descriptor).st_size, MAX_MESSAGE)
        parts = []
        while left and (part := os.read(descriptor, left)):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)
    finally:
        os.close(descriptor)


# ---------------------------------------------------------------- the other side


class Worker:
    """A process that makes summaries; started when it is needed. For one thread at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def make(self, batch: Batch) -> int:
        """See ``Maker.make``; -1 or ``DAMAGED`` where the process could not do it."""
        frame = _framed(msgspec.msgpack.encode(batch))
        for _ in range(2):  # the second time with a process that had no time to fall asleep
            process = self._started()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(frame)
                process.stdin.flush()
                answer = _read(process.stdout)
            except OSError:
                answer = None
            if answer is not None:
                return msgspec.msgpack.decode(answer, type=int)
            self.stop()
        return -1

    def stop(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with suppress(OSError):  # it was gone already, with what was not written
                    pipe.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self.stop()
        if self._process is None:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        return self._process


_workers: list[Worker] = []
_own = threading.local()


def own() -> Worker:
    """The worker of the thread that asks."""
    worker: Worker | None = getattr(_own, "worker", None)
    if worker is None:
        worker = _own.worker = Worker()
        _workers.append(worker)
    return worker


@atexit.register
def _stop_all() -> None:
    for worker in _workers:
        worker.stop()


def _framed(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data


def _read(pipe: IO[bytes]) -> bytes | None:
    """The next frame, None at the end."""
    length = pipe.read(4)
    if len(length) < 4:
        return None
    data = pipe.read(int.from_bytes(length))
    return data if len(data) == int.from_bytes(length) else None


def main() -> None:
    """Do what comes in until nothing does, or nobody waits for it any more."""
    with suppress(BrokenPipeError):
        _serve(Maker())


def _serve(maker: Maker) -> None:
    """Unbuffered: an answer that nobody takes is met when it is written, and once."""
    with open(0, "rb", closefd=False) as source, open(1, "wb", 0, closefd=False) as sink:
        while select.select([source], [], [], IDLE_SECONDS)[0]:
            data = _read(source)
            if data is None:
                return
            batch = msgspec.msgpack.decode(data, type=Batch)
            if batch.is_text:
                os.nice(max(0, NICENESS - os.nice(0)))
            try:
                count = maker.make(batch)
            except sqlite3.DatabaseError as error:
                maker.close()
                count = DAMAGED if is_damage(error) else -1
            sink.write(_framed(msgspec.msgpack.encode(count)))


if __name__ == "__main__":
    main()

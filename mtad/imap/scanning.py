"""Looking for text in many message files without keeping anybody waiting.

A few processes do it (``mtad.imap.scanner``), started when they are needed first and kept; they
are shared by all sessions, which take turns, a batch each.
"""

import asyncio
import atexit
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from queue import SimpleQueue

import msgspec

from mtad.imap import scanner
from mtad.imap.answer import No
from mtad.imap.commands import Text
from mtad.mime import text
from mtad.store import opening
from mtad.store.box import Box
from mtad.store.owner import Owner

WORKERS = min(4, os.cpu_count() or 1)
BATCH = 32
"""Files of one request."""
PENDING = 2
"""Requests of one search that wait, for each worker."""


class Worker:
    """One process; used by one thread at a time."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, request: scanner.Request) -> bytes:
        """One octet for each path. Raises OSError where no process can do it."""
        frame = msgspec.msgpack.encode(request)
        for _ in range(2):  # the first may have ended long ago
            process = self._started()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                scanner.send(process.stdin, frame)
                answer = scanner.receive(process.stdout)
            except OSError:
                answer = None
            if answer is not None and len(answer) == len(request.paths):
                return answer
            self.close()
        raise OSError("messages cannot be looked into")

    def _started(self) -> "subprocess.Popen[bytes]":
        if self.process is None:
            self.process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", scanner.__name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        return self.process

    def close(self) -> None:
        """End the process."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with suppress(OSError):  # what could not be written any more
                    pipe.close()
            process.wait()


_idle: "SimpleQueue[Worker]" = SimpleQueue()
workers = [Worker() for _ in range(WORKERS)]
for _worker in workers:
    _idle.put(_worker)
_threads = ThreadPoolExecutor(WORKERS, "scanning")


@atexit.register
def close() -> None:
    """End the processes; a later search starts others."""
    for worker in workers:
        worker.close()


def _look(
    owner: Owner, mailbox: str, uids: Sequence[int], needle: str, body_only: bool
) -> list[int]:
    """In a thread: those of the messages that have the text."""
    paths = opening.places(owner, mailbox, uids)
    request = scanner.Request([os.fsencode(path) for path in paths.values()], needle, body_only)
    worker = _idle.get()
    try:
        said = dict(zip(paths, worker.ask(request), strict=True))
    finally:
        _idle.put(worker)
    moved = [uid for uid, verdict in said.items() if verdict == scanner.ABSENT]
    if moved:
        has = partial(scanner.has, needle=needle, body_only=body_only)
        said |= opening.each(owner, mailbox, moved, has)
    return [uid for uid in uids if said.get(uid) == scanner.MATCHES]


async def scan(box: Box, mailbox: str, uids: Sequence[int], key: Text) -> list[int]:
    """UIDs of the messages that have the text, in the order given. Raises No."""
    needle, body_only = text.fold(key.value), key.where == "BODY"
    loop = asyncio.get_running_loop()
    found: list[int] = []

    async def one(part: Sequence[int]) -> list[int]:
        look = partial(_look, box.owner, mailbox, part, needle, body_only)
        return await loop.run_in_executor(_threads, look)

    parts: Iterator[Sequence[int]] = (
        uids[start : start + BATCH] for start in range(0, len(uids), BATCH)
    )
    waiting: list[asyncio.Task[list[int]]] = []
    try:
        for part in parts:
            waiting.append(loop.create_task(one(part)))
            if len(waiting) >= WORKERS * PENDING:
                found += await waiting.pop(0)
        while waiting:
            found += await waiting.pop(0)
    except OSError:
        raise No("Messages cannot be looked into at present", b"UNAVAILABLE") from None
    finally:
        for task in waiting:
            task.cancel()
    return found

"""The messages of the queue: in memory while they are young, else in their content files.

A message accepted a moment ago needs no file at all for its first attempt. Others are read
from ``content/``; where there is no file yet, the log role, which has the message in memory or
in a journal, makes it.
"""

import asyncio
from collections import OrderedDict
from contextlib import aclosing
from pathlib import Path

from mtad import control
from mtad.errors import MtadError, Unreachable
from mtad.journal.content import path_of
from mtad.journal.frame import MAX_BODY
from mtad.where import Places

MAX_OCTETS = 64 * 2**20
PATIENCE_SECONDS = 30.0
"""What a log role that was killed gets to come back, before an attempt has failed for it."""
AGAIN_SECONDS = 0.5


class NotReadable(Exception):
    """A message cannot be had at the moment; says why."""


class Bodies:
    """Messages by id; belongs to one event loop."""

    def __init__(
        self,
        places: Places,
        max_octets: int = MAX_OCTETS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._places = places
        self._patience_seconds = patience_seconds
        self._max_octets = max_octets
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._octets = 0

    def keep(self, m: int, body: bytes) -> None:
        """Remember a message; the eldest are forgotten when there are too many octets."""
        self.forget(m)
        self._kept[m] = body
        self._octets += len(body)
        while self._octets > self._max_octets:
            self._octets -= len(self._kept.popitem(last=False)[1])

    def forget(self, m: int) -> None:
        """Nobody needs a message any more."""
        body = self._kept.pop(m, None)
        if body is not None:
            self._octets -= len(body)

    async def get(self, m: int) -> bytes | Path:
        """A message as it is stored, or the file of a long one. Raises NotReadable."""
        body = self._kept.get(m)
        if body is not None:
            return body
        path = path_of(self._places, m)
        found = await asyncio.to_thread(_read, path)
        if found is None:
            await self._insist(m)
            found = await asyncio.to_thread(_read, path)
        if found is None:
            raise NotReadable("its content file is gone")
        return found

    async def _insist(self, m: int) -> None:
        """Ask the log role for a file; while it is being started again, wait for it a while."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience_seconds
        while True:
            try:
                await self._ask_for(m)
                return
            except Unreachable as error:
                if loop.time() >= deadline:
                    raise NotReadable(str(error)) from error
            except MtadError as error:
                raise NotReadable(str(error)) from error
            await asyncio.sleep(AGAIN_SECONDS)

    async def octets(self, m: int) -> bytes:
        """A message as it is stored, however long. Raises NotReadable."""
        content = await self.get(m)
        if isinstance(content, bytes):
            return content
        try:
            return await asyncio.to_thread(content.read_bytes)
        except OSError as error:
            raise NotReadable(f"its content file: {error.strerror or error}") from error

    async def _ask_for(self, m: int) -> None:
        """Let the log role make the content file. Raises Unreachable, MtadError."""
        asked = control.listen(self._places.socket("log"), "content", m=m)
        async with aclosing(asked):
            if await anext(asked, None) is None:
                raise Unreachable("the log role went away before it answered")


def _read(path: Path) -> bytes | Path | None:
    """A message of a file, or the file where the message is long; None without one."""
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_BODY + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NotReadable(f"its content file: {error.strerror or error}") from error
    return path if len(octets) > MAX_BODY else octets

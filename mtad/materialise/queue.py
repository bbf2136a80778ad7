"""What the log role answers about the queue: all of it, for who runs it, and single messages.

Everything that was durable when it was asked is in the answer: frames of a process that was
killed, and of commands, count.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import chain
from typing import Any

from mtad.control import Answer, Verb
from mtad.errors import NothingFound
from mtad.journal.content import path_of
from mtad.where import Places
from tracing import answers, choosing, ids, waiting

CatchUp = Callable[[int], Awaitable[object]]
"""Applies what is durable, and makes the content file of a message where it is one."""


class QueueAnswers:
    """Verbs on the queue as the log has it."""

    def __init__(self, places: Places, catch_up: CatchUp) -> None:
        self._places = places
        self._catch_up = catch_up

    def verbs(self) -> dict[str, Verb]:
        """The questions and their names."""
        return {
            "content": self.content,
            "queue.load": self.load,
            "queue.list": self.list,
            "queue.keys": self.keys,
            "queue.destinations": self.destinations,
        }

    async def load(self, request: Answer) -> AsyncIterator[Answer]:
        """Parts of the queue (``tracing.waiting``), of all ``messages`` or of those given."""
        await self._catch_up(0)
        parts = waiting.parts(self._places.log, request.get("messages"))
        return self._lines(chain(parts, [{"done": True}]))

    async def list(self, request: Answer) -> AsyncIterator[Answer]:
        """Recipients that ``query`` means, up to ``limit`` (``choosing.listing``)."""
        await self._catch_up(0)
        query, limit = str(request.get("query", "")), int(request.get("limit", 100))
        return self._lines(choosing.listing(self._places.log, query, limit))

    async def keys(self, request: Answer) -> AsyncIterator[Answer]:
        """Message and number of each recipient that ``query`` means (``choosing.keys``)."""
        await self._catch_up(0)
        return self._lines(choosing.keys(self._places.log, str(request.get("query", ""))))

    async def destinations(self, request: Answer) -> AsyncIterator[Answer]:
        """What ``query`` means, by domain (``choosing.by_destination``)."""
        await self._catch_up(0)
        query = str(request.get("query", ""))
        return self._lines(choosing.by_destination(self._places.log, query))

    async def _lines(self, lines: Iterator[Any]) -> AsyncIterator[Answer]:
        """Lines as they are read, in threads."""

        def following() -> Any:
            with answers.readable(self._places.log):
                return next(lines, None)

        while (line := await asyncio.to_thread(following)) is not None:
            yield line

    async def content(self, request: Answer) -> Answer:
        """The ``path`` of the content file of message ``m``. Raises NothingFound."""
        m = int(request["m"])
        await self._catch_up(m)
        path = path_of(self._places, m)
        if not await asyncio.to_thread(path.exists):
            raise NothingFound(f"there is no content of message {ids.text(m)}")
        return {"path": str(path)}

"""What the log role answers about the queue: all of it, for who runs it, and single messages.

Everything that was durable when it was asked is in the answer: frames of a process that was
killed, and of commands, count.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from mtad.control import Answer
from mtad.errors import NothingFound
from mtad.journal.content import path_of
from mtad.where import Places
from tracing import answers, ids, waiting

CatchUp = Callable[[int], Awaitable[object]]
"""Applies what is durable, and makes the content file of a message where it is one."""


class QueueAnswers:
    """Verbs on the queue as the log has it."""

    def __init__(self, places: Places, catch_up: CatchUp) -> None:
        self._places = places
        self._catch_up = catch_up

    async def load(self, request: Answer) -> AsyncIterator[Answer]:
        """Parts of the queue (``tracing.waiting``), of all ``messages`` or of those given."""
        await self._catch_up(0)
        return self._parts(request.get("messages"))

    async def _parts(self, messages: list[int] | None) -> AsyncIterator[Answer]:
        parts = waiting.parts(self._places.log, messages)

        def following() -> Any:
            with answers.readable(self._places.log):
                return next(parts, None)

        while (part := await asyncio.to_thread(following)) is not None:
            yield part
        yield {"done": True}

    async def content(self, request: Answer) -> Answer:
        """The ``path`` of the content file of message ``m``. Raises NothingFound."""
        m = int(request["m"])
        await self._catch_up(m)
        path = path_of(self._places, m)
        if not await asyncio.to_thread(path.exists):
            raise NothingFound(f"there is no content of message {ids.text(m)}")
        return {"path": str(path)}

"""New mail gets its numbers: boxes that a bell named are looked at.

The log role rings a bell (a datagram with box addresses) when it has placed mail; a box is
then looked at once a second at most, so that a flood costs one listing and not thousands.
"""

import asyncio
import logging
from collections.abc import Sequence

from mtad.errors import Locked, MtadError
from mtad.store.shelf import Shelf

LOOK_SECONDS = 1.0
"""How long a box's new mail may wait for its numbers, and so what one look can cost."""

_log = logging.getLogger("mtad.store")


class Numbering:
    """Looks at boxes that got mail, each at most once in ``LOOK_SECONDS``."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, asyncio.TimerHandle] = {}
        self._looking: set[asyncio.Task[None]] = set()
        self._stopped = False

    def ring(self, boxes: Sequence[object]) -> None:
        """Mail came to these boxes."""
        for box in boxes:
            if isinstance(box, str) and box not in self._waiting and not self._stopped:
                self._waiting[box] = self._loop.call_later(LOOK_SECONDS, self._look, box)

    def _look(self, box: str) -> None:
        self._waiting.pop(box, None)
        task = self._loop.create_task(self._sync(box))  # kept in a set until it is done
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    async def _sync(self, box: str) -> None:
        try:
            async with self._shelf.use(box) as opened:
                await opened.sync()
        except Locked:
            self.ring([box])
        except (MtadError, OSError) as error:
            _log.warning("new mail of %s waits for its numbers: %s", box, error)

    async def stop(self) -> None:
        """Start no further look and wait for those under way."""
        self._stopped = True
        for handle in self._waiting.values():
            handle.cancel()
        self._waiting.clear()
        await asyncio.gather(*self._looking)

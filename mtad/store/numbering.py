"""New mail gets its numbers: boxes that a bell named are looked at.

The log role rings a bell (a datagram with box addresses) when it has placed mail. A box is
looked at once, and then rests, so that a flood costs some listings and not thousands: for a
moment where somebody watches it, else for a second. What other programs do to the files of
watched boxes rings no bell: the times of their folders are compared once a second.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Sequence
from contextlib import suppress

from mtad.errors import Locked, MtadError
from mtad.store.box import Box
from mtad.store.shelf import Shelf

LOOK_SECONDS = 1.0
"""How long a box rests, and so what looks at it can cost."""
WATCHED_SECONDS = 0.02
"""The same while somebody watches it."""

_log = logging.getLogger("mtad.store")


class Numbering:
    """Looks at boxes that got mail, and at those that are watched."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._loop = asyncio.get_running_loop()
        self._resting: dict[str, bool] = {}
        """Boxes that are looked at or rest from it, and whether the bell rang meanwhile."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._patrol = self._loop.create_task(self._compare())

    def ring(self, boxes: Sequence[object]) -> None:
        """Mail came to these boxes."""
        for box in boxes:
            if not isinstance(box, str) or self._stopped:
                continue
            if box in self._resting:
                self._resting[box] = True
            else:
                self._look(box)

    def _look(self, box: str) -> None:
        self._resting[box] = False
        task = self._loop.create_task(self._sync(box))  # kept in a set until it is done
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sync(self, box: str) -> None:
        pause = LOOK_SECONDS
        try:
            async with self._shelf.use(box) as opened:
                await opened.sync(rung=True)
                if opened.is_watched:
                    pause = WATCHED_SECONDS
        except Locked:
            self._resting[box] = True
        except (MtadError, OSError, sqlite3.Error) as error:
            _log.warning("new mail of %s waits for its numbers: %s", box, error)
        finally:
            self._loop.call_later(pause, self._rested, box)

    def _rested(self, box: str) -> None:
        if self._resting.pop(box) and not self._stopped:
            self._look(box)

    async def _compare(self) -> None:
        """Ring for watched boxes whose folders have other times than they should."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            watched = self._shelf.watched()
            if watched:
                with suppress(OSError):
                    self.ring(await asyncio.to_thread(_stale, watched))

    async def stop(self) -> None:
        """Start no further look and wait for those under way."""
        self._stopped = True
        self._patrol.cancel()
        await asyncio.gather(self._patrol, *self._tasks, return_exceptions=True)


def _stale(boxes: Sequence[Box]) -> list[str]:
    return [box.owner.address for box in boxes if box.owner.is_stale()]

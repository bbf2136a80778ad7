"""When the files of changed flags follow: once a box has rest, or after a while in any case.

Clients change flags in bursts, and a rename is what costs most. So files wait until no act
came for ``REST_SECONDS``, at most ``WAIT_SECONDS``; then they are renamed for some milliseconds
at a time, between acts if there are any. That takes more away than acts can add.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import Executor

from mtad.errors import MtadError
from mtad.store.owner import Owner

REST_SECONDS = 0.05
WAIT_SECONDS = 5.0


class Following:
    """Has a box's files follow in its turns; to be used in the event loop's thread."""

    def __init__(
        self, owner: Owner, turn: asyncio.Lock, pool: Executor, is_wanted: Callable[[], bool]
    ) -> None:
        """``is_wanted`` says whether acts wait for their turn, in any thread."""
        self._owner = owner
        self._turn = turn
        self._pool = pool
        self._is_wanted = is_wanted
        self._since: float | None = None
        """When the first files began to wait."""
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def acted(self) -> None:
        """An act is over: what it left behind is done once there is rest."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._owner.has_more:
            self._since = None
        elif self._task is None:
            loop = asyncio.get_running_loop()
            now = loop.time()
            if self._since is None:
                self._since = now
            at = min(now + REST_SECONDS, self._since + WAIT_SECONDS)
            self._timer = loop.call_at(at, self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._task = asyncio.get_running_loop().create_task(self._follow())

    async def _follow(self) -> None:
        try:
            async with self._turn:
                await asyncio.get_running_loop().run_in_executor(self._pool, self._work)
        except (MtadError, OSError, sqlite3.Error):
            return  # whoever acts next meets it again
        finally:
            self._task = None
        self.acted()

    def _work(self) -> None:
        """In a thread: at least one slice, and more until acts wait."""
        while self._owner.follow() and not self._is_wanted():
            pass

"""A box's text index for an event loop: asked by searches, filled in the background.

It is filled when somebody selects a mailbox, when mail came, and when a search met messages
that are not indexed: by one worker process for all boxes, a few messages at a time, so that
summaries, which clients wait for, never wait for it.
"""

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from mtad.errors import MtadError
from mtad.store import cache_worker, opening
from mtad.store.cache_worker import DAMAGED, Batch
from mtad.store.deltas import Delta
from mtad.store.owner import Owner
from mtad.store.text_index import LEAST, TextIndex, is_possible

BATCH = 64
"""Messages that the worker is given at a time."""
SOON_SECONDS = 2.0
"""How long what came waits: it is summarised first, and much that comes is done at once."""

T = TypeVar("T")
_log = logging.getLogger("mtad.store")
_asking = ThreadPoolExecutor(2, "asking")
_indexing = ThreadPoolExecutor(1, "indexing")


class Texts:
    """One box's text index; for one event loop."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._index = TextIndex(owner.index.path)
        self._task: asyncio.Task[None] | None = None
        self._is_due = False
        self._is_filled = False
        self._closed = False
        self.wanted: Callable[[], bool] = lambda: False
        """Whether the settings want an index."""

    async def candidates(self, mailbox: str, uids: Sequence[int], wanted: str) -> Sequence[int]:
        """Those of ascending UIDs that may hold a folded text. Raises NothingFound."""
        if len(wanted) < LEAST or not self._is_wanted():
            return uids
        number = self._owner.mailbox(mailbox).id
        ask = partial(self._index.candidates, number, uids, wanted)
        try:
            found, missing = await _in(_asking, ask)
        except (sqlite3.Error, OSError) as error:
            _log.warning("%s is searched without its index: %s", self._owner.address, error)
            return uids
        if missing:
            self._fill_soon(0)
        return found

    def selected(self) -> None:
        """Somebody reads the box: index what it had before, once."""
        if not self._is_filled and self._is_wanted():
            self._fill_soon(SOON_SECONDS)

    def heard(self, deltas: Sequence[Delta]) -> None:
        """Something was done to the box, told in the event loop."""
        if any(delta.added for delta in deltas) and self._is_wanted():
            self._fill_soon(SOON_SECONDS)

    def rest(self, before: float) -> bool:
        """Keep nothing open that nobody used since ``before``, see ``Resting.rest``."""
        return self._index.rest(before)

    def close(self) -> None:
        """Index nothing further; from any thread."""
        self._closed = True
        self._index.close()

    # ------------------------------------------------------------------ private

    def _is_wanted(self) -> bool:
        return self.wanted() and is_possible()

    def _fill_soon(self, seconds: float) -> None:
        self._is_due = True
        if self._task is None and not self._closed:
            self._task = asyncio.get_running_loop().create_task(self._work(seconds))

    async def _work(self, seconds: float) -> None:
        try:
            while self._is_due and not self._closed:
                await asyncio.sleep(seconds)
                self._is_due = False
                await self._fill()
                seconds = SOON_SECONDS
        except (MtadError, OSError, sqlite3.Error) as error:
            _log.info("texts of %s are indexed later: %s", self._owner.address, error)
        finally:
            self._task = None

    async def _fill(self) -> None:
        """Index all that is not; what cannot be read is left to the next time."""
        if await self._in_turn(self._index.clear_away):
            _log.info("the text index of %s is filled again", self._owner.address)
        for mailbox in list(self._owner.index.mailboxes.values()):
            uids = await self._in_turn(partial(self._index.missing, mailbox.id)) or []
            for start in range(0, len(uids), BATCH):
                part = uids[start : start + BATCH]
                made = await self._in_turn(partial(self._hand_over, mailbox.id, part))
                if made == DAMAGED:
                    await _in(_asking, partial(self._index.throw_away, "it cannot be written"))
                if made is None or made < 0:
                    return
        self._is_filled = True

    async def _in_turn(self, work: Callable[[], T]) -> T | None:
        """Work, unless the box was closed while other boxes had their turn."""
        return await _in(_indexing, lambda: None if self._closed else work())

    def _hand_over(self, number: int, uids: Sequence[int]) -> int:
        """In the thread: one batch for its worker; how many it indexed, or below 0 why none."""
        files = opening.files(self._owner, number, uids)
        path = os.fsencode(self._index.path)
        return cache_worker.own().make(Batch(path, files, is_text=True))


async def _in(pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(pool, work)

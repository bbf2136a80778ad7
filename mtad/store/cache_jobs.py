"""Summaries that worker processes make: the asked ones first, then all of their mailbox.

Who asks for many messages asks for the rest next. What answers of FETCH are made of comes first;
keys to sort by, previews and what is searched take as long again, so they follow once there is
rest, by one worker, unless somebody asks for them.
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
from mtad.store.cache import Cache
from mtad.store.cache_worker import Batch
from mtad.store.owner import Owner

BATCH = 128
"""Messages that a worker is given at a time."""
WORKERS = 2
REST_SECONDS = 1.0
"""How long what nobody asked for waits when what was asked for is made."""

T = TypeVar("T")
_log = logging.getLogger("mtad.store")
reading = ThreadPoolExecutor(2, "summaries")
"""Where caches are read, and a few summaries made."""
_making = ThreadPoolExecutor(WORKERS, "summing")


class Jobs:
    """One box's work for workers; for one event loop."""

    def __init__(self, owner: Owner, cache: Cache) -> None:
        self._owner = owner
        self._cache = cache
        self._jobs: dict[tuple[int, bool], _Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.closed = False
        """Set, in any thread, where nothing further is to be made."""

    def has(self, mailbox: int) -> bool:
        """Whether a mailbox is being summarised, and all of it will be."""
        return (mailbox, False) in self._jobs

    async def asked(self, mailbox: int, uids: Sequence[int], *, whole: bool) -> None:
        """Have these messages summarised, ``whole`` or for answers alone; ``uids`` ascends."""
        while True:
            job = self._jobs.get((mailbox, whole)) or self._begin(mailbox, whole, first=uids[0])
            job.hurry()
            await job.planned.wait()
            for part in {id(part): part for uid in uids if (part := job.parts.get(uid))}.values():
                await part.wait()
            if job.is_all or all(uid in job.parts for uid in uids):
                return
            await job.over.wait()

    async def unasked(self, mailbox: int, uids: Sequence[int] | None = None) -> None:
        """Have these messages, or all, summarised whole, in no hurry."""
        while (job := self._jobs.get((mailbox, True))) is not None:
            await job.over.wait()
        if not self.closed:
            await self._begin(mailbox, True, uids).over.wait()

    # ------------------------------------------------------------------ private

    def _begin(
        self, mailbox: int, whole: bool, uids: Sequence[int] | None = None, *, first: int = 0
    ) -> "_Job":
        job = self._jobs[mailbox, whole] = _Job(mailbox, whole=whole, is_all=uids is None)
        task = asyncio.get_running_loop().create_task(self._work(job, uids, first))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    async def _work(self, job: "_Job", uids: Sequence[int] | None, first: int) -> None:
        try:
            ask = partial(self._cache.missing, job.mailbox, uids, whole=job.whole)
            every = await inside(reading, ask)
            start = next((at for at, uid in enumerate(every) if uid >= first), 0)
            await self._batches(job, every[start:] + every[:start])
            if not self.closed:
                await inside(reading, self._cache.clear_away)
        except (MtadError, OSError, sqlite3.Error) as error:
            _log.info("summaries of %s are made later: %s", self._owner.address, error)
        finally:
            del self._jobs[job.mailbox, job.whole]
            job.end()
        if not job.whole:
            await asyncio.sleep(REST_SECONDS)
            await self.unasked(job.mailbox)

    async def _batches(self, job: "_Job", uids: Sequence[int]) -> None:
        """Have workers summarise messages, in order, as many at a time as there is room for."""
        parts = [(uids[at : at + BATCH], asyncio.Event()) for at in range(0, len(uids), BATCH)]
        job.parts = {uid: done for part, done in parts for uid in part}
        job.planned.set()

        async def one(part: Sequence[int], done: asyncio.Event) -> None:
            async with job.room:
                await self._others(job)
                if not self.closed:
                    hand_over = partial(self._hand_over, job.mailbox, part, job.whole)
                    await inside(_making, hand_over)
            done.set()

        await asyncio.gather(*(one(part, done) for part, done in parts))

    async def _others(self, job: "_Job") -> None:
        """What nobody waits for waits for what is asked for."""
        while not job.is_asked and (other := self._jobs.get((job.mailbox, False))) is not None:
            await other.over.wait()

    def _hand_over(self, mailbox: int, uids: Sequence[int], whole: bool) -> None:
        """In a thread: one batch for the thread's worker."""
        files = opening.files(self._owner, mailbox, uids)
        batch = Batch(os.fsencode(self._cache.path), files, is_whole=whole)
        cache_worker.own().make(batch)


class _Job:
    """Messages of a mailbox that are being summarised: who waits for which batch."""

    def __init__(self, mailbox: int, *, whole: bool, is_all: bool) -> None:
        self.mailbox = mailbox
        self.whole = whole
        self.is_all = is_all
        """Whether it is all of the mailbox that had no summary as it began."""
        self.is_asked = False
        self.room = asyncio.Semaphore(1)
        """Batches that are under way or wait for a worker."""
        self.planned = asyncio.Event()
        self.over = asyncio.Event()
        self.parts: dict[int, asyncio.Event] = {}

    def hurry(self) -> None:
        """Somebody waits for it: all workers, and for each the next batch at hand."""
        if not self.is_asked:
            self.is_asked = True
            for _ in range(WORKERS):
                self.room.release()

    def end(self) -> None:
        """Nothing further comes; who waits looks for himself."""
        for event in (self.planned, self.over, *self.parts.values()):
            event.set()


async def inside(pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    """Do work in a pool's thread."""
    return await asyncio.get_running_loop().run_in_executor(pool, work)

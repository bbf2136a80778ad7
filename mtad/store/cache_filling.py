"""A box's summaries for an event loop: read where they are kept, made where they are not.

A few are made at once in a thread. More are made by worker processes, the asked ones first and
then all of their mailbox, since whoever asks for many asks for the rest next. What comes to
the box is summarised a moment later without being asked for.
"""

import asyncio
import json
import logging
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

from mtad import clock
from mtad.errors import MtadError, NothingFound
from mtad.mime import fields, section
from mtad.store import cache_worker, opening
from mtad.store.cache import Cache
from mtad.store.cache_rendering import MAX_ROW, SEARCHED, Summary, rendered, searched
from mtad.store.cache_worker import Batch
from mtad.store.deltas import Delta
from mtad.store.owner import Owner
from mtad.store.rows import MailboxRow

FEW = 16
"""Messages that are summarised without a worker."""
BATCH = 128
"""Messages that a worker is given at a time."""
WORKERS = 2
SOON_SECONDS = 0.5
"""How long what came waits to be summarised, so that much that comes is done at once."""

T = TypeVar("T")
_log = logging.getLogger("mtad.store")
_reading = ThreadPoolExecutor(2, "summaries")
_making = ThreadPoolExecutor(WORKERS, "summing")


class Filling:
    """One box's summaries; for one event loop."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._cache = Cache(owner.index.path)
        self._jobs: dict[int, _Job] = {}
        self._came: dict[int, list[int]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def get(
        self, mailbox: str, uids: Sequence[int], *, outline: bool, header: bool
    ) -> dict[int, Summary]:
        """Summaries of the messages that are there. Raises NothingFound without the mailbox."""
        number = self._owner.mailbox(mailbox).id
        uids = sorted(uids)
        ask = partial(self._cache.read, number, outline=outline, header=header)
        try:
            found, missing = await _in(_reading, partial(ask, uids))
            if len(missing) > FEW:
                await self._worked(number, missing)
                made, missing = await _in(_reading, partial(ask, missing))
                found |= made
        except (sqlite3.Error, OSError) as error:
            # No space, no right to write: clients are answered all the same.
            _log.warning("summaries of %s cannot be kept: %s", self._owner.address, error)
            found, missing = {}, uids
        for start in range(0, len(missing), FEW):
            part = missing[start : start + FEW]
            found |= await _in(_reading, partial(self._make, number, part))
        return found

    async def fields(
        self, mailbox: str, uids: Sequence[int], names: Sequence[bytes], *, without: bool
    ) -> dict[int, bytes]:
        """Header fields of messages, and the empty line, by UID; see ``Cache.choice``."""
        number = self._owner.mailbox(mailbox).id
        wanted = sorted({name.lower() for name in names})
        said = json.dumps([without, *(name.decode("latin-1") for name in wanted)])
        now = clock.now_us() // 1_000_000
        try:
            choice = await _in(_reading, partial(self._cache.choice, said, now))
        except (sqlite3.Error, OSError):
            choice = None
        found: dict[int, bytes] = {}
        missing: Sequence[int] = uids
        if choice is not None:
            found, missing = await _in(_reading, partial(self._cache.chosen, choice, number, uids))
        if not missing:
            return found
        summaries = await self.get(mailbox, missing, outline=False, header=True)

        def choose() -> dict[int, bytes]:
            made = {
                uid: section.header_fields(one.header, wanted, without=without)
                for uid, one in summaries.items()
            }
            if choice is not None:
                with suppress(sqlite3.Error):  # then they are made again the next time
                    self._cache.choose(choice, number, made)
            return made

        return found | await _in(_reading, choose)

    async def matching(
        self, mailbox: str, uids: Sequence[int], field: str, wanted: str
    ) -> list[int]:
        """UIDs, ascending, of messages of which a field in ``SEARCHED`` has a folded text."""
        number = self._owner.mailbox(mailbox).id
        ask = partial(self._cache.matching, number, field=field, wanted=wanted)
        try:
            found, missing = await _in(_reading, partial(ask, uids))
        except (sqlite3.Error, OSError):
            found, missing = [], list(uids)
        if missing:
            column = SEARCHED.index(field)
            made = await self.get(mailbox, missing, outline=False, header=True)
            for uid, one in made.items():
                said = one.searched or await _in(_reading, partial(_searched, one.header))
                if wanted in said[column]:
                    found.append(uid)
        return sorted(found)

    def heard(self, deltas: Sequence[Delta]) -> None:
        """Something was done to the box, told in the event loop."""
        if self._closed:
            return
        was_idle = not self._came
        for delta in deltas:
            if delta.added:
                self._came.setdefault(delta.mailbox, []).extend(row.uid for row in delta.added)
        if was_idle and self._came:
            asyncio.get_running_loop().call_later(SOON_SECONDS, self._catch_up)

    def rest(self, before: float) -> bool:
        """Keep nothing open that nobody used since ``before``, see ``Resting.rest``."""
        return self._cache.rest(before)

    def close(self) -> None:
        """Make nothing further; from any thread."""
        self._closed = True
        self._cache.close()

    # ------------------------------------------------------------------ private

    def _catch_up(self) -> None:
        came, self._came = self._came, {}
        if not self._closed:
            task = asyncio.get_running_loop().create_task(self._fill(came))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _fill(self, came: dict[int, list[int]]) -> None:
        """Summarise what came; whatever fails is made when it is asked for."""
        try:
            for number, uids in came.items():
                ask = partial(self._cache.missing, number, uids)
                missing = await _in(_reading, ask)
                if len(missing) > FEW:
                    await self._batches(number, missing)
                elif missing and not self._closed:
                    await _in(_reading, partial(self._make, number, missing))
            if not self._closed:
                await _in(_reading, self._cache.clear_away)
        except (MtadError, OSError, sqlite3.Error) as error:
            _log.info("summaries of %s are made later: %s", self._owner.address, error)

    async def _worked(self, number: int, uids: Sequence[int]) -> None:
        """Have workers summarise these messages, and then all of their mailbox."""
        job = self._jobs.get(number)
        if job is None:
            job = self._jobs[number] = _Job()
            task = asyncio.get_running_loop().create_task(self._work(number, job, uids))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await job.planned.wait()
        for part in {id(part): part for uid in uids if (part := job.parts.get(uid))}.values():
            await part.wait()

    async def _work(self, number: int, job: "_Job", first: Sequence[int]) -> None:
        try:
            every = await _in(_reading, partial(self._cache.missing, number))
            start = next((at for at, uid in enumerate(every) if uid >= first[0]), 0)
            await self._batches(number, every[start:] + every[:start], job)
            if not self._closed:
                await _in(_reading, self._cache.clear_away)
        except (MtadError, OSError, sqlite3.Error) as error:
            _log.info("summaries of %s are made later: %s", self._owner.address, error)
        finally:
            del self._jobs[number]
            job.planned.set()
            for part in job.parts.values():
                part.set()

    async def _batches(self, number: int, uids: Sequence[int], job: "_Job | None" = None) -> None:
        """Have workers summarise messages, in order, as many at a time as there are workers."""
        job = job or _Job()
        parts = [(uids[at : at + BATCH], asyncio.Event()) for at in range(0, len(uids), BATCH)]
        job.parts = {uid: done for part, done in parts for uid in part}
        job.planned.set()
        ahead = asyncio.Semaphore(WORKERS + 1)

        async def one(part: Sequence[int], done: asyncio.Event) -> None:
            async with ahead:
                if not self._closed:
                    await _in(_making, partial(self._hand_over, number, part))
            done.set()

        await asyncio.gather(*(one(part, done) for part, done in parts))

    def _hand_over(self, number: int, uids: Sequence[int]) -> None:
        """In a thread: one batch for the thread's worker."""
        files = opening.files(self._owner, number, uids)
        cache_worker.own().make(Batch(os.fsencode(self._cache.path), files))

    def _make(self, number: int, uids: Sequence[int]) -> dict[int, Summary]:
        """In a thread: summaries of a few messages, which are kept as well."""
        name = self._mailbox(number).name
        made: dict[int, Summary] = {}
        kept: dict[int, Summary] = {}
        for row in self._owner.index.beside.messages(number, uids):
            try:
                descriptor = self._owner.open_message(name, row.uid)
            except NothingFound:
                continue
            summary = made[row.uid] = rendered(cache_worker.read(descriptor))
            if summary.size <= MAX_ROW:
                kept[row.email] = summary
        try:
            self._cache.add(kept)
        except (sqlite3.Error, OSError) as error:
            _log.warning("summaries of %s cannot be kept: %s", self._owner.address, error)
        return made

    def _mailbox(self, number: int) -> MailboxRow:
        for mailbox in list(self._owner.index.mailboxes.values()):
            if mailbox.id == number:
                return mailbox
        raise NothingFound(f"{self._owner.address} has no mailbox with the number {number}")


class _Job:
    """A mailbox that is being summarised: who waits for which batch."""

    def __init__(self) -> None:
        self.planned = asyncio.Event()
        self.parts: dict[int, asyncio.Event] = {}


async def _in(pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(pool, work)


def _searched(header: bytes) -> tuple[str, ...]:
    return searched(fields.read(header, 0, len(header)))

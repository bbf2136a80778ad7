"""A box's summaries for an event loop: read where they are kept, made where they are not.

A few are made at once in a thread, more by worker processes (``mtad.store.cache_jobs``). What
comes to the box is summarised a moment later without being asked for.
"""

import asyncio
import json
import logging
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

from mtad import clock
from mtad.errors import MtadError, NothingFound
from mtad.mime import fields, section
from mtad.store import cache_worker
from mtad.store.cache import Cache
from mtad.store.cache_jobs import Jobs, inside, reading
from mtad.store.cache_rendering import MAX_ROW, SEARCHED, Summary, rendered, searched
from mtad.store.deltas import Delta
from mtad.store.owner import Owner
from mtad.store.rows import MailboxRow

FEW = 16
"""Messages that are summarised without a worker."""
PART = 256
"""Messages whose headers are searched in one go."""
SOON_SECONDS = 0.5
"""How long what came waits to be summarised, so that much that comes is done at once."""

_log = logging.getLogger("mtad.store")


class Filling:
    """One box's summaries; for one event loop."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._cache = Cache(owner.index.path)
        self._jobs = Jobs(owner, self._cache)
        self._came: dict[int, list[int]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def get(
        self, mailbox: str, uids: Sequence[int], *, outline: bool, header: bool, keys: bool = False
    ) -> dict[int, Summary]:
        """Summaries of the messages that are there. Raises NothingFound without the mailbox."""
        number = self._owner.mailbox(mailbox).id
        uids = sorted(uids)
        ask = partial(self._cache.read, number, outline=outline, header=header, keys=keys)
        try:
            found, missing = await inside(reading, partial(ask, uids))
            if len(missing) > FEW:
                await self._jobs.asked(number, missing, whole=keys)
                made, missing = await inside(reading, partial(ask, missing))
                found |= made
        except (sqlite3.Error, OSError) as error:
            # No space, no right to write: clients are answered all the same.
            _log.warning("summaries of %s cannot be kept: %s", self._owner.address, error)
            found, missing = {}, uids
        for start in range(0, len(missing), FEW):
            part = missing[start : start + FEW]
            found |= await inside(reading, partial(self._make, number, part))
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
            choice = await inside(reading, partial(self._cache.choice, said, now))
        except (sqlite3.Error, OSError):
            choice = None
        found: dict[int, bytes] = {}
        missing: Sequence[int] = uids
        if choice is not None:
            found, missing = await inside(
                reading, partial(self._cache.chosen, choice, number, uids)
            )
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

        return found | await inside(reading, choose)

    async def matching(
        self, mailbox: str, uids: Sequence[int], field: str, wanted: str
    ) -> list[int]:
        """UIDs, ascending, of messages of which a field in ``SEARCHED`` has a folded text."""
        number = self._owner.mailbox(mailbox).id
        ask = partial(self._cache.matching, number, field=field, wanted=wanted)
        try:
            found, missing = await inside(reading, partial(ask, uids))
        except (sqlite3.Error, OSError):
            found, missing = [], list(uids)
        column = SEARCHED.index(field)
        for start in range(0, len(missing), PART):
            part = missing[start : start + PART]
            made = await self.get(mailbox, part, outline=False, header=True)
            found += await inside(reading, partial(_having, made, column, wanted))
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
        self._closed = self._jobs.closed = True
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
                if self._jobs.has(number):
                    continue
                ask = partial(self._cache.missing, number, uids, whole=True)
                missing = await inside(reading, ask)
                if len(missing) > FEW:
                    await self._jobs.unasked(number, missing)
                elif missing and not self._closed:
                    await inside(reading, partial(self._make, number, missing))
            if not self._closed:
                await inside(reading, self._cache.clear_away)
        except (MtadError, OSError, sqlite3.Error) as error:
            _log.info("summaries of %s are made later: %s", self._owner.address, error)

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


def _having(made: Mapping[int, Summary], column: int, wanted: str) -> list[int]:
    """In a thread: the UIDs of messages of which a field has a text."""
    found = []
    for uid, one in made.items():
        said = one.searched or searched(fields.read(one.header, 0, len(one.header)))
        if wanted in said[column]:
            found.append(uid)
    return found

"""The boxes that the access role has open: opened when wanted, closed when others are.

A box costs four file descriptors and some memory, so only so many stay open; the one not
used for longest goes first, and never one in use.
"""

import asyncio
import resource
import sqlite3
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

from mtad import address
from mtad.errors import MtadError, NothingFound
from mtad.journal.writer import Journal
from mtad.store.allocator import give_back
from mtad.store.box import Box
from mtad.store.holding import MAILDIR
from mtad.store.quota import Limits
from mtad.store.replay import Replay
from mtad.store.shares import Shares
from mtad.where import Places

MAX_OPEN = 200
REST_SECONDS = 10
"""How long a box keeps its databases open when nobody asks for them: some 700 KiB. Where many
clients log in at once, what is closed late leaves gaps in memory that nobody fills."""
VIEW_SECONDS = 60
"""How long it keeps views that nobody uses."""
_DESCRIPTORS = 8
"""Descriptors one box may hold at its busiest: lock, two index connections, folders."""


class _Place:
    """A box on the shelf, being opened, open, or being closed."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.box: Box | None = None
        self.users = 0


class Shelf:
    """Open boxes by address; for one event loop."""

    def __init__(self, places: Places, journal: Journal, hostname: str, replay: Replay) -> None:
        self._places = places
        self._journal = journal
        self.hostname = hostname
        """Stands in the file names of boxes that are opened from here on."""
        self.limits: Callable[[str], Limits] = lambda _: Limits()
        """What a box may hold; asked in threads."""
        self.full_text = False
        """Whether boxes keep an index of their texts."""
        self._replay = replay
        self.shares = Shares(places)
        """What the boxes, open or not, share with others."""
        self._held: OrderedDict[str, _Place] = OrderedDict()
        self._idle = asyncio.Event()
        self._users = 0
        self._closed = False
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.limit = max(4, min(MAX_OPEN, soft // 2 // _DESCRIPTORS))
        journal.before_reuse = self.settle

    def __len__(self) -> int:
        return len(self._held)

    def watched(self) -> list[Box]:
        """The open boxes in which somebody waits for changes."""
        boxes = (place.box for place in self._held.values())
        return [box for box in boxes if box is not None and box.is_watched]

    @asynccontextmanager
    async def use(self, name: str, *, make: bool = False) -> AsyncIterator[Box]:
        """A box for the length of a ``with``; ``make`` also one that has no folder yet.

        Raises NothingFound for an address without a box, Locked while another process has it.
        """
        try:
            box_address = str(address.parse(name))
        except ValueError as error:
            raise NothingFound(str(error)) from error
        if self._closed:
            raise MtadError("the server is stopping")
        place = self._held.setdefault(box_address, _Place())
        self._held.move_to_end(box_address)
        place.users += 1
        self._users += 1
        try:
            async with place.turn:
                if place.box is None:
                    place.box = await asyncio.to_thread(self._open, box_address, make)
            yield place.box
        finally:
            place.users -= 1
            self._users -= 1
            if place.box is None and not place.users:
                self._held.pop(box_address, None)
            if not self._users:
                self._idle.set()
        await self._shrink()

    def _open(self, box_address: str, make: bool) -> Box:
        folder = self._places.boxes / address.box_folder(box_address)
        if not make and not (folder / MAILDIR).is_dir() and not (folder / "index.db").exists():
            raise NothingFound(
                f"there is no mail of {box_address}: no such box, or nothing was ever delivered"
            )
        self._replay.scan()
        box = Box.hold(folder, box_address, self._journal, self.hostname, replay=self._replay)
        box.on_shape = partial(self.shares.changed, box_address)
        box.owner.limits = lambda: self.limits(box_address)
        box.texts.wanted = lambda: self.full_text
        return box

    async def _shrink(self) -> None:
        """Close boxes beyond the limit that nobody uses."""
        for box_address, place in list(self._held.items()):
            if len(self._held) <= self.limit:
                return
            if not place.users:
                await self._close_one(box_address, place)

    async def _close_one(self, box_address: str, place: _Place) -> None:
        async with place.turn:
            if place.box is not None and not place.users:
                await asyncio.to_thread(place.box.close)
                place.box = None
        if not place.users:
            self._held.pop(box_address, None)

    async def rest(self) -> None:
        """Let boxes in which nothing happens give back what they cost, until cancelled."""
        while True:
            await asyncio.sleep(REST_SECONDS / 2)
            now = time.monotonic()
            boxes = [place.box for place in self._held.values() if place.box is not None]
            for box in boxes:
                box.forget(now - VIEW_SECONDS)
            await asyncio.to_thread(_rest, boxes, now - REST_SECONDS)

    def settle(self) -> None:
        """Make what open boxes did durable; called before a journal segment is reused."""
        for place in list(self._held.values()):
            if place.box is not None:
                place.box.owner.settle()

    async def close(self, seconds: float) -> None:
        """Take nothing further, let acts end, close every box."""
        self._closed = True
        while self._users:
            self._idle.clear()
            try:
                await asyncio.wait_for(self._idle.wait(), seconds)
            except TimeoutError:
                break
        for box_address, place in list(self._held.items()):
            await self._close_one(box_address, place)


def _rest(boxes: Sequence[Box], before: float) -> None:
    """In a thread: let boxes rest, and give the system the memory that this made free."""
    count = 0
    for box in boxes:
        with suppress(sqlite3.Error, OSError):  # whoever asks next meets it again
            count += box.rest(before)
    if count:
        give_back()

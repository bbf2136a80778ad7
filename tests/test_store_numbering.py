"""Who rings and who looks: new mail reaches those who watch, and other programs' doings too."""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from mtad.store import numbering
from mtad.store.numbering import Numbering
from mtad.store.owner import Owner
from mtad.store.replay import Replay
from mtad.store.shelf import Shelf
from mtad.store.view import Change
from mtad.where import Places
from tests.test_store_box import ADDRESS, Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.journal.close_now()


class Told:
    """A listener one can wait for."""

    def __init__(self) -> None:
        self.changes: asyncio.Queue[Change] = asyncio.Queue()

    def __call__(self, change: Change) -> None:
        self.changes.put_nowait(change)

    async def next(self) -> Change:
        """The next change."""
        return await asyncio.wait_for(self.changes.get(), 20)


def shelf_of(place: Place) -> Shelf:
    return Shelf(Places(place.data), place.journal, "mx", Replay(place.data / "journal"))


async def test_mail_and_foreign_changes_reach_who_watches(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbering, "LOOK_SECONDS", 0.05)
    shelf = shelf_of(place)
    ringing = Numbering(shelf)
    told = Told()
    async with shelf.use(ADDRESS) as box:
        await box.sync()
        box.watch(told)
        place.deliver(2)
        ringing.ring([ADDRESS, "nobody@example.org", 7])
        change = await told.next()
        assert (change.mailbox, change.added) == ("INBOX", (1, 2))
        place.deliver(1)
        ringing.ring([ADDRESS])
        ringing.ring([ADDRESS])
        assert (await told.next()).added == (3,)
        (first, *_) = sorted((place.maildir / "new").iterdir())
        os.rename(first, place.maildir / "cur" / f"{first.name}:2,FS")
        assert (await told.next()).changed == (1,)
        (place.maildir / ".Sub" / "cur").mkdir(parents=True)
        assert await told.next() == Change("Sub", what="created")
        box.unwatch(told)
    await ringing.stop()
    await shelf.close(5)


async def test_a_flood_for_a_box_that_nobody_watches_costs_few_looks(place: Place) -> None:
    shelf = shelf_of(place)
    looks = 0
    sync = Owner.sync

    def counted(self: Owner, *, rung: bool = False) -> int:
        nonlocal looks
        looks += 1
        return sync(self, rung=rung)

    async with shelf.use(ADDRESS) as box:
        await box.sync()
    ringing = Numbering(shelf)
    began = time.monotonic()
    with mock.patch.object(Owner, "sync", counted):
        for _ in range(200):
            place.deliver(1)
            ringing.ring([ADDRESS])
            await asyncio.sleep(0)
        async with shelf.use(ADDRESS) as box:
            while (await box.status("INBOX")).messages < 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    assert looks <= 2 + (time.monotonic() - began) / numbering.LOOK_SECONDS
    await ringing.stop()
    await shelf.close(5)

"""An index that others read beside its owner, and what is kept of a box while it rests."""

import asyncio
import glob
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from mtad.store import watching
from mtad.store.box import Box
from mtad.store.index import Index
from mtad.store.rows import Row
from mtad.store.watching import SPARE
from tests.test_store_box import Place

ASK = """
import sqlite3, sys
link = sqlite3.connect(sys.argv[1], isolation_level=None)
print(link.execute("SELECT flags FROM msg").fetchone()[0])
link.close()
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.journal.close_now()


def elsewhere(box: Box) -> str:
    """The flags of its message as another process reads them."""
    words = [sys.executable, "-c", ASK, str(box.owner.index.path)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


async def test_others_may_read_after_it_was_made_durable(place: Place) -> None:
    """A process that closes any descriptor of a file gives up its locks there (POSIX): SQLite
    would then let another that closes the index last take its write-ahead log away."""
    place.deliver()
    box = place.box()
    await box.sync()
    box.owner.settle()
    assert elsewhere(box) == ""
    assert box.owner.index.path.with_name("index.db-wal").exists()
    await box.flags("INBOX", [1], add=["\\Seen"], actor="user:ann")
    assert elsewhere(box) == "S"
    box.close()


def held(box: Box) -> set[str]:
    """The databases of a box that this process has open."""
    folder = str(box.owner.folder)
    links = (os.readlink(one) for one in glob.glob("/proc/self/fd/*") if os.path.islink(one))
    return {Path(one).name for one in links if one.startswith(folder) and ".db" in one}


async def test_a_box_at_rest_has_nothing_open(place: Place) -> None:
    place.deliver(3)
    box = place.box()
    view = await box.select("INBOX")
    await box.summaries("INBOX", view.uids)
    await box.rows("INBOX")
    assert {"index.db", "index.db-wal", "cache.db"} <= held(box)
    box.rest(0)
    assert "index.db" in held(box)
    box.rest(time.monotonic() + 1)
    assert held(box) == set()
    box.owner.settle()
    before = box.owner.index.modseq
    await box.flags("INBOX", [2], add=["\\Seen", "new"], actor="user:ann")
    assert view.flags(2) == ("S", ("new",))
    assert view.modseq(2) == before + 1
    assert len(await box.summaries("INBOX", view.uids)) == 3
    box.rest(time.monotonic() + 1)
    place.deliver()
    assert await box.sync(rung=True) == 1
    assert list(view.uids) == [1, 2, 3, 4]
    box.release(view)
    box.close()
    with pytest.raises(sqlite3.ProgrammingError):
        box.owner.index.rows("uid = 1")
    box = place.box()
    assert box.owner.index.was_clean
    assert [one.uid for one in await box.messages("INBOX")] == [1, 2, 3, 4]
    box.close()


def test_what_is_asked_of_some_messages_costs_what_those_do(tmp_path: Path) -> None:
    """However many others the mailbox has."""
    index = Index(tmp_path / "index.db")
    with index.durably():
        mailbox = index.add_mailbox("INBOX", "", 1)
    with index.transaction():
        index.insert([row(uid) for uid in range(1, 5001)])
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 10

    index._db.set_progress_handler(count, 10)
    assert [*index.by_bases(mailbox, ["b7", "b4000", "none"])] == ["b7", "b4000"]
    found = index.by_base(mailbox, "b7")
    assert found is not None
    assert found.uid == 7
    assert [one.uid for one in index.by_uids(mailbox, [7, 4000, 9999])] == [7, 4000]
    assert index.names(mailbox, fresh=True) == {"b5000"}
    assert index.highest_uid(mailbox) == 5000
    assert index.used(mailbox, [4000, 9999]) == {4000}
    assert index.copies([7, 9999]) == {7}
    assert index.knows(["b7", "none"]) == {"b7"}
    assert len(index.late(4990, 5)) == 5
    assert steps < 2000
    index.close()


def row(uid: int) -> Row:
    """A message; the last one is new, and the log has told nothing yet of any."""
    fresh, name = int(uid == 5000), f"b{uid}" if uid == 5000 else f"b{uid}:2,S"
    return Row(1, uid, f"b{uid}", fresh, name, uid, None, uid, "", "", 1, 1, 1, 1, None, 1)


async def test_an_index_that_was_taken_away_is_not_made_again(place: Place) -> None:
    place.deliver()
    box = place.box()
    await box.sync()
    box.rest(time.monotonic() + 1)
    (box.owner.folder / "index.db").unlink()
    with pytest.raises(sqlite3.OperationalError):
        await box.flags("INBOX", [1], add=["\\Seen"], actor="user:ann")
    with pytest.raises(sqlite3.OperationalError):
        await box.rows("INBOX")
    assert not (box.owner.folder / "index.db").exists()
    box.owner.index.abandon()


async def test_an_act_is_not_kept_from_its_index(place: Place) -> None:
    """Rest comes while acts are done, in a thread of its own."""
    place.deliver(20)
    box = place.box()
    await box.sync()
    over = asyncio.Event()

    async def rest() -> None:
        while not over.is_set():
            await asyncio.to_thread(box.rest, time.monotonic() + 1)

    task = asyncio.get_running_loop().create_task(rest())
    for uid in range(1, 21):
        await box.flags("INBOX", [uid], add=["\\Seen"], actor="user:ann")
        assert [one.flags for one in await box.rows("INBOX", [uid])] == ["S"]
    over.set()
    await task
    box.close()


async def test_a_view_is_kept_for_a_while(place: Place) -> None:
    place.deliver()
    box = place.box()
    view = await box.select("INBOX")
    box.release(view)
    assert not box.is_watched
    await box.flags("INBOX", [1], add=["\\Seen"], actor="user:ann")
    box.forget(time.monotonic() - 1)
    again = await box.select("INBOX")
    assert again is view
    assert again.flags(1) == ("S", ())
    box.release(again)
    box.forget(time.monotonic() + 1)
    other = await box.select("INBOX")
    assert other is not view
    assert box.is_watched
    box.close()


async def test_few_views_are_kept(place: Place) -> None:
    box = place.box()
    names = ["INBOX", *(f"m{number}" for number in range(SPARE))]
    for name in names[1:]:
        await box.create(name, actor="user:ann")
    views = [await box.select(name) for name in names]
    for view in views:
        box.release(view)
    again = [await box.select(name) for name in names]
    kept = [new is old for new, old in zip(again, views, strict=True)]
    assert kept == [False] + [True] * SPARE
    box.close()


async def test_views_with_many_messages_are_not_kept(place: Place) -> None:
    """But for the last one that was left."""
    box = place.box()
    for name, count in (("small", 1), ("big", 3), ("last", 4)):
        place.deliver(count, name)
    await box.sync()
    with mock.patch.object(watching, "SPARE_MESSAGES", 4):
        views = [await box.select(name) for name in ("big", "small", "last")]
        for view in views[:2]:
            box.release(view)
        assert [await box.select(name) for name in ("big", "small")] == views[:2]
        for view in views:
            box.release(view)
        again = [await box.select(name) for name in ("last", "big", "small")]
        assert again[0] is views[2]
        assert not {*map(id, again[1:])} & {*map(id, views)}
    box.close()

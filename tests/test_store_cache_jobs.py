"""Summaries made by workers: what answers need first, the rest later, nothing twice."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtad.store import cache, cache_filling, cache_jobs
from mtad.store.box import Box
from mtad.store.cache_rendering import rendered
from mtad.store.cache_worker import Batch, Worker
from tests import mails
from tests.test_store_box import Place

COUNT = 300
EVERY = range(1, COUNT + 1)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    made.deliver(COUNT)
    yield made
    made.journal.close_now()


@pytest.fixture
async def box(place: Place, monkeypatch: pytest.MonkeyPatch) -> Box:
    """A box with messages that nobody has summarised, and none is in the event loop's process."""
    monkeypatch.setattr(cache_filling, "SOON_SECONDS", 3600)
    monkeypatch.setattr(cache_filling, "rendered", None)
    opened = place.box()
    await opened.sync()
    return opened


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[int, bool]]:
    """How often workers were given a message, whole or not."""
    given: Counter[tuple[int, bool]] = Counter()
    make = Worker.make

    def counted(worker: Worker, batch: Batch) -> int:
        given.update((email, batch.is_whole) for email, _ in batch.files)
        return make(worker, batch)

    monkeypatch.setattr(Worker, "make", counted)
    return given


def counts(place: Place) -> tuple[int, int, int]:
    """Messages with an envelope, with keys, with fields to search."""
    link = sqlite3.connect(f"file:{place.folder / cache.NAME}?mode=ro", uri=True)
    try:
        ask = "SELECT count(*), count(rest), (SELECT count(*) FROM searched) FROM outline"
        envelopes, keys, searched = link.execute(ask).fetchone()
        return envelopes, keys, searched
    finally:
        link.close()


async def all_whole(place: Place) -> None:
    for _ in range(2000):
        if counts(place) == (COUNT, COUNT, COUNT):
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"the rest was not made: {counts(place)}")


async def test_answers_come_first(
    place: Place, box: Box, made: Counter[tuple[int, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_jobs, "REST_SECONDS", 0.5)
    found = await box.summaries("INBOX", EVERY, keys=False)
    assert {uid: one.envelope.count(b"a") > 0 for uid, one in found.items()} == dict.fromkeys(
        EVERY, True
    )
    assert counts(place) == (COUNT, 0, 0)
    assert await box.matching("INBOX", EVERY, "subject", "привет 29") == [30, *range(291, 301)]
    assert counts(place) == (COUNT, 0, 0)
    await all_whole(place)
    assert await box.matching("INBOX", EVERY, "subject", "привет 29") == [30, *range(291, 301)]
    keys = await box.summaries("INBOX", EVERY, outline=False, header=False)
    assert [keys[uid].subject for uid in (1, 300)] == ["привет 0", "привет 299"]
    assert {*made.values()} == {1}
    assert len(made) == 2 * COUNT
    box.close()


async def test_who_asks_for_keys_waits_for_no_rest(
    place: Place, box: Box, made: Counter[tuple[int, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_jobs, "REST_SECONDS", 3600)
    await box.summaries("INBOX", [*EVERY][:50], keys=False)
    found = await box.summaries("INBOX", EVERY)
    assert {one.subject for one in found.values()} == {f"привет {n}" for n in range(COUNT)}
    assert counts(place) == (COUNT, COUNT, COUNT)
    assert {*made.values()} == {1}
    box.close()


async def test_what_comes_is_not_made_twice(
    place: Place, made: Counter[tuple[int, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client asks for a mailbox while what came to it is about to be summarised."""
    monkeypatch.setattr(cache_filling, "SOON_SECONDS", 0)
    monkeypatch.setattr(cache_jobs, "REST_SECONDS", 0)
    monkeypatch.setattr(cache_filling, "rendered", None)
    box = place.box()
    await box.sync()
    await box.summaries("INBOX", EVERY)
    await all_whole(place)
    assert sum(made[one] for one in made if one[1]) == COUNT
    place.deliver(20)
    await box.sync()
    await box.summaries("INBOX", range(1, COUNT + 21))
    for _ in range(200):
        await asyncio.sleep(0.001)
    assert sum(made[one] for one in made if one[1]) == COUNT + 20
    box.close()


async def test_who_asks_is_served_beside_what_came(
    place: Place, box: Box, made: Counter[tuple[int, bool]]
) -> None:
    """What came is being made when somebody asks for all: nothing is left to be made here."""
    came = asyncio.get_running_loop().create_task(box._summaries._jobs.unasked(1, [*EVERY][200:]))
    await asyncio.sleep(0)
    assert len(await box.summaries("INBOX", EVERY)) == COUNT
    await came
    assert {*made.values()} == {1}
    assert len(made) == COUNT
    box.close()


def test_a_part_replaces_no_whole(tmp_path: Path) -> None:
    link = cache.connect(tmp_path / cache.NAME)
    data = mails.russian("koi8-r")
    for whole in (True, False):
        cache.write(link, {7: rendered(data, whole=whole)})
    assert link.execute("SELECT count(rest) FROM outline").fetchone() == (1,)
    for whole in (False, True):
        cache.write(link, {8: rendered(data, whole=whole)})
    assert link.execute("SELECT count(rest) FROM outline").fetchone() == (2,)
    link.close()

"""Summaries beside the index: made when they are asked for, and never wrong."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mtad.errors import NothingFound
from mtad.mime.bodystructure import both
from mtad.mime.envelope import envelope
from mtad.mime.message import parse, wire
from mtad.mime.text import fold
from mtad.store import cache, cache_filling, cache_rendering, cache_worker, droppable
from mtad.store.box import Box
from tests import mails
from tests.test_store_box import MAIL, Place

WHO = "user:ann@example.org"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.journal.close_now()


@pytest.fixture
def box(place: Place) -> Iterator[Box]:
    opened = place.box()
    yield opened
    opened.close()


def kept(place: Place) -> int:
    """Summaries in the cache."""
    link = sqlite3.connect(f"file:{place.folder / cache.NAME}?mode=ro", uri=True)
    try:
        return int(link.execute("SELECT count(*) FROM header").fetchone()[0])
    finally:
        link.close()


async def test_a_summary_is_what_the_message_says(place: Place, box: Box) -> None:
    data = mails.russian("koi8-r")
    (place.maildir / "new" / "1.foreign").write_bytes(data)
    await box.sync()
    (uid, summary), *others = (await box.summaries("INBOX", [1])).items()
    assert not others
    sent = wire(data)
    part = parse(sent)
    assert uid == 1
    assert summary.envelope == envelope(sent, part)
    assert (summary.body, summary.bodystructure) == both(sent, part)
    assert summary.header == sent[: part.header[1]]
    assert summary.subject == fold("Счёт на оплату № 42")
    assert summary.preview == "Добрый день! Счёт во вложении."


async def test_summaries_are_made_once_for_all_copies(
    place: Place, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.deliver(3)
    await box.sync()
    first = await box.summaries("INBOX", [1, 2, 3])
    assert kept(place) == 3
    monkeypatch.setattr(cache_filling, "rendered", None)  # nothing is made from here on
    await box.create("Away", actor=WHO)
    await box.copy("INBOX", [1], "Away", actor=WHO)
    await box.move("INBOX", [2], "Away", actor=WHO)
    await box.flags("INBOX", [3], ["\\Seen"], actor=WHO)
    again = await box.summaries("Away", [1, 2])
    assert again[1].envelope == first[1].envelope
    assert again[2].header == first[2].header
    assert (await box.summaries("INBOX", [3]))[3].envelope == first[3].envelope


async def test_one_half_can_be_asked_for(place: Place, box: Box) -> None:
    place.deliver(1)
    await box.sync()
    for _ in range(2):  # as it is made, and as it is kept
        headers = await box.summaries("INBOX", [1], outline=False)
        outlines = await box.summaries("INBOX", [1], header=False)
        assert headers[1].header == wire(MAIL % 0)[: -len(b"hello\r\n")]
        assert outlines[1].envelope.startswith(b'(NIL "=?utf-8?B?')


async def test_gone_messages_and_mailboxes(place: Place, box: Box) -> None:
    place.deliver(3)
    await box.sync()
    await box.expunge("INBOX", [2], actor=WHO)
    assert sorted(await box.summaries("INBOX", [3, 1, 2, 9])) == [1, 3]
    assert await box.summaries("INBOX", []) == {}
    with pytest.raises(NothingFound):
        await box.summaries("Nowhere", [1])


async def test_many_are_made_by_workers(
    place: Place, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.deliver(300)
    await box.sync()
    monkeypatch.setattr(cache_filling, "rendered", None)  # not here
    found = await box.summaries("INBOX", range(200, 250))
    assert sorted(found) == [*range(200, 250)]
    # who asks for many asks for the rest next
    assert len(await box.summaries("INBOX", range(1, 301))) == 300
    assert kept(place) == 300


async def test_without_workers_it_only_takes_longer(
    place: Place, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.deliver(40)
    await box.sync()
    monkeypatch.setattr(cache_worker.Worker, "make", lambda *_: -1)
    assert len(await box.summaries("INBOX", range(1, 41))) == 40


def test_a_worker_that_died_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "message"
    path.write_bytes(mails.plain())
    worker = cache_worker.Worker()
    batch = cache_worker.Batch(bytes(tmp_path / cache.NAME), [(1, bytes(path)), (2, b"/nowhere")])
    assert worker.make(batch) == 1
    assert worker._process is not None
    worker._process.kill()
    worker._process.wait()
    assert worker.make(batch) == 1
    worker.stop()


def test_a_worker_notices_that_the_cache_is_another(tmp_path: Path) -> None:
    path = tmp_path / "message"
    path.write_bytes(mails.plain())
    batch = cache_worker.Batch(bytes(tmp_path / cache.NAME), [(1, bytes(path))])
    maker = cache_worker.Maker()
    for _ in range(2):
        assert maker.make(batch) == 1
        link = sqlite3.connect(tmp_path / cache.NAME)
        assert link.execute("SELECT count(*) FROM outline").fetchone() == (1,)
        link.close()
        droppable.remove(tmp_path / cache.NAME)
    maker.close()


async def test_what_comes_is_summarised_unasked(
    place: Place, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_filling, "SOON_SECONDS", 0)
    place.deliver(2)
    await box.sync()
    for _ in range(2000):
        with suppress(sqlite3.OperationalError):  # it is being made
            if kept(place) == 2:
                return
        await asyncio.sleep(0.01)
    pytest.fail("nothing was summarised")


@pytest.mark.parametrize("length", [0, 5000, 100_000])
async def test_a_damaged_cache_is_made_again(place: Place, length: int) -> None:
    place.deliver(30)
    box = place.box()
    await box.sync()
    first = await box.summaries("INBOX", range(1, 31))
    box.close()
    path = place.folder / cache.NAME
    whole = path.read_bytes()
    path.write_bytes(b"\x01" * 100 + whole[100:length] + b"\xff" * (len(whole) - length))
    box = place.box()
    again = await box.summaries("INBOX", range(1, 31))
    assert {uid: one.envelope for uid, one in again.items()} == {
        uid: one.envelope for uid, one in first.items()
    }
    box.close()
    assert kept(place) == 30


async def test_damage_inside_is_found_when_it_is_read(place: Place) -> None:
    place.deliver(60)
    box = place.box()
    await box.sync()
    await box.summaries("INBOX", range(1, 61))
    box.close()
    path = place.folder / cache.NAME
    whole = bytearray(path.read_bytes())
    for page in range(8192, len(whole), 8192):
        whole[page : page + 64] = b"\xa5" * 64
    path.write_bytes(whole)
    box = place.box()
    assert len(await box.summaries("INBOX", range(1, 61))) == 60
    box.close()


async def test_a_cache_of_another_format_is_emptied(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.deliver(2)
    box = place.box()
    await box.sync()
    await box.summaries("INBOX", [1, 2])
    box.close()
    monkeypatch.setattr(cache, "FORMAT", cache_rendering.FORMAT + 1)
    box = place.box()
    await box.summaries("INBOX", [1])
    box.close()
    assert kept(place) == 1


async def test_without_a_cache_clients_are_answered(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.deliver(40)
    (place.folder / cache.NAME).mkdir()
    box = place.box()
    await box.sync()
    found = await box.summaries("INBOX", range(1, 41))
    assert len(found) == 40
    assert all(one.envelope and one.header for one in found.values())
    box.close()


async def test_a_huge_header_is_not_kept(
    place: Place, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_filling, "MAX_ROW", 100)
    place.deliver(1)
    await box.sync()
    assert (await box.summaries("INBOX", [1]))[1].header
    assert kept(place) == 0


async def test_what_nobody_needs_is_cleared_away(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "SPARE", 2)
    place.deliver(3)
    box = place.box()
    await box.sync()
    await box.summaries("INBOX", [1, 2, 3])
    own = cache.Cache(place.folder / "index.db")
    await box.expunge("INBOX", [1], actor=WHO)
    assert own.clear_away() == 0
    await box.expunge("INBOX", [2], actor=WHO)
    assert own.clear_away() == 2
    own.close()
    box.close()
    assert kept(place) == 1

"""Header fields kept beside the index: lists that clients ask for, and fields they search."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtad.mime.section import header_fields
from mtad.mime.text import fold
from mtad.store import cache, cache_filling
from mtad.store.box import Box
from mtad.store.cache_filling import Filling
from tests.test_store_box import Place

DAY = 86_400
WHO = "user:ann@example.org"
MAILS = (
    b"From: Ann <ann@x>\nTo: a@x\nTo: b@x\nSubject: =?utf-8?B?0JzQuNGA?=\nX-A: 1\n\nbody\n",
    b"from: bob@x\nSubject: =?utf-8?Q?broken=\nCC: d@x\n\n",
    b"Subject: \xf0\xd2\xc9\xd7\xc5\xd4 100% _ '\"\n\n",
    b"\nno header at all\n",
)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    for number, data in enumerate(MAILS, 1):
        (made.maildir / "new" / f"{number}.foreign").write_bytes(data)
    yield made
    made.journal.close_now()


@pytest.fixture
def box(place: Place) -> Iterator[Box]:
    opened = place.box()
    yield opened
    opened.close()


async def test_a_list_is_kept_and_always_right(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    await box.sync()
    headers = {uid: one.header for uid, one in (await box.summaries("INBOX", [1, 2, 3, 4])).items()}
    for without in (False, True):
        names = [b"SUBJECT", b"from", b"X-%d (\xff)"]
        expected = {
            uid: header_fields(header, names, without=without) for uid, header in headers.items()
        }
        for _ in range(2):  # as it is made, and as it is kept
            found = await box.header_fields("INBOX", [1, 2, 3, 4], names, without=without)
            assert found == expected
    monkeypatch.setattr(Filling, "get", None)  # nothing is looked up from here on
    found = await box.header_fields("INBOX", [2, 3], [b"From", b"X-%d (\xff)", b"subject"])
    assert found[2].startswith(b"from: bob@x\r\n")
    assert await box.header_fields("INBOX", [9], [b"From", b"X-%d (\xff)", b"subject"]) == {}


async def test_what_comes_and_goes(box: Box) -> None:
    await box.sync()
    assert len(await box.header_fields("INBOX", [1, 2], [b"From"])) == 2
    await box.create("Away", actor=WHO)
    await box.move("INBOX", [1], "Away", actor=WHO)
    assert sorted(await box.header_fields("INBOX", [1, 2, 3], [b"From"])) == [2, 3]
    assert (await box.header_fields("Away", [1], [b"From"]))[1].startswith(b"From: Ann")


async def test_only_so_many_lists_are_kept(box: Box, place: Place) -> None:
    await box.sync()
    for number in range(cache.MAX_CHOICES + 5):
        name = b"X-%d" % number
        assert len(await box.header_fields("INBOX", [1, 2, 3, 4], [name])) == 4
    link = sqlite3.connect(f"file:{place.folder / cache.NAME}?mode=ro", uri=True)
    assert link.execute("SELECT count(*) FROM choice").fetchone() == (cache.MAX_CHOICES,)
    assert link.execute("SELECT count(*) FROM chosen").fetchone() == (4 * cache.MAX_CHOICES,)
    link.close()


def test_a_list_that_nobody_wants_makes_room(place: Place) -> None:
    box = place.box()
    kept = cache.Cache(place.folder / "index.db")
    numbers = [kept.choice(f"f{n}", 10 * DAY) for n in range(cache.MAX_CHOICES)]
    assert len(set(numbers)) == cache.MAX_CHOICES
    assert kept.choice("f0", 10 * DAY + 5) == numbers[0]
    assert kept.choice("another", 11 * DAY) is None
    assert kept.choice("f0", 11 * DAY) == numbers[0]
    others = [kept.choice(f"g{n}", 12 * DAY) for n in range(cache.MAX_CHOICES)]
    assert [number is None for number in others] == [False] * (cache.MAX_CHOICES - 1) + [True]
    assert kept.choice("f0", 12 * DAY) == numbers[0]
    kept.close()
    box.close()


@pytest.mark.parametrize(
    ("field", "text", "uids"),
    [
        ("from", "ANN", [1]),
        ("from", "@x", [1, 2]),
        ("to", "b@X", [1]),
        ("cc", "d@", [2]),
        ("subject", "мир", [1]),
        ("subject", "0JzQuNGA", []),
        ("subject", "привет", [3]),
        ("subject", "100% _ '\"", [3]),
        ("subject", "%", [3]),
        ("subject", "\udcff\x00", []),
        ("bcc", "x", []),
    ],
)
async def test_fields_are_searched(
    field: str, text: str, uids: list[int], box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    await box.sync()
    every = [1, 2, 3, 4]
    assert await box.matching("INBOX", every, field, fold(text)) == uids  # as it is made
    assert await box.matching("INBOX", every, field, fold(text)) == uids  # as it is kept
    assert await box.matching("INBOX", [2, 4], field, fold(text)) == [u for u in uids if u == 2]
    monkeypatch.setattr(cache_filling, "MAX_ROW", 0)  # too long to be kept
    await box.create("Away", actor=WHO)
    assert await box.matching("INBOX", [], field, fold(text)) == []


async def test_what_cannot_be_kept_is_searched_all_the_same(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_filling, "MAX_ROW", 0)
    await box.sync()
    for _ in range(2):
        assert await box.matching("INBOX", [1, 2, 3, 4], "subject", fold("мир")) == [1]
        found = await box.header_fields("INBOX", [1, 2, 3, 4], [b"From"])
        assert found[2] == b"from: bob@x\r\n\r\n"

"""The index of texts: it never hides a message that a search must find, whatever becomes of it."""

import asyncio
import hashlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad import address
from mtad.mime import text
from mtad.mime.message import wire
from mtad.store import cache_worker, droppable, text_filling, text_index
from mtad.store.box import Box
from mtad.store.text_index import TextIndex
from tests import mails
from tests.test_store_box import MAIL, Place

WHO = "user:ann@example.org"
MAILS = [
    *dict(mails._odd()).values(),
    mails.plain(),
    *(make(name) for make in (mails.russian, mails.raw_russian) for name in ("koi8-r", "cp1251")),
    b"Subject: a\0b \x0b\"quoted\" 'NOT' (AND*)\n\nzero\0zero\xff\xfe\n",
    b"Subject: =?utf-8?B?8J+YgA==?= =?koi8-r?Q?=F0?=\n\n\xf0\x9f\x98\x80 \xc3\x9f\xef\xac\x81",
    b"no header at all, \xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82",
    b": nameless\nSubject : odd\nContent-Type: text/html; charset=nonsense\n\n<b>bo</b>ld",
    b"",
]
SAID = [text.searchable(wire(data)) for data in MAILS]
WORDS = sorted({part for said in SAID for part in (said.header, said.body) if part})


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_filling, "SOON_SECONDS", 0)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.journal.close_now()


def opened(place: Place) -> Box:
    box = place.box()
    box.texts.wanted = lambda: True
    return box


def put(place: Place, *messages: bytes) -> None:
    for number, data in enumerate(messages):
        (place.maildir / "new" / f"{number:03}.foreign").write_bytes(data)


def known(folder: Path) -> int:
    """Messages in the index."""
    path = folder / text_index.NAME
    try:
        link = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return int(link.execute("SELECT count(*) FROM doc").fetchone()[0])
        finally:
            link.close()
    except sqlite3.OperationalError:  # it is being made
        return 0


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(2000):
        if holds():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not come to pass")


async def indexed(box: Box, count: int) -> None:
    folder = box.owner.index.path.parent
    await until(lambda: known(folder) == count and box.texts._task is None)


needles = st.one_of(
    st.text(min_size=3, max_size=50),
    st.text('abc"\0\x01Пр\ufffd😀ß', min_size=3, max_size=5),
    st.builds(
        lambda said, start, size: said[start % len(said) :][:size],
        st.sampled_from(WORDS),
        st.integers(0, 5000),
        st.integers(3, 80),
    ).filter(lambda said: len(said) >= 3),
).map(text.fold)


@pytest.fixture(scope="module")
def link() -> Iterator[sqlite3.Connection]:
    """An index of all of them, numbered from 1."""
    made = sqlite3.connect(":memory:")
    for statement in text_index.TABLES.split(";"):
        made.execute(statement)
    for number, data in enumerate(MAILS, 1):
        text_index.add(made, number, text_index.searched(data))
    yield made
    made.close()


def candidates(link: sqlite3.Connection, wanted: str) -> set[int]:
    ask = "SELECT rowid FROM run WHERE run MATCH ?"
    return {number for (number,) in link.execute(ask, (text_index.expression(wanted),))}


@given(wanted=needles)
def test_no_message_that_has_a_text_is_left_out(link: sqlite3.Connection, wanted: str) -> None:
    have = {number for number, said in enumerate(SAID, 1) if said.has_text(wanted)}
    found = candidates(link, wanted)
    assert have <= found
    if len(wanted) == 3 and wanted.isalpha():  # one run says it exactly
        assert have == found


@given(said=st.text(min_size=3), other=st.text(), data=st.data())
def test_whatever_a_text_is_its_parts_are_found(said: str, other: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(said) - 3))
    end = data.draw(st.integers(start + 3, len(said)))
    made = sqlite3.connect(":memory:")
    for statement in text_index.TABLES.split(";"):
        made.execute(statement)
    text_index.add(made, 7, other)
    text_index.add(made, 8, said)
    assert 2 in candidates(made, said[start:end])
    made.close()


def test_surrogates_are_a_character_each(link: sqlite3.Connection) -> None:
    assert text_index.expression("\ud800ab") == '"?ab"'


def test_an_index_of_other_texts_has_another_format() -> None:
    """What differs here makes indexes wrong: raise ``text_index.FORMAT`` and note it here."""
    said = "\0".join(text_index.searched(data) or "" for data in MAILS)
    digest = hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:16]
    assert (text_index.FORMAT, digest) == (1, "045caca53714180c")


async def test_what_was_there_is_indexed_when_somebody_reads(place: Place) -> None:
    put(place, *MAILS)
    box = opened(place)
    await box.sync()
    box.release(await box.select("INBOX"))
    await indexed(box, len(MAILS))
    uids = range(1, len(MAILS) + 1)
    rows = await box.rows("INBOX")
    said = {row.uid: SAID[int(row.base[:3])] for row in rows}
    for wanted in ("при", "договор", "subject", "bold", "no-such-text", "zero\0zero"):
        found = await box.candidates("INBOX", uids, wanted)
        assert [uid for uid in uids if said[uid].has_text(wanted)] == [
            uid for uid in found if said[uid].has_text(wanted)
        ]
        if wanted != "subject":
            assert len(found) < len(MAILS) // 2
    assert await box.candidates("INBOX", uids, "pr") == uids  # too short to be known
    box.close()


async def test_what_is_not_indexed_may_hold_anything(place: Place) -> None:
    place.deliver(5)
    box = place.box()  # without an index
    await box.sync()
    assert await box.candidates("INBOX", [1, 2, 5], "nowhere") == [1, 2, 5]
    assert not (place.folder / text_index.NAME).exists()
    box.texts.wanted = lambda: True
    assert await box.candidates("INBOX", [1, 2, 5], "nowhere") == [1, 2, 5]
    await indexed(box, 5)  # the search set it going
    assert await box.candidates("INBOX", [1, 2, 5], "nowhere") == []
    assert await box.candidates("INBOX", [2, 5, 9], "hello") == [2, 5]
    place.deliver(2)
    await box.sync()
    await indexed(box, 7)
    assert await box.candidates("INBOX", range(1, 8), "nowhere") == []
    box.close()


async def test_copies_are_indexed_once_and_the_gone_are_not_found(place: Place) -> None:
    place.deliver(3)
    box = opened(place)
    await box.sync()
    await box.create("Away", actor=WHO)
    await box.copy("INBOX", [1, 2], "Away", actor=WHO)
    await box.expunge("INBOX", [2], actor=WHO)
    await indexed(box, 3)
    assert await box.candidates("INBOX", [1, 2, 3], "hello") == [1, 3]
    assert await box.candidates("Away", [1, 2], "hello") == [1, 2]
    box.close()


async def test_a_long_message_may_hold_anything(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(place, MAIL % 1, b"Subject: long\n\n" + b"lorem ipsum\n" * 100_000)
    box = opened(place)
    await box.sync()
    await indexed(box, 2)
    row = next(row for row in await box.rows("INBOX") if row.base.startswith("001"))
    assert await box.candidates("INBOX", [1, 2], "nowhere") == [row.uid]
    box.close()


async def test_the_index_is_emptied_when_most_of_it_is_gone(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_index, "SPARE", 2)
    place.deliver(5)
    box = opened(place)
    await box.sync()
    await indexed(box, 5)
    own = TextIndex(place.folder / "index.db")
    await box.expunge("INBOX", [1, 2], actor=WHO)
    assert not own.clear_away()
    await box.expunge("INBOX", [3], actor=WHO)
    assert own.clear_away()
    assert known(place.folder) == 0
    assert not own.clear_away()
    assert own.candidates(1, [4, 5], "nowhere") == ([4, 5], [4, 5])
    own.close()
    assert await box.candidates("INBOX", [4, 5], "nowhere") == [4, 5]
    await indexed(box, 2)
    assert await box.candidates("INBOX", [4, 5], "hello") == [4, 5]
    assert await box.candidates("INBOX", [4, 5], "nowhere") == []
    box.close()


@pytest.mark.parametrize("where", ["head", "pages", "words"])
async def test_a_damaged_index_is_made_again(place: Place, where: str) -> None:
    place.deliver(100)
    box = opened(place)
    await box.sync()
    await indexed(box, 100)
    box.close()
    path = place.folder / text_index.NAME
    cache_worker.own().stop()
    for worker in cache_worker._workers:
        worker.stop()  # it would write what it has open
    if where == "words":
        link = sqlite3.connect(path)
        link.execute("UPDATE run_data SET block = x'00ff' WHERE id = 10")
        link.commit()
        link.close()
    else:
        whole = bytearray(path.read_bytes())
        for page in range(0 if where == "head" else 8192, len(whole), 8192):
            whole[page : page + 64] = b"\xa5" * 64
        path.write_bytes(whole)
    box = opened(place)
    every = range(1, 101)
    assert await box.candidates("INBOX", every, "nowhere") == [*every]
    assert await box.candidates("INBOX", every, "hello") == [*every]
    await indexed(box, 100)
    assert await box.candidates("INBOX", every, "nowhere") == []
    assert await box.candidates("INBOX", every, "hello") == [*every]
    box.close()


async def test_damage_that_only_writing_meets(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.deliver(2)
    box = opened(place)
    answers = [cache_worker.DAMAGED]
    make = cache_worker.Worker.make

    def damaged(worker: cache_worker.Worker, batch: cache_worker.Batch) -> int:
        return answers.pop() if batch.is_text and answers else make(worker, batch)

    await box.sync()
    await indexed(box, 2)
    before = (place.folder / text_index.NAME).stat().st_ino
    monkeypatch.setattr(cache_worker.Worker, "make", damaged)
    place.deliver(1)
    await box.sync()
    await until(lambda: not answers and box.texts._task is None)
    assert await box.candidates("INBOX", [1, 2, 3], "nowhere") == [1, 2, 3]
    await indexed(box, 3)
    assert (place.folder / text_index.NAME).stat().st_ino != before
    assert await box.candidates("INBOX", [1, 2, 3], "nowhere") == []
    box.close()


def test_a_full_disk_is_no_damage(tmp_path: Path) -> None:
    link = text_index.connect(tmp_path / text_index.NAME)
    pages = link.execute("PRAGMA page_count").fetchone()[0]
    link.execute(f"PRAGMA max_page_count={pages + 1}")
    link.execute("PRAGMA cache_size=1")
    said = "".join(map(chr, range(0x4E00, 0x9000)))
    with pytest.raises(sqlite3.OperationalError) as failed, droppable.transaction(link):
        text_index.add(link, 1, said)
    assert failed.value.sqlite_errorcode == sqlite3.SQLITE_FULL
    assert not droppable.is_damage(failed.value)
    assert not text_index.is_known(link, 1)
    link.close()


async def test_an_index_of_another_format_is_emptied(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.deliver(2)
    box = opened(place)
    await box.sync()
    await indexed(box, 2)
    box.close()
    link = sqlite3.connect(place.folder / text_index.NAME)
    link.execute("PRAGMA user_version=1")
    link.close()
    box = opened(place)
    assert await box.candidates("INBOX", [1, 2], "nowhere") == [1, 2]
    box.close()


async def test_where_there_can_be_no_index_all_is_searched(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.deliver(3)
    (place.folder / text_index.NAME).mkdir()
    box = opened(place)
    await box.sync()
    assert await box.candidates("INBOX", [1, 2, 3], "nowhere") == [1, 2, 3]
    await until(lambda: box.texts._task is None)
    (place.folder / text_index.NAME).rmdir()
    monkeypatch.setattr(text_filling, "is_possible", lambda: False)
    assert await box.candidates("INBOX", [1, 2, 3], "nowhere") == [1, 2, 3]
    assert not (place.folder / text_index.NAME).exists()
    box.close()


async def test_a_worker_that_dies_leaves_them_to_be_searched(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.deliver(3)
    box = opened(place)
    await box.sync()
    with monkeypatch.context() as patch:
        patch.setattr(cache_worker.Worker, "make", lambda *_: -1)
        assert await box.candidates("INBOX", [1, 2, 3], "nowhere") == [1, 2, 3]
        await until(lambda: box.texts._task is None)
    assert await box.candidates("INBOX", [1, 2, 3], "nowhere") == [1, 2, 3]
    await indexed(box, 3)
    assert await box.candidates("INBOX", [1, 2, 3], "nowhere") == []
    box.close()


async def test_a_copied_box_keeps_its_index(place: Place, tmp_path: Path) -> None:
    place.deliver(2)
    box = opened(place)
    await box.sync()
    await indexed(box, 2)
    box.close()
    other = place.data / "boxes" / address.box_folder("bea@example.org")
    shutil.copytree(place.folder, other, symlinks=True)
    name = next((other / "Maildir" / "new").iterdir()).name
    (other / "Maildir" / "new" / "9.foreign").write_bytes(MAIL % 9 + b"elsewhere\n")
    copy = Box.hold(other, "bea@example.org", place.journal, "mx")
    copy.texts.wanted = lambda: True
    await copy.sync()
    rows = {row.base: row.uid for row in await copy.rows("INBOX")}
    assert name in rows
    assert rows["9.foreign"] in await copy.candidates("INBOX", [1, 2, 3], "elsewhere")
    await indexed(copy, 3)
    assert await copy.candidates("INBOX", [1, 2, 3], "elsewhere") == [rows["9.foreign"]]
    assert await copy.candidates("INBOX", [1, 2, 3], "hello") == [1, 2, 3]
    copy.close()
    shutil.rmtree(other)


async def test_without_its_journal_of_changes_an_index_is_older(place: Place) -> None:
    """A copy made while the server ran may lack the write-ahead log."""
    place.deliver(1)
    box = opened(place)
    await box.sync()
    await indexed(box, 1)
    path = place.folder / text_index.NAME
    half = path.read_bytes()
    box.close()
    for worker in cache_worker._workers:
        worker.stop()
    droppable.remove(path)
    path.write_bytes(half)
    box = opened(place)
    assert await box.candidates("INBOX", [1], "hello") == [1]
    await indexed(box, 1)
    assert await box.candidates("INBOX", [1], "nowhere") == []
    box.close()

"""Copies of many messages, where files can have no further name, and where it fails."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from mtad.errors import MtadError
from mtad.journal import disk
from mtad.store import telling
from mtad.store.box import Box
from tests.test_store_box import Place

WHO: dict[str, Any] = {"actor": "user:ann@example.org"}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.journal.close_now()


async def filled(place: Place, count: int) -> Box:
    place.deliver(count)
    box = place.box()
    await box.sync()
    await box.create("Sub", **WHO)
    return box


async def test_many_files_are_one_flush(place: Place) -> None:
    box = await filled(place, 40)
    synced: list[Path] = []
    with mock.patch.object(disk, "sync_file_system", synced.append):
        copied = await box.copy("INBOX", range(1, 41), "Sub", **WHO)
    assert copied.targets == tuple(range(1, 41))
    assert synced == [place.maildir / "tmp"]
    disk.sync_file_system(place.maildir)
    with pytest.raises(FileNotFoundError):
        disk.sync_file_system(place.maildir / "none")
    box.close()


async def test_a_file_that_can_have_no_further_name_is_copied(place: Place) -> None:
    box = await filled(place, 2)
    (first, second) = await box.rows("INBOX", [1, 2])
    with mock.patch.object(disk, "link", side_effect=OSError(errno.EMLINK, "too many links")):
        await box.copy("INBOX", [1, 2], "Sub", **WHO)
    for uid, was in ((1, first), (2, second)):
        (now,) = await box.rows("Sub", [uid])
        assert (now.size, now.date_ns, now.email) == (was.size, was.date_ns, was.email)
        seen = []
        for mailbox in ("INBOX", "Sub"):
            with os.fdopen(await box.open(mailbox, uid), "rb") as file:
                seen.append((file.read(), os.fstat(file.fileno()).st_mtime_ns))
        assert seen[0] == seen[1]
    box.close()


async def test_a_copy_that_fails_leaves_nothing(place: Place) -> None:
    box = await filled(place, 5)
    promised = 0
    promise = type(box.owner).promise

    def full(self: Any, meta: Any, body: bytes = b"") -> int:
        nonlocal promised
        promised += 1
        if promised == 2:
            raise MtadError("the journal is full")
        return promise(self, meta, body)

    chunks = telling.chunks
    with (
        mock.patch("mtad.store.copying.chunks", lambda items: chunks(items, 2)),
        mock.patch.object(type(box.owner), "promise", full),
        pytest.raises(MtadError, match="full"),
    ):
        await box.copy("INBOX", range(1, 6), "Sub", **WHO)
    assert promised == 3, "two parts, and the first taken back"
    assert (await box.status("Sub")).messages == 0
    assert not list((place.maildir / "tmp").iterdir())
    assert (await box.copy("INBOX", [1], "Sub", **WHO)).targets == (5,)
    box.close()


async def test_a_file_that_is_gone_is_left_out(place: Place) -> None:
    box = await filled(place, 2)
    (row,) = await box.rows("INBOX", [1])
    link = disk.link

    def late(source: Path, target: Path) -> None:
        if row.base in str(source):
            source.unlink(missing_ok=True)
        link(source, target)

    with mock.patch.object(disk, "link", late):
        copied = await box.copy("INBOX", [1, 2], "Sub", **WHO)
    assert copied.sources == (2,)
    box.close()

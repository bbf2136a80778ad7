"""A disk that fails under the journal: what is refused never counts, and it recovers by itself."""

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mtad.journal import disk, frame, room, segment
from mtad.journal.reader import Reader
from mtad.journal.writer import Journal, JournalBroken, JournalFull
from tests.test_journal_writer import event, meta, told

Switch = Callable[[int], None]


@pytest.fixture(params=["pwritev", "fdatasync"])
def failing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Switch:
    """Makes an operation of the disk fail with an error number, 0 for none."""
    name = request.param
    real = getattr(disk, name)
    broken = 0

    def operation(*arguments: Any) -> Any:
        if broken:
            real(*arguments)  # the worst case: it may have reached the disk all the same
            raise OSError(broken, os.strerror(broken))
        return real(*arguments)

    def switch(number: int) -> None:
        nonlocal broken
        broken = number

    monkeypatch.setattr(disk, name, operation)
    return switch


@pytest.mark.parametrize(
    ("number", "refusal"), [(errno.EIO, JournalBroken), (errno.ENOSPC, JournalFull)]
)
async def test_a_refused_group_never_counts(
    tmp_path: Path, failing: Switch, number: int, refusal: type[Exception]
) -> None:
    journal = Journal.open(tmp_path / "mta-0", node=1)
    await journal.commit(meta("before"))
    failing(number)
    journal.note(event("a note of what was refused"))
    done = await asyncio.gather(
        *(journal.commit(meta(f"refused {i}")) for i in range(5)), return_exceptions=True
    )
    assert [type(one) for one in done] == [refusal] * 5
    assert isinstance(done[0], BaseException)
    assert isinstance(done[0].__cause__, OSError)
    failing(0)
    await journal.commit(meta("after"))
    expected = ["before", "a note of what was refused", "after"]
    assert told(tmp_path / "mta-0") == expected
    journal._release()  # as if killed: nor does a later reader find them
    assert told(tmp_path / "mta-0") == expected
    again = Journal.open(tmp_path / "mta-0", node=1)
    again.commit_now(meta("next life"))
    assert told(tmp_path / "mta-0") == [*expected, "next life"]
    again.close_now()


async def test_the_next_header_keeps_refused_frames_out_though_they_are_whole(
    tmp_path: Path, failing: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal.open(tmp_path / "mta-0", node=1)
    await journal.commit(meta("before"))
    real = disk.pwrite

    def no_erasing(fd: int, data: bytes, at: int) -> int:
        if at:
            raise OSError(errno.EIO, "no erasing")
        return real(fd, data, at)

    monkeypatch.setattr(disk, "pwrite", no_erasing)
    failing(errno.EIO)
    with pytest.raises(JournalBroken):
        await journal.commit(meta("refused"))
    failing(0)
    await journal.commit(meta("after"))
    raw = segment.live_path(tmp_path / "mta-0", 1).read_bytes()
    assert b"refused" in raw
    journal._release()
    assert told(tmp_path / "mta-0") == ["before", "after"]


async def test_a_short_write_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        disk, "pwritev", lambda fd, buffers, at: os.pwrite(fd, b"".join(buffers)[:10], at)
    )
    monkeypatch.setattr(disk, "pwrite", lambda fd, data, at: os.pwrite(fd, bytes(data)[:100], at))
    journal = Journal.open(tmp_path / "mta-0", node=1)
    await journal.commit(meta("whole"), b"b" * 1000)
    assert told(tmp_path / "mta-0") == ["whole"]
    await journal.close()


async def fill(journal: Journal) -> list[int]:
    """Commit until the journal is full, a hundred times at most."""
    taken: list[int] = []
    with contextlib.suppress(JournalFull):
        while len(taken) < 100:
            taken.append(await journal.commit(meta("x"), b"b" * 200_000))
    return taken


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets the octets that the file system says are free."""
    octets = 2**40

    def said(_: object) -> SimpleNamespace:
        return SimpleNamespace(f_bavail=octets // 4096, f_frsize=4096)

    def setting(given: int) -> None:
        nonlocal octets
        octets = given

    monkeypatch.setattr(os, "statvfs", said)
    monkeypatch.setattr(room, "_LOOK_SECONDS", 0)
    monkeypatch.setattr(room, "_LOOK_WHEN_FULL_SECONDS", 0)
    return setting


def test_little_free_space_is_full_until_there_is_more(
    tmp_path: Path, free: Callable[[int], None]
) -> None:
    journal = Journal.open(tmp_path / "mta-0", node=1, cap_bytes=100 * 2**20)
    journal.check_room()
    free(105 * 2**20 - 4096)
    with pytest.raises(JournalFull, match="nearly full"):
        journal.check_room()
    free(105 * 2**20)
    journal.check_room()
    journal.close_now()


async def test_at_its_cap_it_refuses_until_a_segment_is_finished(
    tmp_path: Path, free: Callable[[int], None]
) -> None:
    directory = tmp_path / "mta-0"
    journal = Journal.open(directory, node=1, segment_bytes=2**20, cap_bytes=4 * 2**20)
    taken = await fill(journal)
    assert 15 <= len(taken) <= 20
    with pytest.raises(JournalFull, match="cap"):
        journal.check_room()
    with pytest.raises(JournalFull):
        await journal.commit(meta("x"), b"b" * 200_000)
    first = segment.listing(directory)[0]
    os.rename(first.path, first.path.with_suffix(segment.DONE))
    journal.check_room()
    taken.append(await journal.commit(meta("again"), b"b" * 200_000))
    reader = Reader(directory)
    assert [one.seq for one in reader.frames(0)][-1] == taken[-1]
    assert sum(one.size for one in segment.listing(directory)) <= 4 * 2**20
    reader.close()
    await journal.close()


@pytest.mark.parametrize("operation", ["write", "fsync", "open_", "rename"])
async def test_without_a_next_segment_it_refuses_and_recovers(
    tmp_path: Path, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "mta-0"
    journal = Journal.open(directory, node=1, segment_bytes=2**20)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(disk, operation, full)
        taken = await fill(journal)
        assert 4 <= len(taken) < 100
    await journal.commit(meta("again"))
    assert told(directory) == ["x"] * len(taken) + ["again"]
    await journal.close()


def test_it_opens_on_a_full_disk_and_takes_frames_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    Journal.open(tmp_path / "mta-0", node=1).close_now()
    with monkeypatch.context() as patch:
        patch.setattr(segment, "allocate", full)
        journal = Journal.open(tmp_path / "mta-0", node=1)
        with pytest.raises(JournalFull):
            journal.commit_now(meta("too early"))
    journal.commit_now(meta("later"))
    assert told(tmp_path / "mta-0") == ["later"]
    journal.close_now()


def test_a_segment_is_not_reused_before_its_acts_are_durable(tmp_path: Path) -> None:
    directory = tmp_path / "access-0"
    journal = Journal.open(directory, node=16, segment_bytes=2**20, cap_bytes=3 * 2**20)
    journal.commit_now(meta("first"))

    def fails() -> None:
        raise RuntimeError("the index cannot be synced")

    journal._tip.roll(0, 2**61, 1, 2**20)
    first = segment.live_path(directory, 1)
    os.rename(first, first.with_suffix(segment.DONE))
    journal.before_reuse = fails
    journal._tip.roll(0, 2**61, 1, 2**20)  # there is other space
    with pytest.raises(JournalBroken, match="cannot be kept"):
        journal._tip.roll(0, 2**61, 1, 2**20)
    assert first.with_suffix(segment.DONE).exists()
    assert frame.decode(first.with_suffix(segment.DONE).read_bytes(), 4096, epoch=journal._epoch)
    journal.close_now()

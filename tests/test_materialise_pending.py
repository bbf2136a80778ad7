"""Content of mail that leaves: no file where none is needed, and never none where one is."""

import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from mtad.journal import content, disk, frame, segment
from mtad.journal.command import command_journal
from mtad.materialise import pending, recycle
from mtad.materialise.files import Files
from mtad.materialise.pending import Pending
from mtad.where import Places
from tests.materialise_bench import ARRIVED_NS, Bench
from tracing import sending
from tracing.events import Event
from tracing.states import State

THERE = "bob@there.test"
BODY = b"Subject: x\n\nbody\n"


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(recycle, "LOOK_SECONDS", 0.0)
    bench = Bench(tmp_path, keep_seconds=0)
    yield bench
    bench.close()


def delivered(m: int, n: int = 1) -> Event:
    return sending.OutDelivered(at=1, trace=m, n=n, addr=THERE, attempt=1, reply="250 ok")


def deferred(m: int, n: int = 1) -> Event:
    return sending.OutDeferred(
        at=1, trace=m, n=n, addr=THERE, attempt=1, stage="rcpt", next_try=5, reply="450 no"
    )


def file_of(bench: Bench, m: int) -> Path:
    return content.path_of(bench.places, m)


def test_what_leaves_at_once_never_was_a_file(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    monkeypatch.setattr(Files, "write_content", lambda self, path, wanted, body: made.append(path))
    together = bench.queue(THERE)
    bench.tell(delivered(together))
    bench.worker.turn()
    apart = bench.queue(THERE, "c@there.test")
    bench.worker.turn()
    bench.tell(delivered(apart), delivered(apart, 2))
    bench.worker.turn()
    roll(bench)
    assert made == []
    assert [one.state for one in bench.recipients(apart)] == [State.RELAYED] * 2


def test_what_stays_is_a_file_after_a_while(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    m = bench.queue(THERE)
    bench.worker.turn()
    assert not file_of(bench, m).exists()
    monkeypatch.setattr(pending, "KEEP_SECONDS", -1)
    bench.worker.turn()
    assert file_of(bench, m).read_bytes() == BODY
    assert file_of(bench, m).stat().st_mtime_ns == ARRIVED_NS
    bench.tell(delivered(m))
    bench.worker.turn()
    assert not file_of(bench, m).exists()


def test_a_file_stays_until_the_last_recipient_has_its_end(bench: Bench) -> None:
    m = bench.queue(THERE, "c@there.test", body=b"x" * (frame.MAX_BODY + 1))
    bench.tell(delivered(m), deferred(m, 2))
    bench.worker.turn()
    assert file_of(bench, m).exists()
    bench.tell(sending.QueueHold(at=2, trace=m, n=2, why="x"))
    bench.worker.turn()
    assert file_of(bench, m).exists()
    bench.tell(sending.QueueDrop(at=3, trace=m, n=2))
    bench.worker.turn()
    assert not file_of(bench, m).exists()


def test_what_a_box_has_too_keeps_its_file(bench: Bench) -> None:
    meta = bench.plan("a@one.test", body=BODY)
    assert meta.content is not None
    m = meta.content.m
    add = sending.QueueAdd(at=1, trace=m, n=2, addr=THERE)
    bench.journal.commit_now(
        frame.Meta((*meta.events, frame.raw(add)), meta.content, meta.links), BODY
    )
    bench.worker.turn()
    assert file_of(bench, m).stat().st_nlink == 2
    bench.tell(delivered(m, 2))
    bench.worker.turn()
    assert file_of(bench, m).stat().st_nlink == 2


def test_who_asks_gets_the_file(bench: Bench) -> None:
    first, second = bench.queue(THERE), bench.queue(THERE)
    number = bench.worker.ask(content_of=second)
    bench.worker.turn()
    assert bench.rung[-1] == number
    assert not file_of(bench, first).exists()
    assert file_of(bench, second).read_bytes() == BODY


def roll(bench: Bench) -> None:
    """Fill segments until the first is no longer written to, then recycle all that can be."""
    folder = bench.journal.directory
    first = {one.number for one in segment.listing(folder)}
    while {one.number for one in segment.listing(folder) if not one.done} <= first:
        bench.journal.commit_now(frame.Meta(), b"x" * 200_000)
    for _ in range(3):
        bench.worker.turn()
    assert any(one.done for one in segment.listing(folder))


def test_a_recycled_segment_leaves_a_synced_file(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = disk.fsync

    def fsync(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        real(fd)

    monkeypatch.setattr(disk, "fsync", fsync)
    m = bench.queue(THERE)
    gone = bench.queue(THERE)
    bench.tell(delivered(gone))
    roll(bench)
    assert file_of(bench, m).read_bytes() == BODY
    assert str(file_of(bench, m)) in synced
    assert str(file_of(bench, m).parent) in synced
    assert not file_of(bench, gone).exists()
    bench.again().turn()
    assert file_of(bench, m).read_bytes() == BODY


def test_a_start_writes_what_is_open_and_nothing_else(bench: Bench) -> None:
    kept, gone, late = bench.queue(THERE), bench.queue(THERE), bench.queue(THERE)
    bench.tell(delivered(gone))
    bench.worker.turn()
    bench.tell(delivered(late))  # durable, and not applied when the role was killed
    unseen = bench.queue(THERE)
    bench.again()
    assert file_of(bench, kept).read_bytes() == BODY
    assert file_of(bench, unseen).read_bytes() == BODY
    assert not file_of(bench, gone).exists()
    assert not file_of(bench, late).exists()


@pytest.mark.parametrize("spoil", ["empty", "torn", "gone"])
def test_a_start_puts_right_what_a_power_cut_spoiled(bench: Bench, spoil: str) -> None:
    m = bench.queue(THERE)
    bench.again()
    path = file_of(bench, m)
    if spoil == "gone":
        path.unlink()
    else:
        path.write_bytes(b"" if spoil == "empty" else BODY[:4] + bytes(len(BODY) - 4))
    bench.again()
    assert path.read_bytes() == BODY


def test_an_end_that_a_command_made(bench: Bench) -> None:
    """Any journal may end a message; the journal of commands is read after the mta's."""
    m = bench.queue(THERE)
    bench.again()
    with command_journal(bench.places) as journal:
        bench.tell(sending.QueueDrop(at=3, trace=m, n=1, actor="admin:x"), journal=journal)
    bench.again()
    assert not file_of(bench, m).exists()
    assert bench.recipients(m)[0].state is State.CANCELLED


def test_the_end_is_in_the_log_before_the_file_goes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    m = bench.queue(THERE)
    bench.again()
    seen: list[State] = []
    real = disk.unlink

    def unlink(path: str) -> None:
        if path == str(file_of(bench, m)):
            seen.append(bench.recipients(m)[0].state)
        real(path)

    monkeypatch.setattr(disk, "unlink", unlink)
    bench.tell(delivered(m))
    bench.worker.turn()
    assert seen == [State.RELAYED]


def test_what_cannot_be_written_is_written_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    m = bench.queue(THERE)
    bench.worker.turn()

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(disk, "write", full)
        patch.setattr(pending, "KEEP_SECONDS", -1)
        bench.worker.turn()
        assert "No space" in bench.worker.standing.problem
        assert not file_of(bench, m).exists()
    monkeypatch.setattr(pending, "KEEP_SECONDS", -1)
    bench.worker.turn()
    assert file_of(bench, m).read_bytes() == BODY


class Desk:
    """Messages pending without a log; ``over`` are those that ended."""

    def __init__(self, folder: Path, max_octets: int = 100) -> None:
        self.over: set[int] = set()
        self.now = 0.0
        self.files = Files(Places(folder))
        self.pending = Pending(
            self.files, self.spent, max_octets=max_octets, clock=lambda: self.now
        )

    def spent(self, messages: Iterable[int]) -> set[int]:
        return self.over & set(messages)

    def take(self, m: int, size: int = 10) -> None:
        self.pending.take(frame.Content(m, size, b"", ARRIVED_NS, inline=True), b"x" * size)

    def written(self, *messages: int) -> list[int]:
        return [m for m in messages if os.path.exists(self.files.content_path(m))]


def test_memory_is_bounded(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for m in (1, 2, 3):
        desk.take(m, 40)
    assert desk.written(1, 2, 3) == [1]
    desk.take(4, 100)
    assert desk.written(1, 2, 3, 4) == [1, 2, 3]
    desk.take(5, 101)
    assert desk.written(4, 5) == [4, 5]


def test_taken_twice_it_is_there_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for _ in range(9):
        desk.take(1, 40)
    assert desk.written(1) == []


def test_age_alone_makes_a_file(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.take(1)
    desk.now = 3.0
    desk.take(2)
    desk.now = 5.5
    desk.pending.sweep()
    assert desk.written(1, 2) == [1]
    desk.now = 8.5
    desk.pending.sweep()
    assert desk.written(1, 2) == [1, 2]


def test_what_ended_unseen_is_not_written(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for m in (1, 2, 3):
        desk.take(m)
    desk.over = {2}
    desk.pending.settle()
    assert desk.written(1, 2, 3) == [1, 3]
    desk.pending.keep(2)
    assert desk.written(2) == []

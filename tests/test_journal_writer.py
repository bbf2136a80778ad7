"""The journal on disk: what commit returned for is there, in order, once; and nothing else."""

import asyncio
import fcntl
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mtad import control
from mtad.errors import Locked
from mtad.journal import content, disk, frame, notes, segment
from mtad.journal.command import command_journal
from mtad.journal.reader import Reader
from mtad.journal.writer import Journal, JournalBroken
from mtad.where import Places
from tracing import events, ids
from tracing.events import Event


def meta(text: str) -> frame.Meta:
    return frame.Meta(events=(frame.raw(event(text)),))


def event(text: str) -> Event:
    return events.SmtpRcpt(at=1, trace=1, addr=text)


def told(directory: Path, after: int = 0) -> list[str]:
    reader = Reader(directory)
    try:
        return [one.addr for found in reader.frames(after) for one in found.events]
    finally:
        reader.close()


def until(true: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_what_was_committed_comes_back(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "cli-40", node=40)
    assert journal.name == "cli-40"
    seqs = [journal.commit_now(meta(f"a{i}"), b"x" * i) for i in range(50)]
    assert seqs == sorted(set(seqs))
    reader = Reader(tmp_path / "cli-40")
    found = list(reader.frames(0))
    assert [one.seq for one in found] == seqs
    assert [len(one.body) for one in found] == list(range(50))
    assert list(reader.frames(seqs[-1])) == []
    seqs.append(journal.commit_now(meta("later")))
    assert [one.seq for one in reader.frames(seqs[-2])] == seqs[-1:]
    assert [one.seq for one in reader.frames(seqs[10])] == seqs[11:]
    journal.close_now()
    assert [one.seq for one in Reader(tmp_path / "cli-40").frames(0)] == seqs
    with pytest.raises(JournalBroken):
        journal.commit_now(meta("too late"))
    reader.close()


async def test_sessions_share_syncs_and_one_alone_does_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = 0
    threads = set()

    def counted(fd: int) -> None:
        nonlocal syncs
        syncs += 1
        threads.add(threading.get_ident())
        os.fdatasync(fd)

    journal = Journal.open(tmp_path / "mta-0", node=1)
    monkeypatch.setattr(disk, "fdatasync", counted)
    seqs = [await journal.commit(meta(f"alone{i}")) for i in range(10)]
    assert syncs == 10, "each is durable when commit returns"

    syncs = 0

    async def session(number: int) -> None:
        for i in range(20):
            seqs.append(await journal.commit(meta(f"s{number}-{i}"), b"body"))

    await asyncio.gather(*(session(number) for number in range(20)))
    assert 1 <= syncs <= 200, "400 commits of 20 sessions"
    assert len(set(seqs)) == 410
    await journal.close()
    reader = Reader(tmp_path / "mta-0")
    assert [one.seq for one in reader.frames(0)] == sorted(seqs)
    reader.close()


async def test_a_slow_sync_never_runs_in_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal.open(tmp_path / "mta-0", node=1)
    inside: list[int] = []

    def slow(fd: int) -> None:
        inside.append(threading.get_ident())
        time.sleep(0.02)

    monkeypatch.setattr(disk, "fdatasync", slow)
    for i in range(6):
        await journal.commit(meta(str(i)))
    assert threading.get_ident() not in inside[1:], "after the first, which shows that it is slow"
    await journal.close()


async def test_what_nobody_waits_for_shares_the_next_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtad.journal.writer.SOON_SECONDS", 0.2)
    journal = Journal.open(tmp_path / "mta-0", node=1)
    await journal.commit(meta("first"))
    syncs = 0
    real = disk.fdatasync

    def counted(fd: int) -> None:
        nonlocal syncs
        syncs += 1
        real(fd)

    monkeypatch.setattr(disk, "fdatasync", counted)
    soon = [asyncio.ensure_future(journal.commit_soon(meta(f"s{i}"))) for i in range(3)]
    await asyncio.sleep(0.01)
    assert not any(one.done() for one in soon)
    number = await journal.commit(meta("now"))
    assert sorted(await asyncio.gather(*soon)) == [number - 3, number - 2, number - 1]
    assert syncs == 1
    alone = await journal.commit_soon(meta("alone"))
    assert (alone, syncs) == (number + 1, 2)
    late = asyncio.ensure_future(journal.commit_soon(meta("late")))
    await asyncio.sleep(0)
    await journal.close()
    assert await late == number + 2
    assert told(tmp_path / "mta-0") == ["first", "s0", "s1", "s2", "now", "alone", "late"]


async def test_notes_stand_before_the_commit_that_follows(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "mta-0", node=1)

    async def session(name: str) -> None:
        for i in range(10):
            journal.note(event(f"{name} note {i}"))
            await asyncio.sleep(0)
            await journal.commit(meta(f"{name} commit {i}"))

    await asyncio.gather(*(session(f"s{number}") for number in range(8)))
    found = told(tmp_path / "mta-0")
    for number in range(8):
        mine = [text for text in found if text.startswith(f"s{number} ")]
        assert mine == [f"s{number} {what} {i}" for i in range(10) for what in ("note", "commit")]
    await journal.close()


async def test_notes_alone_are_seen_soon_and_cause_no_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal.open(tmp_path / "mta-0", node=1)
    syncs: list[int] = []
    monkeypatch.setattr(disk, "fdatasync", syncs.append)
    began = time.monotonic()
    journal.note(event("one"))
    journal.note(event("two"))
    while told(tmp_path / "mta-0") != ["one", "two"]:
        assert time.monotonic() - began < 5
        await asyncio.sleep(0.01)
    assert syncs == []
    journal.note(event("three"))
    await journal.close()
    assert told(tmp_path / "mta-0") == ["one", "two", "three"]


async def test_too_many_notes_are_dropped_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notes, "MOST", 100)
    journal = Journal.open(tmp_path / "mta-0", node=1)
    for i in range(120):
        journal.note(events.SmtpEhlo(at=1, trace=1, helo=str(i)))
    for i in range(60):
        journal.note(event(str(i)))
    await journal.commit(meta("last"))
    reader = Reader(tmp_path / "mta-0")
    found = [one for read in reader.frames(0) for one in read.events]
    reader.close()
    gaps = {gap.lost: gap.count for gap in found if isinstance(gap, events.LogGap)}
    assert gaps == {"smtp.ehlo": 70, "smtp.rcpt": 10}
    assert len(found) == 50 + 50 + 2 + 1
    await journal.close()


async def test_a_cancelled_caller_does_not_take_its_frame_back(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "mta-0", node=1)
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(journal.commit(meta(str(i)))) for i in range(5)]
    await asyncio.sleep(0)
    for task in tasks[1:]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await journal.commit(meta("after"))
    assert told(tmp_path / "mta-0") == ["0", "1", "2", "3", "4", "after"]
    await journal.close()


def test_numbers_and_ids_never_go_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    highest_seq = highest_id = 0
    for life in range(4):
        now = (10**9 - life) * 10**9 if life else 2 * 10**18
        monkeypatch.setattr(time, "time_ns", lambda now=now: now)
        journal = Journal.open(tmp_path / "mta-0", node=1)
        journal.mint._clock_ns = time.time_ns
        for _ in range(3):
            made = journal.mint.new()
            assert made > highest_id
            highest_id = made
            seq = journal.commit_now(frame.Meta())
            assert seq > highest_seq
            highest_seq = seq
        if life % 2:
            journal.close_now()
        else:
            journal._release()  # as if killed
    assert ids.time_us(highest_id) >= 2 * 10**15 - 1000
    reader = Reader(tmp_path / "mta-0")
    found = [one.seq for one in reader.frames(0)]
    assert len(found) == 12
    assert found == sorted(found)
    reader.close()


def test_a_number_that_was_seen_and_lost_is_not_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 10**18)
    journal = Journal.open(tmp_path / "mta-0", node=1)
    journal.commit_now(meta("durable"))
    end = journal._tip._at
    for i in range(50):  # as the timer does: written, seen by readers, not synced
        journal.note(event(str(i)))
        journal._enqueue(None, b"")
        journal._write_pending()
    reader = Reader(tmp_path / "mta-0")
    seen = [one.seq for one in reader.frames(0)][-1]
    reader.close()
    assert seen > journal._seq - 51
    journal._release()
    os.truncate(segment.live_path(tmp_path / "mta-0", 1), end)
    monkeypatch.setattr(time, "time_ns", lambda: 10**17)
    again = Journal.open(tmp_path / "mta-0", node=1)
    assert again.commit_now(meta("after the power cut")) > seen
    again.close_now()


def test_a_journal_has_one_owner(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "cli-40", node=40)
    with pytest.raises(Locked):
        Journal.open(tmp_path / "cli-40", node=40)
    reader = Reader(tmp_path / "cli-40")
    assert reader.is_owned()
    journal.close_now()
    assert not reader.is_owned()
    Journal.open(tmp_path / "cli-40", node=40).close_now()
    reader.close()


def test_a_reader_sees_up_to_the_mark_while_the_writer_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal.open(tmp_path / "mta-0", node=1)
    journal.commit_now(meta("durable"))
    syncing = threading.Event()
    go_on = threading.Event()

    def stopped(fd: int) -> None:
        syncing.set()
        go_on.wait(10)

    monkeypatch.setattr(disk, "fdatasync", stopped)
    thread = threading.Thread(target=journal.commit_now, args=(meta("written only"),))
    thread.start()
    assert syncing.wait(10)
    assert told(tmp_path / "mta-0") == ["durable"]
    go_on.set()
    thread.join()
    assert told(tmp_path / "mta-0") == ["durable", "written only"]
    journal.close_now()


def test_a_dead_writers_last_frames_count(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "mta-0", node=1)
    journal.commit_now(meta("marked"))
    mark = (tmp_path / "mta-0" / segment.MARK).read_bytes()
    journal.commit_now(meta("not marked"))
    (tmp_path / "mta-0" / segment.MARK).write_bytes(mark)
    assert told(tmp_path / "mta-0") == ["marked"]
    journal._release()
    assert told(tmp_path / "mta-0") == ["marked", "not marked"]


@pytest.mark.parametrize("cut", range(0, 120, 7))
def test_a_torn_tail_ends_the_journal_and_the_next_life_goes_on(tmp_path: Path, cut: int) -> None:
    journal = Journal.open(tmp_path / "mta-0", node=1)
    journal.commit_now(meta("whole"))
    end = journal._tip._at
    journal.commit_now(meta("torn"), b"z" * 200)
    journal._release()
    path = segment.live_path(tmp_path / "mta-0", 1)
    data = bytearray(path.read_bytes())
    data[end + cut :] = bytes(len(data) - end - cut)
    path.write_bytes(data)
    assert told(tmp_path / "mta-0") == ["whole"]
    again = Journal.open(tmp_path / "mta-0", node=1)
    again.commit_now(meta("next life"))
    assert told(tmp_path / "mta-0") == ["whole", "next life"]
    again.close_now()


async def test_it_goes_on_through_many_segments_and_reuses_them(tmp_path: Path) -> None:
    directory = tmp_path / "mta-0"
    journal = Journal.open(directory, node=1, segment_bytes=2**20, cap_bytes=8 * 2**20)
    reused = 0

    def count() -> None:
        nonlocal reused
        reused += 1

    journal.before_reuse = count
    reader = Reader(directory, finished=False)
    last = 0
    seen = []
    written = []
    for i in range(200):
        written.append(await journal.commit(meta(str(i)), b"y" * 200_000))
        for one in reader.frames(last):
            last = one.seq
            seen.append(one.seq)
        live = [one for one in segment.listing(directory) if not one.done]
        for old in live[:-1]:
            os.rename(old.path, old.path.with_suffix(segment.DONE))
    assert seen == written
    assert reused > 20
    assert sum(one.size for one in segment.listing(directory)) <= 8 * 2**20
    await journal.close()
    reader.close()


async def test_a_frame_longer_than_a_segment_gets_one_of_its_own(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "access-0", node=16, segment_bytes=2**20)
    copies = (frame.Copy(1, 2, 3, "x" * 3_000_000),)
    long = frame.Meta(acts=(frame.Expunge("a@b.c", "INBOX", copies, 1),))
    await journal.commit(meta("before"))
    await journal.commit(long)
    await journal.commit(meta("after"))
    reader = Reader(tmp_path / "access-0")
    found = list(reader.frames(0))
    assert [len(one.meta.acts) for one in found] == [0, 1, 0]
    await journal.close()
    assert list(reader.frames(found[-1].seq)) == []
    reader.close()


def test_damage_is_stepped_over_and_named(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "mta-0", node=1)
    ends = [segment.START]
    for i in range(5):
        journal.commit_now(meta(str(i)), b"b" * 100)
        ends.append(journal._tip._at)
    path = segment.live_path(tmp_path / "mta-0", 1)
    with path.open("r+b") as file:
        file.seek(ends[2] + 60)
        octet = file.read(1)[0]
        file.seek(ends[2] + 60)
        file.write(bytes([octet ^ 1]))
    reader = Reader(tmp_path / "mta-0")
    assert [one.addr for found in reader.frames(0) for one in found.events] == ["0", "1", "3", "4"]
    (damage,) = reader.damage
    assert (damage.number, damage.start, damage.end) == (1, ends[2], ends[3])
    journal.close_now()
    reader.close()


async def test_the_bell_rings_at_every_group_and_needs_nobody(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    path = folder / "doorbell.sock"
    journal = Journal.open(tmp_path / "mta-0", node=1, doorbell=path)
    await journal.commit(meta("nobody hears"))
    bell = control.bind(path, socket.SOCK_DGRAM)
    await journal.commit(meta("heard"))
    said = bell.recv(100).split()
    assert said[0] == b"mta-0"
    assert int(said[2]) == journal._tip._at
    bell.close()
    await journal.close()


def test_a_short_command_leaves_a_small_file(tmp_path: Path) -> None:
    for i in range(3):
        journal = Journal.open(tmp_path / "cli-40", node=40)
        journal.note(event("n"))
        journal.commit_now(meta(str(i)))
        journal.close_now()
    assert told(tmp_path / "cli-40") == ["n", "0", "n", "1", "n", "2"]
    assert all(one.size < 8192 for one in segment.listing(tmp_path / "cli-40"))


def test_a_long_message_is_a_synced_file_before_its_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places(tmp_path)
    order: list[str] = []

    def synced(fd: int) -> None:
        order.append(os.readlink(f"/proc/self/fd/{fd}").removeprefix(f"{tmp_path}/"))
        os.fsync(fd)

    monkeypatch.setattr(disk, "fsync", synced)
    m = ids.Mint(1).new()
    month, name = ids.month(m), ids.text(m)
    body = [b"a" * 100_000, b"b" * 300_000]
    made = content.write_content(places, m, iter(body), 1_700_000_000_123_456_789)
    assert (made.m, made.size, made.inline) == (m, 400_000, False)
    path = content.path_of(places, m)
    assert path.read_bytes() == b"".join(body)
    assert path.stat().st_mtime_ns == 1_700_000_000_123_456_789
    assert order[-2:] == [f"content/{month}/{name}", f"content/{month}"]
    assert "content" in order, "the month's folder was made"
    with pytest.raises(FileExistsError):
        content.write_content(places, m, b"again", 1)
    assert path.stat().st_size == 400_000


def test_a_long_message_that_does_not_fit_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    m = ids.Mint(1).new()
    monkeypatch.setattr(disk, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        content.write_content(Places(tmp_path), m, b"x", 1)
    assert not content.path_of(Places(tmp_path), m).exists()


def test_a_lock_of_a_reader_is_waited_for(tmp_path: Path) -> None:
    Journal.open(tmp_path / "mta-0", node=1).close_now()
    fd = os.open(tmp_path / "mta-0" / "lock", os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    threading.Timer(0.05, os.close, (fd,)).start()
    Journal.open(tmp_path / "mta-0", node=1).close_now()


def test_a_command_does_not_wait_for_a_journal_that_another_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places(tmp_path)

    def never(seconds: float) -> None:
        raise AssertionError("it waited")

    with command_journal(places) as first:
        monkeypatch.setattr(time, "sleep", never)
        with command_journal(places) as second:
            assert (first.name, second.name) == ("cli-40", "cli-41")


async def test_threads_beside_the_loop_share_a_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal.open(tmp_path / "access-0", node=16)
    await journal.commit(meta("first"))
    syncs, sync = 0, disk.fdatasync

    def slow(fd: int) -> None:
        nonlocal syncs
        syncs += 1
        time.sleep(0.05)
        sync(fd)

    monkeypatch.setattr(disk, "fdatasync", slow)

    def act(number: int) -> int:
        journal.keep(event(f"note {number}"))
        return journal.commit_now(meta(f"act {number}"))

    with ThreadPoolExecutor(8) as pool:
        loop = asyncio.get_running_loop()
        done = await asyncio.gather(*(loop.run_in_executor(pool, act, i) for i in range(8)))
    assert len({*done}) == 8
    assert syncs < 8
    found = told(tmp_path / "access-0")
    assert all(found.index(f"note {i}") < found.index(f"act {i}") for i in range(8))
    await journal.close()


async def test_the_bell_may_ring_once_for_much(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as bell:
        bell.bind(os.fspath(tmp_path / "bell"))
        journal = Journal.open(
            tmp_path / "access-0", node=16, doorbell=tmp_path / "bell", ring_seconds=0.05
        )
        await journal.commit(meta("first"))
        await asyncio.to_thread(journal.commit_now, meta("second"))
        assert told(tmp_path / "access-0") == ["first", "second"]
        with pytest.raises(BlockingIOError):
            bell.recv(256)
        rung = await asyncio.wait_for(asyncio.to_thread(_heard, bell), 5)
        assert rung.startswith(b"access-0 ")
        await asyncio.sleep(0.1)
        with pytest.raises(BlockingIOError):
            bell.recv(256)
        await journal.commit(meta("third"))
        await journal.close()
        assert bell.recv(256).startswith(b"access-0 ")


def _heard(bell: socket.socket) -> bytes:
    select.select([bell], [], [], 5)
    return bell.recv(256)

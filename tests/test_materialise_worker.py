"""The log role: every durable frame becomes files and rows, once, whatever happened before."""

import errno
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mtad import control
from mtad.journal import content, disk, frame, segment
from mtad.journal.reader import Reader
from mtad.journal.writer import Journal
from mtad.materialise import recycle
from mtad.materialise.worker import Worker
from tests.materialise_bench import ARRIVED_NS, Bench, messages
from tracing import events, log
from tracing.states import State

BOX = "a@one.test"
OTHER = "b@two.test"
BODY = b"Subject: x\n\nbody\n"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def m_of(meta: frame.Meta) -> int:
    assert meta.content is not None
    return meta.content.m


def test_a_frame_becomes_content_links_and_rows(bench: Bench) -> None:
    meta = bench.accept(BOX, OTHER)
    assert bench.worker.turn()
    kept = content.path_of(bench.places, m_of(meta))
    assert kept.read_bytes() == BODY
    assert kept.stat().st_mtime_ns == ARRIVED_NS
    assert kept.stat().st_nlink == 3
    for link in meta.links:
        assert bench.path(link).samefile(kept)
    found = bench.recipients(m_of(meta))
    assert [(one.addr, one.state, one.st) for one in found] == [
        (link.box, State.STORED, link.st) for link in meta.links
    ]
    assert bench.kinds()["store.delivered"] == 2


def test_a_long_message_is_linked_from_its_own_file(bench: Bench) -> None:
    body = b"x" * (frame.MAX_BODY + 1)
    meta = bench.accept(BOX, body=body)
    bench.worker.turn()
    assert messages(bench.places, BOX) == {meta.links[0].base: body}


def test_a_mailbox_below_is_made(bench: Bench) -> None:
    meta = bench.plan(BOX, body=BODY)
    link = meta.links[0]
    filed = frame.Link(link.n, link.st, link.box, "Работа/2026", link.base)
    bench.journal.commit_now(
        frame.Meta(events=meta.events, content=meta.content, links=(filed,)), BODY
    )
    bench.worker.turn()
    assert messages(bench.places, BOX, "Работа/2026") == {link.base: BODY}
    assert messages(bench.places, BOX) == {}


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EMLINK, errno.EPERM])
def test_where_no_link_can_be_made_a_synced_copy_is(
    bench: Bench, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(source: str, target: str) -> None:
        raise OSError(number, os.strerror(number))

    synced: list[str] = []

    def sync(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        os.fsync(fd)

    meta = bench.accept(BOX)
    bench.accept(BOX)
    bench.worker.turn()
    meta = bench.accept(BOX)
    monkeypatch.setattr(disk, "link", refuses)
    monkeypatch.setattr(disk, "fsync", sync)
    bench.worker.turn()
    path = bench.path(meta.links[0])
    assert path.read_bytes() == BODY
    assert path.stat().st_mtime_ns == ARRIVED_NS
    assert path.stat().st_nlink == 1
    assert any(name.endswith(f"tmp/{meta.links[0].base}") for name in synced)
    bench.again()
    assert len(messages(bench.places, BOX)) == 3


def test_a_restart_changes_nothing(bench: Bench) -> None:
    for _ in range(20):
        bench.accept(BOX, OTHER)
    bench.worker.turn()
    before = bench.kinds()
    mails = messages(bench.places, BOX)
    for _ in range(2):
        bench.again().turn()
    after = bench.kinds()
    assert messages(bench.places, BOX) == mails
    assert after - before == {"sys.start": 2}


def test_killed_between_files_and_rows_it_makes_neither_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = bench.accept(BOX, OTHER)
    moved = bench.accept(BOX)
    deleted = bench.accept(BOX)

    def fails(*_: object) -> None:
        raise OSError(errno.EIO, "killed here")

    with monkeypatch.context() as patch:
        patch.setattr(log.Recorder, "apply", fails)
        assert not bench.worker.turn()
        assert "killed here" in bench.worker.standing.problem
    assert len(messages(bench.places, BOX)) == 3
    seen = bench.path(moved.links[0], sub="cur").with_name(moved.links[0].base + ":2,S")
    os.rename(bench.path(moved.links[0]), seen)
    bench.expunge(deleted, deleted.links[0], bench.path(deleted.links[0]))
    bench.again().turn()
    assert set(messages(bench.places, BOX)) == {kept.links[0].base, moved.links[0].base}
    assert seen.exists()
    found = bench.kinds()
    assert found["store.delivered"] == 4
    assert found["smtp.accept"] == 3
    assert found["sys.recovered"] == 1
    assert found["box.expunge"] == 1


def test_a_batch_that_failed_is_written_without_executing_it_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta = bench.accept(BOX)
    with monkeypatch.context() as patch:
        patch.setattr(log.Recorder, "apply", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        bench.worker.turn()
    cur = bench.path(meta.links[0], sub="cur").with_name(meta.links[0].base + ":2,S")
    os.rename(bench.path(meta.links[0]), cur)
    bench.accept(BOX)
    assert bench.worker.turn()
    assert bench.worker.standing.problem == ""
    assert len(messages(bench.places, BOX)) == 2
    assert bench.kinds()["store.delivered"] == 2


@pytest.mark.parametrize(
    "spoil",
    ["empty content", "content gone", "torn content", "link gone", "all gone", "wrong time"],
)
def test_what_a_power_cut_spoiled_is_put_right(bench: Bench, spoil: str) -> None:
    meta = bench.accept(BOX, OTHER)
    bench.worker.turn()
    kept = content.path_of(bench.places, m_of(meta))
    first = bench.path(meta.links[0])
    if spoil == "empty content":
        os.truncate(kept, 0)
    elif spoil == "torn content":
        kept.write_bytes(BODY[:5] + bytes(len(BODY) - 5))
        os.utime(kept, ns=(ARRIVED_NS, ARRIVED_NS))
    elif spoil == "wrong time":
        os.utime(kept, ns=(5, 5))
    if spoil in ("content gone", "all gone"):
        kept.unlink()
    if spoil in ("link gone", "all gone"):
        first.unlink()
    if spoil == "all gone":
        shutil.rmtree(bench.places.boxes)
    bench.again().turn()
    assert kept.read_bytes() == BODY
    for link in meta.links:
        path = bench.path(link)
        assert path.read_bytes() == BODY
        assert path.stat().st_mtime_ns == ARRIVED_NS
    assert bench.kinds()["sys.recovered"] == 1
    bench.again().turn()
    assert bench.kinds()["sys.recovered"] == 1, "nothing is left to repair"


def test_a_wrong_file_that_was_moved_and_read_is_put_right_where_it_is(bench: Bench) -> None:
    meta = bench.accept(BOX)
    filed = bench.accept(BOX)
    bench.worker.turn()
    link = meta.links[0]
    bench.worker._files.make_mailbox(bench.worker._files.folder_of(BOX, "Done"))
    target = bench.path(link, "Done", "cur").with_name(link.base + ":2,FS")
    os.rename(bench.path(link), target)
    os.truncate(target, 0)
    copy = frame.Copy(filed.links[0].st, m_of(filed), 1, filed.links[0].base)
    bench.owner.commit_now(frame.Meta(acts=(frame.Move(BOX, "INBOX", "Done", (copy,), (1,), 1),)))
    bench.path(filed.links[0]).unlink()
    bench.again().turn()
    assert target.read_bytes() == BODY
    assert messages(bench.places, BOX) == {}
    assert set(messages(bench.places, BOX, "Done")) == {link.base, filed.links[0].base}


def test_what_was_deleted_stays_deleted(bench: Bench) -> None:
    old = bench.accept(BOX)
    bench.worker.turn()
    bench.expunge(old, old.links[0], bench.path(old.links[0]))
    bench.worker.turn()
    new = bench.accept(BOX)
    bench.worker.turn()
    bench.expunge(new, new.links[0], bench.path(new.links[0]))
    bench.again().turn()
    shutil.rmtree(bench.places.journal / "access-0")  # its frames are recycled: the log knows
    bench.again().turn()
    assert messages(bench.places, BOX) == {}


def test_a_full_disk_is_waited_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.accept(BOX)
    late = bench.accept(BOX, OTHER)
    real = disk.link
    with monkeypatch.context() as patch:

        def full(source: str, target: str) -> None:
            if late.links[1].base in target:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(source, target)

        patch.setattr(disk, "link", full)
        for _ in range(3):
            assert not bench.worker.turn()
        assert "No space" in bench.worker.standing.problem
        assert bench.kinds()["store.failed"] == 2, "told once, for each recipient of the frame"
        assert bench.kinds()["store.delivered"] == 1
        first = bench.path(late.links[0])
        os.rename(first, bench.path(late.links[0], sub="cur").with_name(first.name + ":2,S"))
    assert bench.worker.turn()
    assert len(messages(bench.places, BOX)) == 2
    assert len(messages(bench.places, OTHER)) == 1
    assert bench.kinds()["store.delivered"] == 3
    assert [one.state for one in bench.recipients(m_of(late))] == [State.STORED] * 2


def test_a_missing_long_message_is_told_and_stops_nobody(bench: Bench) -> None:
    lost = bench.accept(BOX, body=b"x" * (frame.MAX_BODY + 1))
    content.path_of(bench.places, m_of(lost)).unlink()
    bench.accept(BOX)
    assert bench.worker.turn()
    assert len(messages(bench.places, BOX)) == 1
    assert bench.kinds()["store.failed"] == 1


def test_a_frame_the_log_cannot_take_stops_nobody(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = log.Recorder.apply

    def picky(recorder: log.Recorder, batch: Any) -> Any:
        if any(one.addr == "poison@x.test" for frame in batch for one in frame.events):
            raise ValueError("cannot be stored")
        return real(recorder, batch)

    monkeypatch.setattr(log.Recorder, "apply", picky)
    bench.accept(BOX)
    bench.journal.note(events.SmtpRcpt(at=ARRIVED_NS // 1000, trace=1, addr="poison@x.test"))
    bench.journal.commit_now(frame.Meta())
    bench.accept(BOX)
    assert bench.worker.turn()
    found = bench.kinds()
    assert found["store.delivered"] == 2
    assert found["audit.violation"] == 1


def test_orphaned_journals_are_read_and_new_ones_found(bench: Bench) -> None:
    journal = Journal.open(bench.places.journal / "cli-41", node=41)
    change = events.AdminChange(
        at=ARRIVED_NS // 1000, trace=journal.mint.new(), what="box", name=BOX
    )
    journal.commit_now(frame.Meta(events=(frame.raw(change),)))
    mark = (journal.directory / segment.MARK).read_bytes()
    journal.commit_now(frame.Meta(events=(frame.raw(change),)))
    (journal.directory / segment.MARK).write_bytes(mark)
    bench.worker.turn()
    assert bench.kinds()["admin.change"] == 1
    journal._release()
    bench.worker.turn()
    assert bench.kinds()["admin.change"] == 2


def test_a_round_answers_who_asked_before_it(bench: Bench) -> None:
    number = bench.worker.ask()
    bench.accept(BOX)
    bench.worker.turn()
    assert bench.rung[-1] == number
    assert len(messages(bench.places, BOX)) == 1


def test_the_owner_of_the_boxes_hears_of_them(bench: Bench) -> None:
    bell = control.bind(bench.places.run / "access.bell", socket.SOCK_DGRAM)
    bench.accept(BOX, OTHER)
    bench.accept(OTHER)
    bench.worker.turn()
    assert json.loads(bell.recv(65536)) == [BOX, OTHER]
    bell.close()


def test_damage_in_a_journal_is_an_event(bench: Bench) -> None:
    bench.accept(BOX)
    start = bench.journal._tip._at
    bench.accept(BOX)
    bench.accept(BOX)
    path = segment.live_path(bench.journal.directory, 1)
    with path.open("r+b") as file:
        file.seek(start + 50)
        file.write(b"\xff\xff\xff")
    bench.worker.turn()
    assert len(messages(bench.places, BOX)) == 2
    assert bench.kinds()["audit.violation"] == 1


# ------------------------------------------------------------------ recycling


def ripe(tmp_path: Path) -> Bench:
    """A log role whose journal has finished segments."""
    bench = Bench(tmp_path, keep_seconds=0)
    bench.accept(BOX, OTHER)
    while len(segment.listing(bench.journal.directory)) < 3:
        bench.accept(BOX, body=b"z" * 200_000)
    return bench


def test_a_segment_is_recycled_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = ripe(tmp_path)
    order: list[str] = []
    real_rename, real_checkpoint = os.rename, log.Recorder.checkpoint

    def sync(fd: int) -> None:
        order.append(os.readlink(f"/proc/self/fd/{fd}").removeprefix(f"{tmp_path}/"))

    def rename(source: Any, target: Any) -> None:
        order.append(f"rename {os.path.basename(source)}")
        real_rename(source, target)

    def checkpoint(recorder: log.Recorder) -> None:
        order.append("checkpoint")
        real_checkpoint(recorder)

    monkeypatch.setattr(log.Recorder, "checkpoint", checkpoint)
    bench.again()
    monkeypatch.setattr(disk, "fsync", sync)
    monkeypatch.setattr(disk, "rename", rename)
    deadline = time.monotonic() + 20
    while "rename 0000000002.seg" not in order:
        assert time.monotonic() < deadline
        bench.worker.turn()
    at = order.index("checkpoint")
    assert order[at + 1 : at + 4] == [
        "rename 0000000001.seg",
        "rename 0000000002.seg",
        "journal/mta-0",
    ]
    files = [name for name in order[:at] if name.startswith("content/") and name.count("/") == 2]
    reader = Reader(bench.journal.directory)
    finished = [one for one in segment.listing(bench.journal.directory) if one.done]
    frames = list(reader.frames(0))
    assert len(finished) == 2
    assert len(files) >= len(frames) - 6
    assert {"boxes/one.test/a/Maildir/new", "boxes/two.test/b/Maildir/new"} <= set(order[:at])
    reader.close()
    bench.close()


def test_a_file_gone_before_its_sync_is_no_error(tmp_path: Path) -> None:
    bench = ripe(tmp_path)
    bench.worker.turn()
    shutil.rmtree(bench.places.content)
    shutil.rmtree(bench.places.boxes)
    deadline = time.monotonic() + 20
    while not any(one.done for one in segment.listing(bench.journal.directory)):
        assert time.monotonic() < deadline
        bench.worker.turn()
    assert bench.worker.standing.problem == ""
    bench.close()


def test_what_is_not_in_the_log_or_young_is_not_recycled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = ripe(tmp_path)
    monkeypatch.setattr(recycle, "LOOK_SECONDS", 0)
    with monkeypatch.context() as patch:
        patch.setattr(log.Recorder, "apply", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        for _ in range(3):
            bench.worker.turn()
    assert not any(one.done for one in segment.listing(bench.journal.directory))
    bench.keep_seconds = 100
    bench.again()
    for _ in range(3):
        bench.worker.turn()
    assert not any(one.done for one in segment.listing(bench.journal.directory))
    while len(segment.listing(bench.journal.directory)) < 6:  # over half of the cap
        bench.accept(BOX, body=b"z" * 200_000)
    for _ in range(3):
        bench.worker.turn()
    assert any(one.done for one in segment.listing(bench.journal.directory))
    bench.close()


def test_a_second_log_role_is_refused(bench: Bench) -> None:
    with pytest.raises(log.Busy):
        Worker(bench.places)

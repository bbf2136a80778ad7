"""A damaged segment is let go only after what lies behind the damage was synced."""

import os
import time
from pathlib import Path

import pytest

from mtad.journal import content, disk, segment
from tests.materialise_bench import Bench


def test_files_of_frames_behind_damage_are_synced_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, keep_seconds=0)
    bench.accept("a@one.test")
    start = bench.journal._tip._at
    bench.accept("a@one.test")
    behind = bench.accept("a@one.test")
    while len(segment.listing(bench.journal.directory)) < 3:
        bench.accept("a@one.test", body=b"z" * 200_000)
    with segment.live_path(bench.journal.directory, 1).open("r+b") as file:
        file.seek(start + 50)
        file.write(b"\xff\xff\xff")
    synced: list[str] = []

    def sync(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))

    monkeypatch.setattr(disk, "fsync", sync)
    deadline = time.monotonic() + 20
    while not any(one.done for one in segment.listing(bench.journal.directory)):
        assert time.monotonic() < deadline
        bench.worker.turn()
    assert behind.content is not None
    assert str(content.path_of(bench.places, behind.content.m)) in synced
    bench.close()


def test_a_segment_nobody_can_read_is_told_of_and_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path, keep_seconds=0)
    while len(segment.listing(bench.journal.directory)) < 3:
        bench.accept("a@one.test", body=b"z" * 200_000)
    path = segment.live_path(bench.journal.directory, 2)
    with path.open("r+b") as file:
        file.write(b"\xff\xff\xff\xff")
    octets = path.read_bytes()
    deadline = time.monotonic() + 20
    while not segment.live_path(bench.journal.directory, 1).with_suffix(segment.DONE).exists():
        assert time.monotonic() < deadline
        bench.worker.turn()
    for _ in range(3):
        bench.worker.turn()
    assert bench.kinds()["audit.violation"] == 1
    kept = path.with_suffix(segment.BAD)
    assert kept.read_bytes() == octets
    assert 2 not in [one.number for one in segment.listing(bench.journal.directory)]
    bench.accept("a@one.test")
    bench.worker.turn()
    bench.close()


def test_where_room_is_short_each_segment_is_let_go_when_it_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, keep_seconds=3600)
    folder = bench.journal.directory
    while len(segment.listing(folder)) < 4:
        bench.accept("a@one.test", body=b"z" * 200_000)
    whole: list[Path] = []
    done: list[int] = []
    monkeypatch.setattr(disk, "sync_file_system", whole.append)
    real = disk.rename

    def rename(source: Path, target: Path) -> None:
        real(source, target)
        if str(target).endswith(segment.DONE):
            done.append(len([one for one in segment.listing(folder) if one.done]))

    monkeypatch.setattr(disk, "rename", rename)
    bench.worker._recycler._cap_bytes = 2 * segment.listing(folder)[0].size
    deadline = time.monotonic() + 20
    while len(done) < 2:
        assert time.monotonic() < deadline
        bench.worker.turn()
    assert done[:2] == [1, 2]
    assert whole == [folder]
    bench.close()

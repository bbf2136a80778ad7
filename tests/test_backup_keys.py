"""Keys, locks and names: what opens a repository and what says no."""

import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backup import keys, locks, repository
from backup.locks import Lock
from backup.places import Folder
from mtad.errors import Exit, Locked, MtadError, NotPermitted
from tests import mails
from tests.backup_yard import ANNA, Yard


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


def test_the_key_is_ours_alone(yard: Yard) -> None:
    assert stat.S_IMODE(yard.key.stat().st_mode) == 0o600
    assert yard.key.stat().st_size == 32


def test_a_repository_is_not_made_twice(yard: Yard) -> None:
    with pytest.raises(MtadError, match="already"):
        repository.create(yard.folder, yard.key)


def test_a_repository_without_its_key_says_so(yard: Yard) -> None:
    yard.key.unlink()
    with pytest.raises(NotPermitted, match=r"is missing.*copy") as caught, yard.open():
        pass
    assert caught.value.exit_code is Exit.NOT_PERMITTED
    with pytest.raises(NotPermitted, match="is missing"):
        repository.create(yard.folder, yard.key)
    assert not yard.key.exists()


def test_a_key_without_its_repository_makes_a_repository(yard: Yard) -> None:
    key = yard.key.read_bytes()
    shutil.rmtree(yard.folder.root)
    with pytest.raises(keys.NoRepository), yard.open():
        pass
    repository.create(yard.folder, yard.key)
    assert yard.key.read_bytes() == key
    yard.deliver(ANNA, mails.plain())
    assert yard.take().commit.added == 1


def test_another_key_is_told_apart_from_damage(yard: Yard) -> None:
    yard.key.write_bytes(os.urandom(32))
    with pytest.raises(NotPermitted, match="is not the key of the repository"), yard.open():
        pass
    yard.key.write_bytes(b"short")
    with pytest.raises(NotPermitted, match="is no repository key"), yard.open():
        pass


def test_a_missing_second_copy_is_healed(yard: Yard) -> None:
    (yard.folder.root / "config.json").unlink()
    report = yard.verify()
    assert [finding.file for finding in report.findings] == ["config.json"]
    assert report.is_whole
    assert yard.verify().is_clean


def test_a_later_format_is_refused(yard: Yard) -> None:
    from backup import format  # noqa: PLC0415 - only this test writes one

    fields = format.unstamp(yard.folder.get("config.json")) | {"format": 2}
    keys.twice(yard.folder, "config.json", format.stamp(fields))
    with pytest.raises(MtadError, match="format 2"), yard.open():
        pass


def test_ids_and_contents_mean_nothing_to_a_reader_without_the_key(yard: Yard) -> None:
    secret = b"the merger is off" * 5
    yard.deliver(ANNA, mails.plain() + secret)
    yard.take()
    for path in yard.folder.root.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert secret not in data
            assert ANNA.encode() not in data


# -------------------------------------------------------------------- locks


def test_shared_locks_share_and_exclusive_ones_do_not(yard: Yard) -> None:
    with Lock(yard.folder), Lock(yard.folder), pytest.raises(Locked, match="in use"):
        Lock(yard.folder, exclusive=True)
    with Lock(yard.folder, exclusive=True), pytest.raises(Locked):
        Lock(yard.folder)
    assert yard.folder.names("locks") == []


def test_the_lock_of_a_dead_process_is_stale(yard: Yard) -> None:
    code = (
        "import os, sys; from pathlib import Path; from backup.locks import Lock;"
        "from backup.places import Folder;"
        "Lock(Folder(Path(sys.argv[1])), exclusive=True); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, yard.folder.root], check=True, timeout=60)
    assert len(yard.folder.names("locks")) == 1
    with Lock(yard.folder, exclusive=True):
        assert len(yard.folder.names("locks")) == 1


def test_a_lock_of_another_machine_is_stale_without_a_heartbeat(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(socket, "gethostname", lambda: "elsewhere")
        lock = Lock(yard.folder, exclusive=True, beat_seconds=3600)
    with pytest.raises(Locked, match="elsewhere"):
        Lock(yard.folder)
    old = time.time() - locks.STALE_SECONDS - 1
    os.utime(yard.folder.root / lock.name, (old, old))
    Lock(yard.folder).release()
    lock.release()


def test_a_lock_beats(yard: Yard) -> None:
    with Lock(yard.folder, beat_seconds=0.01) as lock:
        path = yard.folder.root / lock.name
        os.utime(path, (1, 1))
        deadline = time.monotonic() + 10
        while path.stat().st_mtime < 2 and time.monotonic() < deadline:
            time.sleep(0.005)
        assert path.stat().st_mtime > 2


def test_what_dead_runs_left_is_swept(yard: Yard) -> None:
    fresh, old = (yard.folder.root / "tmp" / name for name in ("fresh", "old"))
    for path in (fresh, old):
        path.write_bytes(b"half a pack")
    os.utime(old, (1, 1))
    Folder(yard.folder.root).sweep()
    assert (fresh.exists(), old.exists()) == (True, False)


def test_snapshots_are_named_by_part_and_ordered_by_time(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mtad import clock  # noqa: PLC0415 - its clock is set back

    yard.deliver(ANNA, mails.plain())
    names = [yard.take().name for _ in range(4)]
    monkeypatch.setattr(clock, "now_us", lambda: 1_000_000)
    names.append(yard.take().name)
    with yard.open() as store:
        assert list(store.snapshots()) == names
        assert store.resolve("latest")[0] == names[-1]
        assert store.resolve(names[1])[0] == names[1]
        assert store.resolve(names[1].rpartition("-")[2])[0] == names[1]
        with pytest.raises(MtadError, match="may be any of"):
            store.resolve("2")
        with pytest.raises(MtadError, match="is no snapshot"):
            store.resolve("nothing")

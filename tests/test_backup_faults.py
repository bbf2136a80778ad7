"""Whatever write fails or is the last one, earlier snapshots are whole and a repeat finishes."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backup import grouping, writer
from backup.copying import copy
from backup.format import TEXT
from backup.places import Folder, Upload
from backup.repository import Repository
from backup.verify import verify
from mtad.errors import MtadError
from tests import mails
from tests.backup_yard import ANNA, Yard

SOAK = bool(os.environ.get("MTAD_SOAK"))
MAX_POINTS = 2000
FEW = 8
"""Points that the slower tests take of all, spread over them, unless all are wanted."""

FEW_PROCESSES = 2
"""The same where each point costs the start of a process."""


class Dead(BaseException):
    """The process ends here: nothing after this point runs."""


class Failing(Folder):
    """Fails at the n-th change; ``dies`` also leaves everything lying as it is.

    ``torn`` writes half of what was to be written there first.
    """

    def __init__(
        self, root: Path, at: int, *, dies: bool, torn: bool = False, error: int = errno.ENOSPC
    ) -> None:
        super().__init__(root)
        self.at = at
        self.count = 0
        self.dies = dies
        self.torn = torn
        self.error = error

    def step(self, what: str) -> None:
        if what == "create" and not self.root.joinpath("locks").is_dir():
            return
        self.count += 1
        if self.count == self.at:
            raise Dead if self.dies else OSError(self.error, os.strerror(self.error))

    def begin(self) -> Upload:
        return Torn(self) if self.torn else Upload(self)


class Torn(Upload):
    """Half of a write arrives before it fails."""

    def write(self, data: bytes) -> None:
        try:
            super().write(data)
        except BaseException:
            self._file.write(data[: len(data) // 2])
            raise


KINDS: dict[str, dict[str, Any]] = {
    "ENOSPC": {"dies": False},
    "EIO": {"dies": False, "error": errno.EIO},
    "torn": {"dies": False, "torn": True, "error": errno.EIO},
    "stop": {"dies": True},
    "torn stop": {"dies": True, "torn": True},
}
"""How a change fails. A stop is what kill -9 and a crash leave; below the real one is sent."""


@pytest.fixture
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    found = KINDS[request.param]
    if found["dies"]:  # a dead process removes nothing
        monkeypatch.setattr(Upload, "abandon", lambda upload: upload._file.close())
    return found


kinds = pytest.mark.parametrize(
    "kind", KINDS, indirect=True, ids=[k.replace(" ", "-") for k in KINDS]
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    yard = Yard(tmp_path_factory.mktemp("base"))
    yard.fill([mail.data.replace(b"\r\n", b"\n") for mail in mails.ours()], [ANNA])
    yard.take()
    yard.deliver(ANNA, mails.with_attachment(99))
    for number in range(12):
        yard.deliver(ANNA, mails.plain(f"later {number}") + b"%d\n" % number * 300)
    return yard.root


@pytest.fixture(autouse=True)
def _many_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """In full, each frame is a pack of its own and each message a frame: more to write."""
    if SOAK:
        monkeypatch.setattr(writer, "PACK_BYTES", 1)
        monkeypatch.setattr(grouping, "GROUP_BYTES", 2_000)


def points(every: int, kind: dict[str, Any] | None = None) -> Iterator[int]:
    """All points, or few that are spread over them: others for each kind of fault."""
    step = 1 if SOAK else max(1, every // (FEW if kind else FEW_PROCESSES))
    first = list(KINDS.values()).index(kind) if kind else 0
    yield from range(1 + first % step, every + 1, step)


def copied(base: Path, root: Path, folder: Folder | None = None) -> Yard:
    shutil.copytree(base, root)
    yard = Yard(root, folder)
    yard.box(ANNA)
    return yard


# -------------------------------------------------------------------- snapshot


def snapshot_steps(base: Path, root: Path) -> int:
    """How many changes a snapshot makes."""
    yard = copied(base, root, Failing(root / "repository", 0, dies=False))
    yard.take()
    shutil.rmtree(root)
    assert isinstance(yard.folder, Failing)
    assert 15 < yard.folder.count < MAX_POINTS
    return yard.folder.count


def finished(yard: Yard, where: str) -> None:
    """After a fault: what is committed is whole, and a repeat finishes."""
    report = yard.verify()
    assert report.is_whole, f"{where}: {report}"
    committed = report.snapshots
    assert committed in (1, 2)
    again = yard.take()
    assert again.commit.boxes[0].messages == len(yard.state(ANNA))
    report = yard.verify()
    assert report.is_clean, f"{where}: {report}"
    assert report.snapshots == committed + 1
    assert len(yard.entries(ANNA)) == len(yard.state(ANNA))


@kinds
def test_a_fault_at_every_change_of_a_snapshot(
    base: Path, tmp_path: Path, kind: dict[str, Any]
) -> None:
    for at in points(snapshot_steps(base, tmp_path / "count"), kind):
        root = tmp_path / str(at)
        yard = copied(base, root, Failing(root / "repository", at, **kind))
        with pytest.raises((Dead, OSError)):
            yard.take()
        yard.folder = Folder(root / "repository")
        finished(yard, f"point {at}")
        shutil.rmtree(root)


def test_no_message_outlives_a_stop_without_its_bodies(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packs that a stopped run left are taken over: a message in one is not stored again."""
    monkeypatch.setattr(writer, "PACK_BYTES", 1)
    monkeypatch.setattr(Upload, "abandon", lambda upload: upload._file.close())
    adopted = 0
    for at in range(1, snapshot_steps(base, tmp_path / "count"), 1 if SOAK else 2):
        root = tmp_path / str(at)
        yard = copied(base, root, Failing(root / "repository", at, dies=True))
        with pytest.raises(Dead):
            yard.take()
        yard.folder = Folder(root / "repository")
        with yard.open() as store:
            packs, _ = store.adopt()
            texts = (frame for pack in packs if pack.kind == TEXT for frame in pack.frames)
            ids = [each for frame in texts for each, _, _ in frame.objects()]
            adopted += len(ids)
            for each in ids:
                store.message(each)
        shutil.rmtree(root)
    assert adopted


# ------------------------------------------------------------------------ copy


@pytest.fixture
def two(base: Path, tmp_path: Path) -> Yard:
    """A yard of two snapshots, of which a copy has the first."""
    yard = copied(base, tmp_path / "two")
    copy(yard.folder, Folder(tmp_path / "first"))
    yard.take()
    return yard


def files(root: Path) -> dict[str, bytes]:
    """The files of a repository that count."""
    every = (path for path in root.rglob("*") if path.is_file())
    named = {str(path.relative_to(root)): path for path in every}
    return {
        name: path.read_bytes()
        for name, path in named.items()
        if not name.startswith(("tmp/", "locks/"))
    }


def readable(yard: Yard, place: Folder) -> int:
    """How many snapshots a copy has, all of whose messages are read."""
    if not place.exists("config.json"):
        return 0
    with Repository(place, yard.key, yard.root / "cache-there") as store:
        found = store.snapshots()
        for name in found:
            for entry in store.entries(yard.root_of(store, ANNA, name)):
                store.message(entry.id)
    return len(found)


def copy_finished(yard: Yard, there: Folder, where: str, at_least: int) -> None:
    assert readable(yard, there) >= at_least, where
    copy(yard.folder, there)
    assert files(there.root) == files(yard.folder.root), where
    assert readable(yard, there) == 2
    with Repository(there, yard.key, yard.root / "cache-there", heal=True) as store:
        report = verify(store, read_data=True)
    assert report.is_clean, f"{where}: {report}"


@pytest.mark.parametrize("begun", [False, True], ids=["empty", "begun"])
@kinds
def test_a_fault_at_every_change_of_a_copy(
    two: Yard, tmp_path: Path, kind: dict[str, Any], begun: bool
) -> None:
    def target(name: str) -> Path:
        if begun:
            shutil.copytree(tmp_path / "first", tmp_path / name)
        return tmp_path / name

    counting = Failing(target("count"), 0, dies=False)
    copy(two.folder, counting)
    for at in points(counting.count, kind):
        root = target(str(at))
        try:
            copy(two.folder, Failing(root, at, **kind))
        except (Dead, OSError):
            pass
        else:  # the lock could not be removed, which costs nothing
            assert at == counting.count
        copy_finished(two, Folder(root), f"point {at}", int(begun))
        shutil.rmtree(root)


def test_a_source_that_cannot_be_read_ends_a_copy_and_costs_nothing(
    two: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Folder(tmp_path / "there")
    really = Folder.read
    left = 2

    def read(folder: Folder, name: str, offset: int, length: int) -> bytes:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.EIO, "Input/output error")
        return really(folder, name, offset, length)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "read", read)
        with pytest.raises(OSError, match="Input/output"):
            copy(two.folder, there)
    copy_finished(two, there, "reading", 0)


# -------------------------------------------------------------------- kill -9


def killed(what: str, root: Path, at: int, there: Path | None = None) -> bool:
    """Whether a process of its own was killed at its n-th change."""
    words = [sys.executable, "-m", "tests.backup_victim", what, str(root), str(at)]
    done = subprocess.run(
        words + ([str(there)] if there else []), capture_output=True, text=True, timeout=120
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


def test_kill_9_at_every_change_of_a_snapshot(base: Path, tmp_path: Path) -> None:
    for at in points(snapshot_steps(base, tmp_path / "count")):
        yard = copied(base, tmp_path / str(at))
        assert killed("snapshot", yard.root, at)
        finished(yard, f"point {at}")
        shutil.rmtree(yard.root)


def test_kill_9_at_every_change_of_a_copy(two: Yard, tmp_path: Path) -> None:
    counting = Failing(tmp_path / "count", 0, dies=False)
    copy(two.folder, counting)
    for at in points(counting.count):
        there = tmp_path / str(at)
        assert killed("copy", two.root, at, there)
        copy_finished(two, Folder(there), f"point {at}", 0)
        with Repository(Folder(there), two.key, two.root / "cache-there") as store:
            assert len(store.snapshots()) == 2
        shutil.rmtree(there)


# -------------------------------------------------------------------- creation


def test_creation_that_fails_leaves_nothing_that_counts(tmp_path: Path) -> None:
    from backup import keys, repository  # noqa: PLC0415 - the functions under test

    for at in range(1, 40):
        root = tmp_path / str(at)
        folder = Failing(root / "repository", at, dies=False)
        folder.make()
        key = keys.make_key(root / "key")
        try:
            keys.initialise(folder, key)
        except OSError:
            if folder.exists(keys.CONFIG):
                with repository.Repository(Folder(folder.root), root / "key", root / "c") as store:
                    assert store.snapshots() == {}
            else:
                with pytest.raises(MtadError):
                    repository.Repository(Folder(folder.root), root / "key", root / "c")
                assert repository.create(Folder(folder.root), root / "key")
            continue
        assert at > 10
        return
    raise AssertionError("there was no end of changes")

"""Snapshots that are held, and tags."""

import time
from pathlib import Path

import pytest

from backup import holds
from backup.places import Folder
from backup.repository import Repository
from mtad.config import Loaded
from mtad.errors import Exit, NothingFound, UsageError
from tests.backup_yard import Run, Yard, command, settings, three_messages


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    return settings(tmp_path)


@pytest.fixture
def yard(loaded: Loaded) -> Yard:
    return three_messages(loaded)


@pytest.fixture
def run(loaded: Loaded) -> Run:
    return command(loaded)


def names(run: Run) -> list[str]:
    return [each["snapshot"] for each in run("snapshot", "list")["snapshots"]]


def test_what_is_held_is_not_forgotten_until_it_is_released(run: Run, yard: Yard) -> None:
    first = names(run)[0]
    held = run("snapshot", "hold", "latest", "--why", "case 7")
    assert held == {"schema": 1, "held": [first]}
    assert run("snapshot", "hold", first)["held"] == []
    time.sleep(0.01)
    run("snapshot", "create")
    run("snapshot", "create")
    assert len(names(run)) == 3
    run("snapshot", "forget", first, code=Exit.USAGE)
    run("snapshot", "forget", "--keep", "last 1")
    assert names(run)[0] == first
    assert len(names(run)) == 2
    (listed,) = [one for one in run("snapshot", "list")["snapshots"] if one["held"]]
    assert listed["snapshot"] == first
    assert run("snapshot", "release", first.rpartition("-")[2])["released"] == [first]
    run("snapshot", "release", first, code=Exit.NOTHING_FOUND)
    run("snapshot", "forget", "--keep", "last 1")
    assert first not in names(run)


def test_a_damaged_hold_holds(yard: Yard) -> None:
    with yard.open() as store:
        name = next(iter(store.snapshots()))
        assert holds.hold(store, ["latest"], at=5, by="admin:x", why="é") == [name]
        assert holds.held(store) == {name: holds.Hold(5, "admin:x", "é")}
        path = yard.folder.root / "holds" / name
        path.write_bytes(path.read_bytes()[:-9])
        assert holds.is_held(store, name)
        assert holds.held(store) == {name: holds.Hold()}
        with pytest.raises(UsageError):
            holds.hold(store, [name], at=5, by="admin:x", why="x" * 501)
        with pytest.raises(NothingFound):
            holds.release(store, ["9"])
        assert holds.release(store, ["latest"]) == [name]
        assert not path.exists()


def test_a_hold_that_cannot_be_written_is_none(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(what: str) -> None:
        if what == "rename" and count == ["lock"]:
            raise OSError(28, "No space left on device")
        if what == "rename":
            count.append("lock")

    count: list[str] = []
    with yard.open() as store:
        monkeypatch.setattr(store.folder, "step", full)
        with pytest.raises(OSError, match="No space"):
            holds.hold(store, ["latest"], at=5, by="admin:x", why="")
        assert holds.held(store) == {}
        assert not any(one.startswith("locks/") for one in files(store))


def files(store: Repository) -> list[str]:
    assert isinstance(store.folder, Folder)
    root = store.folder.root
    return [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]


def test_tags(run: Run, yard: Yard) -> None:
    taken = run("snapshot", "create", "--tag", "before-upgrade", "--tag", "März")
    assert taken["tags"] == ["before-upgrade", "März"]
    assert [len(run("snapshot", "list", "--tag", tag)["snapshots"]) for tag in ("März", "x")] == [
        1,
        0,
    ]
    for tag in ("two words", "", "x" * 65, "a\nb"):
        run("snapshot", "create", "--tag", tag, code=Exit.USAGE)

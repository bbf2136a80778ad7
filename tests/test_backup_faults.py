"""Whatever write fails or is the last one, earlier snapshots are whole and a repeat finishes."""

import shutil
from pathlib import Path

import pytest

from backup.places import Folder, Upload
from mtad.errors import MtadError
from tests import mails
from tests.backup_yard import ANNA, Yard

MAX_POINTS = 200


class Dead(BaseException):
    """The process ends here: nothing after this point runs."""


class Failing(Folder):
    """Fails at the n-th change; ``dies`` also leaves everything lying as it is."""

    def __init__(self, root: Path, at: int, *, dies: bool) -> None:
        super().__init__(root)
        self.at = at
        self.count = 0
        self.dies = dies
        self.torn = False

    def step(self, what: str) -> None:
        if what == "create" and not self.root.joinpath("locks").is_dir():
            return
        self.count += 1
        if self.count == self.at:
            raise Dead if self.dies else OSError(28, "No space left on device")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    yard = Yard(tmp_path_factory.mktemp("base"))
    yard.fill([mail.data.replace(b"\r\n", b"\n") for mail in mails.ours()], [ANNA])
    yard.take()
    yard.deliver(ANNA, mails.with_attachment(99))
    yard.deliver(ANNA, mails.plain("later"))
    return yard.root


@pytest.mark.parametrize("dies", [False, True], ids=["error", "stop"])
def test_a_fault_at_every_change(
    base: Path, tmp_path: Path, dies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if dies:  # a dead process removes nothing
        monkeypatch.setattr(Upload, "abandon", lambda upload: upload._file.close())
    for at in range(1, MAX_POINTS):
        root = tmp_path / str(at)
        shutil.copytree(base, root)
        folder = Failing(root / "repository", at, dies=dies)
        yard = Yard(root, folder)
        yard.box(ANNA)
        try:
            yard.take()
        except (Dead, OSError):
            failed = True
        else:
            failed = False
        yard.folder = Folder(root / "repository")
        report = yard.verify()
        assert report.is_whole, f"point {at}: {report}"
        committed = report.snapshots
        assert committed in (1, 2)
        again = yard.take()
        assert again.commit.boxes[0].messages == len(yard.state(ANNA))
        report = yard.verify()
        assert report.is_clean, f"point {at}: {report}"
        assert report.snapshots == committed + 1
        assert len(yard.entries(ANNA)) == len(yard.state(ANNA))
        shutil.rmtree(root)
        if not failed:
            assert at > 15
            return
    raise AssertionError("there was no end of changes")


def test_a_torn_write_is_never_under_a_name(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(base, tmp_path / "yard")
    yard = Yard(tmp_path / "yard")
    yard.box(ANNA)
    write = Upload.write

    def torn(upload: Upload, data: bytes) -> None:
        write(upload, data[: len(data) // 2])
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Upload, "write", torn)
        with pytest.raises(OSError, match="Input/output"):
            yard.take()
    assert yard.verify().is_clean
    assert yard.take().commit.added == 2


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

"""A second repository: whole, only what is missing, from wherever it was cut off."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from backup import retired
from backup.copying import copy
from backup.locks import Lock
from backup.places import Folder, Upload
from backup.repository import Repository
from backup.verify import verify
from mtad.errors import Exit, Locked, UsageError
from tests import mails
from tests.backup_yard import ANNA, Yard, command, settings, three_messages
from tests.remote_places import S3, Sshd


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    yard = Yard(tmp_path / "here")
    yard.fill([mail.data.replace(b"\r\n", b"\n") for mail in mails.ours()], [ANNA])
    yard.take()
    return yard


@pytest.fixture
def there(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "there")


def files(folder: Folder) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder.root)): path.read_bytes()
        for path in folder.root.rglob("*")
        if path.is_file()
    }


def check(yard: Yard, place: Folder, snapshots: int) -> None:
    with Repository(place, yard.key, yard.root / "other-cache", heal=True) as store:
        report = verify(store, read_data=True)
        assert report.is_clean, report
        assert report.snapshots == snapshots
        state = yard.state(ANNA)
        for entry in store.entries(yard.root_of(store, ANNA)):
            assert store.message(entry.id)[0] == state[entry.mailbox, entry.base][0]


def test_a_copy_is_equal_and_only_what_is_missing_follows(yard: Yard, there: Folder) -> None:
    done = copy(yard.folder, there)
    assert done.snapshots == 1
    assert files(there) == files(yard.folder)
    check(yard, there, 1)
    yard.deliver(ANNA, mails.plain("later"))
    yard.take()
    before = set(files(there))
    more = copy(yard.folder, there)
    assert files(there) == files(yard.folder)
    assert more.files == len(set(files(there)) - before)
    assert more.snapshots == 1
    assert 0 < more.octets < done.octets
    assert copy(yard.folder, there).files == 0
    check(yard, there, 2)


def test_nothing_is_removed_there(yard: Yard, there: Folder) -> None:
    copy(yard.folder, there)
    (name,) = (n for n in yard.folder.names("snapshots") if not n.endswith(".copy"))
    for each in (name, f"{name}.copy"):
        yard.folder.remove(f"snapshots/{each}")
    copy(yard.folder, there)
    check(yard, there, 1)


def test_another_repository_is_not_mixed_with(yard: Yard, tmp_path: Path) -> None:
    other = Yard(tmp_path / "other")
    with pytest.raises(UsageError, match="holds another repository"):
        copy(yard.folder, other.folder)
    with pytest.raises(UsageError, match="the repository itself"):
        copy(yard.folder, Folder(yard.folder.root))
    stray = Folder(tmp_path / "stray")
    stray.make()
    stray.put("snapshots/20200101T000000Z-00000000", b"x")
    with pytest.raises(UsageError, match=r"holds snapshots but no config"):
        copy(yard.folder, stray)


def test_removers_wait_on_both_sides(yard: Yard, there: Folder) -> None:
    copy(yard.folder, there)
    for place in (yard.folder, there):
        with Lock(Folder(place.root), exclusive=True), pytest.raises(Locked):
            copy(yard.folder, there)


def test_damage_is_read_again_then_told_and_carried_over(
    yard: Yard, there: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = sorted(yard.folder.packs())[0]
    path = f"packs/{name[:2]}/{name}"
    good = yard.folder.get(path)
    bad = bytes([good[0] ^ 1]) + good[1:]
    really, reads = Folder.read, []

    def read(folder: Folder, wanted: str, offset: int, length: int) -> bytes:
        if wanted == path and folder is yard.folder:
            reads.append(offset)
            if len(reads) == 1:
                return bad
        return really(folder, wanted, offset, length)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "read", read)
        assert copy(yard.folder, there).damaged == []
    assert len(reads) == 2
    assert there.get(path) == good
    there.remove(path)
    (yard.folder.root / path).write_bytes(bad)
    assert copy(yard.folder, there).damaged == [f"{path} is not what it is named after"]
    assert there.get(path) == bad


def test_a_pack_that_somebody_removes_meanwhile_is_carried_over_again(
    yard: Yard, there: Folder
) -> None:
    copy(yard.folder, there)
    yard.deliver(ANNA, mails.plain("later"))
    yard.take()
    gone = sorted(yard.folder.packs())[0]

    class Pruned(Folder):
        def put(self, name: str, data: bytes) -> None:
            super().put(name, data)
            if name.startswith("snapshots/"):
                self.remove(f"packs/{gone[:2]}/{gone}")

    copy(yard.folder, Pruned(there.root))
    check(yard, there, 2)


def test_nothing_relies_on_packs_that_are_about_to_be_removed_there(
    yard: Yard, there: Folder
) -> None:
    copy(yard.folder, there)
    with Lock(there) as lock:
        made = retired.mark(there, [next(there.packs())], lock.name)
    with pytest.raises(Locked, match="about to be removed"):
        copy(yard.folder, there)
    retired.remove(there, made)
    copy(yard.folder, there)


def test_a_key_that_was_removed_here_is_told(yard: Yard, there: Folder) -> None:
    copy(yard.folder, there)
    there.put("keys/0123.json", b"{}")
    (note,) = copy(yard.folder, there).notes
    assert "still opens with key 0123" in note


class Cut(BaseException):
    """The connection ends."""


def test_a_copy_that_is_cut_off_goes_on_and_sends_nothing_twice(yard: Yard, there: Folder) -> None:
    for number in range(5):
        yard.deliver(ANNA, mails.plain(f"more {number}"))
        yard.take()
    sent: list[str] = []

    class Cutting(Folder):
        left = 0

        def begin(self) -> Upload:
            draft = super().begin()
            finish = draft.finish

            def finished(name: str) -> None:
                if not name.startswith("locks/"):
                    if self.left == 0:
                        raise Cut
                    self.left -= 1
                    assert name not in sent
                    sent.append(name)
                finish(name)

            draft.finish = finished  # type: ignore[method-assign]
            return draft

    for _ in range(100):
        place = Cutting(there.root)
        place.left = 3
        try:
            copy(yard.folder, place)
        except Cut:
            if there.exists("config.json"):
                with Repository(there, yard.key, yard.root / "c") as store:
                    for name in store.snapshots():
                        for entry in store.entries(yard.root_of(store, ANNA, name)):
                            assert store.message(entry.id)[0]
            continue
        break
    else:
        raise AssertionError("it never ends")
    assert files(there) == files(yard.folder)


# ------------------------------------------------------------------- elsewhere


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    service = S3()
    yield service
    service.stop()


def test_to_a_bucket_that_lets_nobody_remove_or_overwrite(
    yard: Yard, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    import obstore  # noqa: PLC0415 - the service's rights are played here

    written: set[str] = set()
    put = obstore.put

    def put_once(store: object, path: str, *rest: object, **options: object) -> object:
        assert "locks/" in path or path not in written, f"{path} is overwritten"
        written.add(path)
        return put(store, path, *rest, **options)  # type: ignore[arg-type]

    def refuse(*_: object) -> None:
        raise obstore.exceptions.PermissionDeniedError("AccessDenied")

    monkeypatch.setattr(obstore, "put", put_once)
    monkeypatch.setattr(obstore, "delete", refuse)
    place = s3.place("append-only")
    copy(yard.folder, place)
    yard.deliver(ANNA, mails.plain("later"))
    yard.take()
    done = copy(yard.folder, place)
    assert done.snapshots == 1
    names = {name for name in files(yard.folder) if not name.startswith("locks/")}
    assert {f"append-only/{name}" for name in names} <= written
    with Repository(s3.place("append-only"), yard.key, yard.root / "s3") as store:
        assert verify(store, read_data=True).is_clean


def test_from_a_bucket_through_sftp_and_back(
    yard: Yard, there: Folder, s3: S3, tmp_path: Path
) -> None:
    server = Sshd(tmp_path / "sshd")
    try:
        bucket, far = s3.place("hop"), server.place(tmp_path / "far")
        copy(yard.folder, bucket)
        copy(bucket, far)
        copy(far, there)
        far.close()
    finally:
        server.stop()
    assert files(there) == files(yard.folder)


def test_as_a_person_does_it(tmp_path: Path) -> None:
    loaded = settings(tmp_path)
    three_messages(loaded)
    run = command(loaded)
    there = tmp_path / "there"
    first = run("snapshot", "copy", str(there), "--limit", "100000")
    assert first["snapshots"] == 1
    assert first["to"] == str(there)
    assert run("snapshot", "copy", str(there))["files"] == 0
    run("snapshot", "copy", "ftp://x/y", code=Exit.USAGE)
    run("snapshot", "copy", "sftp://host", code=Exit.USAGE)
    text = (tmp_path / "mtad.toml").read_text()
    (tmp_path / "mtad.toml").write_text(f'{text}[backup]\nrepository = "{there}"\n')
    assert len(run("snapshot", "list")["snapshots"]) == 1

"""A repository in a folder, behind SFTP and in a bucket: the same promises everywhere."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest

from backup import access, ages, keys, locks, repository, sftp
from backup.access import Access
from backup.bucket import Bucket
from backup.locks import Lock
from backup.places import Away, Folder, Storage, pack_path
from backup.sftp import Sftp
from mtad import config
from mtad.config import Loaded
from mtad.errors import ConfigError, Exit, Locked, NotPermitted
from mtad.store.client import Boxes
from tests import mails
from tests.backup_yard import ANNA, Yard, command
from tests.remote_places import BUCKET, S3, Sshd

Make = Callable[[], Storage]


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    server = S3()
    yield server
    server.stop()


@pytest.fixture(params=["folder", "sftp", "s3"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Opens the same place, again and again."""
    opened: list[Storage] = []

    def place() -> Storage:
        if request.param == "folder":
            opened.append(Folder(tmp_path / "repository"))
        elif request.param == "sftp":
            server: Sshd = request.getfixturevalue("sshd")
            opened.append(server.place(tmp_path / "repository"))
        else:
            service: S3 = request.getfixturevalue("s3")
            opened.append(service.place(f"{tmp_path.name}/repository"))
        return opened[-1]

    yield place
    for each in opened:
        each.close()


@pytest.fixture
def place(make: Make) -> Storage:
    found = make()
    found.make()
    return found


def test_a_file_is_there_whole_or_not_at_all(place: Storage) -> None:
    draft = place.begin()
    draft.write(b"half of it, ")
    assert place.names("index") == []
    draft.write(b"the other half")
    draft.finish("index/one")
    assert place.names("index") == ["one"]
    assert place.get("index/one") == b"half of it, the other half"
    assert place.read("index/one", 5, 6) == b"of it,"
    assert place.read("index/one", 20, 100) == b"r half"
    assert place.read("index/one", 100, 10) == b""
    assert place.size("index/one") == 26
    assert place.exists("index/one")
    other = place.begin()
    other.write(b"never")
    other.abandon()
    assert place.names("index") == ["one"]


def test_what_is_not_there_is_not_found(place: Storage) -> None:
    for asked in (place.get, place.size, place.modified):
        with pytest.raises(FileNotFoundError):
            asked("index/none")
    with pytest.raises(FileNotFoundError):
        place.read("index/none", 0, 10)
    assert not place.exists("index/none")
    assert place.names("nowhere") == []
    place.remove("index/none")


def test_files_are_listed_overwritten_and_removed(place: Storage) -> None:
    packs = [f"{n:064x}" for n in (1, 2, 2**200)]
    for name in packs:
        place.put(pack_path(name), b"pack")
    place.put("index/" + "a" * 64, b"")
    place.put("index/stray", b"")
    assert sorted(place.packs()) == sorted(packs)
    assert place.segments() == {"a" * 64}
    place.put("keys/one.json", b"1")
    place.put("keys/one.json", b"22")
    assert place.get("keys/one.json") == b"22"
    place.remove("keys/one.json")
    assert place.names("keys") == []
    assert place.get("index/" + "a" * 64) == b""


def test_a_large_file_arrives_whole(place: Storage) -> None:
    piece = bytes(range(256)) * 4096
    draft = place.begin()
    for _ in range(11):
        draft.write(piece)
    draft.finish("packs/00/large")
    assert place.size("packs/00/large") == 11 * len(piece)
    assert place.read("packs/00/large", 10 * len(piece) - 3, 6) == piece[-3:] + piece[:3]
    assert place.get("packs/00/large") == piece * 11


def test_no_more_leaves_than_the_limit(place: Storage) -> None:
    place.bytes_per_second = 4 * 2**20
    began = time.monotonic()
    place.put("packs/00/slow", bytes(2**20))
    place.put("packs/00/slow", bytes(2**20))
    assert time.monotonic() - began > 0.4


def test_a_heartbeat_makes_a_file_young(place: Storage) -> None:
    place.put("locks/one", b"x")
    before = place.modified("locks/one")
    time.sleep(1.1)  # SFTP counts whole seconds
    place.beat("locks/one")
    assert place.modified("locks/one") > before
    assert place.get("locks/one") == b"x"


def test_locks_exclude_and_are_given_back(make: Make) -> None:
    one, two = make(), make()
    one.make()
    with Lock(one), Lock(two), pytest.raises(Locked, match="in use shared by process"):
        Lock(two, exclusive=True)
    with Lock(one, exclusive=True), pytest.raises(Locked, match="in use exclusively"):
        Lock(two)
    assert one.names("locks") == []


def test_of_two_that_come_together_at_most_one_is_exclusive(make: Make) -> None:
    places = [make() for _ in range(4)]
    places[0].make()
    held: list[Lock] = []
    gate = threading.Barrier(4)

    def come(place: Storage) -> None:
        gate.wait()
        try:
            held.append(Lock(place, exclusive=True))
        except Locked:
            return

    threads = [threading.Thread(target=come, args=(place,)) for place in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held) <= 1
    for lock in held:
        lock.release()
    Lock(places[0], exclusive=True).release()


def test_a_stale_lock_is_told_and_removed(place: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(socket, "gethostname", lambda: "elsewhere")
        lost = Lock(place, exclusive=True, beat_seconds=3600)
    monkeypatch.setattr(locks, "STALE_SECONDS", -1.0)
    said: list[str] = []
    with Lock(place, say=said.append):
        assert len(place.names("locks")) == 1
    (sentence,) = said
    assert "elsewhere" in sentence
    assert "last heard" in sentence
    lost.release()


def test_a_lost_lock_lets_nothing_be_committed(
    place: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Lock(place, beat_seconds=0.01) as lock:
        place.assure()
        place.remove(lock.name)
        lock._thread.join(10)
        with pytest.raises(Locked, match="was lost"):
            place.assure()
    place.assure()


def test_a_whole_life_of_a_repository(make: Make, tmp_path: Path) -> None:
    yard = Yard(tmp_path / "yard", place=make)
    yard.fill([mail.data.replace(b"\r\n", b"\n") for mail in mails.ours()], [ANNA])
    first = yard.take()
    yard.deliver(ANNA, mails.plain("later"))
    yard.take()
    report = yard.verify()
    assert report.is_clean, report
    assert report.snapshots == 2
    (tmp_path / "yard" / "cache").rename(tmp_path / "yard" / "lost")
    state = yard.state(ANNA)
    with yard.open() as store:
        assert first.name in store.snapshots()
        for entry in store.entries(yard.root_of(store, ANNA)):
            raw, _ = store.message(entry.id)
            assert raw == state[entry.mailbox, entry.base][0]


def test_a_copy_that_is_damaged_is_healed_anywhere(make: Make, tmp_path: Path) -> None:
    place = make()
    key = tmp_path / "repository.key"
    repository.create(place, key)
    place.put(keys.CONFIG, b"{}")
    (name, _) = (n for n in place.names("keys"))
    place.remove(f"keys/{name}")
    with repository.Repository(make(), key, tmp_path / "cache", heal=True) as store:
        assert len(store.notes) == 2
    with repository.Repository(make(), key, tmp_path / "cache") as store:
        assert store.notes == []


@pytest.fixture(params=["sftp", "s3"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Loaded:
    """Settings whose repository is on another machine, with its secrets beside them."""
    if request.param == "sftp":
        server: Sshd = request.getfixturevalue("sshd")
        address, known = server.address(tmp_path / "far"), server.access
    else:
        service: S3 = request.getfixturevalue("s3")
        address, known = f"s3://{BUCKET}/{tmp_path.name}", service.access
    file = tmp_path / "repository.access"
    said = {name: value for name, value in known.model_dump().items() if value}
    file.write_text("".join(f'{name} = "{value}"\n' for name, value in said.items()))
    file.chmod(0o600)
    (tmp_path / "mtad.toml").write_text(
        f'hostname = "mail.alpha.example"\n[backup]\nrepository = "{address}"\n'
    )
    return config.load(tmp_path / "mtad.toml")


def test_as_a_person_uses_it(elsewhere: Loaded, tmp_path: Path) -> None:
    yard = Yard(elsewhere.places.data, Folder(tmp_path / "unused"))
    for number in range(3):
        yard.deliver(ANNA, mails.plain(f"order-{number}"))
    run = command(elsewhere)
    assert ages.newest(elsewhere) == 0.0
    taken = run("snapshot", "create")
    assert (taken["messages"], taken["added"]) == (3, 3)
    assert not elsewhere.repository.exists()
    assert abs(ages.newest(elsewhere) - time.time()) < 600
    assert abs(ages.made(elsewhere) - time.time()) < 600
    assert run("snapshot", "create")["added"] == 0
    names = [each["snapshot"] for each in run("snapshot", "list")["snapshots"]]
    assert names[0] == taken["snapshot"]
    assert len(names) == 2
    assert len(run("snapshot", "ls", "latest", ANNA, "INBOX")["messages"]) == 3
    assert run("snapshot", "verify", "--read-data")["findings"] == []
    with Boxes(elsewhere) as boxes:
        boxes.sync(ANNA)
        uids = [each.uid for each in boxes.list(ANNA).messages]
        boxes.expunge(ANNA, "INBOX", uids, actor="admin:test")
    assert run("restore", f"box:{ANNA}", "--yes")["restored"] == 3
    assert run("snapshot", "key", "list")["keys"][0]["in_use"]
    run("snapshot", "hold", names[0])
    run("snapshot", "forget", "--keep", "last 1")
    run("snapshot", "prune")
    assert run("snapshot", "copy", str(tmp_path / "home"))["snapshots"] == 2
    report = run("snapshot", "verify", "--read-data")
    assert report["findings"] == []
    (elsewhere.path.parent / "repository.access").chmod(0o644)
    run("snapshot", "list", code=Exit.NOT_PERMITTED)


# --------------------------------------------------------------------- trouble


def test_a_server_that_comes_back_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sftp, "PAUSES", (0.0, 0.5, 1.0))
    server = Sshd(tmp_path / "sshd")
    place = server.place(tmp_path / "repository")
    try:
        place.make()
        place.put("index/one", b"1")
        server.stop()
        server.start()
        assert place.get("index/one") == b"1"
        server.stop()
        monkeypatch.setattr(sftp, "PAUSES", (0.0, 0.0))
        with pytest.raises(Away, match="cannot reach sftp://") as caught:
            place.put("index/two", b"2")
        assert caught.value.exit_code is Exit.UNREACHABLE
        server.start()
        assert place.names("index") == ["one"]
    finally:
        place.close()
        server.stop()


@pytest.mark.parametrize("share", [0.1, 0.4, 0.7, 0.95])
def test_a_server_lost_in_a_snapshot_costs_that_snapshot_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    monkeypatch.setattr(sftp, "PAUSES", (0.0,))
    server = Sshd(tmp_path / "sshd")
    steps: list[str] = []
    stop_at = -1

    def place() -> Storage:
        found = server.place(tmp_path / "repository")

        def step(what: str) -> None:
            steps.append(what)
            if len(steps) == stop_at:
                server.stop()

        monkeypatch.setattr(found, "step", step)
        return found

    try:
        yard = Yard(tmp_path / "yard", place=place)
        yard.deliver(ANNA, mails.with_attachment(1))
        steps.clear()
        yard.take()
        yard.deliver(ANNA, mails.with_attachment(2))
        stop_at = max(1, round(len(steps) * share))
        steps.clear()
        with pytest.raises(Away, match="cannot reach"):
            yard.take()
        stop_at = -1
        server.start()
        assert yard.verify().is_whole
        yard.take()
        report = yard.verify()
        assert report.is_clean, report
        assert len(yard.entries(ANNA)) == 2
    finally:
        server.stop()


@pytest.mark.parametrize("at", [1, 3, 4, 5, 6])
def test_a_bucket_that_fails_in_a_snapshot_costs_that_snapshot_only(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    yard = Yard(tmp_path / "yard", place=lambda: s3.place(tmp_path.name))
    yard.deliver(ANNA, mails.with_attachment(1))
    yard.take()
    yard.deliver(ANNA, mails.with_attachment(2))
    put, count = obstore.put, 0

    def failing(*given: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count == at:
            raise obstore.exceptions.GenericError("503 SlowDown, after all repetitions")
        return put(*given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(obstore, "put", failing)
        with pytest.raises(Away, match="SlowDown"):
            yard.take()
    assert yard.verify().is_whole
    yard.take()
    report = yard.verify()
    assert report.is_clean, report
    assert len(yard.entries(ANNA)) == 2


def test_an_unknown_server_and_an_unknown_login_are_told(sshd: Sshd, tmp_path: Path) -> None:
    empty = tmp_path / "known"
    empty.write_text("")
    unknown = sshd.access.model_copy(update={"known_hosts": str(empty)})
    with pytest.raises(Away, match=r"server's key is not known.*ssh-keyscan"):
        Sftp("127.0.0.1", sshd.port, "root", "/x", unknown)
    wrong = sshd.access.model_copy(update={"identity_file": str(sshd.folder / "host")})
    with pytest.raises(Away, match="refuses the login"):
        Sftp("127.0.0.1", sshd.port, "root", "/x", wrong)


def test_nobody_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sftp, "PAUSES", (0.0,))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(Away, match="cannot reach"):
        Sftp("127.0.0.1", port, "root", "/x", Access(known_hosts=str(tmp_path)))


def test_a_bucket_that_is_not_there_is_told(s3: S3) -> None:
    place = Bucket("nothing-here", "x", s3.access)
    with pytest.raises(Away, match="there is no bucket"):
        place.put("index/one", b"1")


def test_a_service_that_is_not_there_is_told(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backup.bucket.RETRIES", 0)
    away = s3.access.model_copy(update={"endpoint": "http://127.0.0.1:9"})
    with pytest.raises(Away, match="cannot reach s3://"):
        Bucket(BUCKET, "x", away).get("index/one")


def test_addresses_and_their_secrets(tmp_path: Path) -> None:
    file = tmp_path / "repository.access"
    assert access.read(file) == Access()
    file.write_text('access_key_id = "a"\nsecret_access_key = "hidden"\nidentity_file = "id"\n')
    file.chmod(0o644)
    with pytest.raises(NotPermitted, match="read by others"):
        access.read(file)
    file.chmod(0o600)
    found = access.read(file)
    assert found.identity_file == str(tmp_path / "id")
    assert "hidden" not in repr(found)
    file.write_text('acces_key = "a"\n')
    with pytest.raises(ConfigError, match="acces_key"):
        access.read(file)
    for wrong in ("sftp://host", "sftp:///x", "s3://", "sftp://u:p@h/x", "sftp://h:x/y"):
        with pytest.raises(ConfigError):
            access.open_storage(wrong, tmp_path, Access())
    assert access.open_storage("there", tmp_path, Access()).shown == str(tmp_path / "there")

"""Pruning gives back what nobody needs and never what somebody needs, whatever interrupts it."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backup import format, keyring, keys, needs, prune, retired, snapshot
from backup.format import BODY, MANIFEST, TEXT, Commit
from backup.locks import Lock
from backup.places import Folder, Upload
from backup.prune import How, Pruned
from backup.repository import Repository
from mtad.errors import Corrupt, Locked
from tests import mails
from tests.backup_yard import ANNA, BORIS, Yard
from tests.test_backup_faults import Dead, Failing
from tests.test_backup_forget import forgotten, snapshots

MAX_POINTS = 200
Mail = dict[tuple[str, str], bytes]


def pruned(yard: Yard, how: How = How(), *, dry_run: bool = False) -> Pruned:  # noqa: B008
    with yard.open() as store, Lock(store.folder) as lock:
        return prune.prune(store, lock, how, dry_run=dry_run)


def contents(yard: Yard) -> dict[tuple[str, str], Mail]:
    """Every message of every snapshot, read from the repository."""
    found = {}
    with yard.open() as store:
        for name, commit in store.snapshots().items():
            for line in commit.boxes:
                entries = store.entries(yard.root_of(store, line.address, name))
                found[name, line.address] = {
                    (one.mailbox, one.base): store.message(one.id)[0] for one in entries
                }
    return found


def packs(yard: Yard) -> set[str]:
    return set(yard.folder.packs())


def delete(yard: Yard, address: str, number: int) -> None:
    """Delete the oldest messages of an INBOX."""
    files = sorted((yard.boxes[address] / "Maildir").glob("[cn][ue][rw]/*"))
    for path in files[:number]:
        path.unlink()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five days of two boxes of which the last two are kept; much that was is deleted."""
    yard = Yard(tmp_path_factory.mktemp("base"))
    for day in range(5):
        for number in range(3):
            yard.deliver(ANNA, mails.plain(f"day {day} number {number}"))
            yard.deliver(BORIS, mails.with_attachment(10 * day + number))
        yard.take()
        delete(yard, ANNA, 2)
        delete(yard, BORIS, 2)
    forgotten(yard, "last 2")
    return yard.root


def copied(base: Path, root: Path, folder: Folder | None = None) -> Yard:
    shutil.copytree(base, root)
    yard = Yard(root, folder)
    yard.box(ANNA)
    yard.box(BORIS)
    return yard


@pytest.fixture
def yard(base: Path, tmp_path: Path) -> Yard:
    return copied(base, tmp_path / "yard")


# ----------------------------------------------------------------- the result


def test_what_nobody_needs_goes_and_the_rest_is_read_as_before(yard: Yard) -> None:
    before, size = contents(yard), sum(yard.folder.size(f"packs/{n[:2]}/{n}") for n in packs(yard))
    plan = pruned(yard, dry_run=True)
    assert (plan.removed, plan.written) == (0, 0)
    done = pruned(yard)
    assert [one.name for one in done.dropped] == [one.name for one in plan.dropped]
    assert {one.kind for one in done.dropped} >= {MANIFEST}
    assert {one.kind for one in done.rewritten} >= {BODY}
    assert done.removed == len(done.dropped) + len(done.rewritten)
    assert (done.waiting, done.spared) == (0, [])
    after = sum(yard.folder.size(f"packs/{n[:2]}/{n}") for n in packs(yard))
    assert after == size - done.freed + done.written < size
    assert contents(yard) == before
    assert yard.verify().is_clean
    assert yard.folder.names("retired") == []
    again = pruned(yard)
    assert (again.dropped, again.rewritten, again.removed) == ([], [], 0)


def test_compacting_writes_small_packs_together_once(yard: Yard) -> None:
    before = contents(yard)
    done = pruned(yard, How(compact=True))
    assert len(packs(yard)) == 3
    assert len(yard.folder.segments()) == 1
    assert contents(yard) == before
    assert yard.verify().is_clean
    assert not pruned(yard, How(compact=True)).rewritten
    # one pack of messages is sorted as well as it can be
    assert pruned(yard, How(everything=True), dry_run=True).rewritten == []
    assert done.freed > done.written


def test_many_small_packs_are_written_together_by_themselves(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "SMALL_PACKS", 3)
    pruned(yard)
    assert len(packs(yard)) == 3


def test_messages_that_are_alike_lie_side_by_side(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    for day in range(3):
        for name in ("alpha", "beta", "gamma"):
            raw = f"From: a@{name}.example\nSubject: report\n\n{day} {name}\n" + "x" * 400
            yard.deliver(ANNA, raw.encode())
        yard.take()
    pruned(yard, How(compact=True))
    with yard.open() as store:
        entries = store.entries(yard.root_of(store, ANNA))
        order = store.in_reading_order(one.id for one in entries)
        senders = [store.message(each)[0].split(b"\n")[0] for each in order]
    assert senders == sorted(senders)


def test_an_empty_repository_has_nothing_to_prune(tmp_path: Path) -> None:
    assert pruned(Yard(tmp_path)) == Pruned()


def test_two_prunings_of_a_machine_exclude_each_other(tmp_path: Path) -> None:
    with prune.alone(tmp_path), pytest.raises(Locked), prune.alone(tmp_path):
        raise AssertionError


def test_the_index_and_the_cache_are_made_again_of_the_packs_alone(yard: Yard) -> None:
    before = contents(yard)
    pruned(yard)
    shutil.rmtree(yard.root / "cache")
    shutil.rmtree(yard.root / "repository" / "index")
    (yard.root / "repository" / "index").mkdir()
    assert contents(yard) == before
    assert yard.verify().is_whole
    assert not pruned(yard).dropped
    assert yard.verify().is_clean


def test_what_may_be_a_reference_keeps_its_object() -> None:
    one, two = b"1" * 32, b"2" * 32
    data = format.encode(Commit(1, "x", (), was=("y",)))
    assert list(needs.references(data)) == []
    found = needs.references(format.encode({"a": [one + two], "b": {"c": two}, "d": b"12"}))
    assert sorted(found) == [one, two, two]
    assert list(needs.references(b"\xc1")) == []


# --------------------------------------------------------------------- damage


def test_nothing_is_pruned_while_it_is_unknown_what_snapshots_need(yard: Yard) -> None:
    for copy in sorted((yard.root / "repository" / "snapshots").glob("*"))[:2]:
        copy.write_bytes(b"x" * 100)
    shutil.rmtree(yard.root / "cache")
    before = packs(yard)
    with pytest.raises(Corrupt, match="cannot be read, so it is unknown what it needs"):
        pruned(yard)
    assert packs(yard) == before


def test_a_pack_with_damage_that_is_needed_stays(yard: Yard) -> None:
    plan = pruned(yard, dry_run=True)
    (body, *_) = [one for one in plan.rewritten if one.kind == BODY and one.live]
    path = yard.root / "repository" / "packs" / body.name[:2] / body.name
    data = bytearray(path.read_bytes())
    with yard.open() as store:
        needed = needs.Needs(store).of_pack(body.name)
        place = store.cache.place(needed[0][0])
    assert place is not None
    data[place.offset + 40] ^= 1
    path.write_bytes(data)
    done = pruned(yard)
    assert done.spared == [body.name]
    assert body.name in packs(yard)
    report = yard.verify()
    assert [finding.file for finding in report.findings] == [f"packs/{body.name[:2]}/{body.name}"]


def test_bodies_stay_while_a_message_that_may_need_them_cannot_be_read(yard: Yard) -> None:
    with yard.open() as store:
        entry = store.entries(yard.root_of(store, BORIS))[0]
        place = store.cache.place(entry.id)
        assert place is not None
        path = yard.root / "repository" / "packs" / place.pack[:2] / place.pack
    data = bytearray(path.read_bytes())
    data[place.offset + 40] ^= 1
    path.write_bytes(data)
    done = pruned(yard)
    assert not [one for one in (*done.dropped, *done.rewritten) if one.kind == BODY]
    assert done.spared


# ------------------------------------------------------------------ side by side


def test_removal_waits_for_whoever_uses_the_repository(yard: Yard) -> None:
    before = contents(yard)
    with yard.open() as reader, Lock(reader.folder):
        done = pruned(yard)
        assert (done.removed, done.waiting) == (0, len(done.dropped) + len(done.rewritten))
        assert contents(yard) == before
        assert yard.verify().is_clean
        again = pruned(yard)
        assert (again.removed, again.waiting) == (0, done.waiting)
    done = pruned(yard)
    assert (done.removed, done.waiting) == (again.waiting, 0)
    assert contents(yard) == before
    assert yard.verify().is_clean


def test_an_open_reader_finds_what_was_written_anew(yard: Yard) -> None:
    with yard.open() as reader:
        entries = reader.entries(yard.root_of(reader, BORIS))
        places = {one.id: reader.cache.places([one.id]) for one in entries}
        pruned(yard, How(compact=True))
        assert places
        for one in entries:
            assert reader.message(one.id)[0]


def during(yard: Yard, act: Callable[[], object]) -> snapshot.Taken:
    """Take a snapshot, under its lock, and do something once it has chosen what to rely on."""
    done: list[bool] = []

    def progress(_: snapshot.Progress) -> None:
        if not done:
            done.append(True)
            act()

    with yard.open() as store, Lock(store.folder):
        return snapshot.create(
            store,
            sorted(yard.boxes.items()),
            scope="all boxes",
            aside=yard.root / "aside",
            progress=progress,
        )


def put_back(yard: Yard, mail: Mail) -> None:
    """Messages that only forgotten snapshots had come again, as a restore would bring them."""
    for raw in mail.values():
        yard.deliver(BORIS, raw)


@pytest.fixture
def returning(tmp_path: Path) -> tuple[Yard, Mail]:
    """A repository where a forgotten snapshot had messages that are in the box again."""
    yard = Yard(tmp_path / "yard")
    for number in range(3):
        yard.deliver(BORIS, mails.with_attachment(number))
    yard.deliver(ANNA, mails.plain("stays"))
    yard.take()
    mail = contents(yard)[next(iter(snapshots(yard))), BORIS]
    delete(yard, BORIS, 3)
    yard.take()
    forgotten(yard, "last 1")
    return yard, mail


def test_a_snapshot_that_began_before_keeps_what_it_relies_on(
    returning: tuple[Yard, Mail],
) -> None:
    yard, mail = returning
    put_back(yard, mail)
    marked: list[Pruned] = []
    taken = during(yard, lambda: marked.append(pruned(yard)))
    assert marked[0].waiting
    assert marked[0].removed == 0
    assert taken.commit.added == 0  # all of it was there, in packs that were marked meanwhile
    pruned(yard)
    assert not yard.folder.names("retired")
    assert yard.verify().is_clean
    assert sorted(contents(yard)[taken.name, BORIS].values()) == sorted(mail.values())


def test_a_snapshot_that_begins_after_relies_on_nothing_marked(
    returning: tuple[Yard, Mail],
) -> None:
    yard, mail = returning
    with yard.open() as store, Lock(store.folder):
        assert pruned(yard).waiting
    put_back(yard, mail)
    taken = yard.take()
    assert taken.commit.added == len(mail)
    pruned(yard)
    assert yard.verify().is_clean
    assert sorted(contents(yard)[taken.name, BORIS].values()) == sorted(mail.values())


def test_marked_packs_are_not_listed_again(yard: Yard) -> None:
    with yard.open() as store, Lock(store.folder) as lock:
        prune.prune(store, lock)
        with Lock(store.folder):
            names = sorted(packs(yard))[:2]
            mark = retired.mark(store.folder, names, lock.name)
        assert mark.waits_for
    shutil.rmtree(yard.root / "repository" / "index")
    (yard.root / "repository" / "index").mkdir()
    with yard.open() as store:
        assert not {pack.name.hex() for pack in store.adopt()[0]} & set(names)
        assert store.cache.retired() == set(names)


def test_a_damaged_mark_counts_as_none(yard: Yard) -> None:
    with yard.open() as store, Lock(store.folder):
        pruned(yard)
    (name,) = yard.folder.names("retired")
    (yard.root / "repository" / "retired" / name).write_bytes(b"{}\nno\n")
    assert retired.read(yard.folder) == []
    assert yard.verify().is_clean
    before = contents(yard)
    pruned(yard)
    assert contents(yard) == before
    assert yard.verify().is_clean


# --------------------------------------------------------------------- faults


@contextlib.contextmanager
def abandoned(monkeypatch: pytest.MonkeyPatch, *, dies: bool) -> Iterator[None]:
    """A dead process removes nothing."""
    with monkeypatch.context() as patch:
        if dies:
            patch.setattr(Upload, "abandon", lambda upload: upload._file.close())
        yield


@pytest.mark.parametrize("compact", [False, True], ids=["prune", "compact"])
@pytest.mark.parametrize("dies", [False, True], ids=["error", "stop"])
def test_a_fault_at_every_change(
    base: Path, tmp_path: Path, dies: bool, compact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run takes every eighth point, so that together they take every second one."""
    before = contents(copied(base, tmp_path / "whole"))
    how = How(compact=compact)
    first, step = (1, 1) if "MTAD_SOAK" in os.environ else (1 + 4 * dies + 2 * compact, 8)
    for at in range(first, MAX_POINTS, step):
        root = tmp_path / str(at)
        yard = copied(base, root, Failing(root / "repository", at, dies=dies))
        failed = False
        with abandoned(monkeypatch, dies=dies), contextlib.suppress(Dead, OSError):
            failed = True
            pruned(yard, how)
            failed = False
        yard.folder = Folder(root / "repository")
        if at % 4 < 2:
            shutil.rmtree(root / "cache")
        assert contents(yard) == before, f"point {at}"
        assert yard.verify().is_whole, f"point {at}"
        pruned(yard, how)
        assert contents(yard) == before, f"point {at}"
        assert yard.verify().is_clean, f"point {at}"
        assert yard.folder.names("retired") == []
        rest = pruned(yard, how, dry_run=True)
        assert not rest.dropped, f"point {at}"
        assert not rest.rewritten, f"point {at}"
        assert rest.packs == len(packs(yard)), f"point {at}"
        shutil.rmtree(root)
        if not failed:
            assert at > 30
            return
    raise AssertionError("there was no end of changes")


def test_a_torn_write_is_never_under_a_name(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    before, write = contents(yard), Upload.write

    def torn(upload: Upload, data: bytes) -> None:
        write(upload, data[: len(data) // 2])
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Upload, "write", torn)
        with pytest.raises(OSError, match="Input/output"):
            pruned(yard)
    assert contents(yard) == before
    assert yard.verify().is_clean
    assert pruned(yard).removed
    assert contents(yard) == before


def test_what_dead_runs_left_is_reclaimed(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    pruned(yard)
    before = packs(yard)
    yard.deliver(BORIS, mails.with_attachment(77))

    def dead(self: Repository, _: Commit) -> str:
        raise Dead

    with monkeypatch.context() as patch:
        patch.setattr(Repository, "commit", dead)
        with pytest.raises(Dead):
            yard.take()
    assert packs(yard) > before
    left = yard.root / "repository" / "tmp" / "1-dead"
    left.write_bytes(b"x")
    os.utime(left, (1, 1))
    pruned(yard)
    assert packs(yard) == before
    assert not left.exists()


def test_kinds_are_what_packs_hold(yard: Yard) -> None:
    with yard.open() as store:
        found = {use.kind for use in needs.Needs(store).packs()}
    assert found == {TEXT, BODY, MANIFEST}


def test_a_key_that_may_only_put_drops_whole_packs_and_no_body(yard: Yard) -> None:
    before = contents(yard)
    owner, yard.key = yard.key, yard.root / "put.key"
    opened = keys.unlock(yard.folder, owner, heal=False)
    keyring.add(yard.folder, opened, keys.make_key(yard.key), put=True)
    kinds = {BODY: 0, TEXT: 0, MANIFEST: 0}
    for path in (yard.folder.root / "packs").glob("*/*"):
        kinds[path.read_bytes()[4:5]] += 1
    pruned(yard, How(0.1, compact=True))
    pruned(yard)
    left = [path.read_bytes()[4:5] for path in (yard.folder.root / "packs").glob("*/*")]
    assert left.count(BODY) == kinds[BODY]
    assert left.count(MANIFEST) < kinds[MANIFEST]
    assert 0 < left.count(TEXT) <= kinds[TEXT]
    yard.key = owner
    assert contents(yard) == before
    assert yard.verify().is_clean

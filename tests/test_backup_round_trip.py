"""What was snapshotted and deleted comes back exactly, once."""

import os
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from backup import format, snapshot
from backup.aside import Aside
from backup.format import BoxLine, Commit, Entry
from backup.plan import Present, plan, unread
from backup.planning import Wish, make_plan
from backup.repository import compress
from mtad.errors import Locked, MtadError, NothingFound
from mtad.store import names
from tests import mails
from tests.backup_yard import ANNA, BORIS, Yard
from tests.corpus import Mail
from tests.test_backup_split import BIG, MONSTERS, encoded, part
from tracing import ids


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


def our_mails() -> list[bytes]:
    return [mail.data.replace(b"\r\n", b"\n") for mail in mails.ours()]


def test_everything_deleted_comes_back_equal_and_once(yard: Yard) -> None:
    yard.fill([*our_mails(), *MONSTERS.values()])
    with yard.owner() as owners:
        for address in yard.boxes:
            owners.sync(address)
        inbox = owners.of(ANNA).messages("INBOX")
        owners.of(ANNA).flags(
            "INBOX", [inbox[0].uid], ["Invoice", "$Junk", "\\Flagged"], [], actor="admin:test"
        )
        before = {address: yard.state(address) for address in yard.boxes}
        taken = yard.take()
        assert sum(line.messages for line in taken.commit.boxes) == sum(map(len, before.values()))
        for address in yard.boxes:
            assert owners.expunge_all(address) == len(before[address])
            assert yard.state(address) == {}
            result = yard.put_back(address, owners)
            assert (result.restored, result.skipped) == (len(before[address]), 0)
            assert yard.state(address) == before[address]
            again = yard.put_back(address, owners)
            assert (again.restored, again.skipped) == (0, len(before[address]))
            assert yard.state(address) == before[address]
    assert yard.verify().is_clean


def test_uids_of_restored_mail_are_fresh_and_in_the_former_order(yard: Yard) -> None:
    yard.fill(our_mails(), [ANNA])
    with yard.owner() as owners:
        owners.sync(ANNA)
        old = {each.base: each.uid for each in owners.of(ANNA).messages("INBOX")}
        yard.take()
        owners.expunge_all(ANNA)
        yard.put_back(ANNA, owners, mailbox="INBOX")
        fresh = {each.base: each.uid for each in owners.of(ANNA).messages("INBOX")}
    assert min(fresh.values()) > max(old.values())
    assert sorted(fresh, key=fresh.__getitem__) == sorted(old, key=old.__getitem__)


def test_one_message_by_id_and_by_words(yard: Yard) -> None:
    yard.fill([mails.with_attachment(1), mails.russian("koi8-r"), mails.plain()], [ANNA])
    yard.take()
    entries = yard.entries(ANNA)
    with yard.owner() as owners:
        owners.expunge_all(ANNA)
        assert yard.put_back(ANNA, owners, terms=["счёт", "anna@"]).restored == 1
        assert yard.put_back(ANNA, owners, terms=["report-1@MAIL.example"]).restored == 1
        wanted = next(e for e in entries if (e.mailbox, e.base) not in yard.state(ANNA))
        assert yard.put_back(ANNA, owners, terms=[ids.text(wanted.st)]).restored == 1
        with pytest.raises(NothingFound):
            yard.put_back(ANNA, owners, terms=["nobody wrote this"])
    assert len(yard.state(ANNA)) == 3


def test_a_mailbox_that_is_gone_is_made_again(yard: Yard) -> None:
    yard.deliver(ANNA, mails.plain(), "Проекты/2026", "S")
    before = yard.state(ANNA)
    yard.take()
    folder = yard.boxes[ANNA] / "Maildir" / names.mailbox_folder("Проекты/2026")
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    folder.rmdir()
    with yard.owner() as owners:
        assert yard.put_back(ANNA, owners).restored == 1
    assert yard.state(ANNA) == before


def test_what_moved_or_was_copied_is_there_already(yard: Yard) -> None:
    yard.deliver(ANNA, mails.plain("one"))
    yard.deliver(ANNA, mails.plain("two"))
    yard.take()
    with yard.owner() as owners:
        owners.sync(ANNA)
        first, second = owners.of(ANNA).messages("INBOX")
        owners.of(ANNA).create("Archive", actor="admin:test")
        owners.of(ANNA).move("INBOX", [first.uid], "Archive", actor="admin:test")
        raw = (yard.boxes[ANNA] / "Maildir" / second.file).read_bytes()
        owners.of(ANNA).expunge("INBOX", [second.uid], actor="admin:test")
        yard.deliver(ANNA, raw, "Archive")
        with yard.open() as store:
            name, _ = store.resolve("latest")
            history = yard.history(store)
            todo = make_plan(history, history.of_snapshot(ANNA, name), Wish(), yard.boxes[ANNA])
        assert sorted(step.reason for step in todo.steps) == [
            "the same content is in Archive",
            "there already, in Archive",
        ]
        assert yard.put_back(ANNA, owners).restored == 0


def test_two_equal_copies_deleted_are_two_copies_restored(yard: Yard) -> None:
    for mailbox in ("INBOX", "Archive", "Archive"):
        yard.deliver(ANNA, mails.plain(), mailbox)
    before = yard.state(ANNA)
    yard.take()
    with yard.owner() as owners:
        owners.expunge_all(ANNA)
        assert yard.put_back(ANNA, owners).restored == 3
        assert yard.put_back(ANNA, owners).restored == 0
    assert yard.state(ANNA) == before


def test_an_unchanged_box_adds_no_object(yard: Yard) -> None:
    yard.fill(our_mails())
    first = yard.take()
    files = {path for path in yard.folder.root.rglob("*") if path.is_file()}
    second = yard.take()
    assert (second.commit.added, second.commit.stored) == (0, 0)
    assert second.same_as == first.name
    assert second.commit.boxes == first.commit.boxes
    fresh = {path for path in yard.folder.root.rglob("*") if path.is_file()} - files
    assert {path.parent.name for path in fresh} == {"snapshots"}


def test_a_flag_change_stores_no_content_again(yard: Yard) -> None:
    path = yard.deliver(ANNA, mails.with_attachment(3))
    yard.take()
    path.rename(path.parent.parent / "cur" / names.join(path.name, "S"))
    taken = yard.take()
    assert (taken.commit.added, taken.same_as) == (0, "")
    assert taken.commit.stored < 2000
    assert [entry.flags for entry in yard.entries(ANNA)] == ["S"]
    assert [entry.flags for entry in yard.entries(ANNA, yard_first(yard))] == [""]


def yard_first(yard: Yard) -> str:
    with yard.open() as store:
        return next(iter(store.snapshots()))


def test_equal_bodies_are_stored_once_for_all_boxes(yard: Yard) -> None:
    attachment = part(encoded(random.Random(5).randbytes(200_000)))
    for number in range(10):
        head = b"Received: by mx%d\nSubject: same\n" % number
        yard.deliver((ANNA, BORIS)[number % 2], head + attachment)
    taken = yard.take()
    assert taken.commit.added == 10
    assert taken.commit.stored < 230_000


def test_a_message_that_cannot_be_read_is_named_and_the_rest_is_kept(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard.deliver(ANNA, mails.plain("good"))
    bad = yard.deliver(ANNA, mails.plain("bad"))

    def refuse(name: str, target: Path, **where: Any) -> None:
        if name == bad.name:
            raise PermissionError(13, "Permission denied")
        link(name, target, **where)

    def no_copy(descriptor: int, target: Path) -> None:
        os.close(descriptor)
        raise PermissionError(13, "Permission denied")

    link = os.link
    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr("backup.aside._copy", no_copy)
    taken = yard.take()
    assert len(taken.commit.unread) == 1
    assert bad.name in taken.commit.unread[0]
    assert taken.commit.boxes[0].messages == 1


def test_what_is_expunged_after_the_look_is_still_kept(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [yard.deliver(ANNA, mails.plain(str(number))) for number in range(5)]
    read = Aside.read

    def expunge_then_read(aside: Aside, number: int) -> bytes:
        for each in paths:
            each.unlink(missing_ok=True)
        return read(aside, number)

    monkeypatch.setattr(Aside, "read", expunge_then_read)
    assert yard.take().commit.boxes[0].messages == 5


def test_a_box_costs_little_in_a_commit() -> None:
    """What an unchanged box adds to a snapshot of 300: its line, of which 32 octets are a hash."""
    lines = tuple(
        BoxLine(f"user{number:03}@alpha.example", os.urandom(32), 1_000 + number, 10**7 + number)
        for number in range(300)
    )
    sizes = [
        len(compress(format.encode(Commit(1, "all boxes", few)))) for few in (lines[:1], lines)
    ]
    assert (sizes[1] - sizes[0]) / (len(lines) - 1) <= 64


def test_snapshots_exclude_each_other(yard: Yard) -> None:
    yard.deliver(ANNA, mails.plain())

    def second(_: snapshot.Progress) -> None:
        with pytest.raises(Locked):
            yard.take()

    yard.take(progress=second)


def test_progress_may_stop_a_snapshot_without_a_trace(yard: Yard) -> None:
    yard.fill(our_mails())

    class Enough(Exception):
        pass

    def stop(state: snapshot.Progress) -> None:
        raise Enough

    with pytest.raises(Enough):
        yard.take(progress=stop)
    with yard.open() as store:
        assert store.snapshots() == {}
    assert not list((yard.folder.root / "tmp").iterdir())
    assert not list((yard.root / "aside").glob("links-*"))


@pytest.mark.parametrize("numbered", [True, False])
def test_a_snapshot_under_renames_has_every_message_once(yard: Yard, numbered: bool) -> None:
    """Flags change 2,000 times a second, so files are renamed under the reader all the time."""
    bases = set()
    for number in range(1000 if numbered else 200):
        bases.add(names.split(yard.deliver(ANNA, mails.plain(str(number))).name)[0])
    if numbered:
        with yard.owner() as owners:
            owners.sync(ANNA)
    maildir = yard.boxes[ANNA] / "Maildir"
    stop = threading.Event()
    renames = 0

    def rename() -> None:
        nonlocal renames
        choose = random.Random(1)
        began = time.monotonic()
        while not stop.is_set():
            for path in [*(maildir / "new").iterdir(), *(maildir / "cur").iterdir()]:
                letters = "".join(mark for mark in "FRS" if choose.random() < 0.5)
                base = names.split(path.name)[0]
                path.rename(maildir / "cur" / names.join(base, letters))
                renames += 1
                while renames > 2000 * (time.monotonic() - began) and not stop.is_set():
                    time.sleep(0.001)
                if stop.is_set():
                    return

    thread = threading.Thread(target=rename)
    thread.start()
    try:
        for _ in range(3):
            taken = yard.take()
            assert taken.commit.unread == ()
            found = [entry.base for entry in yard.entries(ANNA, taken.name)]
            assert len(found) == len(bases)
            assert set(found) == bases
    finally:
        stop.set()
        thread.join()
    assert renames >= 100


def test_mail_that_arrives_meanwhile_is_in_one_snapshot_or_the_next(yard: Yard) -> None:
    """The owner numbers, mail is delivered and flags change while snapshots are taken."""
    bases = {names.split(yard.deliver(ANNA, mails.plain(str(n))).name)[0] for n in range(200)}
    maildir = yard.boxes[ANNA] / "Maildir"
    arrived: list[str] = []
    stop = threading.Event()

    def deliver() -> None:
        number = 0
        while not stop.is_set() and number < 1000:
            path = yard.deliver(ANNA, mails.plain(f"late-{number}"))
            arrived.append(path.name)
            for each in list((maildir / "new").iterdir())[:2]:
                each.rename(maildir / "cur" / names.join(each.name, "S"))
            number += 1

    thread = threading.Thread(target=deliver)
    with yard.owner() as owners:
        owners.sync(ANNA)
        thread.start()
        try:
            for _ in range(5):
                sure = bases | set(arrived)
                taken = yard.take(sync=owners.sync)
                found = [entry.base for entry in yard.entries(ANNA, taken.name)]
                assert len(found) == len(set(found))
                assert sure <= set(found)
                assert len(set(found) - bases - set(arrived)) <= 1  # the one being delivered
                assert taken.commit.unread == ()
        finally:
            stop.set()
            thread.join()
    assert len(arrived) > 5
    yard.take()
    found = [entry.base for entry in yard.entries(ANNA)]
    assert sorted(found) == sorted(bases | set(arrived))
    assert yard.verify().is_clean


def test_an_interrupted_restore_is_repeated_without_doubles(yard: Yard) -> None:
    yard.fill(our_mails(), [ANNA])
    before = yard.state(ANNA)
    yard.take()

    with yard.owner() as owners:
        owners.expunge_all(ANNA)
        put = owners.put
        calls = 0

        def once(*args: object, **options: object) -> list[int]:
            nonlocal calls
            calls += 1
            if calls == 3:
                raise MtadError("the power went")
            return put(*args, **options)  # type: ignore[arg-type]

        owners.put = once  # type: ignore[method-assign]
        with pytest.raises(MtadError):
            yard.put_back(ANNA, owners)
        owners.put = put  # type: ignore[method-assign]
        some = len(yard.state(ANNA))
        assert 0 < some < len(before)
        rest = yard.put_back(ANNA, owners)
        assert (rest.restored, rest.skipped) == (len(before) - some, some)
    assert yard.state(ANNA) == before


def test_names_that_are_not_utf_8_and_a_missing_index(yard: Yard) -> None:
    maildir = yard.box(ANNA) / "Maildir"
    odd = os.fsencode(maildir) + b"/cur/123.\xff\xfe.host:2,S"
    with open(odd, "wb") as file:
        file.write(mails.plain())
    os.utime(odd, ns=(5, 1_234_567_890_123_456_789))
    yard.take()
    with yard.owner() as owners:
        owners.expunge_all(ANNA)
        yard.put_back(ANNA, owners)
        assert yard.put_back(ANNA, owners).restored == 0
    ((raw, flags, _, mtime_ns),) = yard.state(ANNA).values()
    assert (raw, flags, mtime_ns) == (mails.plain(), "S", 1_234_567_890_123_456_789)


def test_one_commit_over_some_boxes_builds_on_what_is_there(yard: Yard) -> None:
    yard.fill(our_mails())
    yard.take()
    everything = dict(yard.boxes)
    del yard.boxes[BORIS]
    few = yard.take()
    assert [line.address for line in few.commit.boxes] == [ANNA]
    assert few.commit.stored == 0
    yard.boxes = everything
    assert yard.take().commit.stored == 0


def test_real_mail(tmp_path: Path, corpus: tuple[Mail, ...]) -> None:
    yard = Yard(tmp_path)
    raws = [mail.data.replace(b"\r\n", b"\n") for mail in corpus[:2500]]
    yard.fill(raws)
    before = {address: yard.state(address) for address in yard.boxes}
    taken = yard.take()
    assert taken.commit.stored < sum(map(len, raws))
    assert yard.verify().is_clean
    with yard.open() as store:
        for address, state in before.items():
            entries = store.entries(yard.root_of(store, address))
            assert len(entries) == len(state)
            places = {entry.id: entry for entry in entries}
            for object_id in store.in_reading_order(places):
                raw, _ = store.message(object_id)
                entry = places[object_id]
                assert state[entry.mailbox, entry.base][0] == raw


# --------------------------------------------------------------------- plan


def entry_like(mailbox: str, base: str, content: bytes, size: int = 1) -> Entry:
    return Entry(mailbox, 1, base, 0, 0, "", (), 0, size, content)


def test_each_message_of_the_box_stands_for_one_of_the_snapshot() -> None:
    everything = [entry_like("INBOX", str(n), b"same") for n in range(3)]
    present = [Present("INBOX", "1", 1, b"same"), Present("Archive", "x", 1, b"same")]
    steps = plan(range(3), everything, present)
    assert [step.put for step in steps] == [False, False, True]


def test_a_name_with_another_content_is_no_match() -> None:
    everything = [entry_like("INBOX", "a", b"one")]
    assert plan([0], everything, [Present("INBOX", "a", 1, b"two")])[0].put


def test_only_candidates_of_equal_size_have_to_be_read() -> None:
    everything = [entry_like("INBOX", "a", b"one", 5), entry_like("INBOX", "b", b"two", 6)]
    present = [
        Present("INBOX", "a", 5, None),
        Present("INBOX", "c", 5, None),
        Present("INBOX", "d", 6, None),
        Present("INBOX", "e", 6, b"other"),
    ]
    assert unread(everything, present) == [2]
    assert BIG

"""Restores as people ask for them: what was deleted, a minute, exactly, elsewhere, and back."""

import contextlib
import mailbox
import shutil
import tarfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backup import choosing
from backup.cache import Head
from backup.choosing import Candidate
from backup.format import Entry
from backup.moment import Moment
from backup.plan import Act, Present, exact
from mtad import clock
from mtad.address import box_folder
from mtad.config import Loaded
from mtad.errors import Exit
from mtad.store.client import Boxes
from tests import mails
from tests.backup_yard import ANNA, BORIS, Run, Yard, command, settings, three_messages
from tracing import events, ids, stored
from tracing.search import SearchError
from tracing.stored import Item

WHO = {"actor": ANNA, "client": "test"}


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    return settings(tmp_path)


@pytest.fixture
def yard(loaded: Loaded) -> Yard:
    return three_messages(loaded)


@pytest.fixture
def run(loaded: Loaded) -> Run:
    return command(loaded)


def uids(loaded: Loaded, name: str, box: str = ANNA) -> list[int]:
    with Boxes(loaded) as boxes:
        return [each.uid for each in boxes.list(box, name).messages]


def content(yard: Yard, box: str = ANNA) -> set[tuple[str, bytes, str]]:
    return {(name, raw, flags) for (name, _), (raw, flags, *_) in yard.state(box).items()}


def test_a_deleted_folder_comes_back_in_few_words(run: Run, yard: Yard, loaded: Loaded) -> None:
    with Boxes(loaded) as boxes:
        boxes.create(ANNA, "Orders", **{"actor": ANNA})
        boxes.move(ANNA, "INBOX", [1, 2], "Orders", **WHO)
        boxes.flags(ANNA, "Orders", [2], ["\\Seen", "urgent"], **WHO)
        before = yard.state(ANNA)
        boxes.flags(ANNA, "Orders", [1, 2], ["\\Deleted"], **WHO)
        boxes.delete(ANNA, "Orders", **WHO)
    assert len(yard.state(ANNA)) == 1
    planned = run("restore", "--deleted", "since:1d", "box:anna@", "--dry-run")
    assert (planned["would_restore"], planned["lost"]) == (2, [])
    assert len(yard.state(ANNA)) == 1
    done = run("restore", "--deleted", "since:1d", "box:anna@", "--yes")
    assert (done["restored"], done["skipped"]) == (2, 0)
    assert yard.state(ANNA) == before
    assert run("restore", "--deleted", "box:anna@", "--yes")["restored"] == 0
    one = run("restore", "--deleted", "--box", ANNA, "mbox:order*", "flag:urgent", "--dry-run")
    assert [(step["act"], step["flags"]) for step in one["steps"]] == [("skip", "FS")]


def test_without_any_repository_deleted_mail_comes_back(
    run: Run, yard: Yard, loaded: Loaded
) -> None:
    shutil.rmtree(loaded.repository)
    before = yard.state(ANNA)
    with Boxes(loaded) as boxes:
        boxes.expunge(ANNA, "INBOX", [2], **WHO)
    assert run("restore", "--deleted", "--box", "anna@alpha", "--yes")["restored"] == 1
    assert {key: v[0] for key, v in yard.state(ANNA).items()} == {
        key: v[0] for key, v in before.items()
    }


def test_what_was_deleted_too_long_ago_is_told_as_lost(
    run: Run, yard: Yard, loaded: Loaded
) -> None:
    for name in ("a:2,", "b:2,"):
        path = loaded.places.boxes / box_folder(ANNA) / "Maildir" / "cur" / name
        path.write_bytes(mails.plain(name))
    with Boxes(loaded) as boxes:
        boxes.sync(ANNA)
        boxes.expunge(ANNA, "INBOX", [4, 5], **WHO)
    kept = [path for path in loaded.places.content.rglob("*") if path.is_file()]
    assert len(kept) == 2
    kept[0].unlink()
    done = run("restore", "--deleted", "--box", ANNA, "--yes", code=Exit.PARTIAL)
    assert (done["restored"], len(done["lost"])) == (1, 1)


def test_a_box_as_of_a_minute(run: Run, yard: Yard, loaded: Loaded) -> None:
    run("snapshot", "create")
    foreign = loaded.places.boxes / box_folder(ANNA) / "Maildir" / "cur" / "later:2,R"
    foreign.write_bytes(mails.plain("later"))
    with Boxes(loaded) as boxes:
        boxes.sync(ANNA)
        boxes.create(ANNA, "Old", **{"actor": ANNA})
        boxes.move(ANNA, "INBOX", [1], "Old", **WHO)
        boxes.flags(ANNA, "INBOX", [2], ["\\Seen"], ["\\Flagged"], **WHO)
    before = content(yard)
    time.sleep(0.01)
    at = clock.now().isoformat()
    time.sleep(0.01)
    with Boxes(loaded) as boxes:
        boxes.expunge(ANNA, "INBOX", [2, 3, 4], **WHO)
        boxes.move(ANNA, "Old", [1], "INBOX", **WHO)
    assert run("restore", "--box", ANNA, "--at", at, "--yes")["restored"] == 3
    done = run("restore", "--box", ANNA, "--at", at, "--exact", "--yes")
    assert (done["restored"], done["moved"], done["removed"]) == (0, 1, 0)
    assert content(yard) == before
    run("restore", "--box", ANNA, "--at", "2999-01-01", "--dry-run", code=Exit.USAGE)
    run("restore", "--box", ANNA, "--at", "soon", "--dry-run", code=Exit.USAGE)
    run("restore", "--box", ANNA, "--at", "1999-01-01", "--dry-run", code=Exit.NOTHING_FOUND)


def test_exact_and_back_again(run: Run, yard: Yard, loaded: Loaded) -> None:
    run("snapshot", "create")
    then = content(yard)
    yard.deliver(ANNA, mails.plain("extra"), letters="S")
    with Boxes(loaded) as boxes:
        boxes.sync(ANNA)
        boxes.create(ANNA, "Old", **{"actor": ANNA})
        boxes.move(ANNA, "INBOX", [1], "Old", **WHO)
        boxes.flags(ANNA, "INBOX", [2], ["\\Seen", "later"], ["\\Flagged"], **WHO)
        boxes.expunge(ANNA, "INBOX", [3], **WHO)
    now = content(yard)
    done = run("restore", "--box", ANNA, "--exact", "--yes")
    assert [done[k] for k in ("restored", "moved", "marked", "removed")] == [1, 1, 1, 1]
    assert content(yard) == then
    assert done["kept"]
    again = run("restore", "--box", ANNA, "--snapshot", done["snapshot"], "--exact", "--yes")
    assert [again[k] for k in ("restored", "moved", "marked", "removed")] == [0, 0, 0, 0]

    back = run("restore", "--undo", done["operation"], "--yes")
    assert [back[k] for k in ("restored", "moved", "marked", "removed")] == [1, 1, 1, 1]
    assert content(yard) == now
    run("restore", "--undo", done["operation"], "--yes", code=Exit.NOTHING_FOUND)
    run("restore", "--undo", "0000000000000", "--yes", code=Exit.NOTHING_FOUND)
    run("restore", "--undo", back["operation"], "--yes")
    assert content(yard) == then
    listed = run("restore", "--list")["operations"]
    assert listed[1]["undoes"] == done["operation"]
    assert listed[1]["undone_by"] == listed[0]["operation"]


def test_into_another_folder_and_box(run: Run, yard: Yard, loaded: Loaded) -> None:
    run("snapshot", "create")
    words = ["restore", "--box", ANNA, "--to-folder", "Back", "--flags", "unread", "--yes"]
    assert run(*words)["restored"] == 3
    assert run(*words)["restored"] == 0
    assert sorted(flags for name, _, flags in content(yard) if name == "Back") == ["", "", "F"]
    run("restore", "--box", ANNA, "--to-box", BORIS, "--yes", code=Exit.NOTHING_FOUND)
    yard.deliver(BORIS, mails.plain("his"))
    assert run("restore", "--box", ANNA, "--to-box", BORIS, "--yes")["restored"] == 3
    assert run("restore", "--box", ANNA, "--to-box", BORIS, "--yes")["restored"] == 0
    assert len(yard.state(BORIS)) == 4


@pytest.mark.parametrize("kind", ["eml", "mbox", "maildir", "tar"])
def test_out_to_files(run: Run, yard: Yard, tmp_path: Path, kind: str) -> None:
    yard.deliver(ANNA, b"Subject: x\n\nFrom here on\n>From there\nno end", "../../Weg.zu/..")
    run("snapshot", "create")
    raws = sorted(raw for raw, *_ in yard.state(ANNA).values())
    path = tmp_path / "out" / "mail"
    path.parent.mkdir()
    words = ["restore", "--box", ANNA, "--to", str(path), "--format", kind]
    assert run(*words, "--dry-run")["would_write"] == 4
    assert not path.exists()
    assert run(*words)["written"] == 4
    run(*words, code=Exit.USAGE)
    assert [each.name for each in path.parent.iterdir()] == ["mail"]
    if kind == "mbox":
        text = path.read_bytes()
        assert text.count(b"\nFrom MAILER-DAEMON ") == 3
        assert b"\n>From here on\n>>From there\nno end\n" in text
        with contextlib.closing(mailbox.mbox(path)) as box:
            assert len(box) == 4
        return
    if kind == "tar":
        with tarfile.open(path) as archive:
            assert all(".." not in Path(name).parts for name in archive.getnames())
            found = [archive.extractfile(each) for each in archive.getmembers()]
            assert sorted(file.read() for file in found if file) == raws
        return
    files = [each for each in path.rglob("*") if each.is_file() and each.name != "maildirfolder"]
    assert sorted(each.read_bytes() for each in files) == raws
    assert {each.stat().st_mtime_ns for each in files} == {
        value[3] for value in yard.state(ANNA).values()
    }


def test_a_lost_box_keeps_its_numbers(run: Run, yard: Yard, loaded: Loaded) -> None:
    with Boxes(loaded) as boxes:
        boxes.create(ANNA, "Old", **{"actor": ANNA})
        boxes.move(ANNA, "INBOX", [2], "Old", **WHO)
        before = {m.name: m for m in boxes.list(ANNA).mailboxes}
        numbered = {(m.mailbox, m.uid, m.base) for m in boxes.list(ANNA).messages}
    run("snapshot", "create")
    time.sleep(1.1)  # a mailbox made in the same second would have the same UIDVALIDITY
    shutil.rmtree(loaded.places.boxes / box_folder(ANNA))
    assert run("restore", "--box", ANNA, "--dry-run")["keeps_uids"] == ["INBOX", "Old"]
    run("restore", "--box", ANNA, "--yes")
    with Boxes(loaded) as boxes:
        after = {m.name: m for m in boxes.list(ANNA).mailboxes}
        assert {(m.mailbox, m.uid, m.base) for m in boxes.list(ANNA).messages} == numbered
    for name, was in before.items():
        assert after[name].uidvalidity == was.uidvalidity
        assert after[name].uidnext > was.uidnext
        assert after[name].highestmodseq > was.highestmodseq
    with Boxes(loaded) as boxes:  # what is deleted from a living box gets other UIDs
        boxes.expunge(ANNA, "INBOX", [1, 3], **WHO)
    run("restore", "--box", ANNA, "--yes")
    assert min(uids(loaded, "INBOX")) >= after["INBOX"].uidnext


@pytest.mark.parametrize(
    "words",
    [
        ("--at", "now", "--deleted"),
        ("--snapshot", "x", "--deleted"),
        ("--exact", "some", "words"),
        ("--exact", "--to-folder", "x"),
        ("--to", "x", "--to-folder", "y"),
        ("--domain", "alpha.example"),
        ("flg:seen",),
        ("!box:anna",),
        ("has:wings",),
    ],
)
def test_what_does_not_go_together_is_said(run: Run, yard: Yard, words: tuple[str, ...]) -> None:
    run("snapshot", "create")
    run("restore", "--box", ANNA, "--dry-run", *words, code=Exit.USAGE)


# --------------------------------------------------------------------- choosing

ENTRY = Entry("Archive/2026", 7, "base", 1 << 40, 1 << 41, "FS", ("urgent",), 10**18, 2048, b"x")
HEAD = Head("Счёт за ноябрь", "Anna Ames <anna@mail.example.org>", 10**15, "<7@example>", "b@c.d")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", True),
        ("счет", True),
        ("subj:ноябрь", True),
        ("subj:нояб", False),
        ("subj:нояб*", True),
        ("from:anna", True),
        ("from:ames", True),
        ("from:@example.org", True),
        ("from:@ample.org", False),
        ("from:anna@mail.example.org", True),
        ("to:b@c.d", True),
        ("to:anna", False),
        ("msgid:<7@example>", True),
        ("mbox:archive/*", True),
        ("mbox:archive", False),
        ("mbox:[a]*", False),
        ("flag:seen", True),
        ("flag:\\Flagged", True),
        ("!flag:answered", True),
        ("flag:urgent", True),
        ("size:>1k", True),
        ("size:<1k", False),
        ("since:2001-09-01", True),
        ("until:2001-09-01", False),
        ("(on:2001-09-09 | flag:draft)", True),
        ("on:2001-09-12|flag:draft", False),
        ("date:2001-09-09", True),
        ("date:2001-09-08..2001-09-10", True),
        ("!date:2001-09-09", False),
        ("has:attachment", True),
        (f"id:{ids.text(1 << 41)}", True),
        (ids.text(1 << 40), True),
        ("from:anna !(flag:seen | flag:draft)", False),
    ],
)
def test_the_language_over_messages(text: str, meant: bool, monkeypatch: Any) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    query = choosing.parse(text, clock.now_us())
    one = Candidate(ANNA, ENTRY, replace(HEAD), lambda: True)
    assert choosing.fits(query, one) is meant
    assert choosing.fits(query, replace(one, head=None)) in (True, False)


def test_a_field_of_the_log_is_none_of_messages() -> None:
    with pytest.raises(SearchError, match="there is no field"):
        choosing.parse("state:bounced", 0)


# ----------------------------------------------------------------------- moment


def test_events_may_be_told_twice_and_in_another_order() -> None:
    st, base = 1 << 40, "1.x,S=5"
    came = events.StoreDelivered(
        at=1, trace=9, addr=ANNA, st=st, mailbox="INBOX", base=base, size=5
    )
    numbered = stored.BoxNumbered(
        at=2, trace=9, addr=ANNA, mailbox="INBOX", items=(Item(st, 9, 1),), uidvalidity=3
    )
    item = (Item(st, 9, 1, base),)
    marked = stored.BoxFlags(
        at=3, trace=9, addr=ANNA, mailbox="INBOX", items=item, added=("\\Seen", "x")
    )
    moved = stored.BoxMove(
        at=4,
        trace=9,
        addr=ANNA,
        mailbox="INBOX",
        items=(Item(st, 9, 4, base),),
        target="A",
        uidvalidity=5,
    )
    renamed = stored.BoxMailbox(at=5, trace=8, addr=ANNA, mailbox="A", what="renamed", target="B/A")
    moment = Moment()
    moment.play([renamed, moved, marked, numbered, came])
    moment.play([came, numbered])
    (entry,) = moment.entries.values()
    assert (entry.mailbox, entry.uid, entry.flags, entry.keywords, entry.m) == (
        "B/A",
        4,
        "S",
        ("x",),
        9,
    )
    assert moment.uidnext == {3: 2, 5: 5}
    gone = stored.BoxExpunge(at=6, trace=9, addr=ANNA, mailbox="B/A", items=item, client="c")
    moment.play([gone])
    assert not moment.entries
    assert [(one.entry.mailbox, one.client) for one in moment.gone] == [("B/A", "c")]


def test_exact_says_what_is_done_with_each() -> None:
    box = [ENTRY, replace(ENTRY, base="b2", mailbox="INBOX"), replace(ENTRY, base="b3")]
    there = [
        Present("INBOX", "base", 2048, b"x", "FS", ("urgent",)),
        Present("INBOX", "b2", 2048, b"x", "S"),
        Present("INBOX", "new", 1, b"y"),
    ]
    acts = {step.entry.base: step.act for step in exact(box, there)}
    assert acts == {"base": Act.MOVE, "b2": Act.MARK, "b3": Act.PUT, "new": Act.REMOVE}
    one = {step.entry.base: step.act for step in exact(box, there, "INBOX")}
    assert one == {"base": Act.MOVE, "b2": Act.MARK, "new": Act.REMOVE}

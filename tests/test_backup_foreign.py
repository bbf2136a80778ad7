"""Snapshots of Maildirs that are no boxes of ours, however hostile they are."""

import os
import threading
from pathlib import Path

import pytest

from backup.aside import Aside
from mtad.config import Loaded
from mtad.errors import Exit, NotPermitted
from mtad.store import foreign, uidlist
from mtad.store.foreign import read_maildir
from tests import mails
from tests.backup_yard import ANNA, Run, Yard, command, settings, three_messages

OTHER = "eve@elsewhere.example"


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    return settings(tmp_path)


@pytest.fixture
def yard(loaded: Loaded) -> Yard:
    return three_messages(loaded)


@pytest.fixture
def run(loaded: Loaded) -> Run:
    return command(loaded)


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    """What Dovecot leaves: numbers, keywords, a folder with a name in modified UTF-7."""
    root = tmp_path / "home" / "Maildir"
    for folder in ("", ".Archive.2024", ".&BBIERQQ+BDQ-"):
        for sub in ("cur", "new", "tmp"):
            (root / folder / sub).mkdir(parents=True)
    put(root / "cur" / "1700000001.M1P1.peer,S=9:2,FSab", 1)
    put(root / "new" / "1700000002.M2P1.peer", 2)
    put(root / ".Archive.2024" / "cur" / "1700000003.M3P1.peer:2,", 3)
    put(root / ".&BBIERQQ+BDQ-" / "cur" / "1700000004.M4P1.peer:2,R", 4)
    (root / "dovecot-keywords").write_text("0 Junk\n1 $Label1\n")
    uidlist.write(root, 77, 9, 0, [(7, "1700000001.M1P1.peer,S=9")])
    return root


def put(path: Path, number: int) -> None:
    path.write_bytes(mails.plain(str(number)))
    os.utime(path, ns=(10**18 + number, 10**18 + number))


def test_it_is_read_as_dovecot_has_it(maildir: Path) -> None:
    state = read_maildir(maildir, OTHER)
    found = {one.base[:10]: one for one in state.messages}
    first = found["1700000001"]
    assert (first.uid, first.flags, first.keywords) == (7, "FS", ("$Label1", "Junk"))
    assert first.internaldate_ns == 10**18 + 1
    assert {one.mailbox for one in state.messages} == {"INBOX", "Archive/2024", "Вход"}
    assert found["1700000002"].uid == 0
    inbox = state.mailboxes[0]
    assert (inbox.uidvalidity, inbox.uidnext, inbox.messages) == (77, 9, 2)


def test_it_is_snapshotted_and_put_into_a_box(
    yard: Yard, run: Run, maildir: Path, loaded: Loaded
) -> None:
    before = {path: path.stat().st_mtime_ns for path in sorted(maildir.rglob("*"))}
    taken = run("snapshot", "create", "--maildir", str(maildir), "--as", OTHER)
    assert (taken["boxes"], taken["messages"], taken["unread"]) == (1, 4, [])
    assert taken["scope"] == f"Maildir {maildir} as {OTHER}"
    again = run("snapshot", "create", "--maildir", str(maildir), "--as", OTHER)
    assert (again["added"], again["stored_bytes"]) == (0, 0)
    assert again["same_as"] == taken["snapshot"]
    assert {path: path.stat().st_mtime_ns for path in sorted(maildir.rglob("*"))} == before
    done = run("restore", "--box", OTHER, "--to-box", ANNA, "--yes")
    assert done["restored"] == 4
    folder = yard.boxes[ANNA] / "Maildir"
    dates = {path.stat().st_mtime_ns for path in folder.rglob("cur/*")}
    assert {10**18 + number for number in (1, 2, 3, 4)} < dates
    entry = next(one for one in yard.entries(OTHER) if one.uid == 7)
    assert (entry.flags, entry.keywords) == ("FS", ("$Label1", "Junk"))


def test_a_symbolic_link_leads_nowhere(yard: Yard, run: Run, maildir: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    for sub in ("cur", "new", "tmp"):
        (secret / sub).mkdir(parents=True)
    put(secret / "cur" / "1700000009.M9P1.peer:2,", 9)
    (maildir / "cur" / "1700000005.M5P1.peer:2,").symlink_to(
        secret / "cur" / "1700000009.M9P1.peer:2,"
    )
    (maildir / ".Trap").symlink_to(secret)
    (maildir / ".Half").mkdir()
    (maildir / ".Half" / "cur").symlink_to(secret / "cur")
    (maildir / ".Half" / "new").mkdir()
    os.mkfifo(maildir / "cur" / "1700000006.M6P1.peer:2,")
    (maildir / "dovecot-keywords").unlink()
    (maildir / "dovecot-keywords").symlink_to(secret / "cur" / "1700000009.M9P1.peer:2,")
    (maildir / "dovecot-acl").symlink_to(secret / "cur" / "1700000009.M9P1.peer:2,")
    taken = run("snapshot", "create", "--maildir", str(maildir), "--as", OTHER)
    assert (taken["messages"], taken["unread"]) == (4, [])
    with yard.open() as store:
        raws = {store.message(one.id)[0] for one in yard.entries(OTHER)}
    assert raws == {mails.plain(str(number)) for number in (1, 2, 3, 4)}


@pytest.mark.parametrize("can_link", [True, False])
def test_a_folder_that_becomes_a_link_meanwhile(
    maildir: Path, tmp_path: Path, can_link: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After it was listed, before it is read: what lies where the link leads is not taken."""
    secret = tmp_path / "secret"
    secret.mkdir()
    state = read_maildir(maildir, OTHER)
    for one in state.messages:
        put(secret / Path(one.file).name, 9)
    for sub in ("cur", "new"):
        for path in (maildir / sub, maildir / ".Archive.2024" / sub):
            path.rename(path.with_name(f"was-{sub}"))
            path.symlink_to(secret)
    (maildir / ".&BBIERQQ+BDQ-").rename(tmp_path / "moved")
    (maildir / ".&BBIERQQ+BDQ-").symlink_to(tmp_path / "moved")
    if not can_link:

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    with Aside(tmp_path / "links") as links:
        caught, failed = links.take(maildir, state.messages, range(4))
        assert caught == []
        assert list((tmp_path / "links").iterdir()) == []
        assert all(error.errno in (20, 40) for error in failed.values())


def test_a_file_that_becomes_a_link_meanwhile(
    maildir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"not for you")
    state = read_maildir(maildir, OTHER)
    for one in state.messages:
        one.path.unlink()
        one.path.symlink_to(secret)
    with Aside(tmp_path / "links") as links:
        caught, _ = links.take(maildir, state.messages, range(4))
        for number in caught:
            with pytest.raises(OSError, match=r"symbolic links|regular"):
                links.read(number)


def test_copied_where_there_can_be_no_link(
    yard: Yard, run: Run, maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    taken = run("snapshot", "create", "--maildir", str(maildir), "--as", OTHER)
    assert (taken["messages"], taken["added"], taken["unread"]) == (4, 4, [])


def test_exact_while_another_program_renames(yard: Yard, run: Run, maildir: Path) -> None:
    for number in range(300):
        put(maildir / "cur" / f"17100{number:05}.M{number}P1.peer:2,", number)
    stop = threading.Event()

    def rename() -> None:
        while not stop.is_set():
            for path in list((maildir / "cur").iterdir()):
                base, _, flags = path.name.partition(":2,")
                path.rename(path.with_name(f"{base}:2,{'' if flags else 'S'}"))

    worker = threading.Thread(target=rename)
    worker.start()
    try:
        for _ in range(3):
            taken = run("snapshot", "create", "--maildir", str(maildir), "--as", OTHER)
            assert (taken["messages"], taken["unread"]) == (304, [])
    finally:
        stop.set()
        worker.join()


def test_what_cannot_be_said(run: Run, yard: Yard, maildir: Path, tmp_path: Path) -> None:
    where = ("snapshot", "create", "--maildir")
    run(*where, str(maildir), code=Exit.USAGE)
    run("snapshot", "create", "--as", OTHER, code=Exit.USAGE)
    run(*where, str(maildir), "--as", ANNA, code=Exit.USAGE)
    run(*where, str(maildir), "--as", "nobody", code=Exit.USAGE)
    run(*where, str(maildir), "--as", OTHER, "--box", ANNA, code=Exit.USAGE)
    run(*where, str(tmp_path), "--as", OTHER, code=Exit.NOTHING_FOUND)


def test_one_that_cannot_be_read_is_said_so(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(NotPermitted, match=r"cur cannot be read by \w+"):
        foreign.check_maildir(maildir)

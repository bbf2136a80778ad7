"""Maildirs as they are found: listings under renames, awkward names, reading beside the owner."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mtad.store import maildir, names, reading
from mtad.store.box import Box
from mtad.store.files import Files
from tests import mails
from tests.test_store_box import ADDRESS, MAIL, Place

RENAMER = """
import os, random, sys
root, count = sys.argv[1], int(sys.argv[2])
random.seed(7)
folders = [os.path.join(root, sub) for sub in ("new", "cur")]
where = {n: folders[0] + f"/{n}.base" for n in range(count)}
print("ready", flush=True)
while True:
    number = random.randrange(count)
    base = f"{number}.base"
    if random.random() < 0.2:
        target = f"{folders[0]}/{base}"
    else:
        target = f"{folders[1]}/{base}:2,{''.join(sorted(random.sample('DFPRST', 3)))}"
    os.rename(where[number], target)
    where[number] = target
"""


@contextmanager
def renaming(mailbox: Path, count: int) -> Iterator[None]:
    """Another program that renames messages as fast as it can."""
    process = subprocess.Popen(
        [sys.executable, "-c", RENAMER, str(mailbox), str(count)], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()


def fill(mailbox: Path, count: int) -> set[str]:
    for number in range(count):
        (mailbox / "new" / f"{number}.base").write_bytes(b"")
    return {f"{number}.base" for number in range(count)}


def test_a_listing_is_exact_while_names_change(tmp_path: Path) -> None:
    maildir.ensure(tmp_path)
    bases = fill(tmp_path, 2000)
    with renaming(tmp_path, 2000):
        until = time.monotonic() + 4
        rounds = 0
        while time.monotonic() < until:
            listing = maildir.listing(tmp_path)
            assert listing.entries.keys() == bases
            assert not listing.doubles
            rounds += 1
    assert rounds > 3


def test_reading_a_box_is_exact_while_names_change(tmp_path: Path) -> None:
    place = Place(tmp_path)
    bases = fill(place.maildir, 500)
    box = place.box()
    box.owner.sync()
    with renaming(place.maildir, 500):
        for _ in range(5):
            found = reading.read_box(place.folder, ADDRESS)
            assert {m.base for m in found.messages} == bases
            for message in random.sample(found.messages, 20):
                os.close(reading.open_message(place.folder, message))
        box.owner.sync()
        assert {m.base for m in box.owner.messages()} == bases
        assert {m.uid for m in box.owner.messages()} == set(range(1, 501))
    box.close()
    place.journal.close_now()


def test_a_name_that_is_always_stale_a_while_is_no_deleted_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path)
    fill(place.maildir, 1)
    (message,) = reading.read_box(place.folder, ADDRESS).messages
    (place.maildir / "new" / "0.base").rename(place.maildir / "cur" / "0.base:2,S")
    found, looks = maildir.locate, []

    def late(mailbox: Path, base: str) -> maildir.Entry | None:
        """What was found has another name again, twenty times."""
        looks.append(base)
        return maildir.Entry(True, "0.base") if len(looks) < 20 else found(mailbox, base)

    monkeypatch.setattr(maildir, "locate", late)
    os.close(reading.open_message(place.folder, message))
    assert len(looks) == 20
    (place.maildir / "cur" / "0.base:2,S").unlink()
    with pytest.raises(FileNotFoundError, match=r"0\.base is no longer in"):
        reading.open_message(place.folder, message)


def test_what_is_not_a_message_is_not_listed(tmp_path: Path) -> None:
    maildir.ensure(tmp_path)
    new, cur = tmp_path / "new", tmp_path / "cur"
    (new / "1.a.host").write_bytes(MAIL)
    (cur / "2.a.host:2,S").write_bytes(MAIL)
    (cur / "3.link.host:2,S").symlink_to(new / "1.a.host")
    (cur / "4.dir.host:2,S").mkdir()
    (new / ".hidden").write_bytes(MAIL)
    os.mkfifo(new / "5.pipe.host")
    (tmp_path / "tmp" / "6.tmp.host").write_bytes(MAIL)
    assert maildir.listing(tmp_path).entries.keys() == {"1.a.host", "2.a.host"}
    with pytest.raises(OSError, match="symbolic link"):
        maildir.open_file(cur / "3.link.host:2,S")
    with pytest.raises(OSError, match="not a regular file"):
        maildir.open_file(new / "5.pipe.host")


def test_folders_that_are_links_are_not_followed(tmp_path: Path) -> None:
    real = tmp_path / "real"
    maildir.ensure(real)
    fill(real, 3)
    box = tmp_path / "box"
    box.mkdir()
    (box / "new").symlink_to(real / "new")
    (box / ".Sent").symlink_to(real)
    assert not maildir.listing(box).entries
    assert maildir.folders(box) == {"INBOX": ""}


def test_two_folders_of_one_name_are_both_mailboxes(tmp_path: Path) -> None:
    for folder in ("", ".Архив", names.mailbox_folder("Архив"), ".INBOX", ".a\udcff", "..b"):
        maildir.ensure(tmp_path, folder)
    found = maildir.folders(tmp_path)
    assert len(found) == len(set(found.values())) == 6
    assert found["Архив"] == names.mailbox_folder("Архив")
    assert found["INBOX"] == ""
    for name in found:
        name.encode()


def test_a_folder_younger_than_two_seconds_is_looked_at_again(tmp_path: Path) -> None:
    maildir.ensure(tmp_path)
    files = Files(tmp_path)
    assert files.changed("", "new")
    files.listed("", "new", files.begin("", "new"))
    assert files.changed("", "new")
    past = time.time_ns() - 3_000_000_000
    os.utime(tmp_path / "new", ns=(past, past))
    assert files.changed("", "new")
    files.listed("", "new", files.begin("", "new"))
    assert not files.changed("", "new")
    (tmp_path / "new" / "x").write_bytes(b"")
    assert files.changed("", "new")
    os.utime(tmp_path / "new", ns=(past, past))
    assert not files.changed("", "new")
    with files.changing(("", "new")):
        (tmp_path / "new" / "x").unlink()
    assert not files.changed("", "new")
    now = files.begin("", "new").mtime_ns
    files.listed("", "new", files.begin("", "new")._replace(own=True, mtime_ns=now))
    assert not files.changed("", "new")
    old = time.time_ns() - 2_100_000_000
    os.utime(tmp_path / "new", ns=(old, old))
    files.listed("", "new", files.begin("", "new")._replace(own=True, settled=False))
    assert files.changed("", "new"), "what our own rename may hide is looked for once"


def test_reading_shows_numbered_and_unnumbered_without_owning(tmp_path: Path) -> None:
    place = Place(tmp_path)
    sts = place.deliver(2)
    first = reading.read_box(place.folder, ADDRESS)
    assert sorted((m.uid, m.st) for m in first.messages) == [(0, sts[0]), (0, sts[1])]
    box = place.box()
    box.owner.sync()
    box.owner.flags("INBOX", [1], ["\\Seen", "Junk"], [], actor="x")
    box.owner.create("Sub", actor="x")
    sts += place.deliver(1, "Sub")
    (place.maildir / "cur" / "9.foreign.host:2,Fa").write_bytes(MAIL)
    state = reading.read_box(place.folder, ADDRESS)
    seen = {m.base: (m.mailbox, m.uid, m.st, m.flags, m.keywords) for m in state.messages}
    assert seen.pop("9.foreign.host") == ("INBOX", 0, 0, "F", ("Junk",))
    assert sorted(seen.values()) == [
        ("INBOX", 1, sts[0], "S", ("Junk",)),
        ("INBOX", 2, sts[1], "", ()),
        ("Sub", 0, sts[2], "", ()),
    ]
    assert all(m.path.read_bytes().startswith(b"Subject") for m in state.messages)
    assert [(m.name, m.messages) for m in state.mailboxes] == [("INBOX", 3), ("Sub", 1)]
    box.owner.flags("INBOX", [2], ["\\Flagged"], [], actor="x")
    box.owner.move("INBOX", [2], "Sub", actor="x")
    moved = next(m for m in state.messages if m.uid == 2)
    descriptor = reading.open_message(place.folder, moved)
    assert os.read(descriptor, 9) == MAIL[:9]
    os.close(descriptor)
    box.owner.expunge("INBOX", [1], actor="x")
    with pytest.raises(FileNotFoundError):
        reading.open_message(place.folder, next(m for m in state.messages if m.uid == 1))
    box.close()
    place.journal.close_now()


def test_reading_what_never_was(tmp_path: Path) -> None:
    assert reading.read_box(tmp_path, ADDRESS).messages == []


def test_the_awkward_maildir(tmp_path: Path) -> None:
    place = Place(tmp_path)
    mails.awkward_maildir(place.maildir)
    box = place.box()
    box.owner.sync()
    messages = box.owner.messages()
    assert len(messages) == len({m.st for m in messages}) == len({m.base for m in messages})
    by_start = {m.base.split(".")[0] + m.base.split(".")[1]: m for m in messages if "." in m.base}
    assert by_start["1704096000M1P1"].flags == "S"
    assert by_start["1704096001M2P1"].flags == "FRS"
    assert by_start["1704096001M2P1"].size == len(mails.plain("m1", 1))
    assert by_start["1704096003M4P1"].flags == "SZ"
    assert by_start["1704096004M5P1"].flags == ""
    assert by_start["1704096005M6P1"].flags == "S"
    assert by_start["1704096006M7P1"].flags == ""
    assert by_start["1704096013M13P1"].flags == "T"
    assert not any("M99P1" in m.base or "hidden" in m.base for m in messages)
    assert not any("M11P1" in m.base for m in messages)
    mailboxes = {m.name: m.messages for m in box.owner.mailboxes()}
    assert mailboxes == {
        "INBOX": len(messages) - 4,
        "Sent": 1,
        "Отправленные": 1,
        "Архив/2024": 1,
        "Trash": 1,
        "Empty": 0,
    }
    assert len(messages) == 18
    dates = {m.internaldate_ns // 10**9 for m in messages}
    assert {*range(1704096000, 1704096019)} - {1704096011} == dates
    for mailbox in mailboxes:
        uids = [m.uid for m in messages if m.mailbox == mailbox]
        if uids:
            box.owner.flags(mailbox, uids, ["\\Seen"], [], actor="x")
    assert all("S" in m.flags for m in box.owner.messages())
    assert box.owner.sync() == 0
    assert len(list(reading.read_box(place.folder, ADDRESS).messages)) == 18
    assert (place.maildir / "cur" / "1704096099.M99P1.host:2,S").is_symlink()
    box.close()
    place.journal.close_now()


def test_how_fast(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Figures for the eye; machines differ, so nothing is asserted of the clock."""
    count = 5000
    place = Place(tmp_path)
    place.deliver(count)
    box = place.box()
    lines = []

    def timed(what: str, each: int, work: object) -> None:
        start = time.perf_counter()
        assert callable(work)
        work()
        spent = time.perf_counter() - start
        lines.append(f"{what}: {spent * 1e3:.0f} ms, {spent / each * 1e6:.0f} us each")

    owner = box.owner
    everything = range(1, count + 1)
    timed("number 5000", count, owner.sync)
    timed("look again", 1, owner.sync)
    timed("flag 5000", count, lambda: owner.flags("INBOX", everything, ["\\Seen"], [], actor="x"))
    timed("100 single flags", 100, lambda: _single_flags(box, 100))
    timed("read 5000", count, lambda: owner.messages("INBOX"))
    timed("read_box 5000", count, lambda: reading.read_box(place.folder, ADDRESS))
    owner.create("Sub", actor="x")
    timed("move 1000", 1000, lambda: owner.move("INBOX", everything[:1000], "Sub", actor="x"))
    timed("expunge 4000", 4000, lambda: owner.expunge("INBOX", everything[1000:], actor="x"))
    timed("close", 1, box.close)
    place.journal.close_now()
    assert not list((place.maildir / "new").iterdir())
    with capsys.disabled():
        print("\n  " + "\n  ".join(lines))


def _single_flags(box: Box, count: int) -> None:
    for uid in range(1, count + 1):
        box.owner.flags("INBOX", [uid], ["\\Flagged"], [], actor="x")

"""Mailboxes made, renamed and deleted: what is there afterwards, and after any interruption."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from unittest import mock

import pytest

from mtad.errors import NothingFound, UsageError
from mtad.journal import disk
from mtad.journal.writer import Journal
from mtad.store import maildir
from mtad.store.box import Box
from mtad.store.index import Index
from tests.test_store_box import MAIL, Place, of_kind
from tests.test_store_faults import Cut, die
from tracing.events import BoxExpunge, BoxMailbox

TREE = ("A", "A/B", "A/B/C", "AB")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.journal.close_now()


def grown(place: Place) -> Box:
    """A box with a tree of mailboxes, a message in each."""
    box = place.box()
    place.deliver(1 + len(TREE))
    box.owner.sync()
    for uid, name in enumerate(TREE, 2):
        box.owner.create(name, actor="x")
        box.owner.move("INBOX", [uid], name, actor="x")
        box.owner.flags(name, [1], ["\\Seen", "Junk"], [], actor="x")
    return box


def shape(box: Box) -> dict[str, tuple[int, list[tuple[int, int, str]]]]:
    """Of each mailbox its UIDVALIDITY and its messages as UID, stored copy, flags."""
    return {
        info.name: (
            info.uidvalidity,
            [(m.uid, m.st, m.flags) for m in box.owner.messages(info.name)],
        )
        for info in box.owner.mailboxes()
    }


def folders(place: Place) -> list[str]:
    return sorted(path.name for path in place.maildir.iterdir() if path.name.startswith("."))


async def test_a_mailbox_and_those_below_it_are_renamed(place: Place) -> None:
    box = grown(place)
    before = shape(box)
    await box.rename("A", "Z/&", actor="user:ann", client="imap")
    after = shape(box)
    assert after == {
        {"A": "Z/&", "A/B": "Z/&/B", "A/B/C": "Z/&/B/C"}.get(name, name): what
        for name, what in before.items()
    }
    assert folders(place) == [".AB", ".Z.&-", ".Z.&-.B", ".Z.&-.B.C"]
    await box.sync()
    await box.flags("Z/&/B", [1], ["\\Flagged"], [], actor="x")
    assert await box.create("A", actor="x")
    validities = [info.uidvalidity for info in box.owner.mailboxes()]
    assert len(set(validities)) == len(validities)
    assert shape(box)["A"][0] == max(validities)
    box.close()
    told = [one for one in place.events() if isinstance(one, BoxMailbox)]
    (event,) = (one for one in told if one.what == "renamed")
    assert (event.mailbox, event.target, event.actor, event.client) == (
        "A",
        "Z/&",
        "user:ann",
        "imap",
    )


async def test_what_lies_below_a_name_without_a_mailbox_is_renamed(place: Place) -> None:
    box = place.box()
    await box.create("Old/2025", actor="x")
    await box.rename("Old", "Older", actor="x")
    assert [info.name for info in box.owner.mailboxes()] == ["INBOX", "Older/2025"]
    box.close()


async def test_renaming_inbox_moves_its_messages(place: Place) -> None:
    box = grown(place)
    ((_, st, flags),) = shape(box)["INBOX"][1]
    await box.rename("inbox", "Kept", actor="x")
    assert shape(box)["INBOX"][1] == []
    assert shape(box)["Kept"][1] == [(1, st, flags)]
    box.close()


@pytest.mark.parametrize(
    ("mailbox", "target", "error", "says"),
    [
        ("None", "Z", NothingFound, "no mailbox None"),
        ("A", "AB", UsageError, "has a mailbox AB already"),
        ("A", "inbox", UsageError, "has a mailbox inbox already"),
        ("A", "A", UsageError, "is A itself or below it"),
        ("A", "A/D", UsageError, "is A itself or below it"),
        ("A", "Z//Y", UsageError, "not a name"),
        ("A", "x" * 260, UsageError, "too long"),
        ("INBOX", "A", UsageError, "has a mailbox A already"),
        ("A", "Z", UsageError, "is in the way"),
    ],
)
async def test_what_cannot_be_renamed_is_told_and_left(
    place: Place, mailbox: str, target: str, error: type[Exception], says: str
) -> None:
    box = grown(place)
    (place.maildir / ".Z.B").write_bytes(b"no folder")
    before = shape(box)
    with pytest.raises(error, match=says):
        await box.rename(mailbox, target, actor="x")
    assert shape(box) == before
    assert await box.sync() == 0
    assert shape(box) == before
    box.close()


async def test_deleting_a_mailbox_deletes_its_messages_and_nothing_below(place: Place) -> None:
    box = grown(place)
    before = shape(box)
    assert await box.delete("A", actor="user:ann", client="imap") == 1
    assert shape(box) == {name: what for name, what in before.items() if name != "A"}
    assert folders(place) == [".A.B", ".A.B.C", ".AB"]
    assert not list((place.maildir / "tmp").iterdir())
    assert await box.sync() == 0
    assert await box.create("A", actor="x")
    again = shape(box)["A"]
    assert again[0] > max(validity for validity, _ in before.values())
    assert again[1] == []
    for name, error in (("INBOX", UsageError), ("None", NothingFound)):
        with pytest.raises(error):
            await box.delete(name, actor="x")
    box.close()
    events = place.events()
    (gone,) = of_kind(events, BoxExpunge)
    assert isinstance(gone, BoxExpunge)
    assert [item.st for item in gone.items] == [before["A"][1][0][1]]
    assert [one.what for one in events if isinstance(one, BoxMailbox)] == [
        "created", "created", "created", "created", "deleted", "created",
    ]  # fmt: skip


async def test_mail_that_comes_while_its_mailbox_is_deleted_is_kept(place: Place) -> None:
    box = grown(place)
    before = shape(box)["A"][0]
    rename = disk.rename

    def late(source: Path, target: Path) -> None:
        if target.name.startswith("deleted-"):
            place.deliver(1, "A")
        rename(source, target)

    with mock.patch.object(disk, "rename", late):
        await box.delete("A", actor="x")
    await box.sync()
    validity, messages = shape(box)["A"]
    assert validity > before
    assert len(messages) == 1
    assert not list((place.maildir / "tmp").iterdir())
    box.close()


async def test_what_is_in_the_way_of_a_mailbox_blocks_no_other_act(place: Place) -> None:
    box = grown(place)
    (place.maildir / ".File").write_bytes(MAIL)
    (place.maildir / ".Link").symlink_to(place.data)
    for name in ("File", "Link"):
        with pytest.raises(UsageError, match="is in the way"):
            await box.create(name, actor="x")
    assert await box.create("Other", actor="x")
    box.close()


@pytest.mark.parametrize("act", ["create", "rename", "delete"])
async def test_an_act_that_a_full_disk_stopped_is_done_later(place: Place, act: str) -> None:
    box = grown(place)
    await box.expunge("AB", [1], actor="x")
    attempts: dict[str, Callable[[], Awaitable[object]]] = {
        "create": lambda: box.create("Z", actor="x"),
        "rename": lambda: box.rename("A", "Z", actor="x"),
        "delete": lambda: box.delete("AB", actor="x"),
    }
    with mock.patch.object(Index, "set_applied", side_effect=OSError(28, "no space")):
        with pytest.raises(OSError, match="no space"):
            await attempts[act]()
        with pytest.raises(OSError, match="no space"):
            await box.sync()
    await box.sync()
    found = {info.name for info in box.owner.mailboxes()}
    wanted = {
        "create": {"INBOX", *TREE, "Z"},
        "rename": {"INBOX", "Z", "Z/B", "Z/B/C", "AB"},
        "delete": {"INBOX", "A", "A/B", "A/B/C"},
    }
    assert found == wanted[act]
    assert len(folders(place)) == len(found) - 1
    box.close()
    box = place.box()
    assert {info.name for info in box.owner.mailboxes()} == found
    box.close()


def renaming(box: Box) -> None:
    box.owner.rename("A", "Z", actor="x")


def deleting(box: Box) -> None:
    box.owner.delete("A", actor="x")


def creating(box: Box) -> None:
    box.owner.create("New/Box", actor="x")


STEPS = (
    (disk, "rename"), (disk, "mkdir"), (disk, "unlink"), (disk, "rmdir"), (disk, "fsync"),
    (maildir, "rename"), (Index, "set_applied"), (Journal, "commit_now"),
)  # fmt: skip


@pytest.mark.parametrize("act", [creating, renaming, deleting])
def test_an_interrupted_act_is_done_if_it_was_promised(
    tmp_path: Path, act: Callable[[Box], None]
) -> None:
    """Killed at each of its steps: the mailboxes are as before, or as they were to be."""
    whole = Place(tmp_path / "whole")
    box = grown(whole)
    names_before = {info.name for info in box.owner.mailboxes()}
    act(box)
    names_after = {info.name for info in box.owner.mailboxes()}
    die(box)
    whole.journal.close_now()
    seen = set()
    for step in range(1, 200):
        place = Place(tmp_path / f"{step}")
        box = grown(place)
        before = shape(box)
        done = _cut(step, lambda box=box: act(box))  # type: ignore[misc]
        die(box)
        place.journal.close_now()
        place.journal = place.open_journal()
        box = place.box()
        assert box.owner.sync() == 0
        found = {info.name for info in box.owner.mailboxes()}
        assert found in (names_before, names_after)
        seen.add(found == names_after)
        sts = {st for _, messages in before.values() for _, st, _ in messages}
        left = {m.st for m in box.owner.messages()}
        lost = before["A"][1][0][1] if act is deleting else 0
        assert left in (sts, sts - {lost})
        assert sts == left or found == names_after or act is deleting
        assert not list((place.maildir / "tmp").iterdir())
        assert len(folders(place)) == len(found) - 1
        box.close()
        place.journal.close_now()
        if done:
            break
    assert seen == {True, False}
    assert step > 5


def _cut(step: int, work: Callable[[], None]) -> bool:
    """Do work up to a step; whether it came to its end."""
    count = 0

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            nonlocal count
            count += 1
            if count == step:
                raise Cut
            return real(*args, **kwargs)

        return call

    patches = [
        mock.patch.object(owner, name, counted(getattr(owner, name))) for owner, name in STEPS
    ]
    for patch in patches:
        patch.start()
    try:
        with suppress(Cut):
            work()
    finally:
        for patch in patches:
            patch.stop()
    return count < step

"""A box's acts, from file names to events, over a real journal."""

import asyncio
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from unittest import mock

import pytest

from mtad import address, clock
from mtad.errors import Locked, MtadError, NothingFound, UsageError
from mtad.journal.frame import Meta
from mtad.journal.reader import Reader
from mtad.journal.writer import Journal, JournalFull
from mtad.store import following, holding, maildir, names, owner
from mtad.store.box import Box, Message, Prepared
from mtad.store.telling import chunks
from tests.dialog import until
from tracing import ids
from tracing.events import (
    BoxAppend,
    BoxExpunge,
    BoxFlags,
    BoxForeign,
    BoxMailbox,
    BoxMove,
    BoxNumbered,
    BoxVanished,
    Event,
    RestoreMessage,
)

ADDRESS = "ann@example.org"
MAIL = b"Subject: =?utf-8?B?0J/RgNC40LLQtdGC?= %d\nFrom: a@example.net\n\nhello\n"


class Place:
    """A data directory with one box and one journal."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.folder = data / "boxes" / address.box_folder(ADDRESS)
        self.maildir = self.folder / "Maildir"
        self.mint = ids.Mint(1)
        maildir.ensure(self.maildir)
        self.journal = self.open_journal()

    def open_journal(self) -> Journal:
        return Journal.open(self.data / "journal" / "access-0", node=16)

    def box(self) -> Box:
        return Box.hold(self.folder, ADDRESS, self.journal, "mx.example.org")

    def deliver(self, count: int = 1, mailbox: str = "INBOX") -> list[int]:
        """What the log role does: files in ``new/`` under our names."""
        sts = []
        folder = names.mailbox_folder(mailbox)
        maildir.ensure(self.maildir, folder)
        for number in range(count):
            st = self.mint.new()
            data = MAIL % number
            base = names.base_name(st, clock.now_us() * 1000, "mx", len(data), len(data) + 4)
            (self.maildir / folder / "new" / base).write_bytes(data)
            sts.append(st)
        return sts

    def prepare(self, name: str, data: bytes = MAIL, base: str = "", flags: str = "S") -> Prepared:
        (self.maildir / "tmp" / name).write_bytes(data)
        digest = hashlib.sha256(data).digest()
        return Prepared(name, base, flags, ("Junk",), 1_600_000_000_123_456_789, len(data), digest)

    def files(self, mailbox: str = "INBOX") -> set[str]:
        path = self.maildir / names.mailbox_folder(mailbox)
        return {f"{sub}/{file.name}" for sub in ("new", "cur") for file in (path / sub).iterdir()}

    def events(self) -> list[Event]:
        """Everything the journal holds, once it is closed."""
        self.journal.close_now()
        reader = Reader(self.data / "journal" / "access-0")
        try:
            return [event for frame in reader.frames(0) for event in frame.events]
        finally:
            reader.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.journal.close_now()


def of_kind(events: list[Event], kind: type[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, kind)]


def by_uid(box: Box, mailbox: str = "INBOX") -> dict[int, Message]:
    return {message.uid: message for message in box.owner.messages(mailbox)}


async def test_deliveries_are_numbered_in_order_and_stay_new(place: Place) -> None:
    sts = place.deliver(3)
    box = place.box()
    assert await box.sync() == 3
    assert await box.sync() == 0
    messages = box.owner.messages("INBOX")
    assert [(m.uid, m.st) for m in messages] == list(enumerate(sts, 1))
    assert all(m.file.startswith("new/") for m in messages)
    assert place.files() == {m.file for m in messages}
    info = box.owner.mailboxes()[0]
    assert (info.name, info.uidnext, info.messages) == ("INBOX", 4, 3)
    box.close()
    (event,) = of_kind(place.events(), BoxNumbered)
    assert isinstance(event, BoxNumbered)
    assert [item.uid for item in event.items] == [1, 2, 3]
    assert event.uidvalidity == info.uidvalidity


async def test_flags_move_the_file_to_cur_and_are_recorded(place: Place) -> None:
    place.deliver(2)
    box = place.box()
    await box.sync()
    before = box.owner.mailboxes()[0].highestmodseq
    done = await box.flags(
        "INBOX", [1, 2], ["\\Seen", "Junk"], [], actor="user:ann@example.org", client="imap"
    )
    assert (done.changed, done.failed) == ((1, 2), ())
    assert done.modseq == before + 1
    assert not (await box.flags("INBOX", [1], ["\\seen"], [], actor="x")).changed
    assert (await box.flags("inbox", [2], ["\\Flagged"], ["\\Seen"], actor="x")).changed == (2,)
    found = by_uid(box)
    assert (found[1].flags, found[1].keywords) == ("S", ("Junk",))
    assert (found[2].flags, found[2].keywords) == ("F", ("Junk",))
    assert found[2].modseq > found[1].modseq > before
    assert {name.rpartition(":")[2] for name in place.files()} == {"2,Sa", "2,Fa"}
    assert (place.maildir / "dovecot-keywords").read_text() == "0 Junk\n"
    box.close()
    first, second = of_kind(place.events(), BoxFlags)
    assert isinstance(first, BoxFlags)
    assert (first.added, first.actor, first.client) == (
        ("\\Seen", "Junk"),
        "user:ann@example.org",
        "imap",
    )
    assert isinstance(second, BoxFlags)
    assert second.removed == ("\\Seen",)


async def test_more_than_26_keywords_live_in_the_index(place: Place) -> None:
    place.deliver(1)
    box = place.box()
    await box.sync()
    words = [f"word{number:02}" for number in range(30)]
    await box.flags("INBOX", [1], words, [], actor="x")
    await box.flags("INBOX", [1], ["\\Seen"], [], actor="x")
    box.close()
    box = place.box()
    await box.sync()
    assert by_uid(box)[1].keywords == tuple(words)
    box.close()


async def test_moving_keeps_copy_and_content_and_gives_uids(place: Place) -> None:
    sts = place.deliver(3)
    box = place.box()
    await box.sync()
    with pytest.raises(NothingFound, match="no mailbox Archive"):
        await box.move("INBOX", [1], "Archive", actor="x")
    assert await box.create("Archive/2026", actor="x")
    assert not await box.create("Archive/2026", actor="x")
    await box.flags("INBOX", [2], ["\\Seen"], [], actor="x")
    moved = await box.move("INBOX", [2, 1, 9], "Archive/2026", actor="admin:root")
    assert (moved.sources, moved.targets) == ((2, 1), (1, 2))
    assert sorted(by_uid(box)) == [3]
    there = by_uid(box, "Archive/2026")
    assert [there[uid].st for uid in (1, 2)] == [sts[1], sts[0]]
    assert place.files("Archive/2026") == {message.file for message in there.values()}
    with pytest.raises(UsageError):
        await box.move("INBOX", [3], "INBOX", actor="x")
    box.close()
    events = place.events()
    (event,) = of_kind(events, BoxMove)
    assert isinstance(event, BoxMove)
    assert [(item.st, item.uid) for item in event.items] == [(sts[1], 1), (sts[0], 2)]
    (made,) = of_kind(events, BoxMailbox)
    assert isinstance(made, BoxMailbox)
    assert (made.mailbox, made.what) == ("Archive/2026", "created")


async def test_deleting_says_what_was_deleted(place: Place) -> None:
    sts = place.deliver(3)
    box = place.box()
    await box.sync()
    gone = await box.expunge("INBOX", [1, 3, 9], actor="admin:root", client="mtad mail")
    assert gone == (1, 3)
    assert sorted(by_uid(box)) == [2]
    assert len(place.files()) == 1
    assert await box.expunge("INBOX", [1], actor="x") == ()
    place.deliver(1)
    await box.sync()
    assert sorted(by_uid(box)) == [2, 4]
    box.close()
    (event,) = of_kind(place.events(), BoxExpunge)
    assert isinstance(event, BoxExpunge)
    assert [(item.st, item.uid) for item in event.items] == [(sts[0], 1), (sts[2], 3)]
    assert event.subjects == ("Привет 0", "Привет 2")


async def test_putting_keeps_name_date_flags_and_is_idempotent(place: Place) -> None:
    box = place.box()
    base = names.base_name(place.mint.new(), 10**18, "mx", len(MAIL), len(MAIL))
    item = place.prepare("one", base=base)
    put = await box.put("Old/Mail", [item], actor="backup", snapshot="2026-11-24")
    (uid,) = put.uids
    (message,) = box.owner.messages("Old/Mail")
    assert (message.uid, message.base, message.flags, message.keywords) == (
        uid,
        base,
        "S",
        ("Junk",),
    )
    path = place.maildir / ".Old.Mail" / message.file
    assert path.stat().st_mtime_ns == message.internaldate_ns == 1_600_000_000_123_456_789
    assert path.read_bytes() == MAIL
    again = place.prepare("two", base=base)
    assert await box.put("Old/Mail", [again], actor="backup", snapshot="2026-11-24") == put
    other = place.prepare("three", MAIL + b"more", base=base)
    third = place.prepare("four")
    assert (await box.put("INBOX", [other, third], actor="user:x")).uids == (1, 2)
    assert len({m.base for m in box.owner.messages()}) == 3
    assert not list((place.maildir / "tmp").iterdir())
    box.close()
    events = place.events()
    (restored,) = of_kind(events, RestoreMessage)
    assert isinstance(restored, RestoreMessage)
    assert (restored.snapshot, restored.items[0].uid) == ("2026-11-24", uid)
    assert len(of_kind(events, BoxAppend)) == 1


@pytest.mark.parametrize("name", ["../x", "", ".x", "missing"])
async def test_only_files_in_tmp_can_be_put(place: Place, name: str) -> None:
    box = place.box()
    item = Prepared(name, "", "", (), 0, 1, b"")
    with pytest.raises(MtadError):
        await box.put("INBOX", [item], actor="x")
    box.close()


async def test_a_linked_file_is_not_put(place: Place) -> None:
    box = place.box()
    item = place.prepare("one")
    os.link(place.maildir / "tmp" / "one", place.data / "content")
    with pytest.raises(MtadError, match="of its own"):
        await box.put("INBOX", [item], actor="x")
    box.close()


async def test_one_owner(place: Place) -> None:
    box = place.box()
    with pytest.raises(Locked, match="another process"):
        place.box()
    box.close()
    place.box().close()


async def test_other_programs_are_noticed(place: Place) -> None:
    sts = place.deliver(4)
    box = place.box()
    await box.sync()
    new, cur = place.maildir / "new", place.maildir / "cur"
    first, second, third, fourth = (m.base for m in box.owner.messages("INBOX"))
    (new / first).unlink()
    (new / second).rename(cur / f"{second}:2,RS")
    (new / third).rename(cur / f"{third},U=7:2,")
    maildir.ensure(place.maildir, ".Other")
    (new / fourth).rename(place.maildir / ".Other" / "cur" / f"{fourth}:2,F")
    (cur / "1.foreign.host:2,S").write_bytes(MAIL)
    (cur / "link:2,S").symlink_to("/etc/passwd")
    os.mkfifo(cur / "pipe:2,")
    await box.sync()
    found = {m.st: m for m in box.owner.messages()}
    assert sts[0] not in found
    assert (found[sts[1]].uid, found[sts[1]].flags) == (2, "RS")
    assert found[sts[2]].base == f"{third},U=7"
    assert (found[sts[3]].mailbox, found[sts[3]].flags) == ("Other", "F")
    (foreign,) = (m for m in found.values() if m.base == "1.foreign.host")
    assert foreign.flags == "S"
    assert len(found) == 4
    assert await box.sync() == 0
    box.close()
    events = place.events()
    assert [type(event) for event in events if event.actor == "outside"].count(BoxMove) == 2
    (gone,) = of_kind(events, BoxVanished)
    assert isinstance(gone, BoxVanished)
    assert [item.st for item in gone.items] == [sts[0]]
    (came,) = of_kind(events, BoxForeign)
    assert isinstance(came, BoxForeign)
    assert came.items[0].st == foreign.st
    (flags,) = of_kind(events, BoxFlags)
    assert isinstance(flags, BoxFlags)
    assert flags.added == ("\\Answered", "\\Seen")


async def test_two_files_of_one_base_name_are_both_kept(place: Place) -> None:
    place.deliver(1)
    box = place.box()
    await box.sync()
    (message,) = box.owner.messages("INBOX")
    (place.maildir / "cur" / f"{message.base}:2,S").write_bytes(MAIL + b"another")
    maildir.ensure(place.maildir, ".Copy")
    (place.maildir / ".Copy" / "cur" / f"{message.base}:2,").write_bytes(MAIL + b"third")
    (place.maildir / "cur" / "octets\udcff:2,").write_bytes(MAIL)
    await box.sync()
    found = box.owner.messages()
    assert len(found) == len({m.base for m in found}) == len({m.st for m in found}) == 4
    assert message.st in {m.st for m in found}
    box.close()


async def test_a_mailbox_that_is_gone_and_comes_back_has_another_uidvalidity(place: Place) -> None:
    place.deliver(2, "Sub")
    box = place.box()
    await box.sync()
    before = {info.name: info.uidvalidity for info in box.owner.mailboxes()}
    (place.maildir / ".Sub").rename(place.data / "aside")
    await box.sync()
    assert [info.name for info in box.owner.mailboxes()] == ["INBOX"]
    (place.data / "aside").rename(place.maildir / ".Sub")
    assert await box.sync() == 2
    after = {info.name: info.uidvalidity for info in box.owner.mailboxes()}
    assert after["Sub"] > before["Sub"]
    box.close()


async def test_a_missing_maildir_is_no_deletion(place: Place) -> None:
    place.deliver(2)
    box = place.box()
    await box.sync()
    place.maildir.rename(place.data / "unmounted")
    with pytest.raises(MtadError, match="mounted"):
        await box.sync()
    (place.data / "unmounted").rename(place.maildir)
    assert await box.sync() == 0
    assert len(box.owner.messages()) == 2
    box.close()
    place.maildir.rename(place.data / "unmounted")
    with pytest.raises(MtadError, match="mounted"):
        place.box()
    (place.data / "unmounted").rename(place.maildir)


async def test_acts_of_thousands_are_cut_into_frames(place: Place) -> None:
    place.deliver(2100)
    box = place.box()
    assert await box.sync() == 2100
    uids = list(range(1, 2101))
    assert len((await box.flags("INBOX", uids, ["\\Seen"], [], actor="x")).changed) == 2100
    assert len(await box.expunge("INBOX", uids, actor="x")) == 2100
    assert not place.files()
    box.close()
    events = place.events()
    assert [len(e.items) for e in of_kind(events, BoxExpunge) if isinstance(e, BoxExpunge)] == [
        1000,
        1000,
        100,
    ]


async def test_flags_do_not_wait_for_the_files_of_earlier_ones(place: Place) -> None:
    place.deliver(3)
    box = place.box()
    await box.sync()
    began, go_on = threading.Event(), threading.Event()
    steps: list[str] = []
    rename, commit = maildir.rename, place.journal.commit_now

    def renamed(source: Path | str, target: Path | str) -> None:
        began.set()
        assert go_on.wait(10)
        rename(source, target)
        steps.append("file")

    def committed(meta: Meta, body: bytes = b"") -> int:
        steps.append("frame")
        return commit(meta, body)

    with (
        mock.patch.object(owner, "LATER", 1),
        mock.patch.object(owner, "chunks", partial(chunks, size=1)),
        mock.patch.object(holding, "SLICE_SECONDS", 0),
        mock.patch.object(maildir, "rename", renamed),
        mock.patch.object(place.journal, "commit_now", committed),
    ):
        await box.flags("INBOX", [1, 2, 3], ["\\Flagged"], actor="x")
        assert await asyncio.to_thread(began.wait, 10)
        second = asyncio.ensure_future(box.flags("INBOX", [2], [], ["\\Flagged"], actor="x"))
        await asyncio.sleep(0)
        go_on.set()
        assert (await second).changed == (2,)
        await box.sync()
    assert steps == ["frame", "file", "frame", "file"]
    assert [one.flags for one in box.owner.messages()] == ["F", "", "F"]
    assert len([name for name in place.files() if name.endswith(":2,F")]) == 2


async def test_files_of_flags_follow_at_rest_or_after_a_while(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.deliver(120)
    box = place.box()
    await box.sync()
    monkeypatch.setattr(owner, "LATER", 1)

    def done() -> int:
        return sum(name.endswith(":2,S") for name in place.files())

    monkeypatch.setattr(following, "WAIT_SECONDS", 60)
    monkeypatch.setattr(following, "REST_SECONDS", 0.2)
    await box.flags("INBOX", range(1, 121), ["\\Seen"], actor="x")
    for uid in range(1, 21):
        await box.flags("INBOX", [uid], ["\\Flagged"], actor="x")
    assert len(place.files()) == 120
    assert not any(":2," in name for name in place.files())
    assert not box.owner.is_stale()
    await until(lambda: not box.owner.has_more)
    assert done() == 100
    assert sum(name.endswith(":2,FS") for name in place.files()) == 20

    monkeypatch.setattr(following, "WAIT_SECONDS", 0.05)
    monkeypatch.setattr(following, "REST_SECONDS", 60)
    monkeypatch.setattr(holding, "SLICE_SECONDS", 0)
    await box.flags("INBOX", range(1, 121), [], ["\\Seen"], actor="x")
    assert done() == 100
    while done():
        await box.flags("INBOX", [1], ["\\Draft"], actor="x")
        await box.flags("INBOX", [1], [], ["\\Draft"], actor="x")


async def test_files_that_cannot_follow_do_so_at_the_next_look(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.deliver(2)
    box = place.box()
    await box.sync()
    monkeypatch.setattr(owner, "LATER", 1)
    monkeypatch.setattr(following, "REST_SECONDS", 0)
    tried: list[int] = []

    def fail(source: Path | str, target: Path | str) -> None:
        tried.append(1)
        raise OSError(28, "disk full")

    with mock.patch.object(maildir, "rename", fail):
        await box.flags("INBOX", [1, 2], ["\\Seen"], actor="x")
        await until(lambda: tried)
        await asyncio.sleep(0.1)
        assert len(tried) == 1
        assert box.owner.is_stale()
        with pytest.raises(OSError, match="disk full"):
            await box.sync()
    await box.sync()
    assert sum(name.endswith(":2,S") for name in place.files()) == 2


async def test_more_than_so_many_files_are_waited_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.deliver(4)
    box = place.box()
    await box.sync()
    monkeypatch.setattr(owner, "LATER", 1)
    monkeypatch.setattr(holding, "MOST_LAGGING", 3)
    monkeypatch.setattr(following, "REST_SECONDS", 60)
    monkeypatch.setattr(following, "WAIT_SECONDS", 60)
    await box.flags("INBOX", [1, 2, 3], ["\\Seen"], actor="x")
    await box.flags("INBOX", [4], ["\\Seen"], actor="x")
    assert not any(":2," in name for name in place.files())
    await box.flags("INBOX", [4], ["\\Flagged"], actor="x")
    assert sorted(name.partition(":2,")[2] for name in place.files()) == ["", "S", "S", "S"]
    await box.sync()
    assert sorted(name.partition(":2,")[2] for name in place.files()) == ["FS", "S", "S", "S"]


@pytest.mark.parametrize("act", ["flags", "move", "expunge"])
async def test_a_file_renamed_at_the_last_moment_is_found(place: Place, act: str) -> None:
    place.deliver(2)
    box = place.box()
    await box.create("Sub", actor="x")
    (first, _) = box.owner.messages("INBOX")
    new, cur = place.maildir / "new", place.maildir / "cur"
    commit = place.journal.commit_now

    def renaming(meta: Meta, body: bytes = b"") -> int:
        seq = commit(meta, body)
        (new / first.base).rename(cur / f"{first.base}:2,R")
        return seq

    with mock.patch.object(place.journal, "commit_now", renaming):
        if act == "flags":
            await box.flags("INBOX", [1], ["\\Seen"], [], actor="x")
        elif act == "move":
            await box.move("INBOX", [1], "Sub", actor="x")
        else:
            await box.expunge("INBOX", [1], actor="x")
    await box.sync()
    here, there = place.files(), place.files("Sub")
    found = [m for m in box.owner.messages() if m.st == first.st]
    assert len(box.owner.messages()) == len(here | there)
    if act == "expunge":
        assert (len(here), found) == (1, [])
    elif act == "move":
        assert (len(here), {m.file for m in found}) == (1, there)
    else:
        assert [m.flags for m in found] == ["S"]
        assert f"cur/{first.base}:2,S" in here
    box.close()


async def test_a_move_by_others_is_no_loss_where_only_one_end_shows(place: Place) -> None:
    """The target's time says that nothing changed; the message is looked for all the same."""
    place.deliver(1)
    box = place.box()
    await box.create("Sub", actor="x")
    (message,) = box.owner.messages("INBOX")
    cur = place.maildir / ".Sub" / "cur"
    past = time.time_ns() - 5_000_000_000
    os.utime(cur, ns=(past, past))
    await box.sync()
    (place.maildir / message.file).rename(cur / f"{message.base}:2,S")
    os.utime(cur, ns=(past, past))
    await box.sync()
    (moved,) = box.owner.messages()
    assert (moved.mailbox, moved.st, moved.flags) == ("Sub", message.st, "S")
    box.close()
    events = place.events()
    assert not of_kind(events, BoxVanished)
    assert not of_kind(events, BoxForeign)
    assert len(of_kind(events, BoxMove)) == 1


async def test_a_full_journal_is_a_sentence_and_loses_nothing(place: Place) -> None:
    place.deliver(1)
    box = place.box()
    await box.sync()
    (place.maildir / "cur" / "1.foreign.host:2,S").write_bytes(MAIL)
    past = time.time_ns() - 5_000_000_000
    os.utime(place.maildir / "cur", ns=(past, past))
    with mock.patch.object(place.journal, "commit_now", side_effect=JournalFull("no space")):
        for attempt in (
            box.sync(),
            box.expunge("INBOX", [1], actor="x"),
            box.create("Sub", actor="x"),
        ):
            with pytest.raises(MtadError, match="cannot be changed now: no space"):
                await attempt
    assert len(place.files()) == 2
    assert await box.sync() == 1
    assert {m.uid for m in box.owner.messages()} >= {1}
    assert len(box.owner.messages()) == 2
    box.close()


async def test_only_so_many_files_are_left_for_later(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who selects waits for none of them, further acts for those above the limit."""
    place.deliver(120)
    box = place.box()
    await box.sync()
    for module, name, value in (
        (owner, "LATER", 1),
        (following, "REST_SECONDS", 60),
        (following, "WAIT_SECONDS", 60),
        (holding, "MOST_LAGGING", 50),
        (holding, "SLICE", 10),
        (holding, "SLICE_SECONDS", 0),
    ):
        monkeypatch.setattr(module, name, value)

    def done() -> int:
        return sum(":2," in name for name in place.files())

    await box.flags("INBOX", range(1, 121), ["\\Seen"], actor="x")
    assert done() == 0
    view = await box.select("INBOX")
    assert {view.flags(uid)[0] for uid in view.uids} == {"S"}
    assert done() == 70
    await box.flags("INBOX", [1], ["\\Flagged"], actor="x")
    assert done() == 70
    place.deliver()
    assert await box.sync() == 1
    assert done() == 120
    box.release(view)
    box.close()

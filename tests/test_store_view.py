"""Views of mailboxes that sessions share: what they hold, and how they follow each act."""

import asyncio
import hashlib
import os
import sqlite3
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mtad.errors import NothingFound, UsageError
from mtad.store.box import Box, Change, Placed, Prepared, Quota, View
from mtad.store.quota import Limits, OverQuota, held
from mtad.store.reading import read_box
from tests.test_store_box import MAIL, Place, of_kind
from tracing.events import BoxCopy, BoxMailbox

WHO: dict[str, Any] = {"actor": "user:ann@example.org", "client": "imap"}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.journal.close_now()


def pictured(view: View) -> list[tuple[int, int, bytes, int, int]]:
    """What a view says of each message."""
    return [
        (uid, view.modseqs[at], view.flag_text(at), view.sizes[at], view.emails[at])
        for at, uid in enumerate(view.uids)
    ]


async def agrees(box: Box, view: View) -> None:
    """A view that followed each act says the same as one that is loaded."""
    index = box.owner.index
    row = box.owner.mailbox(view.name)
    fresh = View.load(row, index.keywords(row), index.columns(row))
    assert pictured(view) == pictured(fresh)
    assert (view.uidnext, view.highestmodseq) == (row.uidnext, row.highestmodseq)
    assert (view.dates_ns, view.saved) == (fresh.dates_ns, fresh.saved)
    assert view.unseen() == (await box.status(view.name)).unseen


async def test_a_view_follows_each_act_and_listeners_are_told(place: Place) -> None:
    place.deliver(3)
    box = place.box()
    view = await box.select("inbox")
    assert view is await box.select("INBOX")
    assert list(view.uids) == [1, 2, 3]
    told: list[Change] = []
    box.watch(told.append)
    session = object()

    await box.flags("INBOX", [1, 2], ["\\Seen", "Junk"], [], **WHO, by=session)
    assert told.pop() == Change("INBOX", (), (1, 2), (), view.highestmodseq, session)
    assert view.flags(1) == ("S", ("Junk",))
    assert view.flag_text(0) == b"\\Seen Junk"
    assert view.keywords == ["Junk"]
    await agrees(box, view)

    announced = view.uids
    place.deliver(2)
    await box.sync()
    assert told.pop() == Change("INBOX", (4, 5), (), (), view.highestmodseq, None)
    assert view.uids is announced

    assert await box.expunge("INBOX", [2, 5], **WHO, by=session) == (2, 5)
    assert told.pop() == Change("INBOX", (), (), (2, 5), view.highestmodseq, session)
    assert announced == array("I", [1, 2, 3, 4, 5])
    assert view.uids == array("I", [1, 3, 4])
    await agrees(box, view)

    assert await box.create("Sub", **WHO)
    assert told.pop() == Change("Sub", what="created")
    await box.move("INBOX", [3], "Sub", **WHO)
    assert [(one.mailbox, one.added, one.gone) for one in told] == [
        ("INBOX", (), (3,)),
        ("Sub", (1,), ()),
    ]
    told.clear()
    await agrees(box, view)

    sub = await box.select("Sub")
    await box.rename("Sub", "Other", **WHO)
    assert sub.name == "Other"
    assert told.pop() == Change("Sub", what="renamed", target="Other")
    await box.delete("Other", **WHO)
    assert sub.is_gone
    assert [(one.gone, one.what) for one in told] == [((1,), ""), ((), "deleted")]
    box.release(sub)
    box.unwatch(told.append)
    box.release(view)
    box.release(view)
    box.forget(time.monotonic() + 1)
    assert await box.select("INBOX") is not view
    box.close()


async def test_what_others_do_is_nobodys_doing(place: Place) -> None:
    place.deliver(2)
    box = place.box()
    told: list[Change] = []
    view = await box.select("INBOX")
    box.watch(told.append)
    first = sorted((place.maildir / "new").iterdir())[0]
    os.rename(first, place.maildir / "cur" / f"{first.name}:2,F")
    await box.flags("INBOX", [2], ["\\Seen"], [], **WHO, by=view)
    assert [(one.changed, one.by) for one in told] == [((1,), None), ((2,), view)]
    await agrees(box, view)
    box.close()


async def test_flags_are_replaced_and_kept_from_those_who_do_not_know(place: Place) -> None:
    place.deliver(3)
    box = place.box()
    view = await box.select("INBOX")
    await box.flags("INBOX", [1], ["\\Seen", "Junk"], [], **WHO)
    since = view.highestmodseq
    await box.flags("INBOX", [2], ["\\Flagged"], [], **WHO)
    done = await box.flags(
        "INBOX", [1, 2, 9], ["Later"], replace=True, unchanged_since=since, **WHO
    )
    assert (done.changed, done.failed, done.modseq) == ((1,), (2,), view.highestmodseq)
    assert view.flag_text(0) == b"Later"
    assert await box.changed("INBOX", since) == [1, 2]
    await box.expunge("INBOX", [3], **WHO)
    assert await box.vanished("INBOX", since) == [3]
    assert await box.vanished("INBOX", view.highestmodseq) == []
    box.close()


async def test_recent_is_for_one_session(place: Place) -> None:
    place.deliver(2)
    box = place.box()
    view = await box.select("INBOX")
    assert (await box.status("INBOX")).recent == 2
    assert view.recent() == [1, 2]
    assert view.claim_recent() == [1, 2]
    assert view.claim_recent() == []
    place.deliver(1)
    await box.sync()
    box.close()
    box = place.box()
    view = await box.select("INBOX")
    assert view.recent() == [3]
    assert (await box.status("INBOX")).recent == 1
    box.close()


async def test_copies_are_names_of_one_file(place: Place) -> None:
    place.deliver(3)
    box = place.box()
    await box.create("Sub", **WHO)
    await box.flags("INBOX", [1], ["\\Seen", "Junk"], [], **WHO)
    view = await box.select("Sub")
    copied = await box.copy("INBOX", [3, 1, 9], "Sub", **WHO)
    assert copied == (view.uidvalidity, (3, 1), (1, 2))
    assert view.flag_text(1) == b"\\Seen Junk"
    rows = await box.rows("INBOX", [1, 3])
    copies = await box.rows("Sub", [1, 2, 7])
    assert [row.email for row in copies] == [rows[1].email, rows[0].email]
    assert [(row.date_ns, row.size, row.wire) for row in copies] == [
        (row.date_ns, row.size, row.wire) for row in reversed(rows)
    ]
    assert len({row.base for row in (*rows, *copies)}) == 4
    inodes = []
    for mailbox, uid in (("INBOX", 1), ("Sub", 2)):
        descriptor = await box.open(mailbox, uid)
        inodes.append(os.fstat(descriptor).st_ino)
        os.close(descriptor)
    assert inodes[0] == inodes[1]
    again = await box.copy("INBOX", [1], "INBOX", **WHO)
    assert again.targets == (4,)
    await box.expunge("INBOX", [1], **WHO)
    os.close(await box.open("INBOX", 4))
    with pytest.raises(NothingFound):
        await box.open("INBOX", 1)
    with pytest.raises(NothingFound):
        await box.copy("INBOX", [3], "None", **WHO)
    assert await box.sync() == 0
    assert not list((place.maildir / "tmp").iterdir())
    box.close()
    events = of_kind(place.events(), BoxCopy)
    first = events[0]
    assert isinstance(first, BoxCopy)
    assert (first.mailbox, first.target, first.uids) == ("INBOX", "Sub", (3, 1))
    assert [item.uid for item in first.items] == [1, 2]
    assert first.was == (rows[1].st, rows[0].st)


def drafted(box: Box, data: bytes) -> Prepared:
    path = box.draft()
    path.write_bytes(data)
    digest = hashlib.sha256(data).digest()
    return Prepared(path.name, "", "S", (), 1_600_000_000_000_000_000, len(data), digest)


async def test_what_is_appended_needs_a_mailbox_and_is_one_act(place: Place) -> None:
    box = place.box()
    await box.sync()
    items = [drafted(box, MAIL % number) for number in range(3)]
    with pytest.raises(NothingFound):
        await box.put("None", items, make=False, **WHO)
    before = place.journal._seq
    placed = await box.put("INBOX", items, make=False, **WHO)
    assert placed == Placed(box.owner.mailbox("INBOX").uidvalidity, (1, 2, 3))
    assert place.journal._seq == before + 1
    status = await box.status("inbox")
    assert (status.messages, status.unseen, status.deleted) == (3, 0, 0)
    assert status.size == sum(len(MAIL % n) + (MAIL % n).count(b"\n") for n in range(3))
    quota = await box.quota()
    assert (quota.messages, quota.bytes) == (3, sum(len(MAIL % n) for n in range(3)))
    await box.expunge("INBOX", [2], **WHO)
    assert (await box.quota()).messages == 2
    box.close()
    box = place.box()
    assert (await box.quota()).bytes == 2 * len(MAIL % 0)
    box.close()


async def test_subscriptions_are_kept_for_other_programs_too(place: Place) -> None:
    box = place.box()
    told: list[Change] = []
    box.watch(told.append)
    assert await box.subscribe("inbox", True, **WHO)
    assert await box.subscribe("Архив/A.b & c", True, **WHO)
    assert not await box.subscribe("INBOX", True, **WHO)
    assert not await box.subscribe("Other", False, **WHO)
    with pytest.raises(UsageError):
        await box.subscribe("a//b", True, **WHO)
    assert await box.subscriptions() == {"INBOX", "Архив/A.b & c"}
    assert [one.what for one in told] == ["subscribed", "subscribed"]
    text = (place.maildir / "subscriptions").read_text("ascii")
    assert text.split("\n")[:2] == ["V\t2", ""]
    (place.maildir / "subscriptions").write_text("INBOX\nSent.2026\n&BBAEQARFBDgEMg-\n")
    assert await box.subscriptions() == {"INBOX", "Sent/2026", "Архив"}
    assert await box.subscribe("INBOX", False, **WHO)
    assert await box.subscriptions() == {"Sent/2026", "Архив"}
    box.close()
    told_events = [one for one in place.events() if isinstance(one, BoxMailbox)]
    assert [(one.mailbox, one.what, one.client) for one in told_events] == [
        ("INBOX", "subscribed", "imap"),
        ("Архив/A.b & c", "subscribed", "imap"),
        ("INBOX", "unsubscribed", "imap"),
    ]


async def test_special_uses_are_set_or_go_by_name(place: Place) -> None:
    box = place.box()
    for name in ("Sent Items", "Sent", "junk", "Trash"):
        await box.create(name, **WHO)
    assert await box.create("Bin", uses=["\\trash"], **WHO)
    with pytest.raises(UsageError):
        await box.create("All", uses=["\\All"], **WHO)
    assert await box.uses() == {
        "Sent": ("\\Sent",),
        "junk": ("\\Junk",),
        "Bin": ("\\Trash",),
    }
    await box.rename("Bin", "Waste", **WHO)
    assert (await box.uses())["Waste"] == ("\\Trash",)
    box.close()
    (place.folder / "index.db").unlink()
    box = place.box()
    await box.sync()
    assert (await box.uses())["Waste"] == ("\\Trash",)
    box.close()


async def test_a_caller_that_is_cancelled_does_not_end_the_act(place: Place) -> None:
    place.deliver(1)
    box = place.box()
    view = await box.select("INBOX")
    task = asyncio.ensure_future(box.flags("INBOX", [1], ["\\Seen"], [], **WHO))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await box.sync()
    assert view.flags(1)[0] == "S"
    box.close()


async def test_what_a_former_life_left_in_tmp_is_swept(place: Place) -> None:
    place.deliver(1)
    box = place.box()
    await box.sync()
    for name in (box.draft().name, "copy-0amq4bcgs0001", "of-another-program"):
        (place.maildir / "tmp" / name).write_bytes(MAIL)
    box.close()
    box = place.box()
    assert [path.name for path in (place.maildir / "tmp").iterdir()] == ["of-another-program"]
    box.close()


async def test_an_index_of_the_former_format_is_taken_over(place: Place) -> None:
    place.deliver(2)
    (place.maildir / "new" / "foreign").write_bytes(MAIL)
    box = place.box()
    view = await box.select("INBOX")
    before = pictured(view)
    quota = await box.quota()
    box.close()
    link = sqlite3.connect(place.folder / "index.db")
    link.executescript("""
        DROP TABLE seen;
        DROP INDEX msg_unmeasured;
        ALTER TABLE msg DROP COLUMN wire;
        ALTER TABLE mailbox DROP COLUMN recent;
        DELETE FROM meta WHERE k IN ('octets', 'messages');
        UPDATE meta SET v = 1 WHERE k = 'schema';
    """)
    link.close()
    assert len(read_box(place.folder, "ann@example.org").messages) == 3
    box = place.box()
    assert pictured(await box.select("INBOX")) == before
    assert await box.quota() == quota
    box.close()


async def test_a_full_box_takes_nothing_but_what_was_its_own(place: Place) -> None:
    place.deliver(2)
    box = place.box()
    await box.sync()
    await box.create("Sub", **WHO)
    size = len(MAIL % 0)
    box.owner.limits = lambda: Limits(3 * size, 0)
    assert await box.quota() == Quota(2 * size, 3 * size, 2, 0)
    with pytest.raises(OverQuota):
        await box.copy("INBOX", [1, 2], "Sub", **WHO)
    assert (await box.copy("INBOX", [1], "Sub", **WHO)).targets == (1,)
    with pytest.raises(OverQuota):
        await box.put("INBOX", [drafted(box, MAIL % 1)], **WHO)
    box.owner.limits = lambda: Limits(0, 3)
    with pytest.raises(OverQuota):
        await box.put("INBOX", [drafted(box, MAIL % 1)], **WHO)
    await box.move("INBOX", [1], "Sub", **WHO)
    with pytest.raises(OverQuota):
        await box.put("INBOX", [drafted(box, MAIL % 1)], **WHO, snapshot="s")
    await box.put("INBOX", [drafted(box, MAIL % 1)], **WHO, snapshot="s", over_quota=True)
    place.deliver(1)
    await box.sync()
    assert (await box.quota()).messages == 5
    assert held(place.folder) == (5 * size, 5)
    await box.delete("Sub", **WHO)
    assert (await box.quota()).messages == 3
    box.close()

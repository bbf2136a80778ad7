r"""Mailboxes that are shared: lists of rights that stay with them, and whose \Seen is whose."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mtad.errors import NothingFound, UsageError
from mtad.store import acl, acls, maildir, private
from mtad.store.box import Box
from mtad.store.shares import Shares, of_box
from mtad.where import Places
from tests.test_store_box import ADDRESS, Place, of_kind
from tests.test_store_faults import Cut, cut_at, die
from tracing.events import BoxAcl, BoxSeen

BOB, CAROL = "bob@example.org", "carol@example.org"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.journal.close_now()


def entries(box: Box, mailbox: str) -> dict[str, str]:
    return dict(box.owner.acl(mailbox).entries)


async def seen(box: Box, reader: str = "", mailbox: str = "INBOX") -> list[int]:
    """UIDs that a reader has seen; as the view, a view made anew, and STATUS tell it."""
    view = await box.select(mailbox, reader)
    found = [uid for uid in view.uids if "S" in view.flags(uid)[0]]
    status = await box.status(mailbox, reader)
    assert status.unseen == len(view.uids) - len(found) == view.unseen()
    box.release(view)
    return found


# ------------------------------------------------------------------------ rights


async def test_rights_are_given_and_taken(place: Place) -> None:
    box = place.box()
    await box.share("INBOX", "Bob@Example.org", "lrc", actor="user:ann", client="imap")
    await box.share("INBOX", "anyone", "lr", actor="x")
    assert entries(box, "INBOX") == {BOB: "lrkx", "anyone": "lr"}
    await box.share("INBOX", BOB, "+s", actor="x")
    await box.share("INBOX", BOB, "-c", actor="x")
    assert entries(box, "INBOX")[BOB] == "lrs"
    done = await box.share("INBOX", BOB, "lrs", actor="x")
    assert done.of(BOB) == "lrs"
    await box.share("INBOX", BOB, "-lrs", actor="x")
    assert entries(box, "INBOX") == {"anyone": "lr"}
    assert (place.maildir / acls.FILE).read_text() == "anyone lr\n"
    with pytest.raises(NothingFound):
        await box.share("none", BOB, "lr", actor="x")
    for who, letters in ((ADDRESS, "lr"), (f"-{ADDRESS}", "a"), ("bob", "l"), (BOB, "q")):
        with pytest.raises(UsageError):
            await box.share("INBOX", who, letters, actor="x")
    box.close()
    told = of_kind(place.events(), BoxAcl)
    assert [(e.who, e.rights, e.had) for e in told if isinstance(e, BoxAcl)] == [
        (BOB, "lrkx", ""),
        ("anyone", "lr", ""),
        (BOB, "lrskx", "lrkx"),
        (BOB, "lrs", "lrskx"),
        (BOB, "", "lrs"),
    ]
    assert (told[0].actor, told[0].addr) == ("user:ann", ADDRESS)


async def test_a_list_has_an_end(place: Place) -> None:
    lines = [f"user=u{number}@example.org l" for number in range(acl.MAX_ENTRIES)]
    acls.write(place.maildir, lines)
    box = place.box()
    await box.share("INBOX", "u1@example.org", "lr", actor="x")
    with pytest.raises(UsageError, match="as many"):
        await box.share("INBOX", "more@example.org", "l", actor="x")
    box.close()


async def test_rights_go_along_with_their_mailbox(place: Place) -> None:
    box = place.box()
    await box.create("A/B", actor="x")
    await box.create("A", actor="x")
    await box.share("A/B", BOB, "lr", actor="x")
    await box.rename("A", "Z", actor="x")
    assert entries(box, "Z/B") == {BOB: "lr"}
    box.close()
    (place.folder / "index.db").unlink()
    box = place.box()
    await box.sync()
    assert entries(box, "Z/B") == {BOB: "lr"}
    await box.delete("Z/B", actor="x")
    await box.create("Z/B", actor="x")
    assert entries(box, "Z/B") == {}
    box.close()


async def test_a_mailbox_is_shared_like_the_one_above_it(place: Place) -> None:
    box = place.box()
    await box.create("A", actor="x")
    await box.share("A", BOB, "lrk", actor="x")
    await box.share("INBOX", CAROL, "lrk", actor="x")
    await box.create("A/none/B", actor="x")
    await box.create("Private", actor="x")
    await box.create("Ours", like="INBOX", actor="x")
    assert entries(box, "A/none/B") == {BOB: "lrk"}
    assert entries(box, "Private") == {}
    assert entries(box, "Ours") == {CAROL: "lrk"}
    box.close()


def share(box: Box) -> None:
    box.owner.share("A", BOB, "lrs", actor="x")


def make(box: Box) -> None:
    box.owner.create("A/B", actor="x")


def see(box: Box) -> None:
    private.flags(box.owner, BOB, "A", [1], ["\\Seen"], actor="x")


def told(box: Box) -> list[object]:
    """What the acts may have done."""
    made = "A/B" in box.owner.index.mailboxes
    row = box.owner.mailbox("A")
    return [
        dict(box.owner.acl("A").entries),
        dict(box.owner.acl("A/B").entries) if made else None,
        box.owner.index.seen_by(row, BOB),
    ]


@pytest.mark.parametrize("act", [share, make, see])
def test_whatever_ends_the_process_an_act_is_done_or_not(
    tmp_path: Path, act: Callable[[Box], None]
) -> None:
    results = []
    for step in range(1, 100):
        place = Place(tmp_path / f"{step}")
        place.deliver(1, "A")
        box = place.box()
        box.owner.sync()
        box.owner.share("A", "anyone", "l", actor="x")
        before, done = told(box), False
        with cut_at(step), suppress(Cut):
            act(box)
            done = True
        die(box)
        place.journal.close_now()
        place.journal = place.open_journal()
        box = place.box()
        box.owner.sync()
        results.append(told(box) != before)
        box.close()
        place.journal.close_now()
        if done:
            break
    assert done
    assert results == sorted(results)
    assert {*results} == {False, True}


# ------------------------------------------------------------------ who sees what


async def test_the_picture_of_all_boxes_follows(place: Place) -> None:
    shares = Shares(Places(place.data))
    box = place.box()
    box.on_shape = lambda: shares.changed(ADDRESS)
    assert await shares.by_owner() == {}
    await box.create("A", actor="x")
    await box.share("A", BOB, "lr", actor="x")
    found = await shares.by_owner()
    assert {name: one.of(BOB) for name, one in found[ADDRESS].items()} == {"A": "lr"}
    await box.rename("A", "B", actor="x")
    assert list((await shares.by_owner())[ADDRESS]) == ["B"]
    assert list(of_box(place.data / "boxes", ADDRESS)) == ["B"]
    await box.delete("B", actor="x")
    assert await shares.by_owner() == {}
    box.close()
    maildir.write_small(place.maildir, acls.FILE, b"anyone l\n")
    assert list((await Shares(Places(place.data)).by_owner())[ADDRESS]) == ["INBOX"]
    assert of_box(place.data / "boxes", "none@example.org") == {}


# -------------------------------------------------------------------------- seen


async def test_everybody_has_a_seen_of_their_own(place: Place) -> None:
    place.deliver(4)
    box = place.box()
    await box.sync()
    mine, bobs = await box.select("INBOX"), await box.select("INBOX", BOB)
    done = await box.flags("INBOX", [1, 2, 9], ["\\Seen"], [], reader=BOB, actor="user:bob")
    assert done.changed == (1, 2)
    await box.flags("INBOX", [2, 3], ["\\seen", "\\Flagged"], [], actor="user:ann")
    assert [mine.flags(uid)[0] for uid in mine.uids] == ["", "FS", "FS", ""]
    assert [bobs.flags(uid)[0] for uid in bobs.uids] == ["S", "FS", "F", ""]
    assert list(mine.modseqs) == list(bobs.modseqs)
    assert await seen(box) == [2, 3]
    assert await seen(box, BOB) == [1, 2]
    assert await seen(box, CAROL) == []
    done = await box.flags("INBOX", [1, 3], ["Todo"], ["\\Seen"], reader=BOB, actor="user:bob")
    assert done.changed == (1, 3)
    assert await seen(box, BOB) == [2]
    assert mine.flags(3) == ("FS", ("Todo",))
    box.release(mine)
    box.release(bobs)
    box.close()
    box = place.box()
    assert (await seen(box), await seen(box, BOB)) == ([2, 3], [2])
    box.close()
    told = [e for e in of_kind(place.events(), BoxSeen) if isinstance(e, BoxSeen)]
    assert [([i.uid for i in e.items], e.seen, e.actor) for e in told] == [
        ([1, 2], True, "user:bob"),
        ([1], False, "user:bob"),
    ]


async def test_a_reader_s_change_is_found_by_mod_sequence(place: Place) -> None:
    place.deliver(3)
    box = place.box()
    await box.sync()
    before = (await box.status("INBOX")).highestmodseq
    await box.flags("INBOX", [2], ["\\Seen"], [], reader=BOB, actor="x")
    assert await box.changed("INBOX", before) == [2]
    after = (await box.status("INBOX", BOB)).highestmodseq
    assert after > before
    done = await box.flags(
        "INBOX", [1, 2], ["\\Seen", "\\Flagged"], reader=CAROL, unchanged_since=before, actor="x"
    )
    assert (done.changed, done.failed) == ((1,), (2,))
    box.close()


async def test_what_moves_stays_seen_and_what_goes_is_forgotten(place: Place) -> None:
    place.deliver(3)
    box = place.box()
    await box.create("A", actor="x")
    await box.flags("INBOX", [1, 2], ["\\Seen"], [], reader=BOB, actor="x")
    view = await box.select("A", BOB)
    moved = await box.move("INBOX", [1, 3], "A", actor="x")
    assert [view.flags(uid)[0] for uid in moved.targets] == ["S", ""]
    box.release(view)
    assert await seen(box, BOB, "A") == [1]
    copied = await box.copy("A", [1, 2], "A", reader=BOB, actor="x")
    assert copied.targets == (3, 4)
    assert await seen(box, BOB, "A") == [1, 3]
    assert await seen(box, CAROL, "A") == []
    await box.expunge("A", [1], actor="x")
    next(file for file in (place.maildir / "new").iterdir()).unlink()
    await box.sync()
    await box.delete("A", actor="x")
    left = box.owner.index._db.execute("SELECT user, base FROM seen").fetchall()
    assert left == []
    box.close()


async def test_what_a_reader_puts_is_seen_by_the_reader_alone(place: Place) -> None:
    box = place.box()
    await box.sync()
    items = [place.prepare("one", flags="S"), place.prepare("two", flags="F")]
    await box.put("INBOX", items, reader=BOB, actor="x")
    assert (await seen(box, BOB), await seen(box)) == ([1], [])
    with pytest.raises(NothingFound):
        await box.put("none", [place.prepare("three")], reader=BOB, actor="x")
    box.close()

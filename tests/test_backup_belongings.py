"""What a box has besides messages: snapshotted, put back, and taken back again."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backup import belongings, changes, format
from backup.belongings import Account, Belongings, Traits
from backup.changes import Allow, Annotate, Delete, Limit, Make, Share, Subscribe
from backup.format import BoxRoot, MailboxRoot
from mtad.config import Loaded
from mtad.db import upgrade_state
from mtad.directory.rule_changes import RuleChanges
from mtad.errors import Exit
from mtad.journal.command import command_journal
from mtad.store import annotations, reading
from mtad.store.client import Boxes
from tests import mails
from tests.backup_yard import ANNA, BORIS, Run, Yard, command, settings, three_messages
from tracing import stored

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


def has(loaded: Loaded, box: str = ANNA) -> Belongings:
    folder = loaded.places.boxes / "/".join(reversed(box.split("@")))
    account = belongings.account(belongings.directory_of(loaded), box)
    found, problems = belongings.read(
        folder, folder / "Maildir", reading.read_box(folder, box), account
    )
    assert problems == []
    return found


def seen(loaded: Loaded, box: str = ANNA) -> dict[str, tuple[str, ...]]:
    folder = loaded.places.boxes / "/".join(reversed(box.split("@")))
    return belongings.seen(folder)[0]


@contextlib.contextmanager
def directory(loaded: Loaded) -> Iterator[RuleChanges]:
    upgrade_state(loaded.places.state_db)
    with command_journal(loaded.places) as journal:
        yield RuleChanges(loaded.places.state_db, journal, "admin:test")


def number(loaded: Loaded, mailbox: str) -> int:
    with Boxes(loaded) as boxes:
        return next(one.id for one in boxes.list(ANNA).mailboxes if one.name == mailbox)


@pytest.fixture
def furnished(yard: Yard, loaded: Loaded, run: Run) -> Belongings:
    """A box with a shared, annotated, subscribed mailbox, in a snapshot."""
    with directory(loaded) as change:
        change.add_domain("alpha.example")
        change.add_box(ANNA, "correct horse battery")
        change.set_quota(ANNA, 5_000_000, 100)
        change.allow(ANNA, "imap", ["192.0.2.0/24"])
    with Boxes(loaded) as boxes:
        boxes.create(ANNA, "Team/Orders", uses=["\\Archive"], **WHO)
        boxes.move(ANNA, "INBOX", [1, 2], "Team/Orders", **WHO)
        boxes.share(ANNA, "Team/Orders", BORIS, "lrs", **WHO)
        boxes.share(ANNA, "Team/Orders", "anyone", "l", **WHO)
        boxes.share(ANNA, "INBOX", BORIS, "lr", **WHO)
        boxes.subscribe(ANNA, "Team/Orders", True, **WHO)
        boxes.flags(ANNA, "Team/Orders", [1], ["\\Seen"], reader=BORIS, **WHO)
        boxes.create(ANNA, "Empty", **WHO)
    folder = yard.boxes[ANNA]
    annotations.change(folder, number(loaded, "Team/Orders"), {"/shared/comment": b"ours"})
    annotations.change(folder, annotations.BOX, {"/private/a": b"1"})
    annotations.change(folder, 4711, {"/private/of-another": b"2"})
    run("snapshot", "create")
    return has(loaded)


def test_a_lost_mailbox_comes_back_with_all_it_had(
    yard: Yard,
    loaded: Loaded,
    run: Run,
    furnished: Belongings,
) -> None:
    content, sights = yard.state(ANNA), seen(loaded)
    assert furnished.mailboxes["Team/Orders"].rights
    assert list(sights.values()) == [(BORIS,)]
    with Boxes(loaded) as boxes:
        boxes.delete(ANNA, "Team/Orders", **WHO)
        boxes.delete(ANNA, "Empty", **WHO)
        boxes.subscribe(ANNA, "Team/Orders", False, **WHO)
        boxes.share(ANNA, "INBOX", BORIS, "", **WHO)
    without = has(loaded)
    planned = run("restore", "--box", ANNA, "--dry-run")
    assert planned["would_change"] == [
        "make the mailbox Empty",
        "make the mailbox Team/Orders, shared as it was (2)",
        "subscribe to Team/Orders",
    ]
    done = run("restore", "--box", ANNA, "--yes")
    assert (done["restored"], done["changed"]) == (2, planned["would_change"])
    now = has(loaded)
    assert yard.state(ANNA) == content
    assert seen(loaded) == sights
    assert now.mailboxes["Team/Orders"] == furnished.mailboxes["Team/Orders"]
    assert now.subscribed == furnished.subscribed
    assert now.mailboxes["INBOX"].rights == ()  # its rights were changed on purpose
    again = run("restore", "--box", ANNA, "--yes")
    assert (again["restored"], again["changed"]) == (0, [])
    run("restore", "--undo", done["operation"], "--yes")
    back = has(loaded)
    assert (back.mailboxes, back.subscribed) == (without.mailboxes, without.subscribed)
    assert len(yard.state(ANNA)) == 1


def test_one_message_brings_its_mailbox_and_nothing_else(
    yard: Yard,
    loaded: Loaded,
    run: Run,
    furnished: Belongings,
) -> None:
    with Boxes(loaded) as boxes:
        boxes.delete(ANNA, "Team/Orders", **WHO)
        boxes.delete(ANNA, "Empty", **WHO)
    run("restore", "--box", ANNA, "flag:flagged", "--yes")
    now = has(loaded)
    assert now.mailboxes["Team/Orders"] == furnished.mailboxes["Team/Orders"]
    assert "Empty" not in now.mailboxes


def test_exactly_what_it_had_and_back(
    yard: Yard,
    loaded: Loaded,
    run: Run,
    furnished: Belongings,
) -> None:
    content, sights = yard.state(ANNA), seen(loaded)
    with Boxes(loaded) as boxes:
        boxes.share(ANNA, "Team/Orders", BORIS, "lrswipkxtea", **WHO)
        boxes.share(ANNA, "Team/Orders", "anyone", "", **WHO)
        boxes.share(ANNA, "INBOX", "eve@beta.example", "lr", **WHO)
        boxes.subscribe(ANNA, "INBOX", True, **WHO)
        boxes.flags(ANNA, "Team/Orders", [1], [], ["\\Seen"], reader=BORIS, **WHO)
        boxes.flags(ANNA, "Team/Orders", [2], ["\\Seen"], reader=BORIS, **WHO)
        boxes.create(ANNA, "Newer/Below", **WHO)
        boxes.create(ANNA, "Newer", **WHO)
        boxes.move(ANNA, "INBOX", [3], "Newer", **WHO)
    yard.deliver(ANNA, mails.plain("late"), "Newer")
    number_of = number(loaded, "Team/Orders")
    annotations.change(yard.boxes[ANNA], number_of, {"/shared/comment": None, "/shared/x": b"y"})
    annotations.change(yard.boxes[ANNA], 4711, {"/private/of-another": None})
    with directory(loaded) as change:
        change.set_quota(ANNA, 0, 0)
        change.allow(ANNA, "imap", [])
        change.allow(ANNA, "pop3", ["198.51.100.7"])
    before, before_content, before_sights = has(loaded), yard.state(ANNA), seen(loaded)
    done = run("restore", "--box", ANNA, "--exact", "--yes")
    assert has(loaded) == furnished
    assert yard.state(ANNA) == content
    assert seen(loaded) == sights
    assert done["removed"] == 1
    assert {
        "delete the mailbox Newer, which was not there then",
        f"give {BORIS} lrs on Team/Orders",
        "set the quota to 5000000 octets and 100 messages (0: no limit)",
        "allow pop3 from any network",
    } < set(done["changed"])
    again = run("restore", "--box", ANNA, "--snapshot", done["snapshot"], "--exact", "--yes")
    assert again["changed"] == []

    run("restore", "--undo", done["operation"], "--yes")
    now = has(loaded)
    assert yard.state(ANNA) == before_content
    assert seen(loaded) == before_sights
    assert now.subscribed == before.subscribed
    rights = {name: one.rights for name, one in now.mailboxes.items()}
    assert rights == {name: one.rights for name, one in before.mailboxes.items()}
    assert now.account == furnished.account  # these do not go back, as the command says


def test_exactly_one_mailbox_leaves_the_others(
    yard: Yard,
    loaded: Loaded,
    run: Run,
    furnished: Belongings,
) -> None:
    with Boxes(loaded) as boxes:
        boxes.share(ANNA, "Team/Orders", BORIS, "", **WHO)
        boxes.share(ANNA, "INBOX", BORIS, "", **WHO)
        boxes.create(ANNA, "Newer", **WHO)
    run("restore", "--box", ANNA, "--mailbox", "Team/Orders", "--exact", "--yes")
    now = has(loaded)
    assert now.mailboxes["Team/Orders"] == furnished.mailboxes["Team/Orders"]
    assert now.mailboxes["INBOX"].rights == ()
    assert "Newer" in now.mailboxes


def test_rights_as_of_a_minute(
    yard: Yard,
    loaded: Loaded,
    run: Run,
    furnished: Belongings,
) -> None:
    def event(what: str, at: int, name: str, **more: Any) -> stored.BoxMailbox:
        return stored.BoxMailbox(
            at=at, trace=1, addr=ANNA, mailbox=name, actor=ANNA, what=what, **more
        )

    shared = stored.BoxAcl(
        at=2,
        trace=1,
        addr=ANNA,
        mailbox="New",
        actor=ANNA,
        who="x",
        rights="l",
        had="",
        acl=("anyone l",),
    )
    told = [
        event("renamed", 4, "Team", target="Crew"),
        event("created", 1, "New", uses=("\\Junk",), acl=("anyone lr",)),
        shared,
        event("subscribed", 3, "New"),
        event("unsubscribed", 3, "Team/Orders"),
        event("deleted", 5, "Empty"),
    ]
    then = belongings.play(furnished, told)
    assert then.mailboxes.keys() == {"INBOX", "New", "Crew/Orders"}
    assert then.mailboxes["New"] == Traits(("anyone l",), ("\\Junk",))
    assert then.mailboxes["Crew/Orders"] == furnished.mailboxes["Team/Orders"]
    assert then.subscribed == {"New"}


def test_an_unchanged_box_adds_no_object(
    run: Run,
    furnished: Belongings,
) -> None:
    assert run("snapshot", "create")["same_as"]


def test_metadata_that_cannot_be_read_is_told_and_stops_nothing(
    yard: Yard,
    loaded: Loaded,
    run: Run,
) -> None:
    (yard.boxes[ANNA] / annotations.FILE).write_bytes(b"no database at all, but long enough" * 99)
    taken = run("snapshot", "create", code=Exit.PARTIAL)
    assert taken["messages"] == 3
    assert taken["unread"] == [f"{ANNA}/annotations.db: file is not a database"]


def test_what_an_old_snapshot_did_not_keep_is_left_alone(
    yard: Yard,
    loaded: Loaded,
    run: Run,
    furnished: Belongings,
) -> None:
    root = BoxRoot(ANNA, (MailboxRoot("INBOX", 1, 2, 3, 0, b""),))
    short = format.encode([ANNA, [["INBOX", 1, 2, 3, 0, b""]]])
    assert format.decode(short, BoxRoot) == root
    assert belongings.of_root(root) is None
    dressed = belongings.dress(root, furnished)
    again = belongings.of_root(format.decode(format.encode(dressed), BoxRoot))
    assert again is not None
    assert (again.subscribed, again.notes, again.account) == (
        furnished.subscribed,
        furnished.notes,
        furnished.account,
    )


def test_an_index_from_before_others_could_see(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "index.db")) as link:
        link.execute("CREATE TABLE msg (uid)")
    assert belongings.seen(tmp_path) == ({}, [])
    (tmp_path / "index.db").write_bytes(b"torn" * 1024)
    found, problems = belongings.seen(tmp_path)
    assert found == {}
    assert "not a database" in problems[0]


OLD = Belongings(
    {"INBOX": Traits(("anyone l",)), "A": Traits(notes={"/x": b"1", "/y": b"2"})},
    frozenset({"A", "Elsewhere"}),
    {(0, "/p"): b"3"},
    Account((10, 0), (("imap", ("192.0.2.0/24",)),)),
)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (OLD, []),
        (
            Belongings(
                {"INBOX": Traits(("user=b@c.d lr",))}, frozenset({"A", "Elsewhere"}), OLD.notes
            ),
            [
                Make("A", OLD.mailboxes["A"]),
                Share("INBOX", "anyone", "l"),
                Share("INBOX", "b@c.d", ""),
            ],
        ),
        (
            Belongings(
                {**OLD.mailboxes, "A": Traits(notes={"/y": b"2", "/z": b""}), "B": Traits()},
                frozenset({"B"}),
                {(7, "/q"): b""},
                Account((0, 5), (("pop3", ("::/0",)),)),
            ),
            [
                Annotate("A", {"/x": b"1", "/z": None}),
                Subscribe("A", True),
                Subscribe("B", False),
                Subscribe("Elsewhere", True),
                Annotate("", {"/p": b"3"}, 0),
                Annotate("", {"/q": None}, 7),
                Limit(10, 0),
                Allow("imap", ("192.0.2.0/24",)),
                Allow("pop3", ()),
                Delete("B"),
            ],
        ),
    ],
)
def test_what_makes_it_exact(now: Belongings, expected: list[changes.Change]) -> None:
    assert changes.exact(OLD, now) == expected
    assert all(str(one) for one in expected)

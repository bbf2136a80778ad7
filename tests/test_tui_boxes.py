"""The Mailboxes screen: what is read of a real server, what is done to it, key by key."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from mtad.address import box_folder
from mtad.config import Loaded
from mtad.errors import MtadError
from tests.test_directory_changes import logged
from tests.tui_server import MadeUp, MadeUpActing, world
from tracing.access import AdminRead
from tui import boxes, preview
from tui.acting import Acting
from tui.acts import boxes as acts
from tui.acts import looks
from tui.app import MtadApp
from tui.disk import Disk
from tui.run import settle
from tui.screens.dialogs import Confirm, Form, Page
from tui.screens.mailboxes import MailboxesScreen
from tui.world import World

ANN = "ann@example.org"
MAIL = b"From: Bob <bob@there.test>\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\n\r\nHello Ann.\r\n"
Press = Callable[..., Any]


def delivered(site: Loaded, number: int, raw: bytes = MAIL, mailbox: str = "") -> None:
    """A file as another program delivers it."""
    folder = site.places.boxes / box_folder(ANN) / "Maildir" / mailbox
    for name in ("cur", "new", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "new" / f"{1_764_000_000 + number}.made-up").write_bytes(raw)


@pytest.fixture
def ann(site: Loaded) -> Loaded:
    """A site with a further box that holds two messages."""
    acts.add_box(site, ANN, "a good password")
    delivered(site, 1)
    delivered(site, 2, MAIL.replace(b"Hello", b"Bye"))
    delivered(site, 3, mailbox=".Sent")
    return site


def test_what_there_is(ann: Loaded) -> None:
    acts.set_quota(ann, ANN, "5G", "0")
    acts.add_alias(ann, "sales@example.org", f"{ANN} bob@elsewhere.example")
    acts.forward(ann, ANN, "home@elsewhere.example", keep=True)
    acts.lock(ann, ANN, True)
    (domain,) = boxes.domains(ann.places)
    assert (domain.name, domain.boxes, domain.aliases, domain.relay) == ("example.org", 2, 2, False)
    one, _, postmaster, alias = boxes.accounts(ann.places, "example.org")
    assert one.address == ANN
    assert one.locked
    assert (one.max_octets, one.max_messages) == (5 * 10**9, 0)
    assert one.aliases == ("sales@example.org",)
    assert one.forwards == ("home@elsewhere.example",)
    assert (postmaster.is_alias, one.is_alias) == (True, False)
    assert alias.leads_to == (ANN, "bob@elsewhere.example")
    inbox, sent = boxes.folders(ann.places, ANN)
    assert (inbox.name, inbox.messages, inbox.unseen) == ("INBOX", 2, 2)
    assert (sent.name, sent.octets) == ("Sent", len(MAIL))


def test_messages_are_listed_latest_first_and_not_all(
    ann: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boxes, "MOST", 1)
    (letter,), left_out = boxes.letters(ann.places, ANN, "INBOX")
    assert left_out == 1
    assert letter.subject == "café"
    assert letter.sender == "Bob <bob@there.test>"
    assert b"Subject" in boxes.content(ann.places, ANN, letter.kept)


def test_a_message_that_went_is_told_so(ann: Loaded) -> None:
    letters, _ = boxes.letters(ann.places, ANN, "INBOX")
    for path in (ann.places.boxes / box_folder(ANN) / "Maildir" / "new").iterdir():
        path.unlink()
    with pytest.raises(MtadError, match="the message is gone"):
        boxes.content(ann.places, ANN, letters[0].kept)


def test_that_someone_reads_is_durable(ann: Loaded) -> None:
    letters, _ = boxes.letters(ann.places, ANN, "INBOX")
    kept = letters[0].kept
    looks.reads(ann, ANN, kept.mailbox, "she asked me to", m=kept.m, st=kept.st)
    found = [event for event in logged(ann.places) if isinstance(event, AdminRead)]
    (event,) = found
    assert (event.addr, event.mailbox, event.reason) == (ANN, "INBOX", "she asked me to")
    assert event.actor.startswith("admin:")
    assert str(event).endswith(f"read mail of {ANN} in INBOX: she asked me to")


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (MAIL, ["From: Bob <bob@there.test>", "Subject: café", "", "Hello Ann."]),
        (b"Content-Type: text/html\n\n<script>x</script><p>Hi <b>you</b>", ["", "Hi you"]),
        (b"Subject: a\n\n" + b"x\n" * 5000, ["the text goes on; this is its beginning"]),
        (
            b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\n"
            b"Content-Type: application/pdf\nContent-Disposition: attachment; filename=a.pdf\n\n"
            b"12345\n--b--\n",
            ["text", "[a.pdf  application/pdf  5 B]"],
        ),
        (b"Content-Type: image/png\n\nxx", ["it has no text", "[no name  image/png  2 B]"]),
    ],
)
def test_a_page(raw: bytes, shown: list[str]) -> None:
    page = [line.strip() for line in preview.lines(raw, len(raw))]
    for line in shown:
        assert line in page, page


@asynccontextmanager
async def at_boxes(site: Loaded) -> AsyncIterator[Pilot[Any]]:
    """The screen of a real server, in its domain."""
    disk = Disk(site.places, site.path)
    app = MtadApp(World(disk, "mail.example.org", acting=Acting(site.path)), start="mailboxes")
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await pilot.press("enter")
        await settle(pilot)
        yield pilot


async def until(pilot: Pilot[Any], kind: type) -> Any:
    for _ in range(500):
        await pilot.pause(0.01)
        if isinstance(pilot.app.screen, kind):
            return pilot.app.screen
    raise AssertionError(f"{pilot.app.screen} is no {kind}: {text(pilot)}")


def text(pilot: Pilot[Any]) -> str:
    return "\n".join(strip.text for strip in pilot.app.screen._compositor.render_strips())


async def said(pilot: Pilot[Any], wanted: str) -> None:
    for _ in range(500):
        await pilot.pause(0.01)
        if wanted in text(pilot):
            return
    raise AssertionError(f"{wanted!r} was not said: {text(pilot)}")


async def test_a_box_is_added_with_a_password_made_up(site: Loaded) -> None:
    async with at_boxes(site) as pilot:
        await pilot.press("a")
        form = await until(pilot, Form)
        await pilot.press(*"zoe")
        assert form.query_one("#address", Input).value == "zoe@example.org"
        await pilot.press("enter", "enter")
        page = await until(pilot, Page)
        await pilot.press("y")
        assert "password  " in pilot.app.clipboard
        assert page._title == "box zoe@example.org added"
        await pilot.press("escape")
        await said(pilot, "● zoe@example.org")


async def test_what_is_wrong_is_said_and_nothing_done(site: Loaded) -> None:
    async with at_boxes(site) as pilot:
        await pilot.press("a")
        await until(pilot, Form)
        await pilot.press(*"no good", "enter", "enter")
        await until(pilot, MailboxesScreen)
        await said(pilot, "address")
        there = boxes.accounts(site.places, "example.org")
        assert [one.address for one in there if not one.is_alias] == ["you@example.org"]


async def test_a_box_is_locked_after_a_question(ann: Loaded) -> None:
    async with at_boxes(ann) as pilot:
        for key, locked in (("L", True), ("Д", False)):
            await pilot.press(key)
            await until(pilot, Confirm)
            await pilot.press("y")
            await said(pilot, "may log in")
            assert boxes.accounts(ann.places, "example.org")[0].locked is locked
            await settle(pilot)


async def test_a_quota_that_is_none_changes_nothing(ann: Loaded) -> None:
    async with at_boxes(ann) as pilot:
        await pilot.press("z")
        await until(pilot, Form)
        await pilot.press(*"much", "enter", "enter")
        await said(pilot, "is no size")
        assert boxes.accounts(ann.places, "example.org")[0].max_octets == 0


async def test_reading_asks_why_once_and_is_written_down_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[tuple[str, str]] = []
    monkeypatch.setattr(looks, "reads", lambda _l, box, _at, why, **_: done.append((box, why)))
    app = MtadApp(world(MadeUp.filled(), MadeUpActing()), start="mailboxes")
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        for _ in range(3):
            await pilot.press("enter")
            await settle(pilot)
        await pilot.press("enter")
        form = await until(pilot, Form)
        await pilot.press("enter")
        assert "say why" in str(form.query_one("#wrong", Static).content)
        assert done == []
        await pilot.press(*"asked", "enter")
        await until(pilot, Page)
        assert "Hello, this is the text." in text(pilot)
        await pilot.press("escape", "down", "enter")
        await until(pilot, Page)
        assert done == [("anna.schmidt@example.org", "asked")] * 2


async def test_nothing_is_read_where_it_cannot_be_written_down() -> None:
    app = MtadApp(world(MadeUp.filled()), start="mailboxes")
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        for _ in range(4):
            await pilot.press("enter")
            await asyncio.sleep(0.05)
        await until(pilot, Form)
        await pilot.press(*"asked", "enter")
        await said(pilot, "read-only")
        assert isinstance(app.screen, MailboxesScreen)

"""Putting mail back from the screens: on real boxes, and key by key."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from backup.catalog import Message
from mtad.config import Loaded
from mtad.errors import NothingFound
from tests.backup_yard import ANNA, settings, three_messages
from tests.test_backup_cli import delete_all
from tests.tui_server import MadeUp, MadeUpActing, world
from tracing.states import State
from tui import boxes
from tui.acts import restore
from tui.acts.restore import Planned, Progress, Wanted
from tui.app import MtadApp
from tui.run import settle
from tui.saved import Saves, Top
from tui.screens.dialogs import Confirm, Form
from tui.screens.frame import Frame


def nobody(_done: int, _total: int) -> None:
    """Nobody is told."""


@pytest.fixture
def emptied(tmp_path: Path) -> Loaded:
    """A box from which everything was deleted; a snapshot has it."""
    loaded = settings(tmp_path)
    three_messages(loaded)
    delete_all(loaded, ANNA)
    return loaded


def there(loaded: Loaded) -> int:
    """How many messages the box has."""
    return sum(folder.messages for folder in boxes.folders(loaded.places, ANNA))


def deleted(loaded: Loaded) -> list[Message]:
    saves = Saves(loaded.path)
    found = [
        message
        for mailbox in saves.listing("-1d..", ANNA)
        for message in saves.listing("-1d..", ANNA, mailbox.name)
    ]
    saves.close()
    return found


def test_what_was_deleted_is_listed_put_back_once_and_taken_back(emptied: Loaded) -> None:
    listed = deleted(emptied)
    assert len(listed) == 3
    entry = listed[0].entry
    wanted = [restore.message(ANNA, entry.m, entry.st)]
    planned = restore.plan(emptied, wanted)
    assert planned.doing == 1
    assert planned.lines[0].startswith(f"{ANNA}: 1 message put back")
    assert there(emptied) == 0  # a plan changes nothing

    told: list[tuple[int, int]] = []
    said = restore.carry_out(emptied, planned.wanted, lambda *at: told.append(at))
    assert said.endswith(", 1 put back")
    assert told[-1] == (1, 1)
    assert there(emptied) == 1
    assert restore.plan(emptied, [Wanted(ANNA, wanted[0].terms, deleted=False)]).doing == 0

    name, undone = restore.plan_undo(emptied)
    assert undone.doing == 1
    assert restore.undo(emptied, name, nobody).endswith(", 1 removed")
    assert there(emptied) == 0
    with pytest.raises(NothingFound, match="no restore to take back"):
        restore.plan_undo(emptied)


def test_a_message_that_nothing_knows_is_told_so(emptied: Loaded) -> None:
    with pytest.raises(NothingFound):
        restore.plan(emptied, [restore.message(ANNA, 1 << 40)])
    with pytest.raises(NothingFound, match="does not know this message"):
        restore.message(ANNA, 0)


@pytest.mark.parametrize(
    ("name", "top", "terms"),
    [
        ("s001", Top(snapshot="s001"), ()),
        ("@14:20", Top(at="14:20"), ()),
        ("-2d..", Top(since="2d"), ("since:2d",)),
        ("-2d..1d", Top(since="2d", until="1d"), ("since:2d", "until:1d")),
    ],
)
def test_the_top_of_a_path(name: str, top: Top, terms: tuple[str, ...]) -> None:
    assert Top.of(name) == top
    assert Top.of(name).terms == terms


# ----------------------------------------------------------------- key by key


def text(pilot: Pilot[Any]) -> str:
    return "\n".join(strip.text for strip in pilot.app.screen._compositor.render_strips())


async def until(pilot: Pilot[Any], kind: type) -> None:
    for _ in range(500):
        await pilot.pause(0.01)
        if isinstance(pilot.app.screen, kind):
            return
    raise AssertionError(f"{pilot.app.screen} is no {kind}: {text(pilot)}")


async def said(pilot: Pilot[Any], wanted: str) -> None:
    for _ in range(500):
        await pilot.pause(0.01)
        if wanted in text(pilot):
            return
    raise AssertionError(f"{wanted!r} was not said: {text(pilot)}")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Sequence[Wanted]]]:
    """What is planned and what is done, in order; each plan has one message."""
    calls: list[tuple[str, Sequence[Wanted]]] = []

    def plan(_loaded: object, wanted: Sequence[Wanted]) -> Planned:
        calls.append(("plan", tuple(wanted)))
        return Planned(tuple(wanted), 1, ("ann: 1 message put back",))

    def carry_out(_loaded: object, wanted: Sequence[Wanted], progress: Progress) -> str:
        calls.append(("do", tuple(wanted)))
        progress(1, 1)
        return "restore 7, 1 put back"

    monkeypatch.setattr(restore, "plan", plan)
    monkeypatch.setattr(restore, "carry_out", carry_out)
    return calls


@pytest.mark.parametrize("key", ["r", "к"])
async def test_one_key_restores_from_a_trace(
    asked: list[tuple[str, Sequence[Wanted]]], key: str
) -> None:
    server = MadeUp.filled()
    app = MtadApp(world(server, MadeUpActing()), start="trace")
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await pilot.press("enter")
        await settle(pilot)
        await pilot.press(key)
        await until(pilot, Confirm)
        assert "ann: 1 message put back" in text(pilot)
        assert [what for what, _ in asked] == ["plan"]
        await pilot.press("y")
        await until(pilot, Frame)
        await settle(pilot)
        row = next(iter(server.rows.values()))
        wanted = (restore.message(row.recipients[0], row.id),)
        assert asked == [("plan", wanted), ("do", wanted)]
        assert "1 put back" in str(app.screen.query_one("#banner", Static).content)


async def test_that_it_is_being_planned_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = asyncio.Event()

    class Slow(MadeUpActing):
        async def run(self, do: Callable[[Any], Any]) -> Any:
            await gate.wait()
            return Planned((), 1, ("ann: 1 message put back",))

    app = MtadApp(world(MadeUp.filled(), Slow()), start="trace")
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await pilot.press("r")
        await said(pilot, "looking what can be put back")
        gate.set()
        await until(pilot, Confirm)
        await pilot.press("n")
        await until(pilot, Frame)
        assert "looking" not in text(pilot)


async def test_no_puts_nothing_back(asked: list[tuple[str, Sequence[Wanted]]]) -> None:
    app = MtadApp(world(MadeUp.filled(), MadeUpActing()), start="trace")
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await pilot.press("r")
        await until(pilot, Confirm)
        await pilot.press("n")
        await until(pilot, Frame)
        await settle(pilot)
        assert [what for what, _ in asked] == ["plan"]


async def test_what_was_delivered_nowhere_is_told_so() -> None:
    server = MadeUp.filled()
    server.rows = {n: row for n, row in server.rows.items() if row.state is State.REFUSED}
    app = MtadApp(world(server, MadeUpActing()), start="trace")
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await pilot.press("r")
        await settle(pilot)
        assert "delivered to no box here" in text(pilot)


@pytest.mark.parametrize(
    ("keys", "mailbox", "has_terms"),
    [
        (("enter", "r"), None, False),
        (("enter", "enter", "r"), "INBOX", False),
        (("enter", "enter", "enter", "r"), "INBOX", True),
    ],
)
async def test_a_box_a_mailbox_or_a_message_of_a_snapshot_is_put_back(
    asked: list[tuple[str, Sequence[Wanted]]],
    keys: tuple[str, ...],
    mailbox: str | None,
    has_terms: bool,
) -> None:
    app = MtadApp(world(MadeUp.filled(), MadeUpActing()), start="snapshots")
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
            if key == "enter":
                await settle(pilot)
        await until(pilot, Confirm)
        ((_, (wanted,)),) = asked
        assert (wanted.box, wanted.snapshot) == ("anna.schmidt@example.org", "s000")
        assert wanted.mailbox == mailbox
        assert bool(wanted.terms) is has_terms


async def test_what_was_deleted_between_two_times_is_browsed() -> None:
    paths: list[tuple[str, ...]] = []

    class Asked(MadeUp):
        async def saved(self, *path: str) -> Sequence[Any]:
            paths.append(path)
            return await super().saved(*path)

    app = MtadApp(world(Asked.filled(), MadeUpActing()), start="snapshots")
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await pilot.press("d")
        await until(pilot, Form)
        await pilot.press("3", "d", "enter", "1", "d", "enter")
        await said(pilot, "deleted 3d..1d")
        await settle(pilot)
        assert ("-3d..1d",) in paths
        await pilot.press("escape", "@")
        await until(pilot, Form)
        await pilot.press(*"14:20", "enter")
        await said(pilot, "as of 14:20")
        await settle(pilot)
        assert ("@14:20",) in paths

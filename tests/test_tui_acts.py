"""What is asked of and done to a message: why, copy, export, retry, and the question before."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from mtad.queue import asking
from mtad.where import Places
from tests.tui_server import NOW, MadeUp, MadeUpActing, world
from tracing import ids
from tracing.states import State
from tui import prompt, waits
from tui.actions import ACTIONS
from tui.acts import queue
from tui.app import MtadApp
from tui.data import Destination, Waiting
from tui.run import settle
from tui.screens.dialogs import Confirm, Form, Page
from tui.screens.queue import QueueScreen
from tui.screens.timeline import TimelineScreen
from tui.screens.trace import TraceScreen


async def press(pilot: Pilot[Any], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await pilot.pause()
    if not isinstance(pilot.app.screen, Confirm | Form | Page | prompt.Prompt):
        await settle(pilot)


def banner(app: MtadApp) -> str:
    return str(app.screen.query_one("#banner", Static).content)


@pytest.mark.parametrize("start", ["overview", "trace"])
@pytest.mark.parametrize("key", ["w", "ц"])
async def test_why_is_a_page(start: str, key: str) -> None:
    app = MtadApp(world(MadeUp.filled()), start=start)
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await press(pilot, key)
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        assert isinstance(app.screen, Page)
        await press(pilot, "y")
        assert app.clipboard.startswith("delivered to INBOX\n")
        await press(pilot, "escape")
        assert not isinstance(app.screen, Page)


async def test_a_failure_is_traced_by_its_key() -> None:
    app = MtadApp(world(MadeUp.filled()))
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await press(pilot, "t")
        assert isinstance(app.screen, TimelineScreen)


async def test_the_sheet_is_copied() -> None:
    app = MtadApp(world(MadeUp.filled()), start="trace")
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await press(pilot, "y")
        assert app.clipboard.endswith("\n250 2.0.0 taken")
        assert "copied 2 lines" in banner(app)


async def test_a_timeline_is_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = MtadApp(world(MadeUp.filled()), start="trace")
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await press(pilot, "s")
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        assert isinstance(app.screen, Form)
        await press(pilot, "enter")
        await settle(pilot)
        (written,) = os.listdir(tmp_path)
        assert ids.parse(written.removesuffix(".json"))
        assert "wrote" in banner(app)


async def test_nothing_is_changed_where_only_reading_is_allowed() -> None:
    app = MtadApp(world(MadeUp.filled()), start="trace")
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await press(pilot, "R")
        assert "read-only" in banner(app)


@pytest.mark.parametrize(
    ("count", "keys", "done"),
    [
        (1, ("y",), True),
        (1, ("н",), True),
        (1, ("n",), False),
        (1, ("escape",), False),
        (3, ("3", "enter"), True),
        (3, ("2", "enter", "escape"), False),
        (3, ("y", "enter", "escape"), False),
    ],
)
async def test_a_retry_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, count: int, keys: tuple[str, ...], done: bool
) -> None:
    calls: list[tuple[str, int]] = []
    monkeypatch.setattr(
        queue, "of_message", lambda _loaded, m: [(m, n) for n in range(1, count + 1)]
    )

    def change(_loaded: object, act: str, who: list[queue.Key], why: str = "") -> str:
        calls.append((act, len(who)))
        return "they are being tried"

    monkeypatch.setattr(queue, "change", change)
    app = MtadApp(world(MadeUp.filled(), MadeUpActing()), start="trace")
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await press(pilot, "R")
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        assert isinstance(app.screen, Confirm)
        await press(pilot, *keys)
        assert calls == ([("retry", count)] if done else [])
        assert ("being tried" in banner(app)) is done


async def test_the_prompt_goes_to_a_filtered_trace() -> None:
    app = MtadApp(world(MadeUp.filled()))
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await press(pilot, ":", *"trace to:maria", "enter")
        await settle(pilot)
        assert isinstance(app.screen, TraceScreen)
        assert app.screen.query_one("#filter", Input).value == "to:maria"


async def test_the_prompt_says_what_there_is() -> None:
    app = MtadApp(world(MadeUp.filled()))
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await press(pilot, ":", *"hepl", "enter")
        assert isinstance(app.screen, prompt.Prompt)
        assert "help" in str(app.screen.query_one("#wrong", Static).content)
        await press(pilot, "escape")
        assert not isinstance(app.screen, prompt.Prompt)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.id)
def test_the_prompt_knows_every_action_by_its_whole_name(action: Any) -> None:
    found = prompt.find(ACTIONS, action.id)
    assert found == (action, "")


def test_a_beginning_that_several_have_names_none() -> None:
    offered = [action for action in ACTIONS if action.id in ("list.pageup", "list.pagedown")]
    assert prompt.find(offered, "pa") is None
    assert prompt.find(offered, "pageu") == (offered[0], "")


def queue_of(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, str]]:
    """A queue of the acts' own: marked domains have two recipients; what is done is listed."""
    calls: list[tuple[str, int, str]] = []

    def recipients(_places: object, domain: str, most: int) -> tuple[list[Waiting], int]:
        made = Waiting(1, 1, State.DEFERRED, "", f"a@{domain}", "", 1, NOW, 0, 0, "", "")
        return [made, replace(made, m=2)], 0

    def change(_loaded: object, act: str, who: list[queue.Key], why: str = "") -> str:
        calls.append((act, len(who), why))
        return "it is done"

    monkeypatch.setattr(waits, "recipients", recipients)
    monkeypatch.setattr(queue, "change", change)
    return calls


@pytest.mark.parametrize(
    ("keys", "asked", "done"),
    [
        (("R",), ("2", "enter"), ("retry", 2, "")),
        (("h",), ("2", "enter"), ("hold", 2, "")),
        (("enter", "R"), ("y",), ("retry", 1, "")),
        (("enter", "space", "space", "u"), ("2", "enter"), ("release", 2, "")),
        (("tab", "D"), ("y",), ("drop", 1, "")),
        (("enter", "B"), (*"gone", "enter", "y"), ("bounce", 1, "gone")),
        (("space", "space", "D"), ("escape",), None),
    ],
)
async def test_what_waits_is_acted_on(
    monkeypatch: pytest.MonkeyPatch,
    keys: tuple[str, ...],
    asked: tuple[str, ...],
    done: tuple[str, int, str] | None,
) -> None:
    calls = queue_of(monkeypatch)
    app = MtadApp(world(MadeUp.filled(), MadeUpActing(SimpleNamespace(places=None))), start="queue")
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        for key in keys[:-1]:
            await press(pilot, key)
        await pilot.press(keys[-1])
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        for key in asked:
            await press(pilot, key)
        assert calls == ([done] if done else [])
        if done:
            assert banner(app) == "it is done"


WAITING = {
    "state": "deferred", "accepted_at": "2026-11-24T12:00:00+00:00", "tries": 1, "next_try": "",
    "from": "a@example.org", "subject": "", "size": 1, "held": "", "reply": "",
}  # fmt: skip


def test_a_destination_is_its_own_recipients_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What a filter on the domain finds besides is left alone: subdomains, aliases' targets."""

    def lines(_places: object, _what: str, query: str, limit: int = 0) -> Iterator[dict[str, Any]]:
        assert query == 'to:"@far.example"'
        addresses = "a@far.example", "b@sub.far.example", "c@elsewhere.example", "d@FAR.example"
        found = [
            {**WAITING, "id": ids.text(n), "n": 1, "to": to}
            for n, to in enumerate(addresses, 1 << 40)
        ]
        yield {"recipients": found}
        yield {"done": True, "left_out": 0}

    monkeypatch.setattr(asking, "lines", lines)
    loaded: Any = SimpleNamespace(places=Places(tmp_path))
    assert queue.all_of(loaded, ["far.example", (7, 2)]) == [
        (7, 2),
        (1 << 40, 1),
        (3 + (1 << 40), 1),
    ]
    shown, _ = waits.recipients(loaded.places, "far.example")
    assert [one.to for one in shown] == ["a@far.example", "d@FAR.example"]


class Slow(MadeUp):
    """A server whose queue is long."""

    asked: int
    ready: asyncio.Event

    async def destinations(self) -> Sequence[Destination]:
        self.asked += 1
        await self.ready.wait()
        return await super().destinations()


async def test_a_slow_reading_of_the_queue_is_left_to_end() -> None:
    server = Slow(rows=MadeUp.filled().rows)
    server.asked, server.ready = 0, asyncio.Event()
    app = MtadApp(world(server), start="queue")
    async with app.run_test(size=(100, 30)) as pilot:
        screen = app.screen
        assert isinstance(screen, QueueScreen)
        screen.settled = True
        await pilot.pause()
        for _ in range(3):
            screen._again()
            await pilot.pause()
        assert server.asked == 1
        server.ready.set()
        await settle(pilot)
        assert len(screen.table)

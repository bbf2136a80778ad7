"""The Quarantine screen: what is held, read as text, released and dropped."""

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from mtad.queue import asking
from mtad.where import Places
from tests.tui_server import MadeUp, MadeUpActing, world
from tracing.states import State
from tui import waits
from tui.acts import looks, queue
from tui.app import MtadApp
from tui.run import settle
from tui.screens.dialogs import Confirm, Form, Page
from tui.screens.quarantine import QuarantineScreen


def text(pilot: Pilot[Any]) -> str:
    return "\n".join(strip.text for strip in pilot.app.screen._compositor.render_strips())


async def until(pilot: Pilot[Any], kind: type) -> None:
    for _ in range(500):
        await pilot.pause(0.01)
        if isinstance(pilot.app.screen, kind):
            return
    raise AssertionError(f"{pilot.app.screen} is no {kind}: {text(pilot)}")


@pytest.mark.parametrize(
    ("keys", "asked", "done"),
    [
        (("u",), ("y",), ("release", 1)),
        (("г",), ("y",), ("release", 1)),
        (("space", "space", "u"), ("2", "enter"), ("release", 2)),
        (("D",), ("y",), ("drop", 1)),
        (("D",), ("n",), None),
    ],
)
async def test_what_is_held_is_released_or_dropped(
    monkeypatch: pytest.MonkeyPatch,
    keys: tuple[str, ...],
    asked: tuple[str, ...],
    done: tuple[str, int] | None,
) -> None:
    calls: list[tuple[str, int]] = []

    def change(_loaded: object, act: str, who: list[queue.Key], why: str = "") -> str:
        calls.append((act, len(who)))
        return "it is done"

    monkeypatch.setattr(queue, "change", change)
    app = MtadApp(world(MadeUp.filled(), MadeUpActing()))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("6")
        await settle(pilot)
        assert "u Release" in text(pilot)
        await pilot.press(*keys)
        await until(pilot, Confirm)
        await pilot.press(*asked)
        await until(pilot, QuarantineScreen)
        await settle(pilot)
        assert calls == ([done] if done else [])


async def test_its_text_is_shown_to_who_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, str, str]] = []

    def reads(_loaded: object, whose: str, place: str, why: str, **_: object) -> None:
        done.append((whose, place, why))

    monkeypatch.setattr(looks, "reads", reads)
    app = MtadApp(world(MadeUp.filled(), MadeUpActing()), start="quarantine")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("enter")
        await until(pilot, Form)
        await pilot.press(*"asked", "enter")
        await until(pilot, Page)
        assert "Hello, this is the text." in text(pilot)
        assert done == [("i.petrov@example.org", "queue", "asked")]


@pytest.mark.parametrize("key", ["tab", "h", "escape"])
async def test_keys_of_the_queue_do_nothing_here(key: str) -> None:
    app = MtadApp(world(MadeUp.filled(), MadeUpActing()), start="quarantine")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        listed = len(app.screen.table)  # type: ignore[attr-defined]
        await pilot.press(key)
        await pilot.pause()
        await settle(pilot)
        assert isinstance(app.screen, QuarantineScreen)
        assert len(app.screen.table) == listed


def test_only_what_is_held_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []
    row = {
        "id": "0amq7bts02000", "n": 1, "state": "held", "from": "a@x.test", "to": "b@y.test",
        "subject": "s", "size": 3, "accepted_at": "", "tries": 0, "next_try": "",
        "held": "by hand", "reply": "",
    }  # fmt: skip

    def lines(_places: object, what: str, query: str, _most: int) -> list[dict[str, Any]]:
        asked.append((what, query))
        return [{"recipients": [row], "left_out": 4}]

    monkeypatch.setattr(asking, "lines", lines)
    (one,), left_out = waits.held(Places(Path("/nowhere")))
    assert asked == [("list", "state:held")]
    assert (one.state, one.held, left_out) == (State.HELD, "by hand", 4)

"""Each story of docs/tui.md, played key by key: it ends where it says, in so many keys."""

from collections.abc import Sequence
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.tui_keys import STORIES, TYPED, Story
from tests.tui_server import MadeUp, MadeUpActing, world
from tui.acts import boxes, queue, restore
from tui.acts.restore import Planned, Wanted
from tui.app import MtadApp
from tui.run import settle
from tui.screens.frame import Frame


def text(pilot: Pilot[Any]) -> str:
    return "\n".join(strip.text for strip in pilot.app.screen._compositor.render_strips())


@pytest.fixture(autouse=True)
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done to the server, in order."""
    calls: list[str] = []

    def change(_loaded: object, act: queue.Change, who: Sequence[queue.Key], _why: str = "") -> str:
        calls.append(act)
        one, many = queue.PAST[act]
        return (one if len(who) == 1 else many).format(len(who))

    def plan(_loaded: object, wanted: Sequence[Wanted]) -> Planned:
        return Planned(tuple(wanted), 1, ("1 message put back",))

    def carry_out(*_given: object) -> str:
        calls.append("restore")
        return "1 put back"

    def all_of(_loaded: object, meant: Sequence[Any]) -> Sequence[queue.Key]:
        return [(1, 1), (1, 2)] if isinstance(meant[0], str) else [*meant]

    def add_box(_loaded: object, address: str, _password: str) -> tuple[str, str]:
        calls.append(f"add {address}")
        return address, "made-up"

    monkeypatch.setattr(queue, "change", change)
    monkeypatch.setattr(queue, "all_of", all_of)
    monkeypatch.setattr(restore, "plan", plan)
    monkeypatch.setattr(restore, "carry_out", carry_out)
    monkeypatch.setattr(boxes, "add_box", add_box)
    return calls


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.title)
async def test_a_story_ends_as_told(story: Story, done: list[str]) -> None:
    app = MtadApp(world(MadeUp.filled(), MadeUpActing()), start=story.begin)
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        for key in story.keys:
            assert story.ends not in text(pilot), "it ended before its last key"
            before = app.screen
            await pilot.press(*(story.typed if key == TYPED else (key,)))
            await pilot.app.workers.wait_for_complete()
            await pilot.pause()
            if isinstance(app.screen, Frame) and app.screen is before:
                await settle(pilot)
        for _ in range(300):
            await pilot.pause(0.01)
            if story.ends in text(pilot):
                break
        assert story.ends in text(pilot), text(pilot)
    assert done == ([story.does] if story.does else [])


def test_what_is_typed_is_no_key() -> None:
    assert [story.count for story in STORIES] == [1, 4, 3, 3, 3, 5]

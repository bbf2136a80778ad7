"""Each screen as a picture, at both sizes, with mail and without."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.tui_server import MadeUp, world
from tui.app import MtadApp
from tui.run import settle

SIZES = [(120, 36), (80, 24)]
Compare = Callable[..., bool]


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    """Both sizes a screen must be good at."""
    made: tuple[int, int] = request.param
    return made


@pytest.fixture(autouse=True)
def plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures do not depend on the terminal the tests run in."""
    monkeypatch.delenv("NO_COLOR", raising=False)


def after(*keys: str) -> Callable[[Pilot[Any]], Awaitable[None]]:
    """Press keys, each once everything is painted."""

    async def run(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        for key in keys:
            await pilot.press(key)
            await settle(pilot)

    return run


@pytest.mark.parametrize(
    ("screen", "keys"),
    [
        ("overview", ()),
        ("trace", ()),
        ("trace", ("down", "down", "down", "enter")),
        ("snapshots", ()),
        ("snapshots", ("enter", "enter", "enter")),
        ("trace", ("?",)),
    ],
    ids=["overview", "trace", "timeline", "snapshots", "messages", "help"],
)
def test_screen(
    snap_compare: Compare, size: tuple[int, int], screen: str, keys: tuple[str, ...]
) -> None:
    app = MtadApp(world(MadeUp.filled()), start=screen)
    assert snap_compare(app, terminal_size=size, run_before=after(*keys))


@pytest.mark.parametrize("screen", ["overview", "trace", "snapshots"])
def test_empty(snap_compare: Compare, size: tuple[int, int], screen: str) -> None:
    server = MadeUp(nothing=True, said="there is no event log yet; 'mtad serve' runs the server")
    app = MtadApp(world(server), start=screen)
    assert snap_compare(app, terminal_size=size, run_before=after())


@pytest.mark.parametrize("screen", ["overview", "trace", "snapshots"])
def test_trouble(snap_compare: Compare, size: tuple[int, int], screen: str) -> None:
    trouble = "the database 2026-11.db is from a newer version of mtad; upgrade mtad"
    app = MtadApp(world(MadeUp(trouble=trouble)), start=screen)
    assert snap_compare(app, terminal_size=size, run_before=after())


def test_wrong_filter(snap_compare: Compare, size: tuple[int, int]) -> None:
    async def type_it(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        await pilot.press("/", *"to:anna form:bob", "enter")
        await settle(pilot)

    app = MtadApp(world(MadeUp.filled()), start="trace")
    assert snap_compare(app, terminal_size=size, run_before=type_it)


def test_too_small(snap_compare: Compare) -> None:
    app = MtadApp(world(MadeUp.filled()))
    assert snap_compare(app, terminal_size=(59, 14), run_before=after())


def test_smallest(snap_compare: Compare) -> None:
    app = MtadApp(world(MadeUp.filled()), start="trace")
    assert snap_compare(app, terminal_size=(60, 15), run_before=after())

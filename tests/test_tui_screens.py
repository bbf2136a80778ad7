"""Each screen as a picture, at both sizes, with mail and without.

The pictures lie in tests/screens/; after a wanted change, ``DRAW=1 pytest
tests/test_tui_screens.py`` draws them again, to be looked at before they are kept.
"""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.tui_server import MadeUp, Silent, world
from tui import lang
from tui.app import SCREENS, MtadApp
from tui.run import settle
from tui.screens.frame import Frame

SIZES = [(120, 36), (80, 24)]
PICTURES = Path(__file__).parent / "screens"

Act = Callable[[Pilot[Any]], Awaitable[None]]
Compare = Callable[[MtadApp, tuple[int, int], Act], None]


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    """Both sizes a screen must be good at."""
    made: tuple[int, int] = request.param
    return made


@pytest.fixture(params=lang.LANGUAGES)
def language(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each language."""
    lang.use(request.param)
    yield request.param
    lang.use("en")


@pytest.fixture
def same_picture(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Compare:
    """Draw the program and compare with the picture kept for this test."""
    monkeypatch.delenv("NO_COLOR", raising=False)

    PICTURES.mkdir(exist_ok=True)

    async def draw(app: MtadApp, size: tuple[int, int], act: Act) -> str:
        async with app.run_test(size=size) as pilot:
            await act(pilot)
            return re.sub(r"\bterminal-\d+-", "terminal-", app.export_screenshot(simplify=True))

    def compare(app: MtadApp, size: tuple[int, int], act: Act) -> None:
        drawn = asyncio.run(draw(app, size, act))
        kept = PICTURES / f"{request.node.name}.svg"
        if os.environ.get("DRAW"):
            kept.write_text(drawn)
        if kept.read_text() != drawn:
            aside = tmp_path / kept.name
            aside.write_text(drawn)
            pytest.fail(f"the screen has changed: compare {aside} with {kept}")

    return compare


def after(*keys: str) -> Act:
    """Press keys, each once everything is painted."""

    async def run(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        for key in keys:
            await pilot.press(key)
            await settle(pilot)

    return run


OPENED: dict[str, tuple[str, tuple[str, ...]]] = {
    **{name: (name, ()) for name in SCREENS},
    "timeline": ("trace", ("down", "down", "down", "enter")),
    "waiting": ("queue", ("enter", "space")),
    "messages": ("snapshots", ("enter", "enter", "enter")),
    "boxes": ("mailboxes", ("enter",)),
    "letters": ("mailboxes", ("enter", "enter", "enter")),
    "help": ("trace", ("?",)),
}
"""Where each picture begins, and what is pressed there."""


@pytest.mark.parametrize(("screen", "keys"), OPENED.values(), ids=OPENED)
def test_screen(
    same_picture: Compare,
    size: tuple[int, int],
    language: str,
    screen: str,
    keys: tuple[str, ...],
) -> None:
    app = MtadApp(world(MadeUp.filled()), start=screen)
    same_picture(app, size, after(*keys))


@pytest.mark.parametrize("screen", SCREENS)
def test_empty(same_picture: Compare, size: tuple[int, int], language: str, screen: str) -> None:
    server = MadeUp(nothing=True, said="there is no event log yet; 'mtad serve' runs the server")
    app = MtadApp(world(server), start=screen)
    same_picture(app, size, after())


@pytest.mark.parametrize("screen", SCREENS)
def test_trouble(same_picture: Compare, size: tuple[int, int], language: str, screen: str) -> None:
    trouble = "the database 2026-11.db is from a newer version of mtad; upgrade mtad"
    app = MtadApp(world(MadeUp(trouble=trouble)), start=screen)
    same_picture(app, size, after())


@pytest.mark.parametrize("screen", SCREENS)
def test_loading(same_picture: Compare, size: tuple[int, int], language: str, screen: str) -> None:
    async def look(pilot: Pilot[Any]) -> None:
        for _ in range(5):
            await pilot.pause()
        screen = pilot.app.screen
        assert isinstance(screen, Frame)
        assert not screen.settled

    same_picture(MtadApp(world(Silent()), start=screen), size, look)


def test_wrong_filter(same_picture: Compare, size: tuple[int, int]) -> None:
    async def type_it(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        await pilot.press("/", *"to:anna form:bob", "enter")
        await settle(pilot)

    app = MtadApp(world(MadeUp.filled()), start="trace")
    same_picture(app, size, type_it)


def test_too_small(same_picture: Compare) -> None:
    app = MtadApp(world(MadeUp.filled()))
    same_picture(app, (59, 14), after())


def test_smallest(same_picture: Compare) -> None:
    app = MtadApp(world(MadeUp.filled()), start="trace")
    same_picture(app, (60, 15), after())

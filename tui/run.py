"""The program put together for a real server, in a terminal or for a picture."""

import asyncio
import io
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from textual.app import App
from textual.pilot import Pilot

from mtad import where
from mtad.errors import MtadError, Unreachable, UsageError
from tui.app import MtadApp
from tui.disk import Disk
from tui.screens.frame import Frame
from tui.world import World

PICTURE_SECONDS = 20
"""How long a picture waits for what it shows to be read."""


def make(path: Path, table: Mapping[str, Any], screen: str, text: str = "") -> MtadApp:
    """The program for a settings file that has been read."""
    places = where.places(path, table)
    host = table.get("hostname", "")
    start = "trace" if screen == "timeline" else screen
    world = World(Disk(places, path), host if isinstance(host, str) else "")
    return MtadApp(world, start=start, text=text)


def interactive(path: Path, table: Mapping[str, Any], screen: str, text: str) -> None:
    """Run in the terminal until the person leaves."""
    if not (os.isatty(0) and os.isatty(1)):
        raise UsageError("mtad tui needs a terminal; --screenshot FILE.svg does not")
    _run(make(path, table, screen, text), where.places(path, table))


def picture(
    path: Path,
    table: Mapping[str, Any],
    screen: str,
    text: str,
    target: Path,
    size: tuple[int, int],
) -> None:
    """Draw one screen into an SVG file. Raises Unreachable when it cannot be read in time."""
    app = make(path, table, screen, text)
    drawn: list[str] = []

    async def draw(pilot: Pilot[object]) -> None:
        await settle(pilot)
        if screen == "timeline":
            await pilot.press("enter")
            await settle(pilot)
        if app.return_code is None:
            drawn.append(app.export_screenshot(title="mtad"))
            app.exit()

    _run(app, where.places(path, table), headless=True, size=size, auto_pilot=draw)
    if not drawn:
        raise Unreachable(f"the screen {screen} could not be read in {PICTURE_SECONDS} seconds")
    target.write_text(drawn[0], encoding="utf-8")


def _run(app: MtadApp, places: where.Places, **how: Any) -> None:
    """Run to the end. A fault leaves the terminal as it was, and its details in a file."""
    details = io.StringIO()
    app.error_console = Console(file=details, width=120, markup=False, color_system=None)
    app.run(**how)
    if app.return_code:
        file = _keep(details.getvalue(), places)
        raise MtadError(f"the terminal UI ended because of a fault in it; details are in {file}")


def _keep(text: str, places: where.Places) -> Path:
    """Write what happened where this user may, readable to nobody else."""
    for folder in (places.run, Path(tempfile.gettempdir())):
        try:
            number, name = tempfile.mkstemp(".log", "tui-fault-", folder)
        except OSError:
            continue
        with open(number, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        return Path(name)
    raise MtadError("the terminal UI ended because of a fault in it")


async def settle(pilot: Pilot[Any]) -> None:
    """Wait until the present screen has read what it shows and painted it."""
    deadline = time.monotonic() + PICTURE_SECONDS
    while time.monotonic() < deadline:
        await pilot.pause()
        screen = pilot.app.screen
        if isinstance(screen, Frame) and screen.settled and not _busy(pilot.app):
            await pilot.pause()
            return
        await asyncio.sleep(0.02)
    raise Unreachable(f"the screen could not be read in {PICTURE_SECONDS} seconds")


def _busy(app: App[Any]) -> bool:
    """Whether anything is being read, the tail's bell aside."""
    return any(not worker.is_finished and worker.group != "bell" for worker in app.workers)

"""The program put together for a real server, in a terminal or for a picture."""

import asyncio
import io
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from textual.app import App

from mtad.errors import MtadError, Unreachable
from tui.app import MtadApp
from tui.screens.frame import Frame

if TYPE_CHECKING:
    from textual.pilot import Pilot

PICTURE_SECONDS = 20
"""How long a picture waits for what it shows to be read."""


def run(app: MtadApp, faults: Path, **how: Any) -> None:
    """Run to the end. A fault leaves the terminal as it was, and its details in a file."""
    details = io.StringIO()
    app.error_console = Console(file=details, width=120, markup=False, color_system=None)
    app.run(**how)
    if app.return_code:
        file = _keep(details.getvalue(), faults)
        raise MtadError(f"the terminal UI ended because of a fault in it; details are in {file}")


def picture(
    app: MtadApp, faults: Path, target: Path, size: tuple[int, int], *, opened: bool
) -> None:
    """Draw the first screen, or what enter opens on it, into an SVG file.

    Raises Unreachable when it cannot be read in time.
    """
    drawn: list[str] = []

    async def draw(pilot: "Pilot[object]") -> None:
        await settle(pilot)
        if opened:
            await pilot.press("enter")
            await settle(pilot)
        if app.return_code is None:
            drawn.append(app.export_screenshot(title="mtad"))
            app.exit()

    run(app, faults, headless=True, size=size, auto_pilot=draw)
    if not drawn:
        raise Unreachable(f"the screen could not be read in {PICTURE_SECONDS} seconds")
    target.write_text(drawn[0], encoding="utf-8")


def _keep(text: str, faults: Path) -> Path:
    """Write what happened where this user may, readable to nobody else."""
    for folder in (faults, Path(tempfile.gettempdir())):
        try:
            number, name = tempfile.mkstemp(".log", "tui-fault-", folder)
        except OSError:
            continue
        with open(number, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        return Path(name)
    raise MtadError("the terminal UI ended because of a fault in it")


async def settle(pilot: "Pilot[Any]") -> None:
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

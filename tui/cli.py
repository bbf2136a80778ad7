"""``mtad tui``: the dashboard in a terminal, or one of its screens as a picture."""

import gc
import os
import re
from pathlib import Path

import click

from mtad import where
from mtad.cli_options import config_option, config_path
from mtad.errors import UsageError
from tracing.words import language, language_option
from tui.lang import use

SCREENS = (
    "overview",
    "trace",
    "timeline",
    "queue",
    "mailboxes",
    "snapshots",
    "quarantine",
    "health",
)
_SIZE = re.compile(r"(\d{2,3})x(\d{2,3})")


def _size(text: str) -> tuple[int, int]:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UsageError(f"--size {text}: expected COLUMNSxROWS, like 120x36")
    return int(match[1]), int(match[2])


@click.command()
@click.option(
    "--screenshot",
    metavar="FILE.svg",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw one screen into an SVG file instead; needs no terminal.",
)
@click.option(
    "--screen",
    type=click.Choice(SCREENS),
    default="overview",
    show_default=True,
    help="The screen to begin with.",
)
@click.option(
    "--size",
    metavar="COLUMNSxROWS",
    default="120x36",
    show_default=True,
    help="Size of the picture.",
)
@click.option("--filter", "text", default="", help="A filter for the trace screen.")
@click.option("--read-only", is_flag=True, help="Change nothing, whatever is pressed.")
@language_option
@config_option
@click.pass_context
def tui(
    context: click.Context,
    screenshot: Path | None,
    screen: str,
    size: str,
    text: str,
    read_only: bool,
    lang: str | None,
) -> None:
    """Show the server: overview, trace of any message, snapshots."""
    use(language(lang))
    path = config_path(context)
    table = where.read_toml(path)
    places, host = where.places(path, table), table.get("hostname", "")
    columns, rows = _size(size)
    if screenshot is None and not all(map(os.isatty, (0, 1, 2))):
        raise UsageError("mtad tui needs a terminal; --screenshot FILE.svg does not")
    gc.disable()  # until the first screen is there: a tenth of the start is looking for garbage
    from tui.acting import Acting  # noqa: PLC0415 - once the settings are found
    from tui.disk import Disk  # noqa: PLC0415 - once the settings are found
    from tui.world import World  # noqa: PLC0415

    start = "trace" if screen == "timeline" else screen
    disk = Disk(places, path)
    disk.begin(start, text)
    from tui import app, run  # noqa: PLC0415 - Textual is loaded while the first rows are read

    acting = None if read_only or screenshot is not None else Acting(path)
    world = World(disk, host if isinstance(host, str) else "", acting=acting)
    program = app.MtadApp(world, start=start, text=text)
    if screenshot is None:
        run.run(program, places.run)
    else:
        run.picture(program, places.run, screenshot, (columns, rows), opened=screen == "timeline")
        click.echo(f"wrote {screenshot}", err=True)

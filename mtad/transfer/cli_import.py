"""``mtad mail import``: mail from elsewhere taken into a box."""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from backup.show import emit
from backup.telling import telling
from mtad.cli_options import administrator, config_option, json_option, settings
from mtad.errors import Exit, UsageError
from mtad.transfer import importing, show
from mtad.transfer.importing import Import
from mtad.transfer.loading import DATES, FLAGS, Wish
from mtad.transfer.mbox import FORMS
from mtad.transfer.sources import open_source

STDIN = "-"


@click.command("import")
@click.argument("source", metavar="SOURCE")
@click.option("--box", required=True, metavar="ADDRESS", help="The box it comes into.")
@click.option("--folder", default="", metavar="NAME", help="Into this mailbox, or below it.")
@click.option(
    "--dates",
    type=click.Choice(DATES),
    default="auto",
    help="When messages arrived: what is surest, the file's time, or the header's.",
)
@click.option("--flags", type=click.Choice(FLAGS), default="as-were", help="Flags they come with.")
@click.option(
    "--mbox-format", "form", type=click.Choice(FORMS), default="auto", help="How mboxes quote From."
)
@click.option("--over-quota", is_flag=True, help="Even if the box is too full then.")
@click.option("--dry-run", is_flag=True, help="Say what would come in, and change nothing.")
@config_option
@json_option
@click.pass_context
def import_(
    context: click.Context,
    source: str,
    box: str,
    folder: str,
    dates: str,
    flags: str,
    form: str,
    over_quota: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Take mail from SOURCE into a box, with its dates, flags and folders.

    SOURCE is an mbox, a Maildir, an .eml file, a folder, a tar or a zip of such; '-' reads one
    of them from standard input. What is in the box already is left alone, so that an import may
    be repeated, and one that was interrupted is simply started again.

    \b
    mtad mail import --box anna@example.org /var/mail/anna
    mtad mail import --box anna@example.org ~/Takeout.zip --dry-run
    sudo tar -C /home/anna -c Maildir | mtad mail import --box anna@example.org -
    """
    loaded = settings(context)
    address = importing.box_of(loaded, box)
    wish = Wish(folder, dates, flags, over_quota, dry_run)
    progress = show.Progress()
    with telling(loaded) as tell, _spooled(source) as path:
        opened = open_source(path, form)
        if source == STDIN:
            opened.name = "standard input"
        try:
            job = Import(loaded, tell, administrator(), wish)
            run, result = importing.carry_out(job, address, opened, progress)
        finally:
            progress.clear()
            opened.close()
    told = None if dry_run else run
    if as_json:
        emit({"dry_run": dry_run, **show.fields(address, opened.name, told, result)})
    else:
        show.show(address, told, result)
    return Exit.PARTIAL if result.problems else Exit.OK


@contextlib.contextmanager
def _spooled(source: str) -> Iterator[Path]:
    """The path of a source; standard input lies in a file meanwhile, for it is read twice."""
    if source != STDIN:
        yield Path(source)
        return
    if sys.stdin.isatty():
        raise UsageError("nothing comes from standard input: name a file, or pipe one in")
    with tempfile.NamedTemporaryFile(prefix="mtad-import-") as file:
        shutil.copyfileobj(sys.stdin.buffer, file, 2**20)
        file.flush()
        yield Path(file.name)

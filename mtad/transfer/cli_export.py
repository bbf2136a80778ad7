"""``mtad mail export``: mail of a box written to files elsewhere."""

from pathlib import Path

import click

from backup import choosing, outside, planning, show_outside
from backup.operations import folder_of
from backup.past import Past
from backup.planning import Wish
from mtad import clock
from mtad.cli_options import config_option, json_option, settings
from mtad.errors import NothingFound, UsageError
from mtad.store.client import Boxes
from mtad.transfer.importing import box_of
from mtad.transfer.living import Living
from tracing.search import SearchError


@click.command("export")
@click.argument("box", metavar="BOX")
@click.argument("terms", nargs=-1, metavar="[QUERY...]")
@click.option("--to", required=True, metavar="PATH", help="Where to; the path must be free.")
@click.option("--mailbox", metavar="NAME", help="Only what is in this mailbox.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(outside.FORMATS),
    help="Of those files (else by the path's ending, else eml).",
)
@click.option("--dry-run", is_flag=True, help="Say what would be written.")
@config_option
@json_option
@click.pass_context
def export(
    context: click.Context,
    box: str,
    terms: tuple[str, ...],
    to: str,
    mailbox: str | None,
    kind: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Write mail of BOX to files: an mbox, a Maildir, a folder or a tar of .eml files.

    QUERY chooses messages as 'mtad restore' does: from: to: subj: date: size: mbox: flag: has:
    since: until: and bare words. A Maildir keeps flags, keywords and dates to the nanosecond,
    and is the one to choose for another server.

    \b
    mtad mail export anna@example.org --to anna.maildir
    mtad mail export anna@example.org from:bank since:2y has:attachment --to bank.mbox
    """
    loaded = settings(context)
    address = box_of(loaded, box)
    text = " ".join(terms)
    try:
        query = choosing.parse(text, clock.now_us())
    except SearchError as error:
        raise UsageError(f"{error}\n{error.caret}") from error
    with Boxes(loaded) as boxes:
        boxes.sync(address)
    living = Living(folder_of(loaded, address), address)
    past = Past(address, "", living.entries)
    chosen = planning.select(living, past, Wish(query, mailbox))
    if not chosen:
        where = f" in {mailbox}" if mailbox else ""
        raise NothingFound(f"{address} has no message{where}{' that fits ' + text if text else ''}")
    entries = [living.entries[number] for number in chosen]
    every = [(address, entries)]
    return show_outside.write(living, every, Path(to), kind or "", dry_run, as_json)

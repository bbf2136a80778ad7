"""``mtad mail import``: mail from elsewhere taken into boxes."""

import contextlib
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click

from mtad.cli_options import config_option, json_option, settings
from mtad.config import Loaded
from mtad.errors import NothingFound, UsageError
from mtad.transfer import accounts, boxtree, importing, many, remote
from mtad.transfer.loading import DATES, FLAGS, Wish
from mtad.transfer.mbox import FORMS
from mtad.transfer.remote import Pace

STDIN = "-"
_RATE = re.compile(r"(\d{1,6})([KMG]?)", re.IGNORECASE)
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


@click.command("import")
@click.argument("source", metavar="[SOURCE]", default="")
@click.option("--box", default="", metavar="ADDRESS", help="The box it comes into.")
@click.option("--tree", is_flag=True, help="SOURCE has the Maildirs of many boxes.")
@click.option("--domain", default="", metavar="NAME", help="Of the boxes of a tree without any.")
@click.option(
    "--accounts",
    "listed",
    type=click.Path(path_type=Path),
    help="A CSV of many: box,source,password|password_file[,folder].",
)
@click.option("--at-once", type=click.IntRange(1, many.MOST_AT_ONCE), default=2, show_default=True)
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
@click.option("--password-file", type=click.Path(path_type=Path), help="Its first line is it.")
@click.option("--oauth2", is_flag=True, help="The password is an OAuth 2 access token.")
@click.option("--ca-file", default="", metavar="FILE", help="Who else may certify the server.")
@click.option("--bandwidth", default="0", metavar="OCTETS", help="A second, as 500K or 2M.")
@click.option("--over-quota", is_flag=True, help="Even if the box is too full then.")
@click.option("--dry-run", is_flag=True, help="Say what would come in, and change nothing.")
@config_option
@json_option
@click.pass_context
def import_(
    context: click.Context,
    source: str,
    box: str,
    tree: bool,
    domain: str,
    listed: Path | None,
    at_once: int,
    folder: str,
    dates: str,
    flags: str,
    form: str,
    password_file: Path | None,
    oauth2: bool,
    ca_file: str,
    bandwidth: str,
    over_quota: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Take mail from SOURCE into a box, with its dates, flags and folders.

    SOURCE is an mbox, a Maildir, an .eml file, a folder, a tar or a zip of such; '-' reads one
    of them from standard input. Or it is an account on another server, imaps://user@host/Folder
    or without a folder all of it; the password is asked for, or comes from --password-file or
    MTAD_IMPORT_PASSWORD. What is in the box already is left alone, so that an import may be
    repeated, and one that was interrupted is simply started again.

    \b
    mtad mail import --box anna@example.org /var/mail/anna
    mtad mail import --box anna@example.org imaps://anna@old.example.org
    mtad mail import --tree /restored/var/vmail --dry-run
    sudo tar -C /home/anna -c Maildir | mtad mail import --box anna@example.org -
    """
    loaded = settings(context)
    wish = Wish(folder, dates, flags, over_quota, dry_run)
    pace = Pace(_rate(bandwidth))
    with _spooled(source) as path:
        jobs, missing = _jobs(loaded, wish, path, source, box, listed, tree, domain)
        if source and remote.is_remote(source):
            account = remote.parse(source)
            secret = remote.ask_secret(account, password_file)
            jobs = [replace(jobs[0], account=replace(account, secret=secret))]
        jobs = [
            replace(one, account=replace(one.account, token=oauth2, ca_file=ca_file))
            if one.account
            else one
            for one in jobs
        ]
        made = many.Many(loaded, form, pace, as_json)
        made.run(jobs, at_once)
    return made.tell(missing, one_alone=not tree and listed is None)


def _jobs(
    loaded: Loaded,
    wish: Wish,
    path: Path,
    source: str,
    box: str,
    listed: Path | None,
    tree: bool,
    domain: str,
) -> tuple[list[many.Job], list[str]]:
    """What is to be imported, and what cannot be. Raises UsageError, NothingFound, OSError."""
    if listed is not None:
        if source or box or tree:
            raise UsageError("--accounts says it all: give no SOURCE, --box or --tree")
        return _of_list(loaded, wish, listed)
    if not source:
        raise UsageError("say where the mail is: SOURCE, or --accounts FILE")
    if tree:
        if box:
            raise UsageError("the names in a tree say the boxes: give no --box")
        if not path.is_dir():
            raise UsageError(f"{path} is no folder")
        found, nobodys = boxtree.boxes(path, domain)
        missing = [f"{one}: whose it is cannot be made out" for one in nobodys]
        jobs = []
        for whose, where in found.items():
            try:
                jobs.append(many.Job(importing.box_of(loaded, whose), str(where), wish))
            except NothingFound as error:
                missing.append(str(error))
        if not jobs:
            raise NothingFound("; ".join(missing[:5]) or f"there is no Maildir below {path}")
        return jobs, missing
    if not box:
        raise UsageError("say into which box: --box ADDRESS, or --tree")
    return [many.Job(importing.box_of(loaded, box), str(path), wish)], []


def _of_list(loaded: Loaded, wish: Wish, path: Path) -> tuple[list[many.Job], list[str]]:
    jobs, missing = [], []
    for row in accounts.read(path):
        account = None
        if remote.is_remote(row.source):
            account = remote.parse(row.source)
            secret = row.password
            if not secret:
                if not row.password_file:
                    raise UsageError(f"{path}: {row.source} needs a password or password_file")
                secret = remote.ask_secret(account, path.parent / row.password_file)
            account = replace(account, secret=secret)
        try:
            box = importing.box_of(loaded, row.box)
        except NothingFound as error:
            missing.append(str(error))
            continue
        jobs.append(
            many.Job(box, row.source, replace(wish, folder=row.folder or wish.folder), account)
        )
    return jobs, missing


def _rate(text: str) -> int:
    found = _RATE.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!a} is no bandwidth; write it like 500K or 2M")
    return int(found[1]) * _UNITS[found[2].upper()]


@contextlib.contextmanager
def _spooled(source: str) -> Iterator[Path]:
    """The path of a source; standard input lies in a file meanwhile, for it is read twice."""
    if source != STDIN:
        yield Path(source)
        return
    if sys.stdin.isatty():
        raise UsageError("nothing comes from standard input: name a file, or pipe one in")
    with tempfile.NamedTemporaryFile(prefix=many.SPOOLED) as file:
        shutil.copyfileobj(sys.stdin.buffer, file, 2**20)
        file.flush()
        yield Path(file.name)

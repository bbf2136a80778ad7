"""``mtad box`` whole: what the directory says of boxes, with what their files say."""

import re

import click
import sqlalchemy as sa

from mtad.access.cli_share import share, shares
from mtad.address import box_folder
from mtad.cli_options import config_option, json_option, settings
from mtad.directory import tables
from mtad.directory.changes import parse_address
from mtad.directory.cli_box import box
from mtad.directory.cli_parts import changing, reading, show
from mtad.errors import Exit, MtadError, NothingFound, UsageError
from mtad.store.checking import check
from mtad.store.client import Boxes
from mtad.store.quota import held
from tracing.render import counted, safe
from tracing.render import size as size_text

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SIZE = re.compile(r"(\d{1,12})([KMGT]?)B?", re.IGNORECASE)


def octets_of(text: str) -> int:
    """The octets that a text like 5G means. Raises UsageError."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!a} is no size; write it like 5G or 200M")
    return int(found[1]) * _UNITS[found[2].upper()]


@box.command("export")
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@config_option
@click.pass_context
def box_export(context: click.Context, addresses: tuple[str, ...]) -> None:
    """Write the UIDs of the boxes down for Dovecot, which then serves them as they are.

    Keywords and subscriptions are always where Dovecot finds them; its own dovecot.index* files
    and dovecot.list.index* must go. When this server opens a box again, it takes the UIDs back.
    """
    with Boxes(settings(context)) as boxes:
        for address in addresses:
            of = str(parse_address(address))
            count = boxes.hand_over(of)
            click.echo(f"{safe(of)}: {counted(count, 'UID')} written down")


@box.command("check")
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@config_option
@json_option
@click.pass_context
def box_check(context: click.Context, addresses: tuple[str, ...], as_json: bool) -> None:
    """Compare the index of the boxes with their files; exit status 5 where they differ.

    'mtad box reindex' repairs what is told here.
    """
    loaded = settings(context)
    problems = {}
    with Boxes(loaded) as boxes:
        for address in addresses:
            of = str(parse_address(address))
            try:
                boxes.sync(of)
            except MtadError as error:
                if error.exit_code is not Exit.CORRUPT:  # which the check tells
                    raise
            problems[of] = check(loaded.places.boxes / box_folder(of), of)
    lines = [
        safe(f"{of}: {line}")
        for of, found in problems.items()
        for line in (found or ["index and files say the same"])
    ]
    show(as_json, {"problems": problems}, "\n".join(lines))
    if any(problems.values()):
        context.exit(Exit.PROBLEMS)


@box.command("reindex")
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@config_option
@click.pass_context
def box_reindex(context: click.Context, addresses: tuple[str, ...]) -> None:
    """Make the index of the boxes again from their files; messages keep their UIDs.

    These come from the former index as far as it can be read, else from the log, else from
    dovecot-uidlist. The server must not have the box open; the former index is kept as
    index.db.former.
    """
    with Boxes(settings(context)) as boxes:
        for address in addresses:
            of = str(parse_address(address))
            count, kept = boxes.reindex(of)
            click.echo(f"{safe(of)}: {counted(count, 'message')}, {kept:,} with the UIDs they had")


@box.command("quota")
@click.argument("address")
@click.option("--size", metavar="SIZE", help="How much it may hold, like 5G; 0 for no limit.")
@click.option(
    "--messages", type=click.IntRange(0, 2**32), help="How many messages; 0 for no limit."
)
@config_option
@json_option
@click.pass_context
def box_quota(
    context: click.Context, address: str, size: str | None, messages: int | None, as_json: bool
) -> None:
    """Say how much the box ADDRESS may hold; without options, show it.

    Mail for a box that is full is refused for the time being, and programs cannot put more in.
    """
    of = str(parse_address(address))
    if size is not None or messages is not None:
        with changing(context) as changes:
            changes.set_quota(of, None if size is None else octets_of(size), messages)
    columns = tables.box.c
    with reading(context) as connection:
        row = connection.execute(
            sa.select(columns.quota_octets, columns.quota_messages).where(columns.address == of)
        ).one_or_none()
    if row is None:
        raise NothingFound(f"there is no box {of}")
    octets, count = held(settings(context).places.boxes / box_folder(of))
    document = {
        "address": of,
        "size": octets,
        "max_size": row.quota_octets,
        "messages": count,
        "max_messages": row.quota_messages,
    }
    most = size_text(row.quota_octets) if row.quota_octets else "any size"
    lines = [
        safe(of),
        f"  holds     {counted(count, 'message')}, {size_text(octets)}",
        f"  may hold  {f'{row.quota_messages:,}' if row.quota_messages else 'any number of'} "
        f"messages, {most}",
    ]
    show(as_json, document, "\n".join(lines))


box.add_command(share)
box.add_command(shares)

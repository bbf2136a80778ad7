"""``mtad box`` whole: what the directory says of boxes, with what their files say."""

import re

import click
import sqlalchemy as sa

from mtad.address import box_folder
from mtad.cli_options import config_option, json_option, settings
from mtad.directory import tables
from mtad.directory.changes import parse_address
from mtad.directory.cli_box import box
from mtad.directory.cli_parts import changing, reading, show
from mtad.errors import NothingFound, UsageError
from mtad.store.quota import held
from tracing.render import counted, safe
from tracing.render import size as size_text

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SIZE = re.compile(r"(\d{1,12})([KMGT]?)B?", re.IGNORECASE)


def _octets(text: str) -> int:
    """The octets that a text like 5G means. Raises UsageError."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!a} is no size; write it like 5G or 200M")
    return int(found[1]) * _UNITS[found[2].upper()]


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
            changes.set_quota(of, None if size is None else _octets(size), messages)
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

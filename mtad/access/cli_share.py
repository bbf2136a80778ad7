"""``mtad box share`` and ``mtad box shares``: mailboxes that others may use."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import click
import sqlalchemy as sa

from mtad.address import box_folder
from mtad.cli_options import administrator, config_option, json_option, settings
from mtad.directory import tables
from mtad.directory.changes import parse_address
from mtad.directory.cli_parts import changing, reading, show
from mtad.errors import NothingFound, UsageError
from mtad.store import acl, maildir
from mtad.store.acl import ANYONE, AUTHENTICATED, PRESETS
from mtad.store.client import Boxes
from mtad.store.holding import MAILDIR
from mtad.store.names import INBOX
from mtad.store.shares import Shared, every, of_box
from mtad.where import Places
from tracing.render import safe

CLIENT = "mtad box share"


@click.command("share")
@click.argument("address")
@click.argument("mailbox", required=False)
@click.option(
    "--with",
    "users",
    metavar="USER",
    multiple=True,
    help="The address of a box, or anyone; may be repeated.",
)
@click.option(
    "--rights",
    metavar="RIGHTS",
    default="read",
    show_default=True,
    help="read, write, full, or letters of RFC 4314.",
)
@click.option("--off", is_flag=True, help="Take the rights away; without --with everybody's.")
@click.option(
    "--public/--private",
    "public",
    default=None,
    help="Offer it below Shared/, to anyone unless --with is given; or below Other Users/ again.",
)
@config_option
@json_option
@click.pass_context
def share(
    context: click.Context,
    address: str,
    mailbox: str | None,
    users: Sequence[str],
    rights: str,
    off: bool,
    public: bool | None,
    as_json: bool,
) -> None:
    """Let others use the mailbox MAILBOX of the box ADDRESS, or all that it has by now.

    To read is to see and open it, with marks of one's own for what was read; to write is also to
    put messages in, to flag, move and delete them; full is everything. Others find it in their
    mail programs below "Other Users/", that of a public box below "Shared/". A mailbox made
    later is shared as the one above it.
    """
    of = str(parse_address(address))
    who = _identifiers(context, of, users or ([ANYONE] if public and not off else []))
    if not who and not off and public is None:
        raise UsageError("say with whom: --with USER or --with anyone; or --off")
    letters = "" if off else _letters(rights)
    places = settings(context).places
    if who or off:
        with Boxes(settings(context)) as boxes:
            boxes.create(of, INBOX, actor=administrator())
            for name in [mailbox] if mailbox else _mailboxes(places, of):
                for one in who or _entries(places, of, name):
                    boxes.share(of, name, one, letters, actor=administrator(), client=CLIENT)
    if public is not None:
        with changing(context) as changes:
            changes.set_public(of, public)
    _show(context, of, as_json)


def _letters(rights: str) -> str:
    """Rights as letters, of a word for several or of letters. Raises UsageError."""
    try:
        found = acl.rights(PRESETS.get(rights.lower(), rights))
    except ValueError:
        found = ""
    if not found:
        words = ", ".join(PRESETS)
        raise UsageError(f"{rights!a}: rights are {words}, or letters of {acl.RIGHTS}")
    return found


def _identifiers(context: click.Context, of: str, users: Iterable[str]) -> list[str]:
    """Normal forms of those who are named; each is there, and so is the box itself."""
    with reading(context) as connection:
        known = set(connection.scalars(sa.select(tables.box.c.address)))
    found = []
    for user in users:
        try:
            found.append(acl.identifier(user))
        except ValueError as error:
            raise UsageError(f"{error}; name a box, or say {ANYONE}") from error
    for one in (of, *(one.removeprefix("-") for one in found)):
        if one not in known and one not in (ANYONE, AUTHENTICATED):
            raise NothingFound(f"there is no box {one}")
    return found


def _mailboxes(places: Places, of: str) -> list[str]:
    """Every mailbox of a box."""
    return list(maildir.folders(places.boxes / box_folder(of) / MAILDIR))


def _entries(places: Places, of: str, mailbox: str) -> list[str]:
    """Who has any rights to a mailbox."""
    name = INBOX if mailbox.upper() == INBOX else mailbox
    return list(of_box(places.boxes, of).get(name, acl.NOBODY).entries)


@click.command("shares")
@click.argument("address", required=False)
@config_option
@json_option
@click.pass_context
def shares(context: click.Context, address: str | None, as_json: bool) -> None:
    """Show what the box ADDRESS, or every box, shares with whom."""
    _show(context, str(parse_address(address)) if address else None, as_json)


def _show(context: click.Context, of: str | None, as_json: bool) -> None:
    boxes = settings(context).places.boxes
    with reading(context) as connection:
        columns = tables.box.c
        known = {
            row.address: bool(row.public)
            for row in connection.execute(sa.select(columns.address, columns.public))
        }
    if of is not None and of not in known:
        raise NothingFound(f"there is no box {of}")
    found = every(boxes) if of is None else {of: of_box(boxes, of)}
    documents: list[dict[str, Any]] = [
        {"address": box, "public": known[box], "shares": list(_rows(lists))}
        for box, lists in sorted(found.items())
        if box in known
    ]
    lines = []
    for one in documents:
        place = "Shared" if one["public"] else "Other Users"
        lines.append(safe(f"{one['address']}  {'public' if one['public'] else ''}".rstrip()))
        lines += [
            safe(f"  {place}/{one['address']}/{row['mailbox']}  {row['with']}  {_said(row)}")
            for row in one["shares"]
        ]
        if not one["shares"]:
            lines.append("  shared with nobody")
    show(as_json, {"boxes": documents}, "\n".join(lines))


def _rows(lists: Shared) -> Iterator[dict[str, str]]:
    for mailbox, found in lists.items():
        for who, granted in sorted(found.entries.items()):
            yield {"mailbox": mailbox, "with": who, "rights": granted}


def _said(row: dict[str, str]) -> str:
    """Rights in words where there is one for them."""
    granted = row["rights"]
    word = next((word for word, letters in PRESETS.items() if acl.rights(letters) == granted), "")
    taken = "not " if row["with"].startswith("-") else ""
    return taken + (f"{word} ({granted})" if word else granted)

"""``mtad box``: the accounts that receive mail and log in."""

import sys
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa

from mtad.address import box_folder
from mtad.cli_options import config_option, json_option, settings, yes_option
from mtad.directory import credentials, tables
from mtad.directory.changes import DEFAULT, forwards_of, parse_address
from mtad.directory.cli_parts import LANGUAGES, changing, reading, set_language, show, when
from mtad.directory.cli_parts import password as password_of
from mtad.directory.cli_passwords import app_password, cram, lock, passwd, unlock
from mtad.directory.cli_rules import box_allow
from mtad.directory.credential_changes import is_locked
from mtad.directory.lookup import network_rules
from mtad.directory.rules import SERVICES
from mtad.errors import NothingFound, UsageError
from mtad.sasl.cram import CRAM_NAME
from tracing.render import counted, safe


@click.group(invoke_without_command=True)
@config_option
@json_option
@click.pass_context
def box(context: click.Context, as_json: bool) -> None:
    """The accounts that receive mail; without a command, list them."""
    if context.invoked_subcommand is None:
        _list_boxes(context, as_json)


@box.command("add")
@click.argument("address")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@config_option
@json_option
@click.pass_context
def box_add(context: click.Context, address: str, password_stdin: bool, as_json: bool) -> None:
    """Make the box ADDRESS; without --password-stdin its password is made up and printed."""
    password = password_of(password_stdin)
    with changing(context) as changes:
        made = str(changes.add_box(address, password))
    document = {"address": made} if password_stdin else {"address": made, "password": password}
    text = f"box {safe(made)} added" + ("" if password_stdin else f", password {password}")
    show(as_json, document, text)


@box.command("list")
@config_option
@json_option
@click.pass_context
def box_list(context: click.Context, as_json: bool) -> None:
    """List the boxes."""
    _list_boxes(context, as_json)


@box.command("show")
@click.argument("address")
@config_option
@json_option
@click.pass_context
def box_show(context: click.Context, address: str, as_json: bool) -> None:
    """Show the box ADDRESS: the aliases that lead to it, and where its mail lies."""
    of = str(parse_address(address))
    with reading(context) as connection:
        row = connection.execute(
            sa.select(tables.box).where(tables.box.c.address == of)
        ).one_or_none()
        if row is None:
            raise NothingFound(f"there is no box {of}")
        columns = tables.alias_target.c
        sources = connection.scalars(
            sa.select(columns.alias).where(columns.target == of).order_by(columns.alias)
        ).all()
        held = credentials.read(connection, of)
        passed_on = forwards_of(connection, of)
        rules = network_rules(connection)
        keeps = connection.scalar(
            sa.select(tables.forward.c.keep).where(tables.forward.c.box == of).limit(1)
        )
    folder = settings(context).places.boxes / box_folder(of)
    document: dict[str, Any] = {
        "address": of,
        "added": when(row.added),
        "language": row.language or DEFAULT,
        "aliases": list(sources),
        "forward": list(passed_on),
        "keeps_copy": bool(keeps) or not passed_on,
        "locked": is_locked(held),
        "app_passwords": sorted({one.name for one in held} - {credentials.OWN, CRAM_NAME}),
        "cram": any(one.kind == credentials.CRAM for one in held),
        "allowed": {
            service: list(rules[of, service].allowed)
            for service in SERVICES
            if (of, service) in rules
        },
        "messages": _messages(folder),
        "folder": str(folder),
    }
    lines = [
        safe(of),
        f"  added     {document['added']}",
        f"  aliases   {safe(' '.join(sources)) or '-'}",
        f"  forward   {safe(_forward(document))}",
        f"  reports   {_reports(document['language'])}",
        f"  login     {safe(_login(document))}",
        *(
            f"  {service:<9} from {', '.join(allowed)} only"
            for service, allowed in document["allowed"].items()
        ),
        f"  messages  {document['messages']}",
        f"  folder    {folder}",
    ]
    show(as_json, document, "\n".join(lines))


@box.command("remove")
@click.argument("address")
@yes_option
@config_option
@click.pass_context
def box_remove(context: click.Context, address: str, yes: bool) -> None:
    """Take the box ADDRESS away. Its mail stays on disk, and a box of that name has it again."""
    of = str(parse_address(address))
    folder = settings(context).places.boxes / box_folder(of)
    messages = _messages(folder)
    if messages and not yes:
        said = f"box {safe(of)} still has mail ({counted(messages, 'message')}) in {folder}"
        if not sys.stdin.isatty():
            raise UsageError(f"{said}; it stays there: give --yes to remove the box")
        click.confirm(f"{said}; it stays there. Remove the box?", abort=True, err=True)
    with changing(context) as changes:
        changes.remove_box(of)
    stays = f"; its mail ({counted(messages, 'message')}) stays in {folder}" if messages else ""
    click.echo(f"box {safe(of)} removed{stays}")


@box.command("forward")
@click.argument("address")
@click.argument("targets", nargs=-1, metavar="TARGET...")
@click.option("--keep", is_flag=True, help="A copy stays in the box.")
@click.option("--off", is_flag=True, help="Pass nothing on any more.")
@config_option
@json_option
@click.pass_context
def box_forward(
    context: click.Context,
    address: str,
    targets: tuple[str, ...],
    keep: bool,
    off: bool,
    as_json: bool,
) -> None:
    """Pass the mail of the box ADDRESS on to TARGET, here or elsewhere."""
    if off == bool(targets) or (off and keep):
        raise UsageError("name where the mail goes, or give --off")
    with changing(context) as changes:
        wanted = changes.set_forward(address, targets, keep=keep)
    of = str(parse_address(address))
    document = {"address": of, "forward": wanted, "keeps_copy": keep or off}
    show(as_json, document, safe(f"box {of}: {_forward(document)}"))


@box.command("language")
@click.argument("address")
@click.argument("language", type=LANGUAGES)
@config_option
@json_option
@click.pass_context
def box_language(context: click.Context, address: str, language: str, as_json: bool) -> None:
    """Have reports to the box ADDRESS written in LANGUAGE; default is what its domain has."""
    set_language(context, str(parse_address(address)), language, as_json)


def _forward(document: dict[str, Any]) -> str:
    """What becomes of a box's mail, in words."""
    if not document["forward"]:
        return "-"
    copy = "a copy stays" if document["keeps_copy"] else "no copy stays"
    return f"passed on to {', '.join(document['forward'])}; {copy}"


def _reports(language: str) -> str:
    """What reports to a box are written in, in words."""
    return "in the domain's language" if language == DEFAULT else f"in {language}"


def _login(document: dict[str, Any]) -> str:
    """How a box may log in, in words."""
    if document["locked"]:
        return "locked"
    names = document["app_passwords"]
    ways = ["password"]
    if names:
        ways.append(f"{counted(len(names), 'app password')} ({', '.join(names)})")
    if document["cram"]:
        ways.append("CRAM-MD5")
    return ", ".join(ways)


def _list_boxes(context: click.Context, as_json: bool) -> None:
    columns = tables.box.c
    with reading(context) as connection:
        rows = connection.execute(
            sa.select(columns.address, columns.added).order_by(columns.domain, columns.address)
        ).all()
    document = [{"address": row.address, "added": when(row.added)} for row in rows]
    show(as_json, {"boxes": document}, "\n".join(safe(row.address) for row in rows))


def _messages(folder: Path) -> int:
    """How many message files a box has, in all its mailboxes."""
    return sum(1 for part in ("cur", "new") for _ in (folder / "Maildir").glob(f"**/{part}/*"))


for command in (passwd, app_password, cram, lock, unlock, box_allow):
    box.add_command(command)

"""``mtad domain``, ``mtad box`` and ``mtad alias``: the directory from a terminal."""

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa

from mtad import clock, db
from mtad.address import box_folder
from mtad.cli_options import administrator, config_option, json_option, settings, yes_option
from mtad.directory import database, passwords, tables
from mtad.directory.changes import (
    Changes,
    parse_address,
    parse_domain,
    targets_of,
)
from mtad.errors import NothingFound, UsageError
from mtad.journal.command import command_journal
from tracing.render import counted, safe

SCHEMA = 1
"""Version of the JSON documents."""


def _show(as_json: bool, document: dict[str, Any], text: str) -> None:
    """Print a document, or the text that says the same to people."""
    if as_json:
        text = json.dumps({"schema": SCHEMA, **document}, ensure_ascii=False)
    if text:
        click.echo(text)


def _when(at: int) -> str:
    return clock.from_us(at).isoformat(timespec="seconds")


@contextlib.contextmanager
def _changes(context: click.Context) -> Iterator[Changes]:
    """The means to change the directory of the settings in force."""
    places = settings(context).places
    db.check(places.state_db, db.STATE)
    with command_journal(places) as journal:
        yield Changes(places.state_db, journal, administrator())


@contextlib.contextmanager
def _reading(context: click.Context) -> Iterator[sa.Connection]:
    state_db = settings(context).places.state_db
    db.check(state_db, db.STATE)
    with database.reading(state_db) as connection:
        yield connection


def _password(from_stdin: bool) -> str:
    """The first line of standard input, or one made here."""
    if not from_stdin:
        return passwords.generate()
    line = sys.stdin.readline(passwords.MAX_OCTETS + 2).rstrip("\r\n")
    if not line:
        raise UsageError("--password-stdin: standard input has no password")
    return line


# ------------------------------------------------------------------ domain


@click.group(invoke_without_command=True)
@config_option
@json_option
@click.pass_context
def domain(context: click.Context, as_json: bool) -> None:
    """The domains mail is taken for; without a command, list them."""
    if context.invoked_subcommand is None:
        _list_domains(context, as_json)


@domain.command("add")
@click.argument("name")
@config_option
@json_option
@click.pass_context
def domain_add(context: click.Context, name: str, as_json: bool) -> None:
    """Take mail for the domain NAME."""
    with _changes(context) as changes:
        added = changes.add_domain(name)
    _show(as_json, {"domain": added}, f"domain {added} added")


@domain.command("list")
@config_option
@json_option
@click.pass_context
def domain_list(context: click.Context, as_json: bool) -> None:
    """List the domains with the number of their boxes and aliases."""
    _list_domains(context, as_json)


@domain.command("show")
@click.argument("name")
@config_option
@json_option
@click.pass_context
def domain_show(context: click.Context, name: str, as_json: bool) -> None:
    """Show the domain NAME with its boxes and aliases."""
    name = parse_domain(name)
    with _reading(context) as connection:
        row = connection.execute(
            sa.select(tables.domain).where(tables.domain.c.name == name)
        ).one_or_none()
        if row is None:
            raise NothingFound(f"{name} is not a domain of this server")
        held = {
            word: list(
                connection.scalars(
                    sa.select(table.c.address)
                    .where(table.c.domain == name)
                    .order_by(table.c.address)
                )
            )
            for word, table in (("boxes", tables.box), ("aliases", tables.alias))
        }
    lines = [name, f"  added    {_when(row.added)}"]
    if row.dkim_selector:
        lines.append(f"  dkim     selector {row.dkim_selector}")
    lines += [f"  {word:<8} {safe(' '.join(addresses)) or '-'}" for word, addresses in held.items()]
    document = {"domain": name, "added": _when(row.added), "dkim_selector": row.dkim_selector}
    _show(as_json, document | held, "\n".join(lines))


@domain.command("remove")
@click.argument("name")
@config_option
@click.pass_context
def domain_remove(context: click.Context, name: str) -> None:
    """Take no more mail for the domain NAME; it must have no boxes and no aliases."""
    with _changes(context) as changes:
        changes.remove_domain(name)
    click.echo(f"domain {safe(name)} removed")


def _list_domains(context: click.Context, as_json: bool) -> None:
    with _reading(context) as connection:
        counts = [
            sa.select(sa.func.count())
            .where(table.c.domain == tables.domain.c.name)
            .scalar_subquery()
            .label(label)
            for table, label in ((tables.box, "boxes"), (tables.alias, "aliases"))
        ]
        query = sa.select(tables.domain.c.name.label("domain"), *counts).order_by("domain")
        rows = [dict(row) for row in connection.execute(query).mappings()]
    text = "\n".join(
        f"{row['domain']}  {counted(row['boxes'], 'box', 'boxes')}, "
        f"{counted(row['aliases'], 'alias', 'aliases')}"
        for row in rows
    )
    _show(as_json, {"domains": rows}, text)


# --------------------------------------------------------------------- box


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
    password = _password(password_stdin)
    with _changes(context) as changes:
        made = str(changes.add_box(address, password))
    document = {"address": made} if password_stdin else {"address": made, "password": password}
    text = f"box {safe(made)} added" + ("" if password_stdin else f", password {password}")
    _show(as_json, document, text)


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
    with _reading(context) as connection:
        added = connection.scalar(sa.select(tables.box.c.added).where(tables.box.c.address == of))
        if added is None:
            raise NothingFound(f"there is no box {of}")
        columns = tables.alias_target.c
        sources = connection.scalars(
            sa.select(columns.alias).where(columns.target == of).order_by(columns.alias)
        ).all()
    folder = settings(context).places.boxes / box_folder(of)
    document = {
        "address": of,
        "added": _when(added),
        "aliases": list(sources),
        "messages": _messages(folder),
        "folder": str(folder),
    }
    lines = [
        safe(of),
        f"  added     {document['added']}",
        f"  aliases   {safe(' '.join(sources)) or '-'}",
        f"  messages  {document['messages']}",
        f"  folder    {folder}",
    ]
    _show(as_json, document, "\n".join(lines))


@box.command("passwd")
@click.argument("address")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@config_option
@json_option
@click.pass_context
def box_passwd(context: click.Context, address: str, password_stdin: bool, as_json: bool) -> None:
    """Give the box ADDRESS another password, made up and printed unless --password-stdin."""
    password = _password(password_stdin)
    of = str(parse_address(address))
    with _changes(context) as changes:
        changes.set_password(of, password)
    document = {"address": of} if password_stdin else {"address": of, "password": password}
    text = f"password of {safe(of)} changed" + ("" if password_stdin else f", now {password}")
    _show(as_json, document, text)


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
    with _changes(context) as changes:
        changes.remove_box(of)
    stays = f"; its mail ({counted(messages, 'message')}) stays in {folder}" if messages else ""
    click.echo(f"box {safe(of)} removed{stays}")


def _list_boxes(context: click.Context, as_json: bool) -> None:
    columns = tables.box.c
    with _reading(context) as connection:
        rows = connection.execute(
            sa.select(columns.address, columns.added).order_by(columns.domain, columns.address)
        ).all()
    document = [{"address": row.address, "added": _when(row.added)} for row in rows]
    _show(as_json, {"boxes": document}, "\n".join(safe(row.address) for row in rows))


def _messages(folder: Path) -> int:
    """How many message files a box has, in all its mailboxes."""
    return sum(1 for part in ("cur", "new") for _ in (folder / "Maildir").glob(f"**/{part}/*"))


# ------------------------------------------------------------------- alias


@click.group(invoke_without_command=True)
@config_option
@json_option
@click.pass_context
def alias(context: click.Context, as_json: bool) -> None:
    """Addresses that lead to other addresses; without a command, list them."""
    if context.invoked_subcommand is None:
        _list_aliases(context, as_json)


@alias.command("add")
@click.argument("address", metavar="ALIAS")
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@config_option
@json_option
@click.pass_context
def alias_add(context: click.Context, address: str, targets: Sequence[str], as_json: bool) -> None:
    """Let ALIAS lead to one or more boxes or aliases of this server."""
    with _changes(context) as changes:
        made, leads_to = changes.add_alias(address, targets)
    text = safe(f"alias {made} added, leads to {', '.join(leads_to)}")
    _show(as_json, {"alias": str(made), "targets": leads_to}, text)


@alias.command("list")
@config_option
@json_option
@click.pass_context
def alias_list(context: click.Context, as_json: bool) -> None:
    """List the aliases and where each leads."""
    _list_aliases(context, as_json)


@alias.command("show")
@click.argument("address", metavar="ALIAS")
@config_option
@json_option
@click.pass_context
def alias_show(context: click.Context, address: str, as_json: bool) -> None:
    """Show where ALIAS leads."""
    of = str(parse_address(address))
    with _reading(context) as connection:
        leads_to = list(targets_of(connection, of))
    if not leads_to:
        raise NothingFound(f"there is no alias {of}")
    _show(as_json, {"alias": of, "targets": leads_to}, safe(f"{of} -> {', '.join(leads_to)}"))


@alias.command("remove")
@click.argument("address", metavar="ALIAS")
@config_option
@click.pass_context
def alias_remove(context: click.Context, address: str) -> None:
    """Take ALIAS away; nothing else may lead to it."""
    with _changes(context) as changes:
        changes.remove_alias(address)
    click.echo(f"alias {safe(address)} removed")


def _list_aliases(context: click.Context, as_json: bool) -> None:
    columns = tables.alias_target.c
    with _reading(context) as connection:
        aliases: dict[str, list[str]] = {}
        query = sa.select(columns.alias, columns.target).order_by(columns.alias, columns.position)
        for name, target in connection.execute(query):
            aliases.setdefault(name, []).append(target)
    document = [{"alias": name, "targets": leads_to} for name, leads_to in aliases.items()]
    text = "\n".join(safe(f"{name} -> {', '.join(to)}") for name, to in aliases.items())
    _show(as_json, {"aliases": document}, text)

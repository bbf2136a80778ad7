"""``mtad box passwd``, ``app-password``, ``cram``, ``lock``: what lets a box log in.

Passwords made here are shown once and kept nowhere in a form that could be shown again.
"""

from typing import Any

import click
import sqlalchemy as sa

from mtad.cli_options import config_option, json_option, settings
from mtad.directory import authkey, tables
from mtad.directory.changes import exists, parse_address
from mtad.directory.cli_parts import changing, reading, show, when
from mtad.directory.cli_parts import password as password_of
from mtad.directory.credentials import OWN
from mtad.errors import NothingFound
from mtad.sasl.cram import CRAM_NAME
from tracing.render import safe


@click.command()
@click.argument("address")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@config_option
@json_option
@click.pass_context
def passwd(context: click.Context, address: str, password_stdin: bool, as_json: bool) -> None:
    """Give the box ADDRESS another password, made up and printed unless --password-stdin."""
    password = password_of(password_stdin)
    of = str(parse_address(address))
    with changing(context) as changes:
        changes.set_password(of, password)
    document = {"address": of} if password_stdin else {"address": of, "password": password}
    text = f"password of {safe(of)} changed" + ("" if password_stdin else f", now {password}")
    show(as_json, document, text)


# ------------------------------------------------------------- app passwords


@click.group("app-password")
@config_option
def app_password() -> None:
    """Further passwords of a box, one for each program or device."""


@app_password.command("add")
@click.argument("address")
@click.argument("name")
@config_option
@json_option
@click.pass_context
def app_password_add(context: click.Context, address: str, name: str, as_json: bool) -> None:
    """Make a password called NAME for the box ADDRESS; it is shown only now."""
    of = str(parse_address(address))
    with changing(context) as changes:
        made = changes.add_app_password(of, name)
    text = f"app password {safe(name)} of {safe(of)}: {made}    shown only now"
    show(as_json, {"address": of, "name": name, "password": made}, text)


@app_password.command("list")
@click.argument("address")
@config_option
@json_option
@click.pass_context
def app_password_list(context: click.Context, address: str, as_json: bool) -> None:
    """List the app passwords of the box ADDRESS and when each was last used."""
    of = str(parse_address(address))
    columns = tables.credential.c
    with reading(context) as connection:
        if not exists(connection, tables.box.c.address, of):
            raise NothingFound(f"there is no box {of}")
        rows = connection.execute(
            sa.select(columns.name, columns.added, columns.last_used)
            .where(columns.box == of, columns.name.not_in((OWN, CRAM_NAME)))
            .order_by(columns.added, columns.name)
        ).all()
    made: list[dict[str, Any]] = [
        {
            "name": row.name,
            "added": when(row.added),
            "last_used": None if row.last_used is None else when(row.last_used),
        }
        for row in rows
    ]
    text = "\n".join(
        safe(f"{one['name']}  added {one['added']}, {_used(one['last_used'])}") for one in made
    )
    show(as_json, {"address": of, "app_passwords": made}, text)


def _used(at: str | None) -> str:
    return f"last used {at}" if at else "never used"


@app_password.command("remove")
@click.argument("address")
@click.argument("name")
@config_option
@click.pass_context
def app_password_remove(context: click.Context, address: str, name: str) -> None:
    """Take the app password NAME of the box ADDRESS away."""
    with changing(context) as changes:
        changes.remove_app_password(address, name)
    click.echo(safe(f"app password {name} of {address} removed"))


# ---------------------------------------------------------- CRAM-MD5 and locks


@click.command()
@click.argument("address")
@click.argument("state", type=click.Choice(["on", "off"]), metavar="on|off")
@config_option
@json_option
@click.pass_context
def cram(context: click.Context, address: str, state: str, as_json: bool) -> None:
    """Let the box ADDRESS log in by CRAM-MD5, or no more.

    The server must be able to read the password for it. So "on" makes one that is good for
    CRAM-MD5 alone and shows it once.
    """
    of = str(parse_address(address))
    if state == "off":
        with changing(context) as changes:
            changes.disable_cram(of)
        show(as_json, {"address": of, "cram": False}, f"CRAM-MD5 is off for {safe(of)}")
        return
    key = authkey.load(settings(context).places.auth_key)
    with changing(context) as changes:
        made = changes.enable_cram(of, key)
    text = f"CRAM-MD5 is on for {safe(of)}, password {made}    shown only now"
    show(as_json, {"address": of, "cram": True, "password": made}, text)


@click.command()
@click.argument("address")
@config_option
@click.pass_context
def lock(context: click.Context, address: str) -> None:
    """Let nobody log in as the box ADDRESS; it goes on receiving mail."""
    with changing(context) as changes:
        changes.lock(address, locked=True)
    click.echo(safe(f"box {address} is locked: nobody can log in as it"))


@click.command()
@click.argument("address")
@config_option
@click.pass_context
def unlock(context: click.Context, address: str) -> None:
    """Let the box ADDRESS log in again with the passwords it had."""
    with changing(context) as changes:
        changes.lock(address, locked=False)
    click.echo(safe(f"box {address} is open again"))

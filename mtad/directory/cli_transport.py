"""``mtad transport``: how mail for a domain leaves, from a terminal."""

from collections.abc import Sequence
from typing import Any, cast

import click

from mtad import db
from mtad.cli_options import administrator, config_option, json_option, settings
from mtad.directory.changes import ABSENT
from mtad.directory.cli_parts import password, reading, show
from mtad.directory.transport_changes import (
    KINDS,
    TLS_MODES,
    TransportChanges,
    made,
    parse_pattern,
)
from mtad.directory.transports import Kind, TlsMode, Transport, read
from mtad.errors import NothingFound
from mtad.journal.command import command_journal
from tracing.render import safe


@click.group(invoke_without_command=True)
@config_option
@json_option
@click.pass_context
def transport(context: click.Context, as_json: bool) -> None:
    """How mail for some domains leaves, other than to their MX; without a command, list them."""
    if context.invoked_subcommand is None:
        _list(context, as_json)


@transport.command("set")
@click.argument("pattern")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("words", nargs=-1)
@click.option("--mx", "by_mx", is_flag=True, help="relay: go to the MX of the host.")
@click.option("--tls", type=click.Choice(TLS_MODES), help="Instead of the setting outbound.tls.")
@click.option("--login", default="", help="relay: log in there under this name.")
@click.option("--password-stdin", is_flag=True, help="Read its password from standard input.")
@config_option
@json_option
@click.pass_context
def transport_set(
    context: click.Context,
    pattern: str,
    kind: str,
    words: Sequence[str],
    by_mx: bool,
    tls: str | None,
    login: str,
    password_stdin: bool,
    as_json: bool,
) -> None:
    """Let mail for PATTERN leave another way; PATTERN is a domain, .domain or *.

    \b
    mx                        the domain's own MX, with another --tls
    relay HOST[:PORT]         a smart host; with --login its certificate must be valid
    lmtp HOST[:PORT]          a server that delivers; also unix:/PATH
    command -- PROGRAM WORD.. a program that reads the message; {recipient}, {local},
                              {domain} and {sender} are replaced in its words
    error 5.X.X TEXT          nowhere: it fails; with 4.X.X it waits
    """
    wanted = made(
        pattern,
        cast(Kind, kind),
        words,
        by_mx=by_mx,
        tls=cast(TlsMode, tls or ""),
        login=login,
        password=password(from_stdin=True) if password_stdin else "",
    )
    places = settings(context).places
    db.check(places.state_db, db.STATE)
    with command_journal(places) as journal:
        changes = TransportChanges(places.state_db, journal, administrator())
        before = changes.set_transport(wanted)
    was = "" if before == ABSENT else f", was {before}"
    show(as_json, _document(wanted), safe(f"transport {wanted.pattern} {wanted}{was}"))


@transport.command("list")
@config_option
@json_option
@click.pass_context
def transport_list(context: click.Context, as_json: bool) -> None:
    """List the transports."""
    _list(context, as_json)


@transport.command("show")
@click.argument("pattern")
@config_option
@json_option
@click.pass_context
def transport_show(context: click.Context, pattern: str, as_json: bool) -> None:
    """Show the transport of PATTERN, without its password."""
    of = parse_pattern(pattern)
    with reading(context) as connection:
        known = {entry.pattern: entry for entry in read(connection)}
    if of not in known:
        raise NothingFound(f"there is no transport {of}")
    show(as_json, _document(known[of]), safe(f"{of} {known[of]}"))


@transport.command("remove")
@click.argument("pattern")
@config_option
@click.pass_context
def transport_remove(context: click.Context, pattern: str) -> None:
    """Take the transport of PATTERN away."""
    places = settings(context).places
    db.check(places.state_db, db.STATE)
    with command_journal(places) as journal:
        TransportChanges(places.state_db, journal, administrator()).remove_transport(pattern)
    click.echo(f"transport {safe(pattern)} removed")


def _list(context: click.Context, as_json: bool) -> None:
    with reading(context) as connection:
        entries = read(connection)
    text = "\n".join(safe(f"{entry.pattern}  {entry}") for entry in entries)
    show(as_json, {"transports": [_document(entry) for entry in entries]}, text)


def _document(entry: Transport) -> dict[str, Any]:
    """What is there, without the password."""
    fields = {
        "pattern": entry.pattern,
        "kind": entry.kind,
        "host": entry.host,
        "port": entry.port,
        "by_mx": entry.by_mx,
        "path": entry.path,
        "argv": list(entry.argv),
        "text": entry.text,
        "tls": entry.tls,
        "login": entry.login,
    }
    return {name: value for name, value in fields.items() if value or name in ("pattern", "kind")}

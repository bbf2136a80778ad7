"""``mtad auth``: who logs in, who is logged in, and ending a session."""

import contextlib
import itertools
import json
from typing import Any

import click

from mtad import clock, control, where
from mtad.cli_options import administrator, config_option, config_path, json_option
from mtad.directory.verifier import normal
from mtad.errors import UsageError
from tracing import answers, search
from tracing.event import Event
from tracing.queries import Log, Stored
from tracing.render import counted, moment, safe

SCHEMA = 1
"""Version of the JSON documents."""
KINDS = ("auth.ok", "auth.fail", "auth.refused", "auth.ban", "auth.logout", "auth.kick")
"""The events of ``mtad auth log``."""


@click.group(invoke_without_command=True)
@config_option
@json_option
@click.pass_context
def auth(context: click.Context, as_json: bool) -> None:
    """Who logs in, from where, and with what; without a command, list the sessions."""
    if context.invoked_subcommand is None:
        _sessions(context, as_json)


@auth.command("sessions")
@config_option
@json_option
@click.pass_context
def auth_sessions(context: click.Context, as_json: bool) -> None:
    """List who is logged in by IMAP and POP3: from where, with what, since when."""
    _sessions(context, as_json)


def _sessions(context: click.Context, as_json: bool) -> None:
    found = _ask(context, "auth.sessions")["sessions"]
    if as_json:
        _print({"sessions": found})
        return
    for one in found:
        told = (
            f"{one['id']}  {one['box']}  {one['service']} from {one['ip'] or 'this machine'}",
            f"  since {one['since']}",
            "" if one["tls"] else "  without TLS",
            f"  with {one['client']}" if one["client"] else "",
            f"  by the password {one['password']}" if one["password"] else "",
            f"  in {one['mailbox']}" if one["mailbox"] else "",
        )
        click.echo(safe("".join(told)))


@auth.command("kick")
@click.argument("who", metavar="ADDRESS|ID")
@config_option
@json_option
@click.pass_context
def auth_kick(context: click.Context, who: str, as_json: bool) -> None:
    """End the sessions of ADDRESS, or the one that 'mtad auth sessions' shows as ID.

    Mail programs come back by themselves: 'mtad box lock' keeps them out.
    """
    count = _ask(context, "auth.kick", who=who, actor=administrator())["count"]
    if as_json:
        _print({"ended": count})
    else:
        click.echo(safe(f"{counted(count, 'session')} of {who} ended"))


@auth.command("log")
@click.argument("address", required=False)
@click.option(
    "--since",
    metavar="TIME",
    default="7d",
    show_default=True,
    help="From when on: 15m, 3h, 2d, today, 2026-11-20.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=100,
    show_default=True,
    help="Events shown at most, the latest ones.",
)
@config_option
@json_option
@click.pass_context
def auth_log(
    context: click.Context, address: str | None, since: str, limit: int, as_json: bool
) -> None:
    """Show logins, failed ones, bans and logouts, of ADDRESS alone if it is given."""
    directory = where.places(config_path(context)).log
    box = normal(address) if address else ""

    def wanted(event: Event) -> bool:
        return not box or event.addr == box or normal(getattr(event, "login", "")) == box

    with answers.readable(directory), contextlib.closing(Log(directory)) as log:
        begin = search.parse(f'since:"{since}"', clock.now_us()).since
        if begin is None:
            raise UsageError(f"{since} is no time")
        found = list(itertools.islice(log.latest(KINDS, begin, wanted), limit))
    found.reverse()
    if as_json:
        _print({"events": [answers.happened(one) for one in found]})
        return
    for one in found:
        click.echo(_line(one))


def _line(stored: Stored) -> str:
    event = stored.event
    at = moment(event.at).strftime("%Y-%m-%d %H:%M:%S")
    service = getattr(event, "service", "")
    return safe(f"{at}  {event.ip:<15}  {service or '-':<11}  {event}")


def _ask(context: click.Context, verb: str, **arguments: Any) -> dict[str, Any]:
    return control.ask(where.places(config_path(context)).socket("access"), verb, **arguments)


def _print(document: dict[str, Any]) -> None:
    click.echo(json.dumps({"schema": SCHEMA, **document}, ensure_ascii=False))

"""``mtad bans``: who may not log in for a while, and letting them again."""

import contextlib
from collections.abc import Iterator

import click

from mtad import clock
from mtad.cli_options import administrator, config_option, json_option, settings
from mtad.directory.attempts import Attempts, network
from mtad.directory.cli_parts import show, when
from mtad.directory.guard import client_subject, login_subject
from mtad.directory.verifier import normal
from mtad.errors import NothingFound
from mtad.journal.command import command_journal
from mtad.journal.frame import Meta, raw
from mtad.where import Places
from tracing.events import AdminChange
from tracing.render import safe


@click.group(invoke_without_command=True)
@config_option
@json_option
@click.pass_context
def bans(context: click.Context, as_json: bool) -> None:
    """Clients and logins banned for guessing; without a command, list them."""
    if context.invoked_subcommand is None:
        _list(context, as_json)


@bans.command("list")
@config_option
@json_option
@click.pass_context
def bans_list(context: click.Context, as_json: bool) -> None:
    """List who is banned and until when."""
    _list(context, as_json)


def _list(context: click.Context, as_json: bool) -> None:
    found: list[tuple[str, int]] = []
    with _attempts(settings(context).places) as attempts:
        if attempts is not None:
            found = attempts.bans(clock.now_us())
    document = [{"subject": subject, "until": when(until)} for subject, until in found]
    lines = [safe(f"{one['subject']}  until {one['until']}") for one in document]
    show(as_json, {"bans": document}, "\n".join(lines))


@contextlib.contextmanager
def _attempts(places: Places) -> Iterator[Attempts | None]:
    """What was counted; None where nothing was: a command makes no file of the server's."""
    if not places.attempts.exists():
        yield None
        return
    attempts = Attempts(places.attempts)
    try:
        yield attempts
    finally:
        attempts.close()


@bans.command("lift")
@click.argument("who", metavar="CLIENT|LOGIN")
@config_option
@click.pass_context
def bans_lift(context: click.Context, who: str) -> None:
    """Let an address, a network or a login try again at once; what it failed is forgotten."""
    places = settings(context).places
    subjects = (client_subject(network(who.partition("/")[0])), login_subject(normal(who)))
    with _attempts(places) as attempts:
        now = clock.now_us()
        lifted = [one for one in subjects if attempts and attempts.banned_until(one, now)]
        if not lifted or attempts is None:
            raise NothingFound(f"{who!r} is not banned")
        with command_journal(places) as journal:
            event = AdminChange(
                at=now,
                trace=journal.mint.new(),
                actor=administrator(),
                what="ban",
                name=", ".join(lifted),
                before="banned",
                after="lifted",
            )
            journal.commit_now(Meta(events=(raw(event),)))
            for one in lifted:
                attempts.lift(one)
    click.echo(safe(f"{who} may log in again"))

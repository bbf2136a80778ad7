"""``mtad box allow`` and ``mtad domain allow``: from which networks one may log in."""

from collections.abc import Sequence

import click

from mtad import db
from mtad.cli_options import administrator, config_option, json_option, settings
from mtad.directory.changes import parse_address, parse_domain
from mtad.directory.cli_parts import reading, show
from mtad.directory.lookup import network_rules
from mtad.directory.rule_changes import ANYWHERE, RuleChanges
from mtad.directory.rules import SERVICES
from mtad.errors import UsageError
from mtad.journal.command import command_journal
from tracing.render import safe

_SERVICE = click.option(
    "--service",
    "services",
    type=click.Choice(SERVICES),
    multiple=True,
    help="Which service; may be repeated. All of them, unless it is given.",
)
_FROM = click.option(
    "--from",
    "networks",
    metavar="NETWORK",
    multiple=True,
    help="A network or an address; may be repeated.",
)
_ANYWHERE = click.option("--anywhere", is_flag=True, help="Take the rule away.")


@click.command("allow")
@click.argument("address")
@_SERVICE
@_FROM
@_ANYWHERE
@config_option
@json_option
@click.pass_context
def box_allow(
    context: click.Context,
    address: str,
    services: Sequence[str],
    networks: Sequence[str],
    anywhere: bool,
    as_json: bool,
) -> None:
    """Let the box ADDRESS be logged into from some networks only; its domain's rule gives way.

    Without --from and --anywhere the rules in force are shown.
    """
    _allow(context, str(parse_address(address)), services, networks, anywhere, as_json)


@click.command("allow")
@click.argument("name")
@_SERVICE
@_FROM
@_ANYWHERE
@config_option
@json_option
@click.pass_context
def domain_allow(
    context: click.Context,
    name: str,
    services: Sequence[str],
    networks: Sequence[str],
    anywhere: bool,
    as_json: bool,
) -> None:
    """Let the boxes of the domain NAME that have no rule of their own be logged into from some
    networks only.

    Without --from and --anywhere the rules in force are shown.
    """
    _allow(context, parse_domain(name), services, networks, anywhere, as_json)


def _allow(
    context: click.Context,
    owner: str,
    services: Sequence[str],
    networks: Sequence[str],
    anywhere: bool,
    as_json: bool,
) -> None:
    if networks and anywhere:
        raise UsageError("give --from or --anywhere, not both")
    if networks or anywhere:
        places = settings(context).places
        db.check(places.state_db, db.STATE)
        with command_journal(places) as journal:
            changes = RuleChanges(places.state_db, journal, administrator())
            for service in services or SERVICES:
                changes.allow(owner, service, networks)
    with reading(context) as connection:
        rules = network_rules(connection)
    found = {
        service: list(rules[owner, service].allowed) if (owner, service) in rules else []
        for service in services or SERVICES
    }
    text = "\n".join(
        f"{service:<10} {', '.join(allowed) or ANYWHERE}" for service, allowed in found.items()
    )
    show(as_json, {"owner": owner, "allowed": found}, f"{safe(owner)}\n{text}")

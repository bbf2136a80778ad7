"""``mtad route``: where mail would go, from a terminal."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import click

from mtad import db
from mtad.cli_options import config_option, json_option, settings
from mtad.directory.changes import parse_address
from mtad.directory.lookup import Directory
from mtad.directory.transports import TransportTable
from mtad.errors import Exit
from mtad.outbound.courier import surroundings
from mtad.outbound.forecast import Forecaster, Host, Leg
from tracing.render import safe

SCHEMA = 1
"""Version of the JSON document."""


@click.command()
@click.argument("address")
@config_option
@json_option
@click.pass_context
def route(context: click.Context, address: str, as_json: bool) -> None:
    """Show where mail to ADDRESS would go, without sending any.

    Names are looked up as they would be for a delivery: boxes, aliases and forwards here; else
    the transport, the hosts in order with their addresses, and the TLS policy of each. The exit
    status is 5 where mail would not arrive.
    """
    loaded = settings(context)
    state_db = loaded.places.state_db
    db.check(state_db, db.STATE)
    around = surroundings(loaded)
    forecaster = Forecaster(around, TransportTable(state_db)(), Directory(state_db))
    wanted = parse_address(address)
    targets = forecaster.targets(wanted)

    async def ask() -> list[Leg]:
        return [await forecaster.leg(target) for target in targets]

    legs = asyncio.run(ask())
    if as_json:
        document = {"schema": SCHEMA, "address": str(wanted), "targets": list(map(asdict, legs))}
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        click.echo("\n".join(map(safe, _lines(str(wanted), legs))))
    if not legs or any(leg.trouble for leg in legs):
        context.exit(Exit.PROBLEMS)


def _lines(wanted: str, legs: Sequence[Leg]) -> Iterator[str]:
    if not legs:
        yield f"{wanted}: there is neither a box nor an alias of that name here"
    for leg in legs:
        lead = leg.address if leg.address == wanted else f"{wanted} -> {leg.address}"
        if leg.way == "box":
            yield f"{lead}: a box here"
            continue
        yield f"{lead}: {leg.says or leg.way}" + (", authenticated" if leg.secure else "")
        yield from (f"  {number}  {_host(host)}" for number, host in enumerate(leg.hosts, 1))
        if leg.sts:
            yield f"  MTA-STS: {leg.sts}"
        if leg.trouble:
            ends = "would be returned to its sender" if leg.is_final else "would wait"
            yield f"  mail {ends}: {leg.trouble}"


def _host(host: Host) -> str:
    where = " ".join(f"[{ip}]:{host.port}" for ip in host.ips)
    told = f"not used: {host.trouble}" if host.trouble else f"tls {host.tls}"
    return "  ".join(filter(None, (host.host, where, told)))

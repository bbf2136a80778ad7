"""``mtad quickstart``, ``status``, ``config`` and ``demo``: from nothing to a running server."""

import json
import shlex
from pathlib import Path
from typing import Any

import click

from mtad import identity, ledger, where
from mtad.cli_options import config_option, config_path, json_option, settings
from mtad.config import Listen
from mtad.errors import Exit
from mtad.setup import annotated, demonstration, ports
from mtad.setup import quickstart as making
from mtad.setup import status as health
from tracing.render import rfc3339, safe

SCHEMA = 1
"""Version of the JSON documents."""


def _print_json(document: dict[str, Any]) -> None:
    click.echo(json.dumps({"schema": SCHEMA, **document}, ensure_ascii=False))


# -------------------------------------------------------------- quickstart


@click.command()
@click.argument("address", metavar="YOU@EXAMPLE.ORG")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    default=making.DEFAULT_FOLDER,
    show_default=True,
    help="Where everything goes; must be empty or missing.",
)
@click.option("--local", is_flag=True, help="Serve this machine only, on free high ports.")
@click.option("--hostname", help="This server's name; mail.EXAMPLE.ORG unless given.")
@click.option(
    "--first-port",
    type=click.IntRange(1024, 65000),
    help="With --local: take the free ports from here on.",
)
@click.option("--user", metavar="NAME", help="As root: whose the server is to be.")
@json_option
def quickstart(
    address: str,
    folder: Path,
    local: bool,
    hostname: str | None,
    first_port: int | None,
    user: str | None,
    as_json: bool,
) -> None:
    """Make everything a server needs in one directory, with your address as its first box.

    Overwrites nothing, and leaves nothing behind when it fails.
    """
    if first_port is not None and not local:
        raise click.UsageError("--first-port goes with --local")
    owner = identity.owner(user) if user else None
    made = making.create(address, folder, hostname=hostname, local=local, first_port=first_port)
    if owner is not None:
        identity.give(made.config.parent, owner)
    if as_json:
        _print_json(
            {
                "config": str(made.config),
                "hostname": made.hostname,
                "domain": made.domain,
                "address": made.address,
                "password": made.password,
                **made.ports,
                "dns": [
                    {"name": record.name, "type": record.type, "value": record.value}
                    for record in made.dns
                ],
            }
        )
        return
    click.echo(safe_lines(_ready(made, local)))


def _ready(made: making.Made, local: bool) -> str:
    """What the owner of a fresh server needs to know."""
    host = ports.LOOPBACK if local else made.hostname
    command = f"mtad --config {shlex.quote(str(made.config))}"
    lines = [
        f"A server for {made.domain} is ready in {made.config.parent}",
        "",
        f"  box       {made.address}",
        f"  password  {made.password}    shown only now; 'mtad box passwd' makes another",
        "",
        f"Start it:   {command} serve",
        "",
        "Connect to it:",
    ]
    for service, port in made.ports.items():
        about = Listen.model_fields[service].description or ""
        lines.append(f"  {service:<12} {host}:{port:<6} {about}")
    width = max(len(record.name) for record in made.dns)
    when = " once it is to be reached from outside" if local else ""
    lines += ["", f"Publish in DNS{when}:"]
    lines += [f"  {one.name:<{width}} IN {one.type:<4} {one.value}" for one in made.dns]
    lines += [f"and let the address's reverse name (PTR) be {made.hostname}."]
    key = made.config.parent / "repository.key"
    lines += ["", f"Keep a copy of {key} elsewhere: without it no snapshot can be read."]
    return "\n".join(lines)


def safe_lines(text: str) -> str:
    """Several lines, each fit for a terminal."""
    return "\n".join(safe(line) for line in text.split("\n"))


# ------------------------------------------------------------------ status


@click.command()
@config_option
@json_option
@click.pass_context
def status(context: click.Context, as_json: bool) -> int:
    """Show which roles of the server run, what each says of itself, and whether the books balance.

    Exit status 0 when all is well, 5 when a role does not run, when the settings could not be
    read again or when an audit found something, 10 when no role runs.
    """
    places = where.places(config_path(context))
    found = health.roles(places)
    settings_good, settings_line = health.settings(found) or (True, "")
    accounts = ledger.read(places)
    balanced, books_line = health.balance(accounts)
    if as_json:
        _print_json(
            {
                "roles": {
                    role: {"up": said is not None} | (said or {}) for role, said in found.items()
                },
                "audit": {
                    "at": rfc3339(accounts.last_at) if accounts.last_at else None,
                    "balanced": balanced,
                    "count": accounts.count,
                    "violations": list(accounts.texts),
                },
            }
        )
    else:
        for role, said in found.items():
            mark = "●" if said is not None else "✕"
            click.echo(safe(f"{mark} {role:<7} {health.sentence(role, said)}"))
        if settings_line:
            mark = "●" if settings_good else "✕"
            click.echo(safe(f"{mark} settings {settings_line}"))
        line = safe(f"{'●' if balanced else '✕'} books   {books_line}")
        click.echo(line if balanced else click.style(line, fg="red"))
    up = [role for role, said in found.items() if said is not None]
    if not up:
        click.echo(f"mtad: no server runs on {places.data}; 'mtad serve' starts one", err=True)
        return Exit.UNREACHABLE
    is_well = len(up) == len(found) and settings_good and balanced
    return Exit.OK if is_well else Exit.PROBLEMS


# ------------------------------------------------------------------ config


@click.group()
@config_option
def config() -> None:
    """Check or show the settings."""


@config.command("check")
@config_option
@json_option
@click.pass_context
def config_check(context: click.Context, as_json: bool) -> int:
    """Read the settings file and look at all it names; every problem is listed.

    Exit status 0 when all is well, 2 when the file cannot be obeyed, 5 when what it names is
    missing or unusable.
    """
    loaded = settings(context)
    found = list(health.problems(loaded))
    if as_json:
        _print_json({"config": str(loaded.path.absolute()), "problems": found})
    elif found:
        click.echo("\n".join(safe(problem) for problem in found))
    else:
        click.echo(f"{loaded.path} is sound, and so is what it names")
    return Exit.PROBLEMS if found else Exit.OK


@config.command("show")
@config_option
@json_option
@click.pass_context
def config_show(context: click.Context, as_json: bool) -> None:
    """Print every setting with its meaning and the value in force, as TOML."""
    loaded = settings(context)
    if as_json:
        _print_json({"config": str(loaded.path.absolute()), "settings": loaded.config.model_dump()})
    else:
        click.echo(annotated.toml(loaded.config, defaults_as_comments=False), nl=False)


# -------------------------------------------------------------------- demo


@click.command()
@config_option
@click.pass_context
def demo(context: click.Context) -> None:
    """Tell the whole story on a running local server: send, trace, snapshot, delete, restore.

    Uses the first box; what it sends is its own and what it deletes is put back.
    """
    demonstration.tell(settings(context), click.echo)

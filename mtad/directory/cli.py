"""``mtad domain`` and ``mtad alias``: the directory from a terminal."""

from collections.abc import Sequence

import click
import sqlalchemy as sa

from mtad import clock
from mtad.cli_options import config_option, json_option
from mtad.directory import tables
from mtad.directory.changes import DEFAULT, parse_address, parse_domain, targets_of
from mtad.directory.cli_parts import LANGUAGES, changing, reading, set_language, show, when
from mtad.directory.cli_rules import domain_allow
from mtad.directory.lookup import dkim_keys
from mtad.errors import NothingFound
from tracing.render import counted, safe

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
@click.option(
    "--relay",
    is_flag=True,
    help="Its boxes are on another server: 'mtad transport set' says where.",
)
@config_option
@json_option
@click.pass_context
def domain_add(context: click.Context, name: str, relay: bool, as_json: bool) -> None:
    """Take mail for the domain NAME."""
    with changing(context) as changes:
        added = changes.add_domain(name, relay=relay)
    text = f"domain {added} added" + (", its mail is passed on" if relay else "")
    show(as_json, {"domain": added, "relay": relay}, text)


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
    with reading(context) as connection:
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
        keys = dkim_keys(connection).get(name, ())
    now = clock.now_us()
    selectors = [key.selector for key in keys if key.signs(now)]
    lines = [name, f"  added    {when(row.added)}"]
    if row.relay:
        lines.append("  relay    its mail is passed on, but for boxes and aliases here")
    lines.append(f"  reports  {f'in {row.language}' if row.language else 'as the settings say'}")
    lines.append(f"  dkim     {safe(' '.join(selectors)) or '-'}")
    lines += [f"  {word:<8} {safe(' '.join(addresses)) or '-'}" for word, addresses in held.items()]
    document = {"domain": name, "added": when(row.added), "dkim_selectors": selectors}
    document["relay"] = row.relay
    document["language"] = row.language or DEFAULT
    show(as_json, document | held, "\n".join(lines))


domain.add_command(domain_allow)


@domain.command("remove")
@click.argument("name")
@config_option
@click.pass_context
def domain_remove(context: click.Context, name: str) -> None:
    """Take no more mail for the domain NAME; it must have no boxes and no aliases."""
    with changing(context) as changes:
        changes.remove_domain(name)
    click.echo(f"domain {safe(name)} removed")


@domain.command("language")
@click.argument("name")
@click.argument("language", type=LANGUAGES)
@config_option
@json_option
@click.pass_context
def domain_language(context: click.Context, name: str, language: str, as_json: bool) -> None:
    """Have reports to the boxes of NAME written in LANGUAGE; default is what the settings say."""
    set_language(context, parse_domain(name), language, as_json)


def _list_domains(context: click.Context, as_json: bool) -> None:
    with reading(context) as connection:
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
    show(as_json, {"domains": rows}, text)


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
    """Let ALIAS lead to one or more boxes, aliases, or addresses elsewhere."""
    with changing(context) as changes:
        made, leads_to = changes.add_alias(address, targets)
    text = safe(f"alias {made} added, leads to {', '.join(leads_to)}")
    show(as_json, {"alias": str(made), "targets": leads_to}, text)


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
    with reading(context) as connection:
        leads_to = list(targets_of(connection, of))
    if not leads_to:
        raise NothingFound(f"there is no alias {of}")
    show(as_json, {"alias": of, "targets": leads_to}, safe(f"{of} -> {', '.join(leads_to)}"))


@alias.command("remove")
@click.argument("address", metavar="ALIAS")
@config_option
@click.pass_context
def alias_remove(context: click.Context, address: str) -> None:
    """Take ALIAS away; nothing else may lead to it."""
    with changing(context) as changes:
        changes.remove_alias(address)
    click.echo(f"alias {safe(address)} removed")


def _list_aliases(context: click.Context, as_json: bool) -> None:
    columns = tables.alias_target.c
    with reading(context) as connection:
        aliases: dict[str, list[str]] = {}
        query = sa.select(columns.alias, columns.target).order_by(columns.alias, columns.position)
        for name, target in connection.execute(query):
            aliases.setdefault(name, []).append(target)
    document = [{"alias": name, "targets": leads_to} for name, leads_to in aliases.items()]
    text = "\n".join(safe(f"{name} -> {', '.join(to)}") for name, to in aliases.items())
    show(as_json, {"aliases": document}, text)

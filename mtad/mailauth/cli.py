"""``mtad dkim``: the keys that sign a domain's mail, from a terminal."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import click

from mtad import clock, db
from mtad.cli_options import administrator, config_option, json_option, settings
from mtad.config import Loaded
from mtad.directory import connections
from mtad.directory.changes import parse_domain
from mtad.directory.key_changes import KeyChanges
from mtad.directory.lookup import DkimKey, dkim_keys
from mtad.errors import NothingFound
from mtad.journal.command import command_journal
from mtad.mailauth import rotation
from mtad.zone import Record
from tracing.render import safe

SCHEMA = 1
"""Version of the JSON documents."""
HOUR = 3600 * 1_000_000
DAY = 24 * HOUR
"""Microseconds."""


def _print(as_json: bool, document: dict[str, Any], lines: list[str]) -> None:
    if as_json:
        lines = [json.dumps({"schema": SCHEMA, **document}, ensure_ascii=False)]
    if lines:
        click.echo("\n".join(lines))


def _held(loaded: Loaded) -> dict[str, tuple[DkimKey, ...]]:
    db.check(loaded.places.state_db, db.STATE)
    with connections.reading(loaded.places.state_db) as connection:
        return dkim_keys(connection)


def _of(loaded: Loaded, domain: str) -> tuple[DkimKey, ...]:
    found = _held(loaded).get(domain, ())
    if not found:
        raise NothingFound(f"{domain} has no DKIM keys; 'mtad dkim rotate {domain}' makes some")
    return found


def _when(at: int) -> str:
    return clock.from_us(at).isoformat(timespec="seconds")


def _date(at: int) -> str:
    """A time for people, to the minute, where they are."""
    local = clock.from_us(at).astimezone()
    return f"{local:%Y-%m-%d %H:%M}"


@click.group(invoke_without_command=True)
@config_option
@json_option
@click.pass_context
def dkim(context: click.Context, as_json: bool) -> None:
    """The keys that sign mail; without a command, list them."""
    if context.invoked_subcommand is None:
        _list(context, as_json)


@dkim.command("list")
@config_option
@json_option
@click.pass_context
def dkim_list(context: click.Context, as_json: bool) -> None:
    """List every domain's keys and what each is for at present."""
    _list(context, as_json)


def _list(context: click.Context, as_json: bool) -> None:
    loaded = settings(context)
    keep = loaded.config.dkim.keep_days * DAY
    now = clock.now_us()
    document, lines = [], []
    for domain, held in sorted(_held(loaded).items()):
        for key in held:
            state, text = _state(key, now, keep)
            lines.append(safe(f"{domain}  {key.selector}  {key.algorithm}  {text}"))
            document.append(
                {
                    "domain": domain,
                    "selector": key.selector,
                    "algorithm": key.algorithm,
                    "state": state,
                    "signs_from": _when(key.signs_from),
                    "signs_until": None if key.signs_until is None else _when(key.signs_until),
                }
            )
    _print(as_json, {"keys": document}, lines)


def _state(key: DkimKey, now: int, keep: int) -> tuple[str, str]:
    """A key's state in a word, and in words."""
    if key.signs(now):
        until = f" until {_date(key.signs_until)}" if key.signs_until is not None else ""
        return "signing", f"signs{until}"
    if key.signs_until is None or key.signs_until > now:
        return "waiting", f"will sign from {_date(key.signs_from)}; publish it before"
    if key.signs_until + keep > now:
        return "retired", f"signs no more; keep it published until {_date(key.signs_until + keep)}"
    return "over", "signs no more; its record may be deleted"


@dkim.command("show")
@click.argument("domain")
@config_option
@json_option
@click.pass_context
def dkim_show(context: click.Context, domain: str, as_json: bool) -> None:
    """Show the DNS records that must be published for the keys of DOMAIN."""
    loaded = settings(context)
    domain = parse_domain(domain)
    keep, now = loaded.config.dkim.keep_days * DAY, clock.now_us()
    wanted = [key for key in _of(loaded, domain) if _state(key, now, keep)[0] != "over"]
    records = [rotation.record(loaded, domain, key.selector) for key in wanted]
    _print(as_json, {"domain": domain, "dns": _documents(records)}, _lines(records))


def _documents(records: list[Record]) -> list[dict[str, str]]:
    return [{"name": one.name, "type": one.type, "value": one.value} for one in records]


def _lines(records: list[Record]) -> list[str]:
    return [f"{one.name} IN {one.type} {one.value}" for one in records]


@dkim.command("rotate")
@click.argument("domain")
@click.option("--now", "at_once", is_flag=True, help="Sign with the new keys at once.")
@config_option
@json_option
@click.pass_context
def dkim_rotate(context: click.Context, domain: str, at_once: bool, as_json: bool) -> None:
    """Make new keys for DOMAIN, RSA and Ed25519, and print the DNS records to publish.

    They sign after dkim.wait_hours, so that there is time to publish them; until then the keys
    there are go on, and stay published for dkim.keep_days after that. Keys whose time is over
    are removed. The first keys of a domain sign at once.
    """
    loaded = settings(context)
    domain = parse_domain(domain)
    now = clock.now_us()
    held = _held(loaded).get(domain, ())
    waits = loaded.config.dkim.wait_hours * HOUR
    signs_from = now if at_once or not held else now + waits
    over = now - loaded.config.dkim.keep_days * DAY
    with _changes(loaded) as changes:
        done = rotation.rotate(loaded, changes, domain, held, signs_from=signs_from, over=over)
    records = [rotation.record(loaded, domain, selector) for selector in done.made]
    retired = [key.selector for key in held if key.selector not in done.removed]
    keep_until = signs_from + loaded.config.dkim.keep_days * DAY
    document = {
        "domain": domain,
        "dns": _documents(records),
        "signs_from": _when(signs_from),
        "retired": retired,
        "keep_until": _when(keep_until),
        "removed": list(done.removed),
    }
    lines = ["Publish in DNS:", *(f"  {line}" for line in _lines(records))]
    if signs_from > now:
        lines.append(f"They sign from {_date(signs_from)} on; let them be seen by then.")
    else:
        lines.append("They sign at once.")
    if retired:
        lines.append(f"Keep published until {_date(keep_until)}: {', '.join(retired)}")
    if done.removed:
        lines.append(f"No longer needed, delete their records: {', '.join(done.removed)}")
    _print(as_json, document, [safe(line) for line in lines])


@contextlib.contextmanager
def _changes(loaded: Loaded) -> Iterator[KeyChanges]:
    with command_journal(loaded.places) as journal:
        yield KeyChanges(loaded.places.state_db, journal, administrator())

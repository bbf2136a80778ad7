"""``mtad log``: the log itself."""

import difflib
import json

import click

from mtad.errors import NothingFound
from tracing import eventschema
from tracing.cli_export import export
from tracing.cli_import import import_logs
from tracing.events import REGISTRY
from tracing.render import safe


@click.group()
def log() -> None:
    """The event log itself."""


@log.command()
@click.argument("kind", required=False)
def schema(kind: str | None) -> None:
    """Print the JSON Schema of an event's kind, or of all; docs/events.md tells of them in words.

    It is the shape of the lines that 'mtad trace --jsonl' and 'mtad tail --format json' print.
    """
    if kind is None:
        found = eventschema.every()
    elif kind in REGISTRY:
        found = eventschema.schema(kind)
    else:
        near = difflib.get_close_matches(kind, REGISTRY, 1)
        hint = f"did you mean {near[0]}?" if near else "docs/events.md lists them"
        raise NothingFound(f"there is no event {safe(kind)} - {hint}")
    click.echo(json.dumps(found, ensure_ascii=False, indent=2))


log.add_command(export)
log.add_command(import_logs)

"""docs/events.md, made of the declarations.

python -m tracing.eventdoc > docs/events.md
"""

import json
import sys
from typing import Any

import msgspec

from tracing.eventexamples import UNITS, example
from tracing.events import COLUMNS, REGISTRY, Event, to_fields
from tracing.eventschema import VERSION

GROUPS = {
    "auth": "Logins",
    "check": "Checks",
    "queue": "The queue",
    "out": "Attempts at other servers",
    "dsn": "Delivery reports",
    "report": "Other reports",
    "mail": "Mail made here",
    "conn": "Connections",
    "tls": "TLS",
    "smtp": "SMTP",
    "route": "Routing",
    "store": "Store",
    "box": "Boxes",
    "backup": "Snapshots",
    "restore": "Restore",
    "admin": "Administration",
    "sys": "The daemon",
    "log": "The log",
    "audit": "Audit",
}

HEAD = """\
# Events

Every event the log can hold, made from the declarations in `tracing/events.py` by
`python -m tracing.eventdoc`. A kind and the meaning of a field never change; fields and kinds
are only ever added.

All events have these fields: {columns}. {common}

*Outcome* says what an event means for the message: ok, info, defer, fail, drop or hold.

`mtad log schema KIND` prints a kind's JSON Schema, as `mtad trace --jsonl` and `mtad tail --format
json` write it: version {version}. A reader leaves fields and kinds that it does not know; mtad
shows what a later version wrote as it is.
"""


def document() -> str:
    """The whole page."""
    common = " ".join((Event.__doc__ or "").split("\n\n", 1)[1].split()).replace("``", "`")
    parts = [
        HEAD.format(
            version=VERSION, columns=", ".join(f"`{name}`" for name in COLUMNS), common=common
        )
    ]
    for prefix, title in _groups().items():
        parts.append(f"\n## {title}\n")
        for kind, cls in REGISTRY.items():
            if kind.partition(".")[0] == prefix:
                parts.append(_section(kind, cls))
    return "".join(parts)


def _groups() -> dict[str, str]:
    """The groups there are, those without a title under their own name."""
    prefixes = dict.fromkeys(kind.partition(".")[0] for kind in REGISTRY)
    return {prefix: GROUPS.get(prefix, prefix) for prefix in prefixes}


def _section(kind: str, cls: type[Event]) -> str:
    text = " ".join((cls.__doc__ or "").split()).replace("``", "`")
    lines = [
        f"\n### {kind}\n",
        f"\n{text}\n",
        f"\nOutcome: {cls.outcome.value}. Shown as: `{cls.text}`\n",
    ]
    own = [field for field in msgspec.structs.fields(cls) if field.name not in COLUMNS]
    if own:
        lines.append("\n| field | type | unit | default |\n|---|---|---|---|\n")
        lines += [
            f"| `{field.name}` | {_type(field.type)} | {UNITS.get(field.name, '')} "
            f"| {_default(field)} |\n"
            for field in own
        ]
    made = example(kind)
    shown = {name: value for name, value in to_fields(made).items() if name != "kind"}
    lines.append(f"\nExample: {made}\n\n```json\n{json.dumps(shown, ensure_ascii=False)}\n```\n")
    return "".join(lines)


def _type(kind: Any) -> str:
    arguments = getattr(kind, "__args__", ())
    if arguments:
        return f"list of {_type(arguments[0])}"
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return "(" + ", ".join(kind.__struct_fields__) + ")"
    name = str(kind.__name__)
    return {"str": "text", "int": "integer", "float": "number", "bool": "true or false"}.get(
        name, name
    )


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default is msgspec.NODEFAULT:
        return ""
    return f"`{field.default!r}`" if field.default not in ("", ()) else "empty"


if __name__ == "__main__":
    sys.stdout.write(document())

"""docs/events.md, made of the declarations.

python -m tracing.eventdoc > docs/events.md
"""

import sys
from typing import Any

import msgspec

from tracing.events import COLUMNS, REGISTRY, Event

GROUPS = {
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
"""


def document() -> str:
    """The whole page."""
    common = " ".join((Event.__doc__ or "").split("\n\n", 1)[1].split()).replace("``", "`")
    parts = [HEAD.format(columns=", ".join(f"`{name}`" for name in COLUMNS), common=common)]
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
        lines.append("\n| field | type | default |\n|---|---|---|\n")
        lines += [
            f"| `{field.name}` | {_type(field.type)} | {_default(field)} |\n" for field in own
        ]
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

"""The shape of each event as JSON lines show it, as JSON Schema (draft 2020-12; PURE).

``mtad trace --jsonl`` and ``mtad tail --format json`` print such lines. Within a version fields
and kinds are only ever added, so a reader takes what it knows and leaves the rest.
"""

from typing import Any

import msgspec

from tracing.event import Outcome
from tracing.eventexamples import UNITS
from tracing.events import REGISTRY

VERSION = 1

_ID = {"type": "string", "pattern": "^[0-9a-hjkmnp-tv-z]{13}$"}
_AS_TEXT = ("cn", "st")
"""Ids that lines have as text."""


def schema(kind: str) -> dict[str, Any]:
    """The schema of one kind. Raises KeyError for a kind that there is not."""
    cls = REGISTRY[kind]
    (made,), parts = msgspec.json.schema_components([cls], ref_template="#/$defs/{name}")
    name = made["$ref"].rpartition("/")[2]
    own = parts.pop(name)
    properties: dict[str, Any] = {}
    for field, shape in own["properties"].items():
        if field not in ("kind", "at", "trace"):
            properties[field] = _field(field, shape)
    required = [one for one in own["required"] if one in properties]
    found = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:mtad:event:{kind}:{VERSION}",
        "title": kind,
        "description": " ".join(own.get("description", "").split()).replace("``", "`"),
        "type": "object",
        "properties": {
            "schema": {"const": VERSION},
            "at": {"type": "string", "format": "date-time"},
            "kind": {"const": kind},
            "outcome": {"enum": [one.value for one in Outcome]},
            "text": {"type": "string"},
            "trace": _ID,
            "month": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}$"},
            "seq": {"type": "integer", "minimum": 1},
            "fields": {"type": "object", "properties": properties, "required": required},
        },
        "required": ["at", "kind", "outcome", "text", "trace", "month", "seq", "fields"],
    }
    return found | ({"$defs": parts} if parts else {})


def _field(name: str, shape: dict[str, Any]) -> dict[str, Any]:
    if name in _AS_TEXT:
        return dict(_ID)
    if name == "also":
        return {"type": "array", "items": _ID}
    return shape | ({"description": UNITS[name]} if name in UNITS else {})


def every() -> dict[str, Any]:
    """All schemas by kind, in one document."""
    return {"schema": VERSION, "events": {kind: schema(kind) for kind in sorted(REGISTRY)}}

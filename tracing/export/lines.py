"""An event as a line for other programs: JSON, CSV, syslog (PURE)."""

import csv
import io
import json
from typing import Any

from tracing import events, ids
from tracing.event import Outcome
from tracing.render import Document, rfc3339, safe

COLUMNS = (
    "at", "kind", "outcome", "trace", "n", "addr", "ip", "host", "code", "enh", "reply", "actor",
    "text", "detail",
)  # fmt: skip
"""The columns of CSV; ``detail`` is JSON of an event's other fields."""

MAX_MESSAGE = 8_192
"""Octets of a syslog message; RFC 5424 6.1 has receivers take 2,048 and advises to take more."""
MAX_VALUE = 1_024
"""Characters of one value in it."""

_MAIL = 2
_SEVERITY = {
    Outcome.OK: 6,
    Outcome.INFO: 6,
    Outcome.DEFER: 4,
    Outcome.FAIL: 4,
    Outcome.DROP: 5,
    Outcome.HOLD: 5,
}
_ENTERPRISE = 32473
"""The number that RFC 5612 keeps for examples, since there is none of our own."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")


def as_json(document: Document) -> str:
    """A line of JSON, as ``mtad log schema`` describes it, in ASCII."""
    return json.dumps(document, ensure_ascii=True)


def csv_header() -> str:
    """The names of the columns."""
    return _csv(COLUMNS)


def as_csv(event: events.Event) -> str:
    """A line of CSV (RFC 4180).

    A text that a spreadsheet would take for a formula begins with an apostrophe, and what cannot
    be printed is made visible.
    """
    fields = fields_of(event)
    rest = {name: value for name, value in fields.items() if name not in COLUMNS}
    shown = {**fields, "detail": json.dumps(rest, ensure_ascii=True) if rest else ""}
    return _csv([_cell(shown.get(name, "")) for name in COLUMNS])


def as_syslog(event: events.Event, hostname: str, process: int) -> bytes:
    """A message of syslog (RFC 5424), without the frame of its transport."""
    fields = fields_of(event)
    priority = _MAIL * 8 + _SEVERITY[event.outcome]
    head = (
        f"<{priority}>1 {rfc3339(event.at)} {_name(hostname, 255)} mtad {process} "
        f"{_name(fields['kind'], 32)} "
    )
    text = safe(str(fields["text"]))[: 2 * MAX_VALUE]
    room = MAX_MESSAGE - len(head) - len(text.encode("utf-8", "replace")) - 32
    data = _structured(fields, room)
    return f"{head}{data} \ufeff{text}".encode("utf-8", "replace")


def counted(message: bytes) -> bytes:
    """A message with its length before it (RFC 6587 3.4.1, RFC 5425 4.3)."""
    return b"%d %b" % (len(message), message)


def _structured(fields: dict[str, Any], room: int) -> str:
    parts: list[str] = []
    for name, value in fields.items():
        if name in ("at", "kind", "text") or value in ("", 0, None):
            continue
        said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=True)
        said = safe(said)[:MAX_VALUE]
        for sign in '\\"]':
            said = said.replace(sign, f"\\{sign}")
        part = f' {_name(name, 32)}="{said}"'
        room -= len(part.encode("utf-8", "replace"))
        if room < 0:
            break
        parts.append(part)
    return f"[mtad@{_ENTERPRISE}{''.join(parts)}]"


def _name(text: str, most: int) -> str:
    """Printable ASCII without what structured data needs for itself; ``-`` for nothing."""
    kept = "".join(c for c in text if "!" <= c <= "~" and c not in '="]')
    return kept[:most] or "-"


def fields_of(event: events.Event) -> dict[str, Any]:
    """An event's fields by name, ids as people read them."""
    told = events.to_fields(event)
    if isinstance(event, events.Unknown):
        told["kind"] = event.was
    for name in ("trace", "cn", "st", "parent"):
        if isinstance(told.get(name), int):
            told[name] = ids.text(told[name])
    if "also" in told:
        told["also"] = [ids.text(trace) for trace in told["also"]]
    first = {"at": rfc3339(event.at), "kind": told.pop("kind"), "outcome": event.outcome.value}
    told.pop("at")
    return {**first, **told, "text": str(event)}


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    shown = safe(value)
    return f"'{shown}" if value.startswith(_FORMULA) or shown.lstrip().startswith("=") else shown


def _csv(cells: Any) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()

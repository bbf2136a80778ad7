"""The queue in words and columns for a terminal (PURE)."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from tracing import render
from tracing.render import Document, safe

_STEPS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def span(seconds: float) -> str:
    """A length of time in its largest unit: ``45 s``, ``12 min``, ``3 h``, ``2 d``."""
    for length, unit in _STEPS:
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"


def due(text: str, now: datetime) -> str:
    """When something is tried next."""
    if not text:
        return "-"
    left = (datetime.fromisoformat(text) - now).total_seconds()
    return f"in {span(left)}" if left > 0 else "now"


def age(text: str, now: datetime) -> str:
    """How long ago something was."""
    return span((now - datetime.fromisoformat(text)).total_seconds())


def recipients(found: Sequence[Document], columns: int | None, now: datetime) -> Iterator[str]:
    """A line for each recipient; the answers take what room is left."""
    rows = [
        (
            one["id"],
            render.state(one["state"]),
            age(one["accepted_at"], now),
            str(one["tries"]),
            due(one["next_try"], now),
            f"{safe(one['from']) or '<>'} -> {safe(one['to'])}",
            safe(one["held"] or one["reply"]),
        )
        for one in found
    ]
    head = ("id", "state", "age", "tries", "next try", "from -> to", "last answer")
    return _columns([head, *rows], columns)


def destinations(found: Sequence[Document], columns: int | None, now: datetime) -> Iterator[str]:
    """A line for each domain."""
    rows = [
        (
            safe(one["domain"]),
            f"{one['recipients']:,}",
            f"{one['held']:,}" if one["held"] else "-",
            age(one["oldest"], now),
            due(one["next_try"], now),
            safe(one["reply"]),
        )
        for one in found
    ]
    head = ("destination", "recipients", "held", "oldest", "next try", "last answer")
    return _columns([head, *rows], columns)


def _columns(rows: Sequence[tuple[str, ...]], columns: int | None) -> Iterator[str]:
    """Rows under each other; the last column is cut where a line would be too long."""
    widths = [max(map(render.width, cells)) for cells in zip(*rows, strict=True)]
    if columns is not None:
        rest = columns - sum(widths[:-1]) - 2 * (len(widths) - 1)
        widths[-1] = max(12, min(widths[-1], rest))
    for row in rows:
        cells = [render.fit(cell, wide) for cell, wide in zip(row, widths, strict=True)]
        yield "  ".join(cells).rstrip()


def details(one: Document, now: datetime, gives_up: datetime) -> Iterator[str]:
    """Everything known of one waiting recipient."""
    yield f"{one['n']}. {safe(one['to'])}: {render.state(one['state'])}"
    facts = (
        ("for", one["original"] if one["original"] != one["to"] else ""),
        ("accepted for", one["accepted_for"]),
        ("held", one["held"]),
        ("tries", str(one["tries"])),
        ("next try", due(one["next_try"], now) if one["next_try"] else ""),
        ("given up", "" if one["held"] else f"in {span((gives_up - now).total_seconds())}"),
        ("sender", "was told of the delay" if one["warned"] else ""),
        ("reports", f"NOTIFY={one['notify']}" if one["notify"] else ""),
        ("priority", str(one["priority"]) if one["priority"] else ""),
        ("server", one["host"]),
    )
    for name, value in facts:
        if value:
            yield f"   {name + ':':<14}{safe(value)}"
    for line in one["reply"].splitlines():
        yield f"   > {safe(line)}"

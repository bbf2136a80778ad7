"""The queue as the log has it: recipients elsewhere that something is still to be done for.

Read in parts, so that a long queue needs little memory and fits into lines of a socket. A part
is plain lists: ``messages`` of (id, sender, size, rel, subject) and ``entries`` of those
messages' recipients as ``ENTRY`` names them; times in microseconds.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from typing import Any, TypedDict

from mtad.where import Kept
from tracing import ids, months
from tracing.retrieval import spelled
from tracing.states import State

ENTRY = (
    "m",
    "n",
    "addr",
    "state",
    "tries",
    "next_try",
    "at",
    "last",
    "host",
    "code",
    "enh",
    "reply",
    "original",
    "params",
)
"""What an entry is made of: ``at`` is its acceptance, ``last`` its last change, ``params`` JSON."""

PART = 250
MAX_REPLY = 4096
"""Characters of a remote's answer."""

OPEN_STATES = ",".join(str(int(state)) for state in State if state.is_open)
"""The states in which something is still to be done, as SQL lists them."""
_ENTRIES = (
    "SELECT msg, n, a.local, d.rname, status, tries, next_try, rcpt.ts, last, s, code, enh, "  # noqa: S608 - our own numbers
    f"substr(reply, 1, {MAX_REPLY}), o.local, e.rname, params FROM rcpt "
    "JOIN addr a ON a.id=addr JOIN dom d ON d.id=a.dom LEFT JOIN addr o ON o.id=orig "
    "LEFT JOIN dom e ON e.id=o.dom LEFT JOIN str ON str.id=host "
    f"WHERE status IN ({OPEN_STATES}) AND status!={int(State.STORED)} AND params IS NOT NULL "
)
_OLDEST = (
    f"SELECT min(msg) FROM rcpt WHERE status IN ({OPEN_STATES}) "  # noqa: S608 - our own numbers
    f"AND status!={int(State.STORED)} AND params IS NOT NULL"
)
_MESSAGES = (
    "SELECT msg.id, local, rname, size, rel, subject FROM msg LEFT JOIN addr ON addr.id=sender "
    "LEFT JOIN dom ON dom.id=addr.dom WHERE msg.id IN (SELECT value FROM json_each(?))"
)


class Part(TypedDict):
    """Some messages with all of their waiting recipients."""

    messages: list[list[Any]]
    entries: list[list[Any]]


def parts(directory: Kept, messages: Iterable[int] | None = None) -> Iterator[Part]:
    """Everything that waits, oldest first, or of the given messages; raises as ``Log`` does."""
    wanted = None if messages is None else sorted(messages)
    for month in reversed(months.listing(directory)):
        low, high = months.span(month)
        here = None if wanted is None else [m for m in wanted if low <= m < high]
        if here is None or here:
            with closing(months.reading(directory, month)) as link:
                yield from _month(link, here)


def oldest(directory: Kept) -> int:
    """The first message that waits, 0 for none; raises as ``Log`` does."""
    for month in reversed(months.listing(directory)):
        with closing(months.reading(directory, month)) as link:
            if found := link.execute(_OLDEST).fetchone()[0]:
                return int(found)
    return 0


def parameters(entry: Sequence[Any]) -> dict[str, Any]:
    """The parameters and marks of an entry."""
    return dict(json.loads(entry[-1])) if entry[-1] != "{}" else {}


def _month(link: months.Link, messages: Sequence[int] | None) -> Iterator[Part]:
    if messages is None:
        rows = link.execute(f"{_ENTRIES} ORDER BY msg, n")
    else:
        among = "AND msg IN (SELECT value FROM json_each(?))"
        rows = link.execute(f"{_ENTRIES} {among} ORDER BY msg, n", (json.dumps(messages),))
    entries: list[list[Any]] = []
    for _, group in groupby(rows, key=lambda row: row[0]):
        entries += map(_entry, group)
        if len(entries) >= PART:
            yield _part(link, entries)
            entries = []
    if entries:
        yield _part(link, entries)


def _part(link: months.Link, entries: list[list[Any]]) -> Part:
    among = json.dumps(sorted({entry[0] for entry in entries}))
    return {
        "messages": [
            [m, spelled(local, rname), size or 0, rel or "", subject or ""]
            for m, local, rname, size, rel, subject in link.execute(_MESSAGES, (among,))
        ],
        "entries": entries,
    }


def _entry(row: tuple[Any, ...]) -> list[Any]:
    m, n, local, rname, state, tries, next_try, at, last, host, code, enh, reply = row[:13]
    exact = json.loads(row[15]).get("addr") if '"addr"' in row[15] else None
    return [
        m,
        n,
        exact or spelled(local, rname),
        state,
        tries,
        next_try or 0,
        at or ids.time_us(m),
        last or 0,
        host or "",
        code or 0,
        enh or "",
        reply or "",
        spelled(row[13], row[14]),
        row[15],
    ]

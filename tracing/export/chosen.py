"""Which events are exported, read in pieces, so that memory stays the same however many."""

import time
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import closing

from mtad.where import Kept
from tracing import following, ids, months, saved, search
from tracing.queries import Log, Stored

FEW = 2_000
"""Messages that are asked for one by one; for more the log is read through."""
LATE_MONTHS = 2
"""Months before a time in which events of that time may lie: those of messages still waiting."""
PAUSE_SECONDS = 0.2


def events(directory: Kept, text: str, since: int, until: int) -> Iterator[list[Stored]]:
    """The events from ``since`` on and before ``until``, microseconds, in parts.

    With a filter those of the messages that match it. What was imported from other servers is
    left out. Raises search.SearchError, and what reading the log raises.
    """
    with closing(Log(directory)) as log:
        query = saved.parse(directory, text)
        traces = _traces(log, query) if text.strip() else None
        if traces is not None and len(traces) <= FEW:
            parts = _of_messages(log, traces)
        else:
            parts = _all(log, _start(directory, since))
        for part in parts:
            if kept := [one for one in part if since <= one.event.at < until and _has(traces, one)]:
                yield kept


def followed(directory: Kept, text: str, cursor: dict[str, int]) -> Iterator[list[Stored]]:
    """Events beyond a place as they come, of messages that match by then; without an end."""
    wanted = following.Filter(directory, text) if text.strip() else None
    with closing(Log(directory)) as log:
        while True:
            part = log.events_after(cursor)
            for one in part:
                cursor[one.month] = one.seq
            if kept := [one for one in part if wanted is None or wanted.takes(one.event)]:
                yield kept
            elif not part:
                time.sleep(PAUSE_SECONDS)


def _traces(log: Log, query: search.Query) -> "array[int]":
    """The matching messages of our own, in order; eight octets each."""
    found: array[int] = array("q")
    for part in log.id_chunks(query):
        found.extend(m for m in part if not ids.is_imported(m))
    found.reverse()
    return found


def _has(traces: "array[int] | None", one: Stored) -> bool:
    if traces is None:
        return True
    return any(_among(traces, trace) for trace in (one.event.trace, *one.event.also))


def _among(traces: "array[int]", trace: int) -> bool:
    at = bisect_left(traces, trace)
    return at < len(traces) and traces[at] == trace


def _of_messages(log: Log, traces: "array[int]") -> Iterator[list[Stored]]:
    """The timelines of few messages, without what happened before them on their connections."""
    found: dict[tuple[str, int], Stored] = {}
    for trace in traces:
        for one in log.timeline(trace):
            found[one.month, one.seq] = one
    yield sorted(found.values(), key=lambda one: (one.month, one.seq))


def _all(log: Log, cursor: dict[str, int]) -> Iterator[list[Stored]]:
    end = log.cursor()  # what comes meanwhile is not waited for
    while part := log.events_after(cursor):
        for one in part:
            cursor[one.month] = one.seq
        if kept := [one for one in part if one.seq <= end.get(one.month, 0)]:
            yield kept
        elif all(cursor.get(month, 0) >= seq for month, seq in end.items()):
            return


def _start(directory: Kept, since: int) -> dict[str, int]:
    """A place behind the months that cannot have events of the time."""
    if since <= 0:
        return {}
    year, month = (int(part) for part in ids.month_at(since).split("-"))
    first = year * 12 + month - 1 - LATE_MONTHS
    earliest = f"{first // 12:04}-{first % 12 + 1:02}"
    return {name: 1 << 62 for name in months.listing(directory) if name < earliest}

"""The log at a glance: how much there is, and what became of it.

Messages are counted by hour and state as they are written (``stat_hour``). A span of time is
the sum of its whole hours; what it has of its first and last hour, and what is wanted by the
minute, is counted message by message, so the figures are exact.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tracing import ids, retrieval
from tracing.months import Link
from tracing.states import State

if TYPE_CHECKING:
    from tracing.queries import Row

_MINUTE_US = 60_000_000
_TOTAL = "SELECT coalesce(sum(n), 0) FROM stat_hour"
_BY_HOUR = "SELECT status, sum(n), sum(bytes) FROM stat_hour WHERE h>=? AND h<? GROUP BY status"
_ONE_BY_ONE = (
    "SELECT status, count(*), coalesce(sum(size), 0) FROM msg WHERE id>=? AND id<? GROUP BY status"
)
_BY_MINUTE = (
    f"SELECT ts/{_MINUTE_US}, status, count(*), coalesce(sum(size), 0) FROM msg "  # noqa: S608
    "WHERE id>=? AND id<? GROUP BY 1, 2"
)


@dataclass(slots=True)
class Minute:
    """What one minute brought; ``at`` is its beginning in microseconds."""

    at: int
    received: int = 0
    delivered: int = 0
    refused: int = 0

    def add(self, state: State, count: int) -> None:
        """Count messages in a state."""
        self.received += count if state < State.REFUSED else 0
        self.delivered += count if state in (State.STORED, State.RELAYED) else 0
        self.refused += count if State.REFUSED <= state <= State.ABORTED else 0


@dataclass(slots=True)
class Overview:
    """The log at a glance, for a span of time; ``last_at`` is when the last event happened.

    ``counts`` and ``bytes`` are of the messages of the span, ``messages`` and ``events`` of all.
    """

    counts: dict[State, int] = field(default_factory=dict)
    flow: list[Minute] = field(default_factory=list)
    failures: "list[Row]" = field(default_factory=list)
    messages: int = 0
    events: int = 0
    bytes: int = 0
    last_at: int = 0


def total(link: Link) -> int:
    """The messages of a month file."""
    return int(link.execute(_TOTAL).fetchone()[0])


def add(link: Link, month: tuple[int, int], span: tuple[int, int, int], to: Overview) -> None:
    """Add what a month file has, all of it as it is at one moment.

    ``month`` are the bounds of its ids; ``span`` is from when, from when by the minute, and
    until when, in microseconds.
    """
    low, by_minute, high = map(ids.lowest, span)
    link.execute("BEGIN")
    try:
        to.messages += total(link)
        seq, at = retrieval.last(link)
        to.events += seq
        to.last_at = max(to.last_at, at)
        if month[0] < high and month[1] > low:
            _hours(link, low, min(by_minute, high), to)
            _minutes(link, by_minute, high, to)
    finally:
        link.execute("COMMIT")


def _hours(link: Link, low: int, high: int, to: Overview) -> None:
    first, last = -(-low // ids.HOUR), high // ids.HOUR
    if first < last:
        rows = link.execute(_BY_HOUR, (first, last)).fetchall()
        rows += link.execute(_ONE_BY_ONE, (low, first * ids.HOUR))
        rows += link.execute(_ONE_BY_ONE, (last * ids.HOUR, high))
    else:
        rows = link.execute(_ONE_BY_ONE, (low, high)).fetchall()
    for status, count, octets in rows:
        _sum(State(status), count, octets, to)


def _minutes(link: Link, low: int, high: int, to: Overview) -> None:
    known = {minute.at: minute for minute in to.flow}
    for number, status, count, octets in link.execute(_BY_MINUTE, (low, high)):
        state, at = State(status), number * _MINUTE_US
        _sum(state, count, octets, to)
        if at not in known:
            known[at] = Minute(at)
            to.flow.append(known[at])
        known[at].add(state, count)


def _sum(state: State, count: int, octets: int, to: Overview) -> None:
    to.counts[state] = to.counts.get(state, 0) + count
    to.bytes += octets

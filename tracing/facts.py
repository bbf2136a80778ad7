"""The log's side of the audit, streamed from the month files."""

# ruff: noqa: S608 - statements are put together of our own words; values are parameters

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby

from mtad.where import Kept
from tracing import addresses, chain, ids, months
from tracing.archive import sealed
from tracing.audit import Break, Copy, Fate, Handed, Message
from tracing.codec import ASIDE
from tracing.shapes import full_base
from tracing.states import State

_CHUNK = 2000
_COPY = (
    "SELECT st.id, st.msg, local, rname, s, base, size, gone FROM st JOIN addr ON addr.id=box "
    "JOIN dom ON dom.id=addr.dom JOIN str ON str.id=mailbox "
)


_COLUMNS = "seq, ts, kind, trace, n, addr, ip, host, code, enh, reply, actor, detail"
"""What the hash chain is over."""

_Row = tuple[int, int, str, str, int, int | None, int, int | None, int | None]


@dataclass(frozen=True, slots=True)
class Period:
    """From when until when the books are looked at, in microseconds; by itself always."""

    since: int = 0
    until: int = (1 << 63) - 1

    @property
    def ids(self) -> tuple[int, int]:
        """Bounds [low, high) of the ids made then."""
        return ids.lowest(self.since), min(ids.lowest(self.until), (1 << 63) - 1)

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return self == Period()

    def has(self, number: int) -> bool:
        """Whether an id was made then."""
        low, high = self.ids
        return low <= number < high


class LogFacts:
    """Reads facts for ``tracing.audit`` from the log in a directory; one thread at a time.

    Messages and copies are those of the ``period``, events those that were recorded then.
    """

    def __init__(self, directory: Kept, period: Period = Period()) -> None:
        self._opened = months.Links(directory)
        found = ((month, self._opened.open(month)) for month in reversed(self._opened.listing()))
        self._links = {month: link for month, link in found if link is not None}
        self._period = period
        self._low, self._high = period.ids

    def close(self) -> None:
        """Close the files."""
        self._opened.close()
        self._links.clear()

    def messages(self) -> Iterator[Message]:
        """Every message that was accepted or has accepted recipients, oldest month first."""
        for link in self._links.values():
            is_sealed = isinstance(link, sealed.Sealed)  # and what its events told was looked at
            promised = {} if is_sealed else _promised(link, self._low, self._high)
            rows = months.stream(
                link,
                "SELECT msg, n, local, rname, status, st, params IS NOT NULL, rcpt.ts, next_try "
                "FROM rcpt JOIN addr ON addr.id=addr JOIN dom ON dom.id=addr.dom "
                "WHERE n<? AND (status<? OR msg IN (SELECT id FROM msg WHERE sha256 IS NOT NULL)) "
                "AND msg>=? AND msg<? ORDER BY msg, n",
                (ASIDE, int(State.REFUSED), self._low, self._high),
            )
            with closing(rows):
                part: list[tuple[int, list[_Row]]] = []
                for m, group in groupby(rows, key=lambda row: row[0]):
                    part.append((m, list(group)))
                    if len(part) == _CHUNK:
                        yield from self._told(part, None if is_sealed else promised)
                        part = []
                yield from self._told(part, None if is_sealed else promised)
            for m, count in promised.items():
                yield Message(m, count, ())

    def _told(
        self, part: Sequence[tuple[int, list[_Row]]], promised: dict[int, int] | None
    ) -> Iterator[Message]:
        """Messages with their recipients' fates; takes them out of ``promised``, if told."""
        known = self.known([row[5] for _, rows in part for row in rows if row[5]])
        for m, rows in part:
            fates = [
                Fate(
                    n,
                    _address(local, rname),
                    State(status),
                    st or 0,
                    known.get(st or 0),
                    bool(remote),
                    at or 0,
                    next_try or 0,
                )
                for _, n, local, rname, status, st, remote, at, next_try in rows
            ]
            count = len(fates) if promised is None else promised.pop(m, None)
            yield Message(m, count, fates)

    def handed(self) -> Iterator[Handed]:
        """Recipients that another server took, by their state, their events, or both."""
        for link in self._hot():
            rows = link.execute(
                "WITH told AS (SELECT trace, n, count(*) AS times FROM ev WHERE kind=(SELECT id "
                "FROM str WHERE s='out.delivered') AND trace>=? AND trace<? GROUP BY trace, n) "
                "SELECT msg, rcpt.n, status, coalesce(times, 0) FROM rcpt LEFT JOIN told "
                "ON trace=msg AND told.n=rcpt.n "
                "WHERE (times IS NOT NULL OR (status=? AND params IS NOT NULL)) "
                "AND msg>=? AND msg<?",
                (self._low, self._high, int(State.RELAYED), self._low, self._high),
            )
            for m, n, status, times in rows:
                yield Handed(m, n, State(status), times)

    def boxes(self) -> list[str]:
        """Every box that has living copies, or where something came or went in the period."""
        found: set[str] = set()
        for link in self._links.values():
            found.update(
                _address(local, rname)
                for local, rname in link.execute(
                    "SELECT local, rname FROM addr JOIN dom ON dom.id=dom WHERE addr.id IN "
                    "(SELECT DISTINCT box FROM st WHERE gone IS NULL AND id>=? AND id<? "
                    "OR gone>=? AND gone<?)",
                    (self._low, self._high, self._period.since, self._period.until),
                )
            )
        return sorted(found)

    def copies(self, box: str) -> list[Copy]:
        """The living copies of a box that came in the period."""
        local, host = addresses.split(box)
        where = "WHERE box=(SELECT id FROM addr WHERE local=? AND dom="
        where += "(SELECT id FROM dom WHERE rname=?)) AND gone IS NULL AND st.id>=? AND st.id<?"
        values = (local, addresses.reverse(host), self._low, self._high)
        return [
            _copy(row)
            for link in self._links.values()
            for row in link.execute(_COPY + where, values)
        ]

    def untold(self) -> Iterator[Copy]:
        """Copies of the period, those that went in it too, of which no event says how they came."""
        others: dict[int, Copy] = {}
        for link in self._hot():
            where = "WHERE st.id>=? AND st.id<? OR gone>=? AND gone<?"
            values = (self._low, self._high, self._period.since, self._period.until)
            asked = _COPY.replace("SELECT ", "SELECT st.n, ", 1) + where
            rows = months.stream(link, asked, values)
            while part := rows.fetchmany(_CHUNK):
                others |= {row[1]: _copy(row[1:]) for row in part if not row[0]}
                delivered = {row[1]: _copy(row[1:]) for row in part if row[0]}
                for st in delivered.keys() - self._delivered(delivered.values()):
                    yield delivered[st]
            rows.close()
        came = self._came(min(others)) if others else set()
        yield from (copy for st, copy in others.items() if st not in came)

    def _delivered(self, copies: Iterable[Copy]) -> set[int]:
        """Copies that deliveries of their messages told of."""
        by_month: dict[str, set[int]] = {}
        for copy in copies:
            by_month.setdefault(ids.month(copy.m), set()).add(copy.m)
        found: set[int] = set()
        for month, traces in by_month.items():
            link = self._links.get(month)
            if link is not None:
                rows = link.execute(
                    "SELECT coalesce(CAST(json_extract(detail, '$.st') AS BIGINT), "
                    "trace+CAST(json_extract(detail, '$[1]') AS BIGINT)) FROM ev WHERE trace IN "
                    "(SELECT value FROM json_each(?)) "
                    "AND kind=(SELECT id FROM str WHERE s='store.delivered')",
                    (json.dumps(sorted(traces)),),
                )
                found.update(row[0] for row in rows)
        return found

    def _came(self, oldest: int) -> set[int]:
        """Copies that came otherwise, by the events of all months since the oldest came."""
        found: set[int] = set()
        for month, link in self._links.items():
            if month >= ids.month(oldest):
                rows = link.execute(
                    "SELECT CAST(json_extract(item.value, '$[0]') AS BIGINT) "
                    "FROM ev, json_each(detail, '$.items') "
                    "AS item WHERE kind IN (SELECT id FROM str WHERE s IN "
                    "('box.append', 'box.copy', 'box.foreign', 'restore.message'))"
                )
                found.update(row[0] for row in rows)
        return found

    def known(self, sts: Iterable[int]) -> dict[int, Copy]:
        """Stored copies by their ids, gone ones too."""
        by_month: dict[str, list[int]] = {}
        for st in sts:
            by_month.setdefault(ids.month(st), []).append(st)
        found: dict[int, Copy] = {}
        for month, part in by_month.items():
            link = self._links.get(month)
            if link is not None:
                where = "WHERE st.id IN (SELECT value FROM json_each(?))"
                for row in link.execute(_COPY + where, (json.dumps(part),)):
                    found[row[0]] = _copy(row)
        return found

    def breaks(self) -> Iterator[Break]:
        """Batches of events that are not as they were recorded; reads their events."""
        for month, link in self._links.items():
            if not isinstance(link, sealed.Sealed):
                yield from _breaks(month, link, self._period)

    def _hot(self) -> Iterator[months.Link]:
        """Months whose events are still as they came.

        What those of a sealed month tell was compared when it was sealed, and ``mtad log verify``
        says whether it is as it was then.
        """
        return (link for link in self._links.values() if not isinstance(link, sealed.Sealed))


def _promised(link: months.Link, low: int, high: int) -> dict[int, int]:
    """How many recipients messages were accepted for, by their events."""
    rows = link.execute(
        "SELECT trace, CAST(json_extract(detail, '$.count') AS BIGINT) FROM ev "
        "WHERE kind IN (SELECT id FROM str WHERE s IN ('smtp.accept', 'mail.made')) "
        "AND trace>=? AND trace<?",
        (low, high),
    )
    return dict(rows)


def _breaks(month: str, link: months.Link, period: Period) -> Iterator[Break]:
    first, end = (seq_at(link, at) for at in (period.since, period.until))
    yield from (Break(month, *bounds) for bounds in breaks(link, first, end))


def breaks(
    link: months.Link, first: int = 0, end: int = 1 << 62, schema: str = ""
) -> Iterator[tuple[int, int]]:
    """First and last seq of each batch of a hot month that is not as it was recorded.

    A batch in which something was erased (``tracing.archive.erasing``) has to have its events.
    """
    row = link.execute(f"SELECT v FROM {schema}meta WHERE k=?", (chain.ERASED,)).fetchone()
    erased = frozenset(json.loads(row[0])) if row else frozenset()
    row = link.execute(
        f"SELECT hi, head FROM {schema}chain WHERE hi<? ORDER BY hi DESC LIMIT 1", (first,)
    ).fetchone()
    last, head = row or (0, b"")
    query = f"SELECT {_COLUMNS} FROM {schema}ev WHERE seq>? ORDER BY seq"
    events = months.stream(link, query, (last,))
    heads = f"SELECT hi, head FROM {schema}chain WHERE hi>? ORDER BY hi"
    for hi, recorded in link.execute(heads, (last,)):
        if last >= end:
            events.close()
            return
        rows = events.fetchmany(hi - last)
        whole = bool(rows) and rows[0][0] == last + 1 and rows[-1][0] == hi
        if not whole or (hi not in erased and chain.link(head, rows) != recorded):
            yield last + 1, hi
            # Go on behind the place, so that one change is one break.
            events.close()
            events = months.stream(link, query, (hi,))
        head, last = recorded, hi
    extra = events.fetchall()
    events.close()
    if extra:
        yield extra[0][0], extra[-1][0]


def seq_at(link: months.Link, at: int) -> int:
    """About where the events of a time begin: they are recorded nearly in order of time."""
    if isinstance(link, sealed.Sealed):
        return sealed.seq_at(link, at)
    high = link.execute("SELECT coalesce(max(seq), 0) + 1 FROM ev").fetchone()[0]
    low = 0
    while low < high:
        middle = (low + high) // 2
        row = link.execute("SELECT ts FROM ev WHERE seq>=? LIMIT 1", (middle,)).fetchone()
        if row is not None and row[0] < at:
            low = middle + 1
        else:
            high = middle
    return low


def _copy(row: tuple[int, int, str, str, str, str, int, int | None]) -> Copy:
    st, m, local, rname, mailbox, base, size, gone = row
    base = full_base(st, base)
    return Copy(st, m, _address(local, rname), mailbox, base, size, gone is not None)


def _address(local: str, rname: str) -> str:
    return addresses.join(local, addresses.reverse(rname))

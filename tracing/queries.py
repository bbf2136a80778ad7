"""The read side of the log: every question one can ask of the month files.

A ``Log`` opens month files read-only as they are needed, newest first, and never writes; one
thread at a time, any number of them beside each other and beside the recorder.
"""

# ruff: noqa: S608 - only question marks are put into statements

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from mtad.where import Kept
from tracing import codec, counting, ids, months, retrieval, search, shapes
from tracing.archive import sealed
from tracing.codec import ASIDE
from tracing.counting import Overview
from tracing.events import Event, kind_of
from tracing.finding import Finder
from tracing.merging import Finds, Merged
from tracing.retrieval import spelled
from tracing.states import State

MAX_TIMELINE = 10_000
"""Events of one timeline."""
OF_KIND_STEP = 1000
"""Events of one kind read at once."""
_ALL = 1 << 62
"""Beyond every seq and time."""

E_ = TypeVar("E_", bound=Event)


@dataclass(frozen=True, slots=True)
class Row:
    """A message as a list shows it; ``at`` in microseconds, ``recipients`` the first three."""

    id: int
    at: int
    direction: int
    sender: str
    recipients: tuple[str, ...]
    nrcpt: int
    subject: str
    size: int
    state: State
    message_id: str
    ip: str
    helo: str
    header_from: str


@dataclass(slots=True)
class Recipient:
    """A recipient and what became of it; ``mailbox`` is where its copy is now, "" if gone."""

    n: int
    addr: str
    original: str
    state: State
    code: int
    enh: str
    reply: str
    st: int
    mailbox: str
    tries: int
    next_try: int
    at: int


@dataclass(frozen=True, slots=True)
class Kin:
    """A message among those it is related to; ``rel`` says what it is to its ``parent``."""

    id: int
    parent: int
    rel: str


@dataclass(slots=True)
class Stored:
    """An event with its place in the log."""

    month: str
    seq: int
    event: Event


@dataclass(frozen=True, slots=True)
class Page:
    """The beginning of a list: ids, newest first, and what the list goes on with."""

    ids: list[int]
    older: int
    """Matching messages below them, as far as they were counted."""
    more: bool
    """Whether there may be more than that."""


class Log:
    """The log in a directory or on a server, to be read; there need not be one yet."""

    def __init__(self, log: Kept) -> None:
        self.place = log
        self._links = months.Links(log)
        self._walks: dict[str, tuple[int, Iterator[codec.Row]]] = {}

    def close(self) -> None:
        """Close the files."""
        self._links.close()
        self._walks.clear()

    # ---------------------------------------------------------------- messages

    def id_chunks(
        self, query: search.Query, first: int = 200, size: int = 100_000
    ) -> Iterator["array[int]"]:
        """All matching message ids, newest first: a small piece at once, then larger ones."""
        want = first
        for finder in self._finders(query):
            high = finder.high
            while True:
                chunk = finder.find(high, want)
                if chunk:
                    yield chunk
                if len(chunk) < want:
                    break
                high, want = chunk[-1], size

    def ids(self, query: search.Query, limit: int = 50, before: int | None = None) -> list[int]:
        """The newest matching message ids, those below ``before`` only."""
        found: list[int] = []
        for finder in self._finders(query):
            if len(found) >= limit:
                break
            high = finder.high if before is None else min(finder.high, before)
            if high > finder.low:
                found += finder.find(high, limit - len(found))
        return found

    def page(self, query: search.Query, limit: int, counted: int, looks: int) -> Page:
        """The newest matching ids, and how many older ones there are, as far as that is cheap.

        At most ``counted`` are counted; where no index counts them, only those among ``looks``
        messages.
        """
        found: list[int] = []
        older = 0
        more = False
        for finder in self._finders(query):
            part = finder.page(limit - len(found), counted - older, looks)
            found += part.ids
            older += part.older
            looks -= part.looked
            more = part.more
            if more:
                break
        return Page(found, older, more)

    def newer(self, query: search.Query, after: int) -> "array[int]":
        """Matching message ids above ``after``, newest first.

        A message may be recorded after one with a higher id, by as long as a transaction
        lasts; who keeps a list asks from some way below its newest id and leaves out doubles.
        """
        found: array[int] = array("q")
        for finder in self._finders(query, after):
            found.extend(finder.find(finder.high, -1))
        return found

    def rows(self, ids: Sequence[int]) -> dict[int, Row]:
        """The rows of messages, by id; unknown ids are left out."""
        found: dict[int, Row] = {}
        for month, part in _by_month(ids).items():
            link = self._link(month)
            if link is None:
                continue
            for start in range(0, len(part), 500):
                found.update(_rows(link, part[start : start + 500]))
        return found

    def recipients(self, m: int) -> list[Recipient]:
        """The recipients of a message: the accepted ones in order, then those refused."""
        link = self._link(months.home(m))
        if link is None:
            return []
        rows = link.execute(
            "SELECT n, a.local, d.rname, o.local, e.rname, status, code, enh, reply, st, tries, "
            "next_try, last FROM rcpt JOIN addr a ON a.id=addr JOIN dom d ON d.id=a.dom "
            "LEFT JOIN addr o ON o.id=orig LEFT JOIN dom e ON e.id=o.dom WHERE msg=? ORDER BY n",
            (m,),
        ).fetchall()
        places = self._places(m, [row[9] for row in rows if row[9]]) if rows else {}
        return [
            Recipient(
                row[0] if row[0] < ASIDE else 0,
                addr := spelled(row[1], row[2]),
                spelled(row[3], row[4]),
                State(row[5]),
                row[6] or 0,
                row[7] or "",
                row[8] or "",
                row[9] or 0,
                places.get(row[9]) or places.get(addr, "") if row[9] else "",
                row[10],
                row[11] or 0,
                row[12] or 0,
            )
            for row in rows
        ]

    def open_among(self, messages: Iterable[int]) -> set[int]:
        """Those of the messages that have a recipient something is still to be done for."""
        found: set[int] = set()
        for month, part in _by_month(messages).items():
            link = self._link(month)
            if link is not None:
                among = "SELECT value FROM json_each(?)"
                query = f"SELECT msg FROM rcpt WHERE status<10 AND msg IN ({among})"
                found.update(row[0] for row in link.execute(query, (json.dumps(part),)))
        return found

    def _places(self, m: int, sts: Sequence[int]) -> dict[int | str, str]:
        """Mailboxes of the living copies of a message, by stored copy and by box."""
        found: dict[int | str, str] = {}
        for month in self._links.listing():
            link = self._link(month) if month >= ids.month(m) else None
            if link is None:
                continue
            for st, local, rname, mailbox in link.execute(
                "SELECT st.id, local, rname, s FROM st JOIN addr ON addr.id=box "
                "JOIN dom ON dom.id=addr.dom JOIN str ON str.id=mailbox "
                "WHERE msg=? AND gone IS NULL",
                (m,),
            ):
                found[st] = mailbox
                found.setdefault(spelled(local, rname), mailbox)
        return found

    def family(self, m: int, most: int) -> list[Kin]:
        """A message with all that it came from and all that came of it, up to ``most``."""
        own = self._link(months.home(m))
        row = own.execute("SELECT root FROM msg WHERE id=?", (m,)).fetchone() if own else None
        if row is None:
            return []
        root = row[0] or m
        found: list[Kin] = []
        for month in self._since(root, m):
            link = self._link(month)
            if link is not None:
                found += (
                    Kin(kin, parent or 0, rel or "")
                    for kin, parent, rel in link.execute(
                        "SELECT id, parent, rel FROM msg WHERE id=:root "
                        "UNION ALL SELECT id, parent, rel FROM msg WHERE root=:root AND id!=:root "
                        "ORDER BY id LIMIT :most",
                        {"root": root, "most": most - len(found)},
                    )
                )
        return found

    # ------------------------------------------------------------------ events

    def timeline(self, trace: int) -> list[Stored]:
        """All events of a message, its connection, and acts on it among others, in order.

        Also the events of any other trace: a connection, a snapshot, a bulk act.
        """
        home = self._link(months.home(trace))
        row = home.execute("SELECT cn FROM msg WHERE id=?", (trace,)).fetchone() if home else None
        traces = [trace, row[0]] if row and row[0] else [trace]
        found: list[Stored] = []
        for month in self._since(min(traces), trace):
            link = self._link(month)
            if link is None:
                continue
            part = retrieval.of_trace(link, trace, traces[-1], MAX_TIMELINE)
            found += _placed(month, part)
        found.sort(key=lambda one: (one.event.at, one.month, one.seq))
        return found

    def cursor(self) -> dict[str, int]:
        """The end of the log: where ``events_after`` finds what comes from now on."""
        return {month: self._last_seq(month) for month in self._links.listing()}

    def events_after(self, cursor: dict[str, int], limit: int = 1000) -> list[Stored]:
        """Events beyond a month → seq cursor, oldest month first, in order of recording."""
        found: list[Stored] = []
        for month in reversed(self._links.listing()):
            link = self._link(month)
            if link is not None and len(found) < limit:
                found += self._after(month, link, cursor.get(month, 0), limit - len(found))
        return found

    def of_kind(self, kind: type[E_], since: int, until: int) -> Iterator[E_]:
        """Every event of a kind in a time span, microseconds; reads all of its months."""
        for month in self._links.listing():
            link = self._link(month)
            seq = 0
            while link is not None:
                found = retrieval.of_kinds(
                    link, (kind_of(kind),), (since, until), (seq, _ALL), OF_KIND_STEP
                )
                if not found:
                    break
                seq = found[-1][0]
                yield from (event for _, event in found if isinstance(event, kind))

    def latest(
        self,
        kinds: Sequence[str],
        since: int,
        wanted: Callable[[Event], bool],
        before: tuple[str, int] | None = None,
        step: int = OF_KIND_STEP,
    ) -> Iterator[Stored]:
        """Events of some kinds from ``since`` on, microseconds, the latest first, if ``wanted``.

        Those ``before`` a month and seq only, where it is given; ``step`` are read at once.
        """
        for month in self._links.listing():
            if months.times(month)[1] <= since or (before is not None and month > before[0]):
                continue
            link = self._link(month)
            seq = self._last_seq(month) + 1
            if before is not None and month == before[0]:
                seq = before[1]
            while link is not None:
                found = retrieval.of_kinds(
                    link, kinds, (since, _ALL), (0, seq), step, newest_first=True
                )
                if not found:
                    break
                seq = found[-1][0]
                yield from (one for one in _placed(month, found) if wanted(one.event))

    def _last_seq(self, month: str) -> int:
        link = self._link(month)
        return retrieval.last(link)[0] if link else 0

    def _after(self, month: str, link: months.Link, seq: int, limit: int) -> list[Stored]:
        """Events beyond a seq, in order; goes on where the last look into a sealed month ended."""
        if not isinstance(link, sealed.Sealed):
            return _placed(month, retrieval.after(link, seq, limit))
        if seq >= sealed.last(link)[0]:
            return []
        at, walk = self._walks.pop(month, (-1, iter(())))
        if at != seq:
            walk = sealed.walk(link, seq)
        part = list(islice(walk, limit))
        if part:
            self._walks[month] = part[-1][0], walk
        return _placed(month, retrieval.at(link, [sealed.Place(row[3], row[0]) for row in part]))

    # ---------------------------------------------------------------- overview

    def total(self) -> int:
        """How many messages there are, imported ones too."""
        every = (name for files in self._links.everything() for name in files)
        links = [self._link(name) for name in every]
        return sum(counting.total(link) for link in links if link is not None)

    def overview(
        self, since: int, until: int, failures: int = 20, flow_since: int | None = None
    ) -> Overview:
        """Counts by state, the last failures and the totals; the flow from ``flow_since`` on."""
        result = Overview()
        span = since, since if flow_since is None else max(since, flow_since), until
        for month in self._links.listing():
            link = self._link(month)
            if link is not None:
                counting.add(link, months.span(month), span, result)
        result.flow.sort(key=lambda minute: minute.at)
        failed = search.InState(
            (State.BOUNCED, State.EXPIRED, State.DEFERRED, State.REFUSED, State.TEMPFAILED)
        )
        query = search.Query("", (search.Term(failed, False, ""),), since, until)
        chosen = self.ids(query, failures)
        rows = self.rows(chosen)
        result.failures = [rows[m] for m in chosen if m in rows]
        return result

    # ------------------------------------------------------------------- files

    def _since(self, number: int, trace: int) -> list[str]:
        """The months that may tell of a trace, from that of a number on, oldest first."""
        if ids.is_imported(trace):
            return [months.home(trace)]
        return [m for m in reversed(self._links.listing()) if m >= ids.month(number)]

    def _link(self, month: str) -> months.Link | None:
        """The month that has this name at present, opened once."""
        return self._links.open(month)

    def _finders(self, query: search.Query, after: int | None = None) -> Iterator[Finds]:
        """The query for each month it concerns, newest first."""
        for files in self._links.everything():
            low, high = months.span(files[0])
            if after is not None:
                low = max(low, after + 1)
            if low >= high or (query.since is not None and high <= ids.lowest(query.since)):
                break
            if query.until is not None and low >= ids.lowest(query.until):
                continue
            links = [link for name in files if (link := self._link(name)) is not None]
            finders = [Finder.of(query, link, low, high) for link in links]
            if finders:
                yield finders[0] if len(finders) == 1 else Merged(finders)


def _by_month(numbers: Iterable[int]) -> dict[str, list[int]]:
    by_month: dict[str, list[int]] = {}
    for number in numbers:
        by_month.setdefault(months.home(number), []).append(number)
    return by_month


def _rows(link: months.Link, part: Sequence[int]) -> dict[int, Row]:
    marks = ",".join("?" * len(part))
    first: dict[int, list[str]] = {}
    for m, local, rname in link.execute(
        "SELECT msg, local, rname FROM rcpt JOIN addr ON addr.id=addr JOIN dom ON dom.id=addr.dom "
        f"WHERE msg IN ({marks}) AND (n<=3 OR n BETWEEN ? AND ?) ORDER BY msg, n",
        (*part, ASIDE, ASIDE + 2),
    ):
        first.setdefault(m, []).append(spelled(local, rname))
    return {
        row[0]: Row(
            row[0],
            row[1],
            row[2],
            spelled(row[3], row[4]),
            tuple(first.get(row[0], ())[:3]),
            row[5],
            row[6] or "",
            row[7] or 0,
            State(row[8]),
            row[9] or "",
            codec.ip_text(row[10]) if row[10] else "",
            row[11] or "",
            shapes.full_from(row[12] or "", spelled(row[3], row[4])),
        )
        for row in link.execute(
            "SELECT msg.id, ts, dir, local, rname, nrcpt, subject, size, status, message_id, ip, "
            "s, header_from FROM msg LEFT JOIN addr ON addr.id=sender LEFT JOIN dom ON dom.id=sdom "
            f"LEFT JOIN str ON str.id=helo WHERE msg.id IN ({marks})",
            tuple(part),
        )
    }


def _placed(month: str, found: Iterable[tuple[int, Event]]) -> list[Stored]:
    return [Stored(month, seq, event) for seq, event in found]

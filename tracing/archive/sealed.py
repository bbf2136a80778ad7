"""A sealed month as a database to ask: it looks like any other month to what reads it.

Its tables are those of a hot month but for the events, which are blobs (``tracing.archive.blob``)
by trace. ``prepare`` makes a view ``ev`` of them that unpacks where a statement looks, so what
asks for a trace reads one blob; with ``lo`` and ``hi``, the bounds of ``seq`` in a blob, blobs can
be passed over. Three small tables lead to events otherwise: ``also`` knows the event's own trace
(``own``), ``rare`` where the events of all but the commonest kinds are (``kinds`` says which), and
``acts`` in which traces somebody did something, but for those who do everything.
"""

import heapq
import sqlite3
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tracing import ids

if TYPE_CHECKING:
    from tracing.archive.blob import Packer
    from tracing.codec import Row

TABLES = (
    "CREATE TABLE tr (trace INTEGER PRIMARY KEY, lo INTEGER NOT NULL, span INTEGER NOT NULL, "
    "z BLOB NOT NULL)",
    "CREATE TABLE also (trace INTEGER, seq INTEGER, own INTEGER NOT NULL, "
    "PRIMARY KEY (trace, seq)) WITHOUT ROWID",
    "CREATE INDEX also_own ON also (own)",
    "CREATE TABLE kinds (kind INTEGER PRIMARY KEY, n INTEGER NOT NULL, listed INTEGER NOT NULL)",
    "CREATE TABLE rare (kind INTEGER, seq INTEGER, trace INTEGER NOT NULL, "
    "PRIMARY KEY (kind, seq)) WITHOUT ROWID",
    "CREATE TABLE actors (actor INTEGER PRIMARY KEY, n INTEGER NOT NULL, listed INTEGER NOT NULL)",
    "CREATE TABLE acts (actor INTEGER, trace INTEGER, PRIMARY KEY (actor, trace)) WITHOUT ROWID",
)
"""What a sealed month has in place of ``ev``, its index, and ``also``."""

_FIELDS = ("kind", "n", "addr", "host", "code", "enh", "reply", "actor", "detail")
_PLACES = (2, 3, 4, 6, 7, 8, 9, 10, 11)
_VIEW = (
    "CREATE TEMP VIEW ev AS SELECT lo + json_extract(one.value, '$[0]') AS seq, "
    f"((trace>>{ids.SHIFT})+{ids.EPOCH_MS})*1000 + json_extract(one.value, '$[1]') AS ts, trace, "
    + ", ".join(
        f"json_extract(one.value, '$[{place}]') AS {name}"
        for name, place in zip(_FIELDS, _PLACES, strict=True)
    )
    + ", octets(json_extract(one.value, '$[5]')) AS ip, lo, lo+span AS hi "
    "FROM main.tr, json_each(unpacked(z)) AS one"
)


class Sealed(sqlite3.Connection):
    """A connection to a sealed month."""


class Place(NamedTuple):
    """Where an event is."""

    trace: int
    seq: int


def prepare(link: sqlite3.Connection) -> None:
    """Make ``ev`` of what the file has. The dictionary is read once an event is asked for."""
    packers: list[Packer] = []

    def unpacked(z: bytes) -> str:
        if not packers:
            packers.append(packer(link))
        return packers[0].events(z).decode()

    link.create_function("unpacked", 1, unpacked, deterministic=True)
    link.create_function("octets", 1, _octets, deterministic=True)
    link.execute(_VIEW)


def _octets(shown: str | None) -> bytes | None:
    return None if shown is None else bytes.fromhex(shown)


def packer(link: sqlite3.Connection) -> "Packer":
    """What packs and unpacks this month's blobs."""
    from tracing.archive.blob import Packer  # noqa: PLC0415 - hot months do without zstd

    return Packer(bytes(meta(link, "sealed.dictionary")))


def meta(link: sqlite3.Connection, key: str, otherwise: bytes = b"") -> bytes:
    """What the file says of itself under a key."""
    row = link.execute("SELECT v FROM main.meta WHERE k=?", (key,)).fetchone()
    return otherwise if row is None else row[0]


def last(link: sqlite3.Connection) -> tuple[int, int]:
    """The highest seq and the time of that event."""
    return int(meta(link, "sealed.seq", b"0")), int(meta(link, "sealed.at", b"0"))


def seq_at(link: sqlite3.Connection, at: int) -> int:
    """About where the events of a time begin: where the next traces do."""
    row = link.execute(
        "SELECT min(lo) FROM (SELECT lo FROM tr WHERE trace>=? ORDER BY trace LIMIT 100)",
        (ids.lowest(at),),
    ).fetchone()
    return row[0] if row[0] is not None else last(link)[0] + 1


def named(link: sqlite3.Connection, trace: int, limit: int) -> list[Place]:
    """The events of other traces that name this one."""
    rows = link.execute("SELECT own, seq FROM also WHERE trace=? LIMIT ?", (trace, limit))
    return [Place(*row) for row in rows]


def listed(link: sqlite3.Connection, kinds: Sequence[str]) -> list[int] | None:
    """The numbers of those kinds there are events of; None where ``rare`` has not all of them."""
    marks = ",".join("?" * len(kinds))
    rows = link.execute(
        f"SELECT kind, listed FROM kinds JOIN str ON str.id=kind WHERE s IN ({marks})",  # noqa: S608
        tuple(kinds),
    ).fetchall()
    return [kind for kind, there in rows] if all(there for _, there in rows) else None


def of_kinds(
    link: sqlite3.Connection, kinds: Sequence[int], bounds: tuple[int, int], limit: int, order: str
) -> list[Place]:
    """Where events of listed kinds are, with seq between the bounds, both of them left out."""
    marks = ",".join("?" * len(kinds))
    rows = link.execute(
        f"SELECT trace, seq FROM rare WHERE kind IN ({marks}) AND seq>? AND seq<? "  # noqa: S608
        f"ORDER BY seq {order} LIMIT ?",
        (*kinds, *bounds, limit),
    )
    return [Place(*row) for row in rows]


def is_common(link: sqlite3.Connection, actors: str) -> bool:
    """Whether ``acts`` leaves out one of these actors, given as a list of numbers."""
    query = f"SELECT 1 FROM actors WHERE actor IN ({actors}) AND NOT listed"  # noqa: S608
    return link.execute(query).fetchone() is not None


def walk(link: sqlite3.Connection, after: int) -> "Iterator[Row]":
    """All events beyond a seq in order: rows as in ``ev``. Sorts the blobs' places first."""
    from tracing.archive.blob import Blob  # noqa: PLC0415 - hot months do without zstd

    unpack = packer(link)
    places = link.execute("SELECT lo, trace FROM tr WHERE lo+span>? ORDER BY lo", (after,))
    waiting: list[Row] = []
    for lo, trace in places:
        while waiting and waiting[0][0] < lo:
            yield heapq.heappop(waiting)
        span, z = link.execute("SELECT span, z FROM tr WHERE trace=?", (trace,)).fetchone()
        for row in unpack.rows(Blob(trace, lo, span, z)):
            if row[0] > after:
                heapq.heappush(waiting, row)
    while waiting:
        yield heapq.heappop(waiting)

"""Makes the sealed form of a month that is over, in a draft beside it, and reads it back.

The tables of messages, recipients, copies and names are taken over as they are, without the gaps
that growing left in them; events become blobs by trace, with a dictionary trained on some of them.
Nothing else changes: what a hot month answers, the draft answers too. The draft is read back and
compared row by row before it is made durable, so a fault of the disk or of this module leaves the
month as it was.
"""

# ruff: noqa: S608 - statements are put together of our own words

import contextlib
import hashlib
import itertools
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from operator import itemgetter
from pathlib import Path

import msgspec

from tracing import chain, months
from tracing.archive import blob, digest, sealed
from tracing.archive.blob import Blob, Packer
from tracing.codec import Row
from tracing.creation import sync
from tracing.facts import breaks

COMMON = 200
"""A kind is listed event by event if it has less than one in so many of the month's events."""
BUSY = 20
"""Whoever did more than one in so many of the month's events is not listed."""
_STEP = 2_000
_SAMPLED = 20_000
"""Events read for the dictionary, from several places of the month."""
_PLACES = 10
_REPLACED = ("ev", "also", "chain")
FULL_TEXT = ("msg_fts", "addr_tri")
_SHADOWS = ("data", "idx", "config")
_pack = msgspec.msgpack.Encoder().encode


class NotEqual(Exception):
    """The draft does not say what the month says; the month stays as it is."""


class ChainBroken(Exception):
    """The events of the month are not as they were recorded; it is not sealed over that."""


def build(
    hot: Path, draft: Path, pause: Callable[[], None] = lambda: None
) -> tuple[dict[str, bytes], int]:
    """Make the draft durable; the month's position that it has, and how many events.

    ``pause`` is called now and then. Raises NotEqual, ChainBroken, sqlite3.Error, OSError.
    """
    with drafting(hot, draft) as (link, position):
        _check_chain(link)
        tables(link, _REPLACED)
        for sql in sealed.TABLES:
            link.execute(sql)
        link.execute("INSERT INTO chain SELECT * FROM hot.chain ORDER BY hi DESC LIMIT 1")
        events, told = _events(link, pause)
        indexes(link, _REPLACED)
        _describe(link)
        _compare(link, told, pause)
    return position, events


@contextlib.contextmanager
def drafting(before: Path, draft: Path) -> Iterator[tuple[sqlite3.Connection, dict[str, bytes]]]:
    """A connection to a draft, with the form before as ``hot`` at one moment; its position then.

    The draft is durable when the block ends.
    """
    link = sqlite3.connect(f"file:{months.quoted(draft)}", uri=True, isolation_level=None)
    try:
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-65536"):
            link.execute(f"PRAGMA {pragma}")
        link.execute("ATTACH ? AS hot", (f"file:{months.quoted(before)}?mode=ro",))
        link.execute("BEGIN")
        yield link, {k: bytes(v or b"") for k, v in link.execute("SELECT k, v FROM hot.meta")}
        link.execute("COMMIT")
        link.execute("DETACH hot")
        link.execute("PRAGMA analysis_limit=1000")
        link.execute("ANALYZE")
        link.execute("PRAGMA journal_mode=WAL")
    finally:
        link.close()
    os.chmod(draft, before.stat().st_mode & 0o777)
    sync(draft)


def _check_chain(link: sqlite3.Connection) -> None:
    """Raises ChainBroken where an event is not as it was written."""
    for first, last in breaks(link, schema="hot."):
        raise ChainBroken(f"events {first} to {last} are not as they were recorded")


def tables(
    link: sqlite3.Connection, replaced: Collection[str], empty: Collection[str] = ()
) -> None:
    """The tables of the form before as they are, but for some, and some of them empty."""
    made = link.execute(
        "SELECT name, sql FROM hot.sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    shadows = {f"{name}_{part}" for name in FULL_TEXT for part in _SHADOWS}
    for name, sql in made:
        if name in shadows or (name in replaced and name != "chain"):
            continue
        link.execute(sql)
        if name in empty or name in replaced:
            continue
        if name in FULL_TEXT:
            for part in _SHADOWS:
                link.execute(f"DELETE FROM main.{name}_{part}")
                link.execute(f"INSERT INTO main.{name}_{part} SELECT * FROM hot.{name}_{part}")
            link.execute(f"INSERT INTO main.{name}({name}) VALUES ('optimize')")
        else:
            link.execute(f"INSERT INTO main.{name} SELECT {_stored(link, name)} FROM hot.{name}")


def _stored(link: sqlite3.Connection, table: str) -> str:
    """The columns of a table that are kept and not computed."""
    rows = link.execute(f"PRAGMA hot.table_xinfo({table})").fetchall()
    return ", ".join(f'"{row[1]}"' for row in rows if row[6] == 0)


def indexes(link: sqlite3.Connection, replaced: Collection[str]) -> None:
    """The indexes of the form before, but for those of some tables."""
    rows = link.execute(
        "SELECT tbl_name, sql FROM hot.sqlite_master WHERE type='index' AND sql IS NOT NULL"
    ).fetchall()
    for table, sql in rows:
        if table not in replaced:
            link.execute(sql)


def _rows(link: sqlite3.Connection, condition: str = "") -> Iterator[tuple[int, list[Row]]]:
    """The events of the month by trace."""
    found = link.execute(f"SELECT * FROM hot.ev {condition} ORDER BY trace, seq")
    for trace, rows in itertools.groupby(found, key=itemgetter(3)):
        yield trace, list(rows)


def _dictionary(link: sqlite3.Connection) -> bytes:
    high = link.execute("SELECT coalesce(max(seq), 0) FROM hot.ev").fetchone()[0]
    width = _SAMPLED // _PLACES
    samples = (
        blob.text(trace, rows)
        for first in range(0, high + 1, max(width, high // _PLACES))
        for trace, rows in _rows(
            link, f"WHERE +seq>={first} AND seq>={first} AND seq<{first + width}"
        )
    )
    return blob.train(samples)


def _events(link: sqlite3.Connection, pause: Callable[[], None]) -> tuple[int, bytes]:
    """Make blobs of all events; how many there are, and a digest of them in this order."""
    dictionary = _dictionary(link)
    link.execute("INSERT OR REPLACE INTO meta VALUES ('sealed.dictionary', ?)", (dictionary,))
    packer = Packer(dictionary)
    kinds: Counter[int] = Counter(
        dict(link.execute("SELECT kind, count(*) FROM hot.ev GROUP BY 1"))
    )
    actors: Counter[int] = Counter(
        dict(link.execute("SELECT actor, count(*) FROM hot.ev WHERE actor IS NOT NULL GROUP BY 1"))
    )
    events = sum(kinds.values())
    rare = {kind for kind, n in kinds.items() if n * COMMON < events or n < _STEP}
    quiet = {actor for actor, n in actors.items() if n * BUSY < events or n < _STEP}
    link.executemany(
        "INSERT INTO kinds VALUES (?,?,?)", [(k, n, k in rare) for k, n in kinds.items()]
    )
    link.executemany(
        "INSERT INTO actors VALUES (?,?,?)", [(a, n, a in quiet) for a, n in actors.items()]
    )
    places: list[tuple[int, int, int]] = []
    blobs: list[tuple[int, int, int, bytes]] = []
    acts: list[tuple[int, int]] = []
    taken = hashlib.sha256()
    for trace, rows in _rows(link):
        taken.update(_pack(rows))
        made = packer.pack(trace, rows)
        blobs.append((trace, made.lo, made.span, made.z))
        places += ((row[2], row[0], trace) for row in rows if row[2] in rare)
        acts += ((actor, trace) for actor in {row[11] for row in rows} if actor in quiet)
        if len(blobs) >= _STEP:
            link.executemany("INSERT INTO tr VALUES (?,?,?,?)", blobs)
            blobs.clear()
            pause()
    link.executemany("INSERT INTO tr VALUES (?,?,?,?)", blobs)
    link.executemany("INSERT INTO rare VALUES (?,?,?)", sorted(places))
    link.executemany("INSERT INTO acts VALUES (?,?)", sorted(acts))
    link.execute(
        "INSERT INTO also SELECT a.trace, a.seq, e.trace FROM hot.also a "
        "JOIN hot.ev e ON e.seq=a.seq"
    )
    return events, taken.digest()


def _describe(link: sqlite3.Connection) -> None:
    """What the file says of itself beside what the month said."""
    row = link.execute("SELECT seq, ts FROM hot.ev ORDER BY seq DESC LIMIT 1").fetchone()
    told = {
        "sealed.format": blob.FORMAT,
        "sealed.seq": row[0] if row else 0,
        "sealed.at": row[1] if row else 0,
        "sealed.on": time.time_ns() // 1000,
        chain.ERASED: f"[{row[0] if row else 0}]",  # one batch of all, should it be hot again
    }
    link.executemany(
        "INSERT OR REPLACE INTO meta VALUES (?,?)", [(k, str(v).encode()) for k, v in told.items()]
    )
    link.execute("INSERT OR REPLACE INTO meta VALUES (?,?)", (digest.SALT, os.urandom(16)))


def _compare(link: sqlite3.Connection, told: bytes, pause: Callable[[], None]) -> None:
    """Read the draft back. Raises NotEqual, blob.Damaged."""
    packer = sealed.packer(link)
    taken = hashlib.sha256()
    for count, row in enumerate(link.execute("SELECT trace, lo, span, z FROM tr ORDER BY trace")):
        taken.update(_pack(packer.rows(Blob(*row))))
        if not count % _STEP:
            pause()
    if taken.digest() != told:
        raise NotEqual("events were read back as others")
    for name in _names(link):
        if name in ("ev", "chain", "meta"):
            continue
        columns = "trace, seq" if name == "also" else "*"
        was, now = (
            link.execute(f"SELECT {columns} FROM {form}.{name}") for form in ("hot", "main")
        )
        while part := was.fetchmany(_STEP):
            if part != now.fetchmany(_STEP):
                raise NotEqual(f"rows of {name} were read back as others")
            pause()
        if now.fetchone() is not None:
            raise NotEqual(f"rows of {name} were read back that there are not")


def _names(link: sqlite3.Connection) -> list[str]:
    rows = link.execute(
        "SELECT name FROM hot.sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite_%' "
        "ORDER BY name"
    )
    return [row[0] for row in rows if not row[0].startswith(FULL_TEXT)]

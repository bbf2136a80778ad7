"""Copying a log from files to a server or back: month by month, each whole or not at all.

A month is compared as it is copied: every table's rows, counted and hashed on both sides. What
an interrupted copy has brought over is compared as well and left; a month that is there and is
another one stops everything.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from mtad.errors import MtadError
from mtad.where import Kept
from tracing import addresses, log, months, tables
from tracing.retrieval import spelled
from tracing.writer import Pen

PART = 10_000
"""Rows written at once."""

_pack = msgspec.msgpack.Encoder().encode
_SUBJECTS = "SELECT id, subject FROM msg WHERE subject IS NOT NULL ORDER BY id"
_ADDRESSES = "SELECT addr.id, local, rname FROM addr JOIN dom ON dom.id=addr.dom ORDER BY addr.id"


@dataclass(frozen=True, slots=True)
class Table:
    """How many rows a table has, and what they hash to."""

    name: str
    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class Copied:
    """A month that both sides have; ``fresh`` if it was copied now."""

    month: str
    fresh: bool
    tables: tuple[Table, ...]

    @property
    def rows(self) -> int:
        """The rows of all tables."""
        return sum(one.rows for one in self.tables)


def copy(source: Kept, target: Kept) -> Iterator[Copied]:
    """Copy every month, oldest first, and tell of each when it is durable.

    Raises Busy where another process writes either log, and MtadError for a month that the
    target has otherwise.
    """
    with closing(log.shelf(source)) as there, closing(log.shelf(target)) as here:
        for month in reversed(there.listing()):
            with closing(months.reading(source, month)) as link:
                before = _summed(link)
                fresh = month not in here.listing()
                if fresh:
                    here.create(month, {}, partial(_fill, link))
                with closing(months.reading(target, month)) as copied:
                    after = _summed(copied)
            if before != after:
                raise MtadError(_difference(month, target, before, after))
            yield Copied(month, fresh, after)


def _fill(link: months.Link, pen: Pen) -> None:
    for table in tables.metadata.sorted_tables:
        for part in _parts(link, _select(table)):
            pen.write(table.name, part)
    for part in _parts(link, _SUBJECTS):
        pen.write("msg_fts", [(number, addresses.words(subject)) for number, subject in part])
    for part in _parts(link, _ADDRESSES):
        folded = [(n, addresses.words(spelled(local, rname))) for n, local, rname in part]
        pen.write("addr_tri", folded)


def _summed(link: months.Link) -> tuple[Table, ...]:
    found = []
    for table in tables.metadata.sorted_tables:
        digest, count = hashlib.sha256(), 0
        for part in _parts(link, _select(table)):
            count += len(part)
            for row in part:
                digest.update(_pack(row))
        found.append(Table(table.name, count, digest.hexdigest()))
    return tuple(found)


def _select(table: sa.Table) -> str:
    """All rows in the order of their key, without what is computed."""
    names = ", ".join(one.name for one in table.columns if one.computed is None)
    keys = ", ".join(one.name for one in table.primary_key.columns)
    return f"SELECT {names} FROM {table.name} ORDER BY {keys}"  # noqa: S608 - our own names


def _parts(link: months.Link, text: str) -> Iterator[Sequence[tuple[Any, ...]]]:
    with closing(months.stream(link, text)) as rows:
        while part := rows.fetchmany(PART):
            yield part


def _difference(month: str, target: Kept, before: Sequence[Table], after: Sequence[Table]) -> str:
    differ = [
        f"{one.name} ({one.rows} rows against {other.rows})"
        for one, other in zip(before, after, strict=True)
        if one != other
    ]
    return (
        f"the month {month} is another one at {target}: {', '.join(differ)}; "
        "nothing there was changed. " + advice(target)
    )


def advice(target: Kept) -> str:
    """How to get a target that nothing is in."""
    if isinstance(target, Path):
        return f"Move {target} away to have it made anew"
    return "Copy into an empty database"

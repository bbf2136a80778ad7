"""How acts on messages are told: cut into events, each message named, each trace found."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from mtad.store.desk import Desk
from mtad.store.rows import Row
from tracing.events import Item

T = TypeVar("T")
CHUNK = 1000
"""Messages in one frame and one event."""


def chunks(items: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    """Items in lists of at most ``size``."""
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part


def traced(items: Sequence[Item], desk: Desk) -> tuple[int, tuple[int, ...]]:
    """The trace of a box event and the further traces it belongs to.

    A message that never came as a transaction (APPEND, an import) has its stored copy for one.
    """
    known = tuple(dict.fromkeys(item.m or item.st for item in items if item.m or item.st))
    if len(items) == 1 and known:
        return known[0], ()
    return desk.mint(), known


def item_of(row: Row) -> Item:
    """A message as events name it."""
    return Item(row.st, row.m or 0, row.uid, row.base)

"""Everything that happened to one box's mail, oldest first, of all months there are.

No index leads there, so each month is read through: a matter of seconds, for repairs and
restores.
"""

import contextlib
from collections.abc import Iterator

from mtad.where import Kept
from tracing import addresses, ids, months, retrieval
from tracing.event import kind_of
from tracing.events import REGISTRY, RestoreStart, StoreDelivered
from tracing.stored import BoxEvent

_ACTS = tuple(kind for kind, declared in REGISTRY.items() if issubclass(declared, BoxEvent))
_PART = 5_000
_SPILL_US = 40 * 86_400_000_000
"""A delivery is told in the month of its message, which may have waited for so long."""
_KINDS = (*_ACTS, kind_of(StoreDelivered))
_WHERE = (
    "WHERE ev.seq > ? AND ev.ts >= ? AND ev.ts < ? AND local = ? AND rname = ? "
    f"AND k.s IN ({', '.join('?' * len(_KINDS))}) ORDER BY ev.seq LIMIT {_PART}"
)
_EVER = (1 << 63) - 1
_OPERATIONS = "WHERE ev.seq < ? AND k.s = ? ORDER BY ev.seq DESC LIMIT ?"


def acts(directory: Kept, box: str) -> Iterator[BoxEvent]:
    """The acts on a box, given by its address. Raises sqlite3.Error for a damaged month."""
    yield from (event for event in story(directory, box) if isinstance(event, BoxEvent))


def story(
    directory: Kept, box: str, since: int = 0, until: int = _EVER
) -> Iterator[BoxEvent | StoreDelivered]:
    """Acts and deliveries of a box from ``since`` on and before ``until``, in microseconds.

    Deliveries are told in the month of their message, so that one of the last hours of a month
    may come before acts that happened earlier. Raises sqlite3.Error for a damaged month.
    """
    local, host = addresses.split(addresses.fold(box))
    for month in reversed(months.listing(directory)):
        begin, _ = months.times(month)
        if begin >= until or month < ids.month_at(max(0, since - _SPILL_US)):
            continue
        with contextlib.closing(months.reading(directory, month)) as link:
            after = 0
            while True:
                where: tuple[int | str, ...] = (
                    after,
                    since,
                    until,
                    local,
                    addresses.reverse(host),
                    *_KINDS,
                )
                part = retrieval.events(link, _WHERE, where)
                yield from (e for _, e in part if isinstance(e, BoxEvent | StoreDelivered))
                if len(part) < _PART:
                    break
                after = part[-1][0]


def restores(directory: Kept, limit: int) -> list[RestoreStart]:
    """The last restores that began, newest first. Raises sqlite3.Error for a damaged month."""
    found: list[RestoreStart] = []
    for month in months.listing(directory):
        with contextlib.closing(months.reading(directory, month)) as link:
            values: tuple[int | str, ...] = (_EVER, kind_of(RestoreStart), limit - len(found))
            part = retrieval.events(link, _OPERATIONS, values)
            found += [event for _, event in part if isinstance(event, RestoreStart)]
        if len(found) >= limit:
            break
    return found

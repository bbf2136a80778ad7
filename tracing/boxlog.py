"""Everything that happened to one box's mail, oldest first, of all months there are.

No index leads there, so each month is read through: a matter of seconds, for repairs.
"""

import contextlib
from collections.abc import Iterator

from mtad.where import Kept
from tracing import addresses, months, retrieval
from tracing.events import REGISTRY
from tracing.stored import BoxEvent

_KINDS = tuple(kind for kind, declared in REGISTRY.items() if issubclass(declared, BoxEvent))
_PART = 5_000
_WHERE = (
    f"WHERE ev.seq > ? AND local = ? AND rname = ? AND k.s IN ({', '.join('?' * len(_KINDS))}) "
    f"ORDER BY ev.seq LIMIT {_PART}"
)


def acts(directory: Kept, box: str) -> Iterator[BoxEvent]:
    """The events of a box, given by its address. Raises sqlite3.Error for a damaged month."""
    local, host = addresses.split(addresses.fold(box))
    for month in reversed(months.listing(directory)):
        with contextlib.closing(months.reading(directory, month)) as link:
            after = 0
            while True:
                values: tuple[int | str, ...] = (after, local, addresses.reverse(host), *_KINDS)
                part = retrieval.events(link, _WHERE, values)
                yield from (event for _, event in part if isinstance(event, BoxEvent))
                if len(part) < _PART:
                    break
                after = part[-1][0]

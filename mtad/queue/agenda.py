"""Whose turn it is: entries by their time, then by destination in turn.

What is not due waits in a heap. What is due stands in line for its destination, grouped so
that one attempt takes one message to all of its recipients there. Destinations take turns, so
that a mailing to one of them does not keep the others waiting; among what is due the higher
priority goes first. An entry that meanwhile has another place or time is passed over.
"""

import heapq
from collections import OrderedDict
from collections.abc import Callable
from itertools import count

from mtad.queue.entries import Entry, Place

Room = Callable[[str], int]
"""How many more attempts a destination takes at this moment."""

_Item = tuple[int, int, Entry]
"""When an entry is due, the number under which it was put, the entry."""
_Line = OrderedDict[tuple[int, str], list[_Item]]
"""What a destination has due, by message and reverse-path, first come first served."""


class _Tier:
    """What is due with one priority: lines that take turns, and lines without room."""

    __slots__ = ("moving", "standing")

    def __init__(self) -> None:
        self.moving: OrderedDict[str, _Line] = OrderedDict()
        self.standing: dict[str, _Line] = {}

    def line(self, destination: str) -> _Line:
        line = self.standing.get(destination)
        return self.moving.setdefault(destination, OrderedDict()) if line is None else line


class Agenda:
    """What to try next. ``destination_of`` gives the key that addresses of one place share."""

    def __init__(self, destination_of: Callable[[str], str]) -> None:
        self._destination_of = destination_of
        self._heap: list[_Item] = []
        self._order = count()
        self._tiers: dict[int, _Tier] = {}

    def put(self, entry: Entry) -> None:
        """Take an entry that waits for its time."""
        entry.turn = next(self._order)
        heapq.heappush(self._heap, (entry.next_try, entry.turn, entry))

    def next_due(self) -> int:
        """When the next waiting entry is due; 0 when none waits."""
        heap = self._heap
        while heap and not _is_at(Place.WAITING, heap[0]):
            heapq.heappop(heap)
        return heap[0][0] if heap else 0

    def advance(self, now: int) -> None:
        """Let what is due stand in line. Raises what ``destination_of`` does, and loses nobody."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            if _is_at(Place.WAITING, heap[0]):
                self._stand(heap[0])
            heapq.heappop(heap)

    def _stand(self, item: _Item) -> None:
        entry = item[2]
        destination = self._destination_of(entry.addr)
        entry.place = Place.READY
        tier = self._tiers.setdefault(entry.letter.priority, _Tier())
        line = tier.line(destination)
        line.setdefault((entry.letter.m, entry.reverse_path), []).append(item)

    def take(self, room: Room, most: int) -> tuple[str, list[Entry]] | None:
        """The next attempt: a destination, and up to ``most`` recipients, busy from then on.

        A destination found without room is passed over until ``freed``. None when no line that
        can move has anyone in it.
        """
        for priority in sorted(self._tiers, reverse=True):
            tier = self._tiers[priority]
            while tier.moving:
                destination, line = tier.moving.popitem(last=False)
                if room(destination) < 1:
                    tier.standing[destination] = line
                    continue
                batch = _first(line, most)
                if line:
                    tier.moving[destination] = line
                if batch:
                    return destination, batch
            if not tier.standing:
                del self._tiers[priority]
        return None

    def look_again(self) -> None:
        """Any destination that had no room may have some."""
        for tier in self._tiers.values():
            tier.moving.update(tier.standing)
            tier.standing.clear()

    def freed(self, destination: str) -> None:
        """A destination that had no room may have some."""
        for tier in self._tiers.values():
            line = tier.standing.pop(destination, None)
            if line:
                tier.moving[destination] = line


def _is_at(place: Place, item: _Item) -> bool:
    """Whether an entry is at a place for the same reason as it was put there."""
    _, number, entry = item
    return entry.place is place and entry.turn == number


def _first(line: _Line, most: int) -> list[Entry]:
    """Take a message's recipients out of the line; empty where none of them stands there now."""
    key, items = line.popitem(last=False)
    items = [item for item in items if _is_at(Place.READY, item)]
    if len(items) > most:
        line[key] = items[most:]
        line.move_to_end(key, last=False)
    batch = [entry for _, _, entry in items[:most]]
    for entry in batch:
        entry.place = Place.BUSY
    return batch

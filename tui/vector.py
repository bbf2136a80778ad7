"""What a list holds: all ids, highest first, and the rows that were read for some of them."""

from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from operator import neg
from typing import Generic, TypeVar

R = TypeVar("R")

CAP = 2_000_000
"""Ids held at most (16 MB); beyond it the list says that it is cut."""
ROWS_KEPT = 4000


class Vector(Generic[R]):
    """The ids and rows of one list. PURE."""

    def __init__(self, rows: Mapping[int, R]) -> None:
        self.ids = array("q")
        self.rows = dict(rows)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def cut(self) -> bool:
        """Whether there are as many ids as there may be."""
        return len(self.ids) >= CAP

    def at(self, index: int) -> int | None:
        """The id at an index; None beyond the end."""
        return self.ids[index] if index < len(self.ids) else None

    def index(self, number: int) -> int:
        """Where an id is, or would be, in the falling order."""
        return bisect_left(self.ids, -number, key=neg)

    def extend(self, chunk: "array[int]") -> None:
        """Put lower ids at the end, as many as there is room for."""
        self.ids.extend(chunk[: CAP - len(self.ids)])

    def merge(self, fresh: Sequence[int]) -> int:
        """Put further ids in their places; how many were not there yet."""
        end = self.index(min(fresh) - 1) if fresh else 0
        front = sorted({*self.ids[:end], *fresh}, reverse=True)
        self.ids[:end] = array("q", front)
        return len(front) - end

    def missing(self, start: int, end: int) -> list[int]:
        """The ids between two indexes whose rows have not been read."""
        return [number for number in self.ids[start:end] if number not in self.rows]

    def keep(self, rows: Mapping[int, R], near: Sequence[int]) -> bool:
        """Keep rows, and of too many those that are near; whether anything is other than before."""
        changed = {number: row for number, row in rows.items() if self.rows.get(number) != row}
        if changed and len(self.rows) > ROWS_KEPT:
            self.rows = {number: self.rows[number] for number in near if number in self.rows}
        self.rows |= changed
        return bool(changed)

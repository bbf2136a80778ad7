"""One month out of several files: what was recorded here, and what was imported."""

import heapq
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from tracing.finding import ALL, Finder, Part


class Finds(Protocol):
    """What ``Finder`` and ``Merged`` do."""

    @property
    def low(self) -> int:
        """The lowest id asked for."""

    @property
    def high(self) -> int:
        """The id that all asked for are below."""

    def find(self, high: int, limit: int) -> "array[int]":
        """Up to ``limit`` ids below ``high``, newest first; all of them if it is negative."""

    def page(self, limit: int, counted: int, looks: int) -> Part:
        """The newest ids, and how many older ones there are."""


@dataclass(frozen=True, slots=True)
class Merged:
    """The same query for several files of one month; their ids are different ones."""

    finders: Sequence[Finder]

    @property
    def low(self) -> int:
        """The lowest id asked for."""
        return min(one.low for one in self.finders)

    @property
    def high(self) -> int:
        """The id that all asked for are below."""
        return max(one.high for one in self.finders)

    def find(self, high: int, limit: int) -> "array[int]":
        """As ``Finder.find``."""
        return _newest([one.find(high, limit) for one in self.finders], limit)

    def page(self, limit: int, counted: int, looks: int) -> Part:
        """As ``Finder.page``."""
        parts = [one.page(limit, counted, looks) for one in self.finders]
        found = _newest([part.ids for part in parts], limit)
        below = sum(len(part.ids) for part in parts) - len(found)
        older = sum(part.older for part in parts) + below
        more = older > counted or any(part.more for part in parts)
        return Part(found, min(older, counted), max(part.looked for part in parts), more)


def _newest(found: Sequence["array[int]"], limit: int) -> "array[int]":
    every = heapq.merge(*found, reverse=True)
    return array("q", islice(every, limit if limit >= 0 else ALL))

"""Where a list of any length comes from, in words that need no terminal library."""

from array import array
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol, TypeVar

R_co = TypeVar("R_co", covariant=True)


class Trouble(Exception):
    """Reading failed; the text is one sentence for the person at the screen."""


class RowSource(Protocol[R_co]):
    """Where a list comes from. Every method raises ``Trouble`` with a sentence."""

    def known(self) -> "tuple[array[int], Mapping[int, R_co]] | None":
        """The first chunk of ids with their rows, if they are here already; never waits."""
        ...

    def id_chunks(self) -> AsyncIterator["array[int]"]:
        """All ids, highest first; a small chunk first."""
        ...

    async def rows(self, ids: Sequence[int]) -> Mapping[int, R_co]:
        """The rows of some ids; one that is gone is left out."""
        ...

    async def newer(self, after: int) -> "array[int]":
        """Ids above ``after``, highest first."""
        ...

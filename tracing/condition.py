"""A condition on messages as SQL: a test on one message, and the index entries that hit it."""

# ruff: noqa: S608 - statements are put together of our own words; values are parameters

from dataclasses import dataclass

LARGE = 1_000_000
"""Octets from which a message's size is indexed."""
MID = 24
"""Characters of a Message-ID that are indexed: with the brackets, enough to tell most apart."""
REMOTE = 0
"""The number of ``remote`` among a month's strings: it acts so often that no index has it."""
LONG_WAIT = 60_000_000
"""Microseconds from which the time that a recipient took is indexed."""


@dataclass(frozen=True, slots=True)
class Hits:
    """Rows of an index: the column with the message's id, then table and condition.

    ``rare`` ones are to be read by their own index, whatever the ids asked for.
    """

    column: str
    source: str
    rare: bool = False

    @property
    def select(self) -> str:
        """The statement for ids in [:low, :high)."""
        text = f"SELECT {self.column} AS id FROM {self.source}"
        sign = "+" if self.rare else ""
        return f"{text} AND {sign}{self.column}>=:low AND {sign}{self.column}<:high"


@dataclass(frozen=True, slots=True)
class Condition:
    """``hits`` is None where no index leads to the messages, empty where there are none.

    ``streams`` are the same hits, each in the order of ids by its index; None where they are
    not. ``once`` are those that name each message a single time, as far as that is known. The
    hits of a ``broad`` condition are dear to count; those of one that is not ``exact`` are to be
    tested.
    """

    test: str
    hits: tuple[Hits, ...] | None = None
    streams: tuple[Hits, ...] | None = None
    once: tuple[Hits, ...] = ()
    broad: bool = False
    exact: bool = True


NEVER = Condition("1=0", (), ())

"""The dictionaries of a month being written: text to number, cached, provisional until commit.

A text met for the first time gets the next number at once and its row with the batch. Should
the batch fail, everything is forgotten and read again from the file. Caches are bounded: two
generations, of which the elder goes when the younger is full.
"""

from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

from tracing import addresses, shapes
from tracing.condition import REMOTE

MAX_CACHED = 50_000
"""Texts in one generation of a cache."""
_READ = 20_000
"""Rows up to which a dictionary is read whole when its month is opened."""

_SHAPES = "SELECT count(*) FROM str WHERE s>='[{' AND s<'[|'"

V = TypeVar("V")


class Writes(Protocol):
    """What writes a month."""

    def write(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Add rows."""


def begin(pen: Writes) -> None:
    """Write what the dictionaries of a month begin with."""
    pen.write("str", [(REMOTE, "remote")])


class Cache(Generic[V]):
    """A mapping that forgets what was not asked for lately."""

    whole = False
    """Whether it has all there is, so that what it has not is nowhere."""

    def __init__(self, limit: int = MAX_CACHED) -> None:
        self.young: dict[str, V] = {}
        self._old: dict[str, V] = {}
        self._limit = limit

    def find(self, text: str) -> V | None:
        """What is remembered in either generation."""
        value = self.young.get(text)
        if value is None:
            value = self._old.get(text)
            if value is not None:
                self.put(text, value)
        return value

    def put(self, text: str, value: V) -> None:
        """Remember."""
        if len(self.young) >= self._limit:
            self.whole = self.whole and not self._old
            self._old, self.young = self.young, {}
        self.young[text] = value

    def clear(self) -> None:
        """Forget everything."""
        self.young, self._old = {}, {}
        self.whole = False


class Dictionaries:
    """Numbers for the addresses, domains and strings of one month file; one thread only."""

    def __init__(self, link: Any) -> None:
        self._cursor = link.cursor()
        self._addresses: Cache[tuple[int, int, bool]] = Cache()
        self._domains: Cache[int] = Cache()
        self._strings: Cache[int] = Cache()
        self.forget()

    def forget(self) -> None:
        """Drop what was not committed, and the caches with it."""
        self._addresses.clear()
        self._domains.clear()
        self._strings.clear()
        self.by_key: dict[tuple[Any, ...], int] = {}
        self.fresh_addresses: list[tuple[int, int, str]] = []
        self.fresh_domains: list[tuple[int, str]] = []
        self.fresh_strings: list[tuple[int, str]] = []
        self.trigrams: list[tuple[int, str]] = []
        self._last = {table: self._highest(table) for table in ("addr", "dom", "str")}
        self._shapes = int(self._cursor.execute(_SHAPES).fetchone()[0])
        self._remember()

    def _remember(self) -> None:
        """Read small dictionaries whole, so that what is new need not be looked for."""
        self._addresses.whole = self._last["addr"] == 0
        rows = self._cursor.execute("SELECT s, id FROM str LIMIT ?", (_READ + 1,)).fetchall()
        self._strings.whole = len(rows) <= _READ
        self._strings.young.update(rows[:_READ])
        rows = self._cursor.execute("SELECT rname, id FROM dom LIMIT ?", (_READ + 1,)).fetchall()
        self._domains.whole = len(rows) <= _READ
        self._domains.young.update((addresses.reverse(name), dom) for name, dom in rows[:_READ])

    def _row(self, cache: "Cache[Any]", text: str, values: tuple[Any, ...]) -> Any:
        """The row of what a cache has not; None where there is none.

        Raises UnicodeEncodeError for what is no text.
        """
        if not cache.whole:
            return self._cursor.execute(text, values).fetchone()
        for value in values:
            if isinstance(value, str) and not value.isascii():
                value.encode()
        return None

    def committed(self) -> None:
        """The fresh rows are in the file."""
        self.fresh_addresses.clear()
        self.fresh_domains.clear()
        self.fresh_strings.clear()
        self.trigrams.clear()

    def address(self, text: str) -> tuple[int, int, bool]:
        """Numbers of an address and its domain, and whether it is kept as it was written."""
        try:
            return self._addresses.young[text]
        except KeyError:
            known = self._addresses.find(text)
        if known is not None:
            return known
        folded = addresses.fold(text)
        kept = self._addresses.find(folded)
        if kept is None:
            kept = (*self._intern(folded), True)
            self._addresses.put(folded, kept)
        if folded == text:
            return kept
        known = kept[0], kept[1], False
        self._addresses.put(text, known)
        return known

    def _intern(self, folded: str) -> tuple[int, int]:
        local, host = addresses.split(folded)
        dom = self._domain(host)
        row = self._row(
            self._addresses, "SELECT id FROM addr WHERE dom=? AND local=?", (dom, local)
        )
        if row is not None:
            return row[0], dom
        number = self._next("addr")
        self.fresh_addresses.append((number, dom, local))
        self.trigrams.append((number, addresses.words(folded)))
        return number, dom

    def _domain(self, host: str) -> int:
        known = self._domains.find(host)
        if known is not None:
            return known
        rname = addresses.reverse(host)
        row = self._row(self._domains, "SELECT id FROM dom WHERE rname=?", (rname,))
        number: int
        if row is not None:
            number = row[0]
        else:
            number = self._next("dom")
            self.fresh_domains.append((number, rname))
        self._domains.put(host, number)
        return number

    def string(self, text: str) -> int:
        """The number of a string."""
        try:
            return self._strings.young[text]
        except KeyError:
            known = self._strings.find(text)
        if known is not None:
            return known
        row = self._row(self._strings, "SELECT id FROM str WHERE s=?", (text,))
        number: int
        if row is not None:
            number = row[0]
        else:
            number = self._next("str")
            self.fresh_strings.append((number, text))
        self._strings.put(text, number)
        return number

    def shape(self, text: str) -> int | None:
        """The number of a shape of details (``tracing.shapes``); None for one too many."""
        known = self._strings.find(text)
        if known is None and self._shapes >= shapes.MAX_SHAPES:
            found = self._row(self._strings, "SELECT id FROM str WHERE s=?", (text,))
            if found is None:
                return None
        if known is None:
            before = self._last["str"]
            known = self.string(text)
            self._shapes += self._last["str"] > before
        return known

    def _next(self, table: str) -> int:
        self._last[table] += 1
        return self._last[table]

    def _highest(self, table: str) -> int:
        query = f"SELECT coalesce(max(id), 0) FROM {table}"  # noqa: S608 - our own names
        return int(self._cursor.execute(query).fetchone()[0])

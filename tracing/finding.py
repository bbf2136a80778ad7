"""From a query to the message ids of one month, newest first.

A condition alone whose hits each come in the order of ids is read from its indexes. Otherwise
a rare condition leads: its hits are gathered and tested for the others. Where every condition
is common, the messages are walked from the newest and tested, and the walk stops when enough
are found; a condition that very many addresses meet is walked for a while before its hits are
gathered after all. Counting hits up to a limit tells which case it is.
"""

# ruff: noqa: S608 - statements are put together of our own words; values are parameters

import json
from array import array
from dataclasses import dataclass, field
from typing import Any

from tracing import ids, search
from tracing.condition import Condition
from tracing.conditions import Conditions
from tracing.months import Link

RARE = 20_000
"""Hits in a month up to which they are gathered."""
WALKED = 2_000
"""Messages walked before the hits of a broad condition are gathered."""
ALL = 1 << 62
"""More than there are."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one month has to a page of a list."""

    ids: "array[int]"
    older: int
    """Further ids counted."""
    looked: int
    """Messages walked to count them."""
    more: bool
    """Whether there may be more than counted."""


@dataclass(slots=True)
class Finder:
    """A query made ready for one month file; reads the dictionaries when made."""

    link: Link
    low: int
    high: int
    _conditions: list[Condition] = field(default_factory=list)
    _values: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, query: search.Query, link: Link, low: int, high: int) -> "Finder":
        """The query for ids in [low, high) of the month behind ``link``."""
        if query.since is not None:
            low = max(low, ids.lowest(query.since))
        if query.until is not None:
            high = min(high, ids.lowest(query.until))
        conditions = Conditions(link)
        every = [conditions.of(term) for term in query.terms]
        return cls(link, low, high, every, conditions.values)

    def find(self, high: int, limit: int) -> "array[int]":
        """Up to ``limit`` ids below ``high``, newest first; all of them if it is negative."""
        high, limit = min(high, self.high), limit if limit >= 0 else ALL
        leader = self._leader(high)
        if leader is not None:
            return self._ids(self.statement(leader), self.low, high, limit)
        found, rest = self._walk(high, limit)
        return found + rest[: limit - len(found)]

    def page(self, limit: int, counted: int, looks: int) -> Part:
        """The newest ``limit`` ids, and how many older ones there are, as far as that is cheap.

        At most ``counted`` are counted, and where messages have to be walked for it, those
        among ``looks`` messages.
        """
        leader = self._leader(self.high)
        if self._in_order(leader):
            statement = self.statement(leader)
            found = self._ids(statement, self.low, self.high, limit)
            older = 0
            if len(found) == limit:
                once = leader.once if leader is not None else ()
                statement = " UNION ALL ".join(hits.select for hits in once) or statement
                older = self._count(statement, found[-1] if found else self.high, counted)
            return _part(found, older, counted)
        if leader is None:
            found, rest = self._walk(self.high, limit)
            if len(found) == limit:
                return self._looked(found, min(looks, counted))
            every = found + rest
        else:
            every = self._ids(self.statement(leader), self.low, self.high, limit + counted)
        return _part(every[:limit], max(len(every) - limit, 0), counted)

    def _looked(self, found: "array[int]", looks: int) -> Part:
        """A page, and the count among the messages just below it."""
        high = found[-1] if found else self.high
        floor = self._below(high, looks)
        low = self.low if floor is None else floor + 1
        tests = " AND ".join(f"({one.test})" for one in self._conditions)
        text = f"SELECT count(*), coalesce(sum(CASE WHEN {tests} THEN 1 ELSE 0 END), 0) FROM msg m "
        row = self._run(f"{text} WHERE m.id>=:low AND m.id<:high", low, high).fetchone()
        return Part(found, row[1], row[0], floor is not None)

    def statement(self, leader: Condition | None) -> str:
        """The statement that finds the ids in [:low, :high), still without order and limit."""
        others = [one for one in self._conditions if one is not leader or not one.exact]
        text = "SELECT m.id AS id FROM msg m WHERE m.id>=:low AND m.id<:high"
        text += "".join(f" AND ({condition.test})" for condition in others)
        if leader is None:
            return text
        parts = leader.streams if self._in_order(leader) else leader.hits
        union = " UNION ".join(hits.select for hits in parts or ()) or "SELECT 0 AS id WHERE 1=0"
        if not others:
            # The sign keeps SQLite from walking all messages only because they come in order.
            return union if self._in_order(leader) else f"SELECT +id AS id FROM ({union}) AS found"
        return f"{text} AND m.id IN ({union})"

    def _in_order(self, leader: Condition | None) -> bool:
        """Whether the ids come in order from where they are read."""
        if leader is None:
            return not self._conditions
        return len(self._conditions) == 1 and leader.streams is not None and leader.exact

    def _leader(self, high: int) -> Condition | None:
        """The condition to start from: the only one, in order, or the rarest, if it is rare."""
        if self._conditions and self._in_order(self._conditions[0]):
            return self._conditions[0]
        best: Condition | None = None
        fewest = RARE
        for condition in self._conditions:
            if condition.hits is None or condition.broad:
                continue
            count = 0
            for one in condition.hits:
                count += self._count(one.select, high, fewest - count)
                if count >= fewest:
                    break
            if count < fewest:
                best, fewest = condition, count
                if not count:
                    break
        return best

    def _broad(self) -> Condition | None:
        return next((one for one in self._conditions if one.broad), None)

    def _walk(self, high: int, limit: int) -> tuple["array[int]", "array[int]"]:
        """The newest ids; and all others, where not enough were found by walking."""
        broad = self._broad()
        floor = self._below(high, WALKED) if broad else None
        low = self.low if floor is None else floor + 1
        found = self._ids(self.statement(None), low, high, limit)
        if floor is None or len(found) == limit:
            return found, array("q")
        # Read as one text and sorted here: a row each, or a list that SQLite keeps in order with
        # every row it meets, costs half as much again.
        text = f"SELECT json_group_array(id) FROM ({self.statement(broad)}) AS found"
        every: list[int] = json.loads(self._run(text, self.low, low).fetchone()[0])
        return found, array("q", sorted(every, reverse=True))

    def _below(self, high: int, count: int) -> int | None:
        """The message below the newest ``count`` ones."""
        text = "SELECT id FROM msg WHERE id>=:low AND id<:high ORDER BY id DESC LIMIT 1 OFFSET :n"
        row = self._run(text, self.low, high, count).fetchone()
        return row[0] if row else None

    def _ids(self, statement: str, low: int, high: int, limit: int) -> "array[int]":
        rows = self._run(f"{statement} ORDER BY id DESC LIMIT :n", low, high, limit)
        return array("q", (row[0] for row in rows))

    def _count(self, statement: str, high: int, limit: int) -> int:
        counted = f"SELECT count(*) FROM ({statement} LIMIT :n) AS found"
        return int(self._run(counted, self.low, high, limit).fetchone()[0])

    def _run(self, text: str, low: int, high: int, n: int = 0) -> Any:
        return self.link.execute(text, {**self._values, "low": low, "high": high, "n": n})


def _part(found: "array[int]", older: int, counted: int) -> Part:
    return Part(found, min(older, counted), 0, older >= counted)

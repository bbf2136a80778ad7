"""From a query to the message ids of one month, newest first.

Each condition has two faces: the index entries that hit it, and a test on one message. A rare
condition leads: its hits are gathered and tested for the others. Where every condition is
common, the messages are walked from the newest and tested, and the walk stops when enough are
found. Counting hits up to a limit tells which case it is.
"""

# ruff: noqa: S608 - statements are put together of our own words; values are parameters

import json
import sqlite3
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tracing import addresses, ids, search
from tracing.states import State

RARE = 20_000
"""Hits in a month up to which they are gathered."""


@dataclass(frozen=True, slots=True)
class _Hits:
    """Rows of an index: the column with the message's id, table and condition, parameters."""

    column: str
    source: str
    values: tuple[Any, ...] = ()

    def select(self, low: int, high: int) -> tuple[str, tuple[Any, ...]]:
        """The statement for ids in [low, high)."""
        text = f"SELECT {self.column} AS id FROM {self.source}"
        return f"{text} AND {self.column}>=? AND {self.column}<?", (*self.values, low, high)


@dataclass(frozen=True, slots=True)
class _Condition:
    """``hits`` is None where no index leads to the messages, empty where there are none."""

    test: str
    values: tuple[Any, ...] = ()
    hits: tuple[_Hits, ...] | None = None


_NEVER = _Condition("0", (), ())


@dataclass(slots=True)
class Finder:
    """A query made ready for one month file; reads the dictionaries when made."""

    link: sqlite3.Connection
    low: int
    high: int
    _conditions: list[_Condition] = field(default_factory=list)

    @classmethod
    def of(cls, query: search.Query, link: sqlite3.Connection, low: int, high: int) -> "Finder":
        """The query for ids in [low, high) of the month behind ``link``."""
        if query.since is not None:
            low = max(low, ids.lowest(query.since))
        if query.until is not None:
            high = min(high, ids.lowest(query.until))
        finder = cls(link, low, high)
        for term in query.terms:
            condition = finder._condition(term.matcher)
            if term.negated:
                # A test is unknown where a message has no sender or no address: no match.
                condition = _Condition(f"({condition.test}) IS NOT TRUE", condition.values)
            finder._conditions.append(condition)
        return finder

    def find(self, high: int, limit: int) -> "array[int]":
        """Up to ``limit`` ids below ``high``, newest first."""
        text, values = self.statement(min(high, self.high))
        rows = self.link.execute(f"{text} ORDER BY id DESC LIMIT ?", (*values, limit))
        return array("q", (row[0] for row in rows))

    def count(self, high: int, limit: int) -> int:
        """How many ids below ``high`` there are, counted up to ``limit``."""
        text, values = self.statement(min(high, self.high))
        counted = f"SELECT count(*) FROM ({text} LIMIT ?)"
        return int(self.link.execute(counted, (*values, limit)).fetchone()[0])

    def statement(self, high: int) -> tuple[str, tuple[Any, ...]]:
        """The statement that finds the ids in [low, high), still without order and limit."""
        leader = self._leader(high)
        others = [condition for condition in self._conditions if condition is not leader]
        text = "SELECT m.id FROM msg m WHERE m.id>=? AND m.id<?"
        values: tuple[Any, ...] = (self.low, high)
        for condition in others:
            text += f" AND ({condition.test})"
            values += condition.values
        if leader is None:
            return text, values
        parts = [hits.select(self.low, high) for hits in leader.hits or ()]
        union = " UNION ".join(part for part, _ in parts) or "SELECT 0 AS id WHERE 0"
        hit = tuple(value for _, own in parts for value in own)
        if not others:
            return f"SELECT id FROM ({union})", hit
        return f"{text} AND m.id IN ({union})", (*values, *hit)

    def _leader(self, high: int) -> _Condition | None:
        """The condition with the fewest hits, if these are few."""
        best: _Condition | None = None
        fewest = RARE
        for condition in self._conditions:
            if condition.hits is None:
                continue
            count = 0
            for one in condition.hits:
                text, values = one.select(self.low, high)
                row = self.link.execute(
                    f"SELECT count(*) FROM ({text} LIMIT ?)",
                    (*values, fewest - count),
                ).fetchone()
                count += row[0]
                if count >= fewest:
                    break
            if count < fewest:
                best, fewest = condition, count
                if not count:
                    break
        return best

    # --------------------------------------------------------------- conditions

    def _condition(self, matcher: search.Matcher) -> _Condition:
        match matcher:
            case search.Address():
                return self._from(matcher) if matcher.role == "from" else self._to(matcher)
            case search.MessageId(value):
                both = (value, f"<{value}>")
                hits = _Hits("id", "msg WHERE message_id IN (?,?)", both)
                return _Condition("m.message_id IN (?,?)", both, (hits,))
            case search.Id(low, high):
                span = (max(low, 0), min(high, (1 << 63) - 1))
                hits = _Hits("id", "msg WHERE id>=? AND id<?", span)
                return _Condition("m.id>=? AND m.id<?", span, (hits,))
            case search.Ip(low_ip, high_ip):
                return self._ip(low_ip, high_ip)
            case search.Subject(words):
                return self._subject(words)
            case search.InState(states):
                return _in_state(states)
            case search.Anywhere(terms):
                conditions = [self._condition(term) for term in terms]
                return _Condition(
                    " OR ".join(f"({one.test})" for one in conditions),
                    tuple(value for one in conditions for value in one.values),
                    tuple(hits for one in conditions for hits in one.hits or ()),
                )

    def _from(self, matcher: search.Address) -> _Condition:
        if matcher.null:
            return _Condition("m.sender IS NULL", (), (_Hits("id", "msg WHERE sender IS NULL"),))
        column = "sdom" if matcher.domain else "sender"
        numbers = self._domains(matcher.domain) if matcher.domain else self._addresses(matcher)
        if not numbers:
            return _NEVER
        among, values = _among(numbers)
        test = f"m.{column}{among}" if len(numbers) == 1 else f"+m.{column}{among}"
        return _Condition(test, values, (_Hits("id", f"msg WHERE {column}{among}", values),))

    def _to(self, matcher: search.Address) -> _Condition:
        if matcher.null:
            return _NEVER
        numbers = self._domains(matcher.domain) if matcher.domain else self._addresses(matcher)
        if not numbers:
            return _NEVER
        among, values = _among(numbers)
        column = "addr"
        orig = hit = among
        if matcher.domain:
            # The addresses of a domain that receives mail here are few: one index is enough.
            column = "dom"
            orig = hit = f" IN (SELECT id FROM addr WHERE dom{among})"
        either = f"r.{column}{among} OR r.orig{orig}"
        test = f"EXISTS (SELECT 1 FROM rcpt r WHERE r.msg=m.id AND ({either}))"
        hits = (
            _Hits("msg", f"rcpt WHERE addr{hit}", values),
            _Hits("msg", f"rcpt WHERE orig{orig}", values),
        )
        return _Condition(test, values * 2, hits)

    def _ip(self, low: bytes, high: bytes) -> _Condition:
        if low == high:
            return _Condition("m.ip=?", (low,), (_Hits("id", "msg WHERE ip=?", (low,)),))
        values = (low, high, len(low))
        hits = _Hits("id", "msg WHERE ip>=? AND ip<=? AND length(ip)=?", values)
        return _Condition("+m.ip>=? AND +m.ip<=? AND length(m.ip)=?", values, (hits,))

    def _subject(self, words: Sequence[str]) -> _Condition:
        phrase = " ".join(
            f'"{word[:-1]}"*' if word.endswith("*") else f'"{word}"' for word in words
        )
        try:
            self.link.execute(
                "SELECT 1 FROM msg_fts WHERE msg_fts MATCH ? LIMIT 1", (phrase,)
            ).fetchone()
        except sqlite3.OperationalError:
            return _NEVER  # a letter younger than SQLite's Unicode tables splits the word
        test = "m.id IN (SELECT rowid FROM msg_fts WHERE msg_fts MATCH ?)"
        return _Condition(
            test, (phrase,), (_Hits("rowid", "msg_fts WHERE msg_fts MATCH ?", (phrase,)),)
        )

    # ------------------------------------------------------------- dictionaries

    def _addresses(self, matcher: search.Address) -> list[int]:
        if matcher.exact:
            local, host = addresses.split(matcher.exact)
            rows = self.link.execute(
                "SELECT addr.id FROM dom JOIN addr ON dom=dom.id WHERE rname=? AND local=?",
                (addresses.reverse(host), local),
            )
            return [row[0] for row in rows]
        part = matcher.part
        if len(part) < 3:
            rows = self.link.execute(
                "SELECT id FROM addr WHERE local>=? AND local<?", (part, part + "\U0010ffff")
            )
            return [row[0] for row in rows]
        folded = addresses.words(part)
        every = (folded[i : i + 3] for i in range(len(folded) - 2))
        grams = dict.fromkeys(gram for gram in every if "\0" not in gram)
        if not grams:
            return []  # a full-text query ends at NUL
        phrase = " ".join('"' + gram.replace('"', '""') + '"' for gram in grams)
        if len(folded) == 3:
            rows = self.link.execute("SELECT rowid FROM addr_tri WHERE addr_tri MATCH ?", (phrase,))
            return [row[0] for row in rows]
        rows = self.link.execute(
            "SELECT addr.id, local, rname FROM addr_tri JOIN addr ON addr.id=addr_tri.rowid "
            "JOIN dom ON dom.id=dom WHERE addr_tri MATCH ?",
            (phrase,),
        )
        return [
            number
            for number, local, rname in rows
            if folded in addresses.words(local)
            or folded in addresses.words(addresses.join(local, addresses.reverse(rname)))
        ]

    def _domains(self, domain: str) -> list[int]:
        low, high = addresses.rname_range(domain)
        rows = self.link.execute(
            "SELECT id FROM dom WHERE rname=? UNION ALL "
            "SELECT id FROM dom WHERE rname>=? AND rname<?",
            (addresses.reverse(domain), low, high),
        )
        return [row[0] for row in rows]


def _among(numbers: Sequence[int]) -> tuple[str, tuple[Any, ...]]:
    if len(numbers) == 1:
        return "=?", (numbers[0],)
    return " IN (SELECT value FROM json_each(?))", (json.dumps(list(numbers)),)


def _in_state(states: Sequence[State]) -> _Condition:
    listed = ",".join(str(int(state)) for state in states)
    test = (
        f"+m.status IN ({listed}) OR EXISTS "
        f"(SELECT 1 FROM rcpt r WHERE r.msg=m.id AND r.status IN ({listed}))"
    )
    if State.STORED in states:
        return _Condition(test)
    # The second half is what lets SQLite take the partial index.
    chosen = f"WHERE status IN ({listed}) AND status!={int(State.STORED)}"
    return _Condition(test, (), (_Hits("id", f"msg {chosen}"), _Hits("msg", f"rcpt {chosen}")))

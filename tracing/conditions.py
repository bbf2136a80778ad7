"""What a term of a query means in the tables of one month file.

A condition has two faces: a test on one message ``m``, and the index entries that hit it. What
names few addresses lists them by number; a part that very many addresses share stays a text,
compared address by address, because listing them would cost more than most answers need.
"""

# ruff: noqa: S608 - statements are put together of our own words; values are parameters

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tracing import addresses, details, search
from tracing.condition import MID, NEVER, Condition, Hits
from tracing.months import Link
from tracing.states import State

LISTED = 1_000
"""Addresses or domains up to which those that match are listed."""
STREAMS = 32
"""Addresses up to which the messages of each are read by themselves, newest first."""


@dataclass(frozen=True, slots=True)
class _Members:
    """Rows of ``addr`` or ``dom`` that a matcher means: listed, or else a test on a row ``a``.

    ``tables`` and ``where`` lead to these rows.
    """

    table: str
    listed: Sequence[int] | None
    test: str = ""
    tables: str = ""
    where: str = ""

    def joined(self, column: str, on: str) -> Hits:
        """The rows of a further table that belong to these."""
        return Hits(column, f"{self.tables} CROSS JOIN {on} WHERE ({self.where})")


@dataclass(slots=True)
class Conditions:
    """Makes the conditions for one month file; ``values`` are the parameters they name."""

    link: Link
    values: dict[str, Any] = field(default_factory=dict)

    def of(self, term: search.Term) -> Condition:
        """The condition of a term."""
        condition = self._of(term.matcher)
        if term.negated:
            # A test is unknown where a message has no sender or no address: no match.
            return Condition(f"({condition.test}) IS NOT TRUE")
        return condition

    def _of(self, matcher: search.Matcher) -> Condition:
        match matcher:
            case search.Address():
                return self._of_address(matcher)
            case search.MessageId(value):
                return self._message_id((value, f"<{value}>"))
            case search.Id(low, high):
                first, end = self._value(max(low, 0)), self._value(min(high, (1 << 63) - 1))
                hits = (Hits("id", f"msg WHERE id>={first} AND id<{end}"),)
                return Condition(f"m.id>={first} AND m.id<{end}", hits, hits)
            case search.Ip(low_ip, high_ip):
                return self._ip(low_ip, high_ip)
            case search.Subject(words):
                return self._subject(words)
            case search.InState(states):
                return _in_state(states)
            case search.Text() | search.Span():
                return details.of(matcher, self.link, self._value)
            case search.Anywhere(terms):
                return _either([self._of(term) for term in terms])
            case search.Group(alternatives):
                return _either([_all([self.of(one) for one in terms]) for terms in alternatives])

    def _of_address(self, matcher: search.Address) -> Condition:
        match matcher.role:
            case "from":
                return self._from(matcher)
            case "box":
                return self._box(matcher)
            case _:
                return self._to(matcher)

    def _value(self, value: Any) -> str:
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}"

    # --------------------------------------------------------------- conditions

    def _message_id(self, spellings: Sequence[str]) -> Condition:
        """By the beginning, which the index has; the sign keeps SQLite to that index."""
        hits = tuple(
            Hits(
                "id",
                f"msg WHERE substr(message_id,1,{MID})={self._value(one[:MID])} "
                f"AND message_id IS NOT NULL AND +message_id={self._value(one)}",
                rare=True,
            )
            for one in spellings
        )
        return Condition(f"m.message_id IN ({','.join(map(self._value, spellings))})", hits, hits)

    def _from(self, matcher: search.Address) -> Condition:
        if matcher.null:
            hits = (Hits("id", "msg WHERE sender IS NULL"),)
            return Condition("m.sender IS NULL", hits, hits)
        members = self._members(matcher)
        column = "sdom" if members.table == "dom" else "sender"
        if members.listed is None:
            test = f"EXISTS (SELECT 1 FROM {members.table} a WHERE a.id=m.{column} AND "
            hits = (members.joined("msg.id", f"msg ON msg.{column}=a.id"),)
            return Condition(f"{test}({members.test}))", hits, broad=True)
        if not members.listed:
            return NEVER
        among = self._among(members.listed)
        test = f"m.{column}{among}" if len(members.listed) == 1 else f"+m.{column}{among}"
        hits = (Hits("id", f"msg WHERE {column}{among}"),)
        return Condition(test, hits, self._streams("id", "msg", (column,), members.listed), hits)

    def _to(self, matcher: search.Address) -> Condition:
        if matcher.null:
            return NEVER
        members = self._members(matcher)
        if members.listed is None:
            return self._to_many(members)
        if not members.listed:
            return NEVER
        column, among = "addr", self._among(members.listed)
        named = among
        if matcher.domain:
            # The addresses of a domain that receives mail here are few: one index is enough.
            column, named = "dom", f" IN (SELECT id FROM addr WHERE dom{among})"
        either = f"r.{column}{among} OR r.orig{named}"
        test = f"EXISTS (SELECT 1 FROM rcpt r WHERE r.msg=m.id AND ({either}))"
        hits = (Hits("msg", f"rcpt WHERE addr{named}"), Hits("msg", f"rcpt WHERE orig{named}"))
        if matcher.domain:
            return Condition(test, hits)
        streams = self._streams("msg", "rcpt", ("addr", "orig"), members.listed)
        return Condition(test, hits, streams, _first(among))

    def _box(self, matcher: search.Address) -> Condition:
        """A recipient whose copy was stored: its address is the box's."""
        if matcher.null:
            return NEVER
        members = self._members(matcher)
        column = "o.dom" if members.table == "dom" else "o.id"
        if members.listed is None:
            tables = f"{members.table} a" if members.table == "addr" else "addr o, dom a"
            on = "r.addr=a.id" if members.table == "addr" else "r.addr=o.id AND o.dom=a.id"
            return Condition(
                f"EXISTS (SELECT 1 FROM rcpt r, {tables} "
                f"WHERE r.msg=m.id AND r.st IS NOT NULL AND {on} AND ({members.test}))"
            )
        if not members.listed:
            return NEVER
        boxes = f"SELECT o.id FROM addr o WHERE {column}{self._among(members.listed)}"
        return Condition(
            "EXISTS (SELECT 1 FROM rcpt r WHERE r.msg=m.id AND r.st IS NOT NULL "
            f"AND +r.addr IN ({boxes}))",
            (Hits("msg", f"rcpt WHERE addr IN ({boxes}) AND st IS NOT NULL"),),
        )

    def _to_many(self, members: _Members) -> Condition:
        named = "r.msg=m.id AND {}.id IN (r.addr, r.orig)"
        tables, where, on = "addr a", named.format("a"), "rcpt ON rcpt.{}=a.id"
        if members.table == "dom":
            tables = "addr o CROSS JOIN dom a"
            where = f"{named.format('o')} AND a.id=o.dom"
            on = "addr o ON o.dom=a.id CROSS JOIN rcpt ON rcpt.{}=o.id"
        return Condition(
            f"EXISTS (SELECT 1 FROM rcpt r CROSS JOIN {tables} WHERE {where} AND ({members.test}))",
            tuple(members.joined("rcpt.msg", on.format(column)) for column in ("addr", "orig")),
            broad=True,
        )

    @staticmethod
    def _streams(
        column: str, table: str, keys: Sequence[str], listed: Sequence[int]
    ) -> tuple[Hits, ...] | None:
        if len(listed) > STREAMS:
            return None
        return tuple(
            Hits(column, f"{table} WHERE {key}={number}") for key in keys for number in listed
        )

    def _ip(self, low: bytes, high: bytes) -> Condition:
        first = self._value(low)
        if low == high:
            hits = (Hits("id", f"msg WHERE ip={first}"),)
            return Condition(f"m.ip={first}", hits, hits)
        last, length = self._value(high), len(low)
        hits = (Hits("id", f"msg WHERE ip>={first} AND ip<={last} AND length(ip)={length}"),)
        return Condition(f"+m.ip>={first} AND +m.ip<={last} AND length(m.ip)={length}", hits)

    def _subject(self, words: Sequence[str]) -> Condition:
        phrase = " ".join(
            f'"{word[:-1]}"*' if word.endswith("*") else f'"{word}"' for word in words
        )
        try:
            self.link.execute(
                "SELECT 1 FROM msg_fts WHERE msg_fts MATCH ? LIMIT 1", (phrase,)
            ).fetchone()
        except sqlite3.OperationalError:
            return NEVER  # a letter younger than SQLite's Unicode tables splits the word
        hits = (Hits("rowid", f"msg_fts WHERE msg_fts MATCH {self._value(phrase)}"),)
        return Condition(f"m.id IN ({hits[0].select})", hits, hits)

    # ------------------------------------------------------------- dictionaries

    def _among(self, numbers: Sequence[int]) -> str:
        if len(numbers) == 1:
            return f"={numbers[0]}"
        return f" IN (SELECT value FROM json_each({self._value(json.dumps(list(numbers)))}))"

    def _members(self, matcher: search.Address) -> _Members:
        if matcher.domain:
            low, high = addresses.rname_range(matcher.domain)
            name = self._value(addresses.reverse(matcher.domain))
            first, end = self._value(low), self._value(high)
            return self._listed("dom", f"a.rname={name} OR a.rname>={first} AND a.rname<{end}")
        if matcher.exact:
            local, host = addresses.split(matcher.exact)
            rows = self.link.execute(
                "SELECT addr.id FROM dom JOIN addr ON dom=dom.id WHERE rname=? AND local=?",
                (addresses.reverse(host), local),
            )
            return _Members("addr", [row[0] for row in rows])
        part = matcher.part
        if len(part) < 3:
            first, end = self._value(part), self._value(part + "\U0010ffff")
            return self._listed("addr", f"a.local>={first} AND a.local<{end}")
        return self._part(addresses.words(part))

    def _listed(self, table: str, test: str) -> _Members:
        text = f"SELECT a.id FROM {table} a WHERE {test} LIMIT {LISTED + 1}"
        rows = self.link.execute(text, self.values).fetchall()
        if len(rows) <= LISTED:
            return _Members(table, [row[0] for row in rows])
        return _Members(table, None, test, f"{table} a", test)

    def _part(self, part: str) -> _Members:
        """Addresses that contain a part of three characters or more."""
        every = (part[i : i + 3] for i in range(len(part) - 2))
        grams = dict.fromkeys(gram for gram in every if "\0" not in gram)
        if not grams:
            return _Members("addr", [])  # a full-text query ends at NUL
        phrase = self._value(" ".join('"' + gram.replace('"', '""') + '"' for gram in grams))
        trigrams = f"SELECT rowid FROM addr_tri WHERE addr_tri MATCH {phrase}"
        test = self._contains(part)
        first = f"{trigrams} LIMIT {LISTED + 1}"
        rows = self.link.execute(
            f"SELECT a.id, {test} FROM ({first}) AS t CROSS JOIN addr a ON a.id=t.rowid",
            self.values,
        ).fetchall()
        if len(rows) <= LISTED:
            return _Members("addr", [row[0] for row in rows if row[1]])
        candidates = [row[0] for row in rows]
        if max(candidates) - min(candidates) <= 6 * LISTED:
            return _Members("addr", None, test, "addr a", test)
        # So few of the addresses are candidates that the trigrams lead to them sooner.
        tables = "addr_tri CROSS JOIN addr a ON a.id=addr_tri.rowid"
        return _Members("addr", None, test, tables, f"addr_tri MATCH {phrase} AND {test}")

    def _contains(self, part: str) -> str:
        """A test whether the address ``a`` contains a part.

        The part may end in @, but has none inside: that would be a whole address.
        """
        sought = self._value(part)
        local = _words("a.local", part)
        if "@" in part:
            nowhere = "a.dom IN (SELECT id FROM dom WHERE rname='')"
            return (
                f"(instr({local},{sought})>0 OR instr({local}||'@',{sought})>0 AND NOT {nowhere})"
            )
        longest = self._value(max(part.split("."), key=len))
        rows = self.link.execute(
            f"SELECT id, rname FROM dom WHERE instr({_words('rname', part)},{longest})>0",
            self.values,
        )
        # A domain's labels are kept in reverse, and the part may go over several.
        found = [dom for dom, name in rows if part in addresses.words(addresses.reverse(name))]
        domains = f" OR a.dom{self._among(found)}" if found else ""
        return f"(instr({local},{sought})>0{domains})"


def _first(among: str) -> tuple[Hits, ...]:
    """For each message the first of its recipients that is or was among some addresses."""
    before = f"r.msg=rcpt.msg AND r.n<rcpt.n AND (r.addr{among} OR r.orig{among})"
    first = f"(n=1 OR NOT EXISTS (SELECT 1 FROM rcpt r WHERE {before}))"
    return (
        Hits("msg", f"rcpt WHERE addr{among} AND {first}"),
        Hits("msg", f"rcpt WHERE orig{among} AND NOT addr{among} AND {first}"),
    )


def _words(column: str, part: str) -> str:
    """A column as ``addresses.words`` has it, as far as that matters to a part."""
    return f"replace(replace({column},'ё','е'),'Ё','Е')" if "е" in part else column


def _either(conditions: Sequence[Condition]) -> Condition:
    streams = [one.streams for one in conditions]
    every = [one.hits for one in conditions]
    return Condition(
        " OR ".join(f"({one.test})" for one in conditions),
        None if None in every else tuple(hits for one in every for hits in one or ()),
        None if None in streams else tuple(hits for one in streams for hits in one or ()),
        broad=any(one.broad for one in conditions),
        exact=all(one.exact for one in conditions),
    )


def _all(conditions: Sequence[Condition]) -> Condition:
    """Conditions that hold together; the hits are those of one of them."""
    if len(conditions) == 1:
        return conditions[0]
    test = " AND ".join(f"({one.test})" for one in conditions) or "1=1"
    led = [one for one in conditions if one.hits is not None]
    narrow = next((one for one in led if not one.broad), led[0] if led else None)
    if narrow is None:
        return Condition(test)
    return Condition(test, narrow.hits, broad=narrow.broad, exact=False)


def _in_state(states: Sequence[State]) -> Condition:
    listed = ",".join(str(int(state)) for state in states)
    test = (
        f"+m.status IN ({listed}) OR EXISTS "
        f"(SELECT 1 FROM rcpt r WHERE r.msg=m.id AND r.status IN ({listed}) LIMIT 1 OFFSET 0)"
    )  # the offset keeps PostgreSQL from gathering every such recipient for one page
    if State.STORED in states:
        return Condition(test)
    # The second half is what lets SQLite take the partial index.
    every = [f"WHERE status={int(state)} AND status!={int(State.STORED)}" for state in states]
    hits = tuple(
        Hits(column, f"{table} {one}")
        for column, table in (("id", "msg"), ("msg", "rcpt"))
        for one in every
    )
    return Condition(test, hits, hits)

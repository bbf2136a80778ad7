"""Near misses: what there is in the log where just what was asked for is not.

A question that finds nothing is asked again without one of its conditions: the same sender's
messages that were refused, addresses that are one or two letters off, the same subject, the
same without the time. Each look is bounded, the newest months come first.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import tzinfo
from typing import Literal

from mtad.where import Kept
from tracing import addresses, answers, ids, months, saved, search
from tracing.nearness import slips
from tracing.queries import Log, Row
from tracing.render import Document, moment, rfc3339, safe, state
from tracing.retrieval import spelled
from tracing.states import State
from tracing.terms import Address, Anywhere, Group, Matcher, Subject, Term

Sort = Literal["refused", "address", "subject", "time"]

MOST = 3
"""Messages told of each sort."""
MAX_SLIPS = 2
MAX_MONTHS = 3
"""Months whose addresses are compared."""
MAX_COMPARED = 200_000
"""Addresses compared in one month."""

_REFUSED = search.InState((State.REFUSED, State.TEMPFAILED, State.ABORTED))


@dataclass(frozen=True, slots=True)
class Miss:
    """A message that nearly is what was asked for; ``near`` is an address that is nearly it."""

    sort: Sort
    row: Row
    asked: str = ""
    near: str = ""


def of(directory: Kept, text: str) -> list[Miss]:
    """The near misses of a question that found nothing. Raises what ``answers.readable`` does."""
    with answers.readable(directory), closing(Log(directory)) as log:
        query = saved.parse(directory, text)
        found: list[Miss] = []
        seen: set[int] = set()
        for miss in _looks(log, directory, query):
            if miss.row.id not in seen:
                seen.add(miss.row.id)
                found.append(miss)
        return found


def _looks(log: Log, directory: Kept, query: search.Query) -> Iterator[Miss]:
    wanted = [term.matcher for term in query.terms if not term.negated]
    known = list(_addresses(wanted))
    if query.terms and (query.since is not None or query.until is not None):
        yield from _told(log, "time", query.terms)
    for address in known:
        if address.role != "to":
            yield from _told(log, "refused", (_term(address), _term(_REFUSED)), address)
    for address in known:
        for near in _near(directory, address):
            other = Address(address.role, exact=near)
            yield from _told(log, "address", (_term(other),), address, near)
    for subject in _subjects(wanted):
        yield from _told(log, "subject", (_term(subject),))


def _told(
    log: Log,
    sort: Sort,
    terms: Sequence[Term],
    asked: Address | None = None,
    near: str = "",
) -> Iterator[Miss]:
    found = log.ids(search.Query("", tuple(terms)), MOST)
    rows = log.rows(found)
    shown = (asked.exact or asked.part or f"@{asked.domain}") if asked else ""
    yield from (Miss(sort, rows[m], shown, near) for m in found if m in rows)


def _term(matcher: Matcher) -> Term:
    return Term(matcher, False, "")


def _addresses(wanted: Sequence[Matcher]) -> Iterator[Address]:
    """The addresses asked for, also those that stand in words and groups."""
    for matcher in wanted:
        if isinstance(matcher, Address) and not matcher.null:
            yield matcher
        elif isinstance(matcher, Anywhere):
            yield from (one for one in matcher.terms if isinstance(one, Address))
        elif isinstance(matcher, Group):
            for way in matcher.alternatives:
                yield from _addresses([term.matcher for term in way if not term.negated])


def _subjects(wanted: Sequence[Matcher]) -> Iterator[Subject]:
    for matcher in wanted:
        if isinstance(matcher, Subject):
            yield matcher
        elif isinstance(matcher, Anywhere):
            yield from (one for one in matcher.terms if isinstance(one, Subject))
        elif isinstance(matcher, Group):
            for way in matcher.alternatives:
                yield from _subjects([term.matcher for term in way if not term.negated])


# ------------------------------------------------------------ addresses nearby


def _near(directory: Kept, asked: Address) -> list[str]:
    """Addresses a slip or two away, the nearest first."""
    found: dict[str, int] = {}
    for month in months.listing(directory)[:MAX_MONTHS]:
        with closing(months.reading(directory, month)) as link:
            for address, far in _compared(link, asked):
                found[address] = min(far, found.get(address, far))
    return sorted(found, key=lambda address: (found[address], address))[:MOST]


def _compared(link: months.Link, asked: Address) -> Iterator[tuple[str, int]]:
    if asked.exact:
        yield from _whole(link, asked.exact)
    elif asked.domain:
        for dom, name, far in _domains(link, asked.domain):
            if far:
                row = link.execute("SELECT local FROM addr WHERE dom=? LIMIT 1", (dom,)).fetchone()
                if row:
                    yield f"{row[0]}@{name}", far
    elif len(asked.part) > MAX_SLIPS:
        wide = (len(asked.part) - MAX_SLIPS, len(asked.part) + MAX_SLIPS, MAX_COMPARED)
        text = "SELECT local, rname FROM addr JOIN dom ON dom.id=dom WHERE length(local)"
        for local, rname in link.execute(f"{text} BETWEEN ? AND ? LIMIT ?", wide):
            far = slips(addresses.words(local), addresses.words(asked.part), MAX_SLIPS)
            if 0 < far <= _most(asked.part):
                yield spelled(local, rname), far


def _whole(link: months.Link, asked: str) -> Iterator[tuple[str, int]]:
    local, host = addresses.split(asked)
    for dom, name, far in _domains(link, host):
        rest = MAX_SLIPS - far
        wide = (dom, len(local) - rest, len(local) + rest, MAX_COMPARED)
        text = "SELECT local FROM addr WHERE dom=? AND length(local) BETWEEN ? AND ? LIMIT ?"
        for (other,) in link.execute(text, wide):
            further = far + slips(other, local, rest)
            if 0 < further <= min(MAX_SLIPS, _most(local) + far):
                yield addresses.join(other, name), further


def _domains(link: months.Link, host: str) -> Iterator[tuple[int, str, int]]:
    """Domains up to two slips away, with how many; the domain itself is none away."""
    wide = (len(host) - MAX_SLIPS, len(host) + MAX_SLIPS, MAX_COMPARED)
    text = "SELECT id, rname FROM dom WHERE length(rname) BETWEEN ? AND ? LIMIT ?"
    for dom, rname in link.execute(text, wide):
        name = addresses.reverse(rname)
        far = slips(name, host, MAX_SLIPS)
        if far <= MAX_SLIPS:
            yield dom, name, far


def _most(word: str) -> int:
    """Slips that still are the same word: in a short one every other letter is another word."""
    return 1 if len(word) < 5 else MAX_SLIPS


# ------------------------------------------------------------------------ words

_SENTENCES = {
    "en": {
        "refused": "of {asked} this was not taken: {line}; see: mtad why {id}",
        "address": "{near} is nearly {asked}: {line}",
        "subject": "the same subject: {line}",
        "time": "at another time: {line}",
    },
    "ru": {
        "refused": "от {asked} вот это не было принято: {line}; см. mtad why {id}",
        "address": "{near} почти то же, что {asked}: {line}",
        "subject": "та же тема: {line}",
        "time": "в другое время: {line}",
    },
}


def sentence(miss: Miss, language: str, zone: tzinfo | None = None) -> str:
    """A near miss on one line; times in a zone (None: local)."""
    row = miss.row
    to = ", ".join(row.recipients) or "-"
    when = f"{moment(row.at, zone):%Y-%m-%d %H:%M:%S}"
    line = f"{ids.text(row.id)} {when} {state(row.state.word)} {row.sender or '<>'} -> {to}"
    text = _SENTENCES[language][miss.sort]
    filled = {"asked": miss.asked, "near": miss.near, "id": ids.text(row.id)}
    return safe(text.format(line=f"{line} {row.subject}".rstrip(), **filled))


def as_document(miss: Miss, language: str) -> Document:
    """A near miss as JSON shows it."""
    return {
        "sort": miss.sort,
        "asked": miss.asked,
        "near": miss.near,
        "id": ids.text(miss.row.id),
        "at": rfc3339(miss.row.at),
        "state": miss.row.state.word,
        "from": miss.row.sender,
        "to": list(miss.row.recipients),
        "subject": miss.row.subject,
        "sentence": sentence(miss, language),
    }

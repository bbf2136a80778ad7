"""Choosing messages of a box by the filter language, the same that ``mtad trace`` reads (PURE).

``from:alice subj:"annual report" mbox:Archive/* flag:flagged size:>1M since:2d has:attachment``

``since:``, ``until:``, ``on:`` and ``at:`` are about when a message arrived; the caller may
mean another time by those at the outermost level (when it was deleted).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import tzinfo
from fnmatch import fnmatchcase

from backup.cache import Head
from backup.format import Entry
from mtad.store import names
from tracing import addresses, fields, moments, search
from tracing.fields import Field
from tracing.search import (
    Address,
    Anywhere,
    Group,
    Id,
    Matcher,
    MessageId,
    Query,
    SearchError,
    Span,
    Subject,
    Term,
    Text,
)

_FLAGS = {flag.lstrip("\\$").lower(): letter for letter, flag in names.FLAGS.items()}
_ADDRESS = re.compile(r"[^\s<>()\[\],;:\"@]+@[^\s<>()\[\],;:\"@]+")
_HAS = ("attachment",)


def _flag(value: str) -> Text:
    return Text("flag", value.lower().lstrip("\\"))


def _mailbox(value: str) -> Text:
    return Text("mbox", value.casefold())


def _has(value: str) -> Text:
    if value.lower() not in _HAS:
        raise ValueError(f"a message cannot be asked for {value}; there is {', '.join(_HAS)}")
    return Text("has", value.lower())


def _date(value: str) -> Span:
    """A day, or one to another, by the Date field; with the offset of this machine."""
    first, dots, last = value.partition("..")
    try:
        begin, end = _day(first)
        return Span("date", begin, _day(last)[1] if dots else end)
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{value} is no day; {moments.HINT}") from None


def _day(value: str) -> tuple[int, int]:
    from mtad import clock  # noqa: PLC0415 - the one use of now

    begin, end = moments.whole_day(moments.moment(value, clock.now_us(), None), None)
    return moments.microseconds(begin), moments.microseconds(end)


FIELDS: dict[str, Field] = {
    **{name: fields.FIELDS[name] for name in ("from", "subj", "msgid", "id", "size", "box")},
    "to": Field(fields.FIELDS["to"].read, "a recipient in To, Cc or Bcc", "to:alice"),
    "mbox": Field(_mailbox, "the mailbox it was in; * stands for anything", "mbox:Archive/*"),
    "flag": Field(_flag, "seen, flagged, answered, draft or a keyword", "!flag:seen"),
    "has": Field(_has, "attachment", "has:attachment"),
    "date": Field(_date, "the day in its Date field", "date:2026-11-20"),
}
"""What may stand before a colon, beside times."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A message and what is known of its header; ``has_attachment`` reads it, so comes last."""

    box: str
    entry: Entry
    head: Head | None
    has_attachment: Callable[[], bool]


def parse(text: str, now_us: int, zone: tzinfo | None = None) -> Query:
    """The query a line spells. Raises SearchError."""
    return search.parse(text, now_us, zone, {}, FIELDS)


def asks_heads(query: Query) -> bool:
    """Whether anything must be known of headers to answer a query."""
    return any(_asks(term.matcher) for term in query.terms)


def _asks(matcher: Matcher) -> bool:
    if isinstance(matcher, Group):
        return any(_asks(term.matcher) for one in matcher.alternatives for term in one)
    if isinstance(matcher, Address):
        return matcher.role != "box"
    return isinstance(matcher, MessageId | Subject | Anywhere) or (
        isinstance(matcher, Span) and matcher.field == "date"
    )


def split_boxes(query: Query) -> tuple[Query, list[Address]]:
    """A query without the ``box:`` terms of its outermost level, and those.

    Raises SearchError for one that is negated.
    """
    found, rest = [], []
    for term in query.terms:
        if isinstance(term.matcher, Address) and term.matcher.role == "box":
            if term.negated:
                raise SearchError(query.text, 0, "say which boxes are meant, not which are not")
            found.append(term.matcher)
        else:
            rest.append(term)
    return Query(query.text, tuple(rest), query.since, query.until), found


def fits(query: Query, one: Candidate, *, arrival: bool = True) -> bool:
    """Whether a message is meant; without ``arrival`` the query's own times are not looked at."""
    if arrival:
        at = one.entry.mtime_ns // 1000
        if (query.since is not None and at < query.since) or (
            query.until is not None and at >= query.until
        ):
            return False
    return all(_holds(term, one) for term in sorted(query.terms, key=_is_dear))


def _is_dear(term: Term) -> bool:
    return isinstance(term.matcher, Text | Group)


def _holds(term: Term, one: Candidate) -> bool:
    return _matches(term.matcher, one) != term.negated


def _matches(matcher: Matcher, one: Candidate) -> bool:
    entry, head = one.entry, one.head
    if isinstance(matcher, Group):
        return any(all(_holds(t, one) for t in terms) for terms in matcher.alternatives)
    if isinstance(matcher, Id):
        return any(matcher.low <= n < matcher.high for n in (entry.m, entry.st) if n)
    if isinstance(matcher, Span):
        return _spans(matcher, entry, head)
    if isinstance(matcher, Text):
        return _text(matcher, one)
    if isinstance(matcher, Address):
        return address_fits(matcher, _addresses(matcher.role, one))
    if isinstance(matcher, Anywhere):
        return any(_matches(each, one) or _occurs(each, head) for each in matcher.terms)
    if head is None:
        return False
    if isinstance(matcher, MessageId):
        return matcher.value.casefold() in head.message_id.casefold()
    if isinstance(matcher, Subject):
        return _has_words(matcher.words, head.subject)
    return False


def _spans(span: Span, entry: Entry, head: Head | None) -> bool:
    """Whether a number is between two; the end of a time is not included."""
    low, high = span.low, span.high
    if span.field == "size":
        return (low is None or low <= entry.size) and (high is None or entry.size <= high)
    at = entry.mtime_ns // 1000 if span.field == "time" else head.at if head else 0
    return (low is None or low <= at) and (high is None or at < high)


def _text(matcher: Text, one: Candidate) -> bool:
    if matcher.field == "mbox":
        name = one.entry.mailbox.casefold()
        return fnmatchcase(name, matcher.value.replace("[", "[[]"))
    if matcher.field == "flag":
        letter = _FLAGS.get(matcher.value)
        if letter is not None:
            return letter in one.entry.flags
        return matcher.value in (word.lower() for word in one.entry.keywords)
    return one.has_attachment()


def _addresses(role: str, one: Candidate) -> list[str]:
    if role == "box":
        return [one.box]
    if one.head is None:
        return []
    written = one.head.sender if role == "from" else one.head.recipients
    return [*map(addresses.fold, _ADDRESS.findall(written)), written.casefold()]


def address_fits(matcher: Address, folded: list[str]) -> bool:
    """Whether one of the addresses is meant."""
    for each in folded:
        host = addresses.split(each)[1]
        if matcher.null and not each:
            return True
        if matcher.exact and each == matcher.exact:
            return True
        if matcher.domain and (host == matcher.domain or host.endswith(f".{matcher.domain}")):
            return True
        if matcher.part and matcher.part in each:
            return True
    return False


def _occurs(matcher: Matcher, head: Head | None) -> bool:
    """Whether bare words stand in a subject, as parts of words too: nothing is deleted by it."""
    if head is None or not isinstance(matcher, Subject):
        return False
    folded = addresses.words(head.subject).casefold()
    return all(word.rstrip("*").casefold() in folded for word in matcher.words)


def _has_words(wanted: tuple[str, ...], subject: str) -> bool:
    there = {word.rstrip("*").casefold() for word in fields.words(subject)}
    for word in map(str.casefold, wanted):
        if word.endswith("*"):
            if not any(one.startswith(word[:-1]) for one in there):
                return False
        elif word not in there:
            return False
    return True

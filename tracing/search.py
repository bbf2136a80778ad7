"""The filter language: one line of text to a query (PURE).

``from:alice to:@example.org since:2d !state:delivered "quarterly figures"``

Terms beside each other must all hold; ``|`` between them means either, and holds together less
than they do; written without spaces it binds first, and the field need not be repeated:
``state:bounced|expired``. ``!`` or ``-`` before a term or a bracket negates it; quotes keep
spaces together; a lone ``*`` means everything; ``@name`` is a saved
view. The same text serves the command line, the terminal's filter line and saved views.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from tracing import addresses, fields, ids, moments, views
from tracing.fields import address as address
from tracing.fields import ids_from as ids_from
from tracing.fields import ip as ip
from tracing.fields import words as words
from tracing.terms import EVERYTHING as EVERYTHING
from tracing.terms import Address as Address
from tracing.terms import Anywhere as Anywhere
from tracing.terms import Group as Group
from tracing.terms import Id as Id
from tracing.terms import InState as InState
from tracing.terms import Ip as Ip
from tracing.terms import Matcher as Matcher
from tracing.terms import MessageId as MessageId
from tracing.terms import Query as Query
from tracing.terms import SearchError as SearchError
from tracing.terms import Span as Span
from tracing.terms import Subject as Subject
from tracing.terms import Term as Term
from tracing.terms import Text as Text

FIELDS = (*fields.FIELDS, *fields.TIMES)
"""The names that may stand before a colon."""

MAX_TERMS = 32
MAX_DEPTH = 8
"""Brackets inside each other."""
_MAX_TEXT = 4096
_EVER = (1 << 63) - 1

_FIELD = re.compile(r"([a-z-]+):", re.IGNORECASE)


@dataclass(slots=True)
class _Token:
    """A term, or a bracket or a bar, which is then its ``sign``."""

    position: int
    sign: str = ""
    negated: bool = False
    field: str = ""
    value: str = ""
    value_at: int = 0
    end: int = 0
    tight: bool = False
    """Of a bar: no space on either side."""


@dataclass(slots=True)
class _Views:
    """Views by name, those that are being read, and how many terms were read with them."""

    table: Mapping[str, str]
    fields: Mapping[str, fields.Field]
    """What may stand before a colon, beside times; the log's, or those of messages."""
    inside: tuple[str, ...] = ()
    terms: int = 0


def parse(
    text: str,
    now_us: int,
    zone: tzinfo | None = None,
    views: Mapping[str, str] = views.BUILT_IN,
    known: Mapping[str, fields.Field] = fields.FIELDS,
) -> Query:
    """The query a line spells; times without an offset are in ``zone`` (None: local).

    ``@name`` stands for the filter of that name among ``views``, ``known`` are the
    fields there are beside those of times. Raises SearchError.
    """
    return _parse(text, now_us, zone, _Views(views, known))


def _parse(text: str, now_us: int, zone: tzinfo | None, known: _Views) -> Query:
    text = addresses.storable(text)
    if len(text) > _MAX_TEXT:
        raise SearchError(text[:80], 0, f"a query has at most {_MAX_TEXT} characters")
    tokens = _tokens(text, (*known.fields, *fields.TIMES))
    counted = [token for token in tokens if not token.sign]
    if len(counted) > MAX_TERMS:
        where = counted[MAX_TERMS].position
        raise SearchError(text, where, f"a query has at most {MAX_TERMS} terms")
    known.terms += len(counted)
    if known.terms > views.MAX_TERMS:
        raise SearchError(text, 0, f"with its views a query has at most {views.MAX_TERMS} terms")
    return _Reading(text, tokens, now_us, zone, known).query()


# ---------------------------------------------------------------------- tokens


def _tokens(text: str, known: Sequence[str]) -> list[_Token]:
    tokens: list[_Token] = []
    open_at: list[int] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
        elif text[at] == "|":
            spaced = any(not one or one.isspace() for one in (text[:at][-1:], text[at + 1 :][:1]))
            tokens.append(_Token(at, "|", tight=not spaced, end=at + 1))
            at += 1
        elif text[at] == ")" and open_at:
            open_at.pop()
            tokens.append(_Token(at, ")", end=at + 1))
            at += 1
        else:
            token = _token(text, at, bool(open_at), known)
            if token.sign:
                open_at.append(token.position)
                if len(open_at) > MAX_DEPTH:
                    raise SearchError(text, at, f"there are at most {MAX_DEPTH} brackets in one")
            tokens.append(token)
            at = token.end
    if open_at:
        raise SearchError(text, open_at[-1], "the bracket is not closed")
    return tokens


def _token(text: str, begin: int, in_brackets: bool, known: Sequence[str]) -> _Token:
    """The term or opening bracket that begins at a place that is no space."""
    at = begin
    negated = text[at] in "!-" and at + 1 < len(text) and not text[at + 1].isspace()
    if negated:
        at += 1
    if text[at] == "(":
        return _Token(begin, "(", negated, end=at + 1)
    field = ""
    named = _FIELD.match(text, at)
    if named is not None:
        field = named[1].lower()
        if field not in known:
            near = difflib.get_close_matches(field, known, 1, 0.4)
            hint = f"did you mean {near[0]}:?" if near else f"there are {', '.join(known)}"
            raise SearchError(text, at, f"there is no field {field}: - {hint}")
        at = named.end()
    value, value_at, end = _value(text, at, in_brackets)
    if not value.strip():
        what = f"nothing stands after {field}:" if field else "empty"
        raise SearchError(text, begin, what)
    return _Token(begin, "", negated, field, value, value_at, end)


def _value(text: str, at: int, in_brackets: bool) -> tuple[str, int, int]:
    """A value, where it begins and where what follows begins."""
    if at < len(text) and text[at] == '"':
        close = text.find('"', at + 1)
        if close < 0:
            raise SearchError(text, at, "the quotation mark is not closed")
        return text[at + 1 : close], at + 1, close + 1
    end = at
    if at < len(text) and text[at] == "<":  # a Message-ID may have any sign inside
        end = max(text.find(">", at), at)
        end = at if any(char.isspace() for char in text[at:end]) else end
    stops = "|)" if in_brackets else "|"
    while end < len(text) and not text[end].isspace() and text[end] not in stops:
        end += 1
    return text[at:end], at, end


# --------------------------------------------------------------------- grammar


class _Reading:
    """One pass over the tokens: alternatives of conjunctions of terms and brackets."""

    def __init__(
        self, text: str, tokens: list[_Token], now_us: int, zone: tzinfo | None, known: _Views
    ) -> None:
        self._text = text
        self._tokens = tokens
        self._now = now_us
        self._zone = zone
        self._known = known
        self._at = 0

    def query(self) -> Query:
        """The whole line; times at its outermost level narrow the query itself."""
        alternatives = self._alternatives() if self._tokens else [[]]
        text = self._text.strip()
        if len(alternatives) > 1:
            every = tuple(tuple(map(self._plain, one)) for one in alternatives)
            return Query(text, (Term(Group(every), False, text),))
        since: int | None = None
        until: int | None = None
        terms: list[Term] = []
        for term in alternatives[0]:
            matcher = term.matcher
            if isinstance(matcher, Span) and matcher.field == "time" and not term.negated:
                if matcher.low is not None:
                    since = matcher.low if since is None else max(since, matcher.low)
                if matcher.high is not None:
                    until = matcher.high if until is None else min(until, matcher.high)
            else:
                terms.append(self._plain(term))
        return Query(text, tuple(terms), since, until)

    def _peek(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _alternatives(self) -> list[list[Term]]:
        """``a b | c d``, up to the end or a closing bracket."""
        found = [self._conjunction()]
        while (token := self._peek()) is not None and token.sign == "|":
            self._at += 1
            found.append(self._conjunction(token))
        return found

    def _conjunction(self, after: _Token | None = None) -> list[Term]:
        terms: list[Term] = []
        begin = self._at
        while (token := self._peek()) is not None and token.sign not in ("|", ")"):
            terms += self._either()
        if self._at == begin:
            token = self._peek() or after
            where = token.position if token is not None else 0
            raise SearchError(self._text, where, "something to look for is missing here")
        return terms

    def _either(self) -> list[Term]:
        """A term or bracket with those that a bar ties to it."""
        first = self._tokens[self._at]
        found = [self._one("")]
        field = first.field
        while (bar := self._peek()) is not None and bar.sign == "|" and bar.tight:
            self._at += 1
            following = self._peek()
            if following is None or following.sign in (")", "|"):
                raise SearchError(self._text, bar.position, "nothing stands after |")
            field = following.field or field
            found.append(self._one(field))
        if len(found) == 1:
            return found[0]
        written = self._text[first.position : self._tokens[self._at - 1].end]
        every = tuple(tuple(map(self._plain, terms)) for terms in found)
        return [Term(Group(every), False, written)]

    def _one(self, field: str) -> list[Term]:
        """A term, with ``field`` where it names none; or a bracket."""
        token = self._tokens[self._at]
        self._at += 1
        if token.sign != "(":
            return self._term(token, token.field or field)
        alternatives = self._alternatives() if self._is_more(token) else [[]]
        close = self._tokens[self._at]
        self._at += 1
        if len(alternatives) == 1 and not token.negated:
            return alternatives[0]
        every = tuple(tuple(map(self._plain, one)) for one in alternatives)
        written = self._text[token.position : close.end]
        return [Term(Group(every), token.negated, written)]

    def _is_more(self, bracket: _Token) -> bool:
        token = self._peek()
        if token is None or token.sign == ")":
            raise SearchError(self._text, bracket.position, "nothing stands in the brackets")
        return True

    # ---------------------------------------------------------------- terms

    def _term(self, token: _Token, field: str) -> list[Term]:
        value = token.value.strip()
        written = self._text[token.position : token.end].strip()
        if field in fields.TIMES:
            return [Term(self._time(token, field, value), token.negated, written)]
        if not field and value == "*":
            nothing = Term(Group(((),)), True, written)
            return [nothing] if token.negated else []  # no condition says everything
        name = value.removeprefix("@").lower()
        if not field and value.startswith("@") and views.NAME.fullmatch(name):
            return [Term(self._view(token, name), token.negated, written)]
        try:
            matcher = self._known.fields[field].read(value) if field else fields.anywhere(value)
        except ValueError as error:
            raise SearchError(self._text, token.value_at, str(error)) from None
        return [Term(matcher, token.negated, written)]

    def _view(self, token: _Token, name: str) -> Group:
        """What a view stands for; mistakes in it are told at its name."""
        known = self._known
        if name not in known.table:
            near = difflib.get_close_matches(name, known.table, 1, 0.4)
            hint = f"did you mean @{near[0]}?" if near else "'mtad trace --views' lists them"
            reason = f"there is no view @{name} - {hint}; a domain is domain:{name}"
            raise SearchError(self._text, token.position, reason)
        if name in known.inside or len(known.inside) >= views.MAX_INSIDE:
            reason = f"the view @{name} leads back to itself, or through too many others"
            raise SearchError(self._text, token.position, reason)
        before, known.inside = known.inside, (*known.inside, name)
        try:
            query = _parse(known.table[name], self._now, self._zone, known)
        except SearchError as error:
            if error.text == self._text:
                raise
            reason = f"in the view @{name}: {error}"
            raise SearchError(self._text, token.position, reason) from error
        known.inside = before
        terms = list(query.terms)
        if query.since is not None or query.until is not None:
            span = Term(Span("time", query.since, query.until), False, query.text)
            terms.append(self._plain(span))
        return Group((tuple(terms),))

    def _time(self, token: _Token, field: str, value: str) -> Span:
        """A span of time, microseconds, its end not included; ``query`` knows it by its field."""
        if field in ("since", "until") and token.negated:
            other = "until" if field == "since" else "since"
            reason = f"{field}: cannot be negated; write {other}:"
            raise SearchError(self._text, token.position, reason)
        try:
            if field in ("since", "until"):
                when = moments.microseconds(moments.moment(value, self._now, self._zone))
                return Span("time", when, None) if field == "since" else Span("time", None, when)
            first, dots, last = value.partition("..")
            begin, end = self._whole(field, first)
            if dots:
                end = self._whole(field, last)[1]
            return Span("time", begin, end)
        except (ValueError, OverflowError, OSError):
            raise SearchError(
                self._text, token.value_at, f"{value} is no time; {moments.HINT}"
            ) from None

    def _whole(self, field: str, value: str) -> tuple[int, int]:
        """The day or the minute that a time is in."""
        when = moments.moment(value, self._now, self._zone)
        day = field == "on"
        begin, end = moments.whole_day(when, self._zone) if day else moments.whole_minute(when)
        return moments.microseconds(begin), moments.microseconds(end)

    def _plain(self, term: Term) -> Term:
        """A term whose time is said by ids, which begin with the time; not among messages."""
        matcher = term.matcher
        by_id = self._known.fields is fields.FIELDS
        if not isinstance(matcher, Span) or matcher.field != "time" or not by_id:
            return term
        low = 0 if matcher.low is None else ids.lowest(matcher.low)
        high = _EVER if matcher.high is None else ids.lowest(matcher.high)
        return Term(Id(low, high), term.negated, term.written)

"""The filter language: one line of text to a query (PURE).

``from:alice to:@example.org since:2d !state:delivered "quarterly figures"``

Terms are joined by AND; ``!`` or ``-`` before a term negates it; quotes keep spaces together.
The same text serves the command line, the terminal's filter line and saved views.
"""

import difflib
import ipaddress
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from tracing import addresses, ids
from tracing.states import BY_WORD, State

FIELDS = ("from", "to", "msgid", "id", "ip", "subj", "since", "until", "state")
"""The names that may stand before a colon."""

MIN_ID = 6
"""Characters of an abbreviated id."""

MAX_TERMS = 32
_MAX_TEXT = 4096

_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO = re.compile(r"(\d{1,9})([smhdw])")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?")
_FIELD = re.compile(r"([a-z-]+):", re.IGNORECASE)
_WORD = re.compile(r"\w+", re.UNICODE)
_ID_START = re.compile(r"[0-9a-hjkmnp-tv-z]{6,13}")


class SearchError(ValueError):
    """What is wrong with a query, and where: ``str()`` is one sentence, ``caret`` points."""

    def __init__(self, text: str, position: int, reason: str) -> None:
        super().__init__(reason)
        self.text = text
        self.position = position

    @property
    def caret(self) -> str:
        """The query on a line that is safe to show, and a mark under the place on another."""
        shown = "".join(char if char.isprintable() else " " for char in self.text)
        return f"  {shown}\n  {' ' * self.position}^"


@dataclass(frozen=True, slots=True)
class Address:
    """``from:`` or ``to:``. ``exact``, a ``domain`` with its subdomains, or a ``part`` of it."""

    role: str
    exact: str = ""
    domain: str = ""
    part: str = ""
    null: bool = False


@dataclass(frozen=True, slots=True)
class MessageId:
    """``msgid:``: the Message-ID, with or without its angle brackets."""

    value: str


@dataclass(frozen=True, slots=True)
class Id:
    """``id:``: ids from ``low`` up to but not ``high``; one id, or all it abbreviates."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Ip:
    """``ip:``: addresses from ``low`` to ``high``, packed."""

    low: bytes
    high: bytes


@dataclass(frozen=True, slots=True)
class Subject:
    """``subj:``: words, all of which stand in the subject; ``…*`` begins a word."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InState:
    """``state:``: the message or one of its recipients is in one of these states."""

    states: tuple[State, ...]


@dataclass(frozen=True, slots=True)
class Anywhere:
    """A bare word: any of these matches."""

    terms: tuple["Address | MessageId | Id | Ip | Subject", ...]


Matcher = Address | MessageId | Id | Ip | Subject | InState | Anywhere


@dataclass(frozen=True, slots=True)
class Term:
    """One condition of a query; ``written`` is its text."""

    matcher: Matcher
    negated: bool
    written: str


@dataclass(frozen=True, slots=True)
class Query:
    """All conditions; ``since`` and ``until`` in microseconds since the Unix epoch."""

    text: str = ""
    terms: tuple[Term, ...] = ()
    since: int | None = None
    until: int | None = None


EVERYTHING = Query()
"""The query that leaves nothing out."""


@dataclass(slots=True)
class _Token:
    position: int
    negated: bool
    field: str
    value: str
    value_at: int


def parse(text: str, now_us: int, zone: tzinfo | None = None) -> Query:
    """The query a line spells; times without an offset are in ``zone`` (None: local).

    Raises SearchError.
    """
    text = addresses.storable(text)
    if len(text) > _MAX_TEXT:
        raise SearchError(text[:80], 0, f"a query has at most {_MAX_TEXT} characters")
    tokens = list(_tokens(text))
    if len(tokens) > MAX_TERMS:
        where = tokens[MAX_TERMS].position
        raise SearchError(text, where, f"a query has at most {MAX_TERMS} terms")
    terms: list[Term] = []
    since: int | None = None
    until: int | None = None
    for token in tokens:
        if token.field in ("since", "until"):
            if token.negated:
                other = "until" if token.field == "since" else "since"
                reason = f"{token.field}: cannot be negated; write {other}:"
                raise SearchError(text, token.position, reason)
            at = _time(text, token, now_us, zone)
            if token.field == "since":
                since = at if since is None else max(since, at)
            else:
                until = at if until is None else min(until, at)
            continue
        end = token.value_at + len(token.value)
        written = text[token.position : end].strip()
        terms.append(Term(_matcher(text, token), token.negated, written))
    return Query(text.strip(), tuple(terms), since, until)


def _tokens(text: str) -> "list[_Token]":
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        begin = at
        negated = text[at] in "!-" and at + 1 < len(text) and not text[at + 1].isspace()
        if negated:
            at += 1
        field = ""
        named = _FIELD.match(text, at)
        if named is not None:
            field = named[1].lower()
            if field not in FIELDS:
                near = difflib.get_close_matches(field, FIELDS, 1, 0.4)
                hint = f"did you mean {near[0]}:?" if near else f"there are {', '.join(FIELDS)}"
                raise SearchError(text, at, f"there is no field {field}: - {hint}")
            at = named.end()
        value_at = at
        if at < len(text) and text[at] == '"':
            close = text.find('"', at + 1)
            if close < 0:
                raise SearchError(text, at, "the quotation mark is not closed")
            value, value_at, at = text[at + 1 : close], at + 1, close + 1
        else:
            while at < len(text) and not text[at].isspace():
                at += 1
            value = text[value_at:at]
        if not value.strip():
            what = f"{field}:" if field else "the quotation marks"
            raise SearchError(text, begin, f"nothing stands after {what}" if field else "empty")
        tokens.append(_Token(begin, negated, field, value, value_at))
    return tokens


def _matcher(text: str, token: _Token) -> Matcher:
    value = token.value.strip()
    match token.field:
        case "from" | "to":
            return address(token.field, value)
        case "msgid":
            return MessageId(value.strip("<>"))
        case "id":
            found = ids_from(value)
            if found is None:
                reason = f"an id has {MIN_ID} to {ids.LENGTH} of 0-9 a-z without i, l, o, u"
                raise SearchError(text, token.value_at, reason)
            return found
        case "ip":
            network = ip(value)
            if network is None:
                reason = f"{value} is no IP address or network such as 192.0.2.0/24"
                raise SearchError(text, token.value_at, reason)
            return network
        case "subj":
            found_words = words(value)
            if not found_words:
                raise SearchError(text, token.value_at, "there is no word to look for")
            return Subject(found_words)
        case "state":
            return _state(text, token, value.lower())
        case _:
            return _anywhere(value)


def address(role: str, value: str) -> Address:
    """What ``from:`` and ``to:`` take: a@b, @domain, <> or a part of an address."""
    if value == "<>":
        return Address(role, null=True)
    folded = addresses.fold(value.strip("<>"))
    if folded.startswith("@") and len(folded) > 1:
        return Address(role, domain=folded[1:].lstrip("*").lstrip("."))
    if folded.startswith("*@") and len(folded) > 2:
        return Address(role, domain=folded[2:])
    if "@" in folded.strip("@"):
        return Address(role, exact=folded)
    return Address(role, part=folded)


def ids_from(value: str) -> Id | None:
    """The ids that a whole or abbreviated id stands for."""
    shown = value.lower()
    if not _ID_START.fullmatch(shown):
        return None
    low = ids.parse(shown.ljust(ids.LENGTH, "0"))
    if low is None:
        return None
    return Id(low, low + (1 << 5 * (ids.LENGTH - len(shown))))


def ip(value: str) -> Ip | None:
    """One IP address or a network in CIDR notation."""
    try:
        network = ipaddress.ip_network(value.strip("[]"), strict=False)
    except ValueError:
        return None
    return Ip(network.network_address.packed, network.broadcast_address.packed)


def words(value: str) -> tuple[str, ...]:
    """The words of a text as the index splits it; a word ended by ``*`` is a beginning."""
    found: list[str] = []
    folded = addresses.words(value)
    for word in _WORD.finditer(folded):
        star = folded[word.end() : word.end() + 1] == "*"
        found += [part for part in word.group().split("_") if part]
        if star and found:
            found[-1] += "*"
    return tuple(found)


def _anywhere(value: str) -> Anywhere:
    terms: list[Address | MessageId | Id | Ip | Subject] = []
    if found_words := words(value):
        terms.append(Subject(found_words))
    if not any(char.isspace() for char in value):
        terms += [address("from", value), address("to", value), MessageId(value.strip("<>"))]
        terms += [found for found in (ids_from(value), ip(value)) if found is not None]
    if not terms:
        terms.append(Address("from", part=addresses.fold(value)))
    return Anywhere(tuple(terms))


def _state(text: str, token: _Token, value: str) -> InState:
    groups = {
        "open": tuple(state for state in State if state.is_open),
        "stored": (State.STORED,),
        "failed": (State.BOUNCED, State.EXPIRED, State.REFUSED),
    }
    if value in groups:
        return InState(groups[value])
    if value in BY_WORD:
        return InState((BY_WORD[value],))
    known = [*BY_WORD, *groups]
    near = difflib.get_close_matches(value, known, 1, 0.4)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    raise SearchError(text, token.value_at, f"there is no state {value} - {hint}")


def _time(text: str, token: _Token, now_us: int, zone: tzinfo | None) -> int:
    """``15m 3h 2d 1w today yesterday 14:20 2026-11-20 2026-11-20T14:00[+03:00]``."""
    value = token.value.strip()
    now = datetime.fromtimestamp(now_us / 1_000_000, UTC).astimezone(zone)
    ago = _AGO.fullmatch(value.lower())
    if ago is not None:
        return now_us - int(ago[1]) * _UNIT[ago[2]] * 1_000_000
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    clock = _CLOCK.fullmatch(value)
    try:
        if value.lower() == "now":
            when = now
        elif value.lower() == "today":
            when = midnight
        elif value.lower() == "yesterday":
            when = _local(midnight - timedelta(days=1), zone)
        elif clock is not None:
            hour, minute, second = int(clock[1]), int(clock[2]), int(clock[3] or 0)
            when = _local(midnight.replace(hour=hour, minute=minute, second=second), zone)
            if when > now:
                when = _local(when - timedelta(days=1), zone)
        else:
            when = datetime.fromisoformat(value)
            when = _local(when, zone) if when.tzinfo is None else when
        return int(when.timestamp()) * 1_000_000 + when.microsecond
    except (ValueError, OverflowError, OSError):
        reason = (
            f"{value} is no time; write 15m, 3h, 2d, 1w, today, yesterday, 14:20, 2026-11-20 "
            "or 2026-11-20T14:00"
        )
        raise SearchError(text, token.value_at, reason) from None


def _local(when: datetime, zone: tzinfo | None) -> datetime:
    """A wall-clock time in the zone, with the offset in force then."""
    naive = when.replace(tzinfo=None)
    return naive.astimezone() if zone is None else naive.replace(tzinfo=zone)

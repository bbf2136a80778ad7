"""The fields of the filter language: what stands before a colon, what its value means (PURE)."""

import difflib
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

from tracing import addresses, ids, moments
from tracing.states import BY_WORD, State
from tracing.terms import (
    Address,
    Anywhere,
    Group,
    Id,
    InState,
    Ip,
    Matcher,
    MessageId,
    Span,
    Subject,
    Term,
    Text,
)

MIN_ID = 6
"""Characters of an abbreviated id."""

DIRECTIONS = {"in": 0, "submitted": 1, "out": 1, "made": 2}
"""What ``dir:`` takes: from other servers, from our users, made here."""

_GROUPS = {
    "open": tuple(state for state in State if state.is_open),
    "stored": (State.STORED,),
    "failed": (State.BOUNCED, State.EXPIRED, State.REFUSED),
}
_WORD = re.compile(r"\w+", re.UNICODE)
_ID_START = re.compile(r"[0-9a-hjkmnp-tv-z]{6,13}")
_SIZE = re.compile(r"(\d{1,15})([kmgкмг]?)b?", re.IGNORECASE)
_FACTOR = {"": 1, "k": 1024, "к": 1024, "m": 1 << 20, "м": 1 << 20, "g": 1 << 30, "г": 1 << 30}
_CODE_CLASS = re.compile(r"([245])(?:xx|\*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Field:
    """One field: how its value is read, and one line of help with an example."""

    read: Callable[[str], Matcher]
    """Raises ValueError with a sentence for a value that cannot be read."""
    help: str
    example: str


# -------------------------------------------------------------- reading values


def address(role: str, value: str) -> Address:
    """What ``from:`` and ``to:`` take: a@b, @domain, <> or a part of an address.

    A ``*`` at either end changes nothing: a part is found anywhere.
    """
    if value == "<>":
        return Address(role, null=True)
    folded = addresses.fold(value.strip("<>"))
    if folded.startswith("@") and len(folded) > 1:
        return Address(role, domain=folded[1:].lstrip("*").lstrip("."))
    if folded.startswith("*@") and len(folded) > 2:
        return Address(role, domain=folded[2:].lstrip("*").lstrip("."))
    folded = folded.strip("*") or folded
    if "@" in folded.strip("@"):
        return Address(role, exact=folded)
    return Address(role, part=folded)


def _address(role: str) -> Callable[[str], Matcher]:
    def reader(value: str) -> Address:
        found = address(role, value)
        if "*" in found.exact + found.domain + found.part:
            raise ValueError("a * stands at the beginning or at the end of an address")
        return found

    return reader


def _domain(value: str) -> Anywhere:
    name = addresses.fold("@" + value.lstrip("*@.").rstrip("."))[1:]
    if not name:
        raise ValueError(f"{value} is no domain")
    return Anywhere((Address("from", domain=name), Address("to", domain=name)))


def ids_from(value: str) -> Id | None:
    """The ids that a whole or abbreviated id stands for."""
    shown = value.lower()
    if not _ID_START.fullmatch(shown):
        return None
    low = ids.parse(shown.ljust(ids.LENGTH, "0"))
    if low is None:
        return None
    return Id(low, low + (1 << 5 * (ids.LENGTH - len(shown))))


def _id(value: str) -> Id:
    found = ids_from(value.rstrip("*"))
    if found is None:
        raise ValueError(f"an id has {MIN_ID} to {ids.LENGTH} of 0-9 a-z without i, l, o, u")
    return found


def ip(value: str) -> Ip | None:
    """One IP address or a network in CIDR notation."""
    try:
        network = ipaddress.ip_network(value.strip("[]"), strict=False)
    except ValueError:
        return None
    return Ip(network.network_address.packed, network.broadcast_address.packed)


def _ip(value: str) -> Ip:
    found = ip(value)
    if found is None:
        raise ValueError(f"{value} is no IP address or network such as 192.0.2.0/24")
    return found


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


def _subject(value: str) -> Subject:
    found = words(value)
    if not found:
        raise ValueError("there is no word to look for")
    return Subject(found)


def anywhere(value: str) -> Anywhere:
    """What a bare word means."""
    terms: list[Address | MessageId | Id | Ip | Subject] = []
    if found_words := words(value):
        terms.append(Subject(found_words))
    if not any(char.isspace() for char in value):
        terms += [address("from", value), address("to", value)]
        terms.append(MessageId(value.strip("<>")))
        terms += [found for found in (ids_from(value), ip(value)) if found is not None]
    if not terms:
        terms.append(Address("from", part=addresses.fold(value)))
    return Anywhere(tuple(terms))


def _state(value: str) -> InState:
    folded = value.lower()
    if folded in _GROUPS:
        return InState(_GROUPS[folded])
    if folded in BY_WORD:
        return InState((BY_WORD[folded],))
    raise ValueError(_no_such("state", folded, (*BY_WORD, *_GROUPS)))


def _direction(value: str) -> Span:
    folded = value.lower()
    if folded not in DIRECTIONS:
        raise ValueError(_no_such("direction", folded, DIRECTIONS))
    return Span("dir", DIRECTIONS[folded], DIRECTIONS[folded])


def _no_such(what: str, value: str, known: "tuple[str, ...] | dict[str, int]") -> str:
    near = difflib.get_close_matches(value, known, 1, 0.4)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    return f"there is no {what} {value} - {hint}"


def _number(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 15):
        raise ValueError(f"{value} is no number")
    return int(value)


def _octets(value: str) -> int:
    found = _SIZE.fullmatch(value)
    if found is None:
        raise ValueError(f"{value} is no size; write 500, 20k, 5M or 1G")
    return int(found[1]) * _FACTOR[found[2].lower()]


def _wait(value: str) -> int:
    seconds = moments.duration(value)
    if seconds is None:
        raise ValueError(f"{value} is no time span; write 30s, 15m, 2h or 3d")
    return seconds * 1_000_000


def _span(field: str, read: Callable[[str], int]) -> Callable[[str], Matcher]:
    """A reader of ``5``, ``>5``, ``>=5``, ``<5``, ``<=5`` and ``5..9``."""

    def reader(value: str) -> Span:
        low, dots, high = value.partition("..")
        if dots:
            first, last = read(low) if low else None, read(high) if high else None
            if first is None and last is None:
                raise ValueError("a range has a number at one end at least")
            return Span(field, first, last)
        for sign, below, off in ((">=", 0, 0), ("<=", 1, 0), (">", 0, 1), ("<", 1, -1)):
            if value.startswith(sign):
                bound = read(value[len(sign) :]) + off
                return Span(field, None, bound) if below else Span(field, bound, None)
        return Span(field, read(value), read(value))

    return reader


def _code(value: str) -> Matcher:
    if found := _CODE_CLASS.fullmatch(value):
        first = int(found[1]) * 100
        return Span("code", first, first + 99)
    return _span("code", _number)(value)


def _text(field: str) -> Callable[[str], Matcher]:
    return lambda value: Text(field, value.lower() if field in ("helo", "mx", "ev") else value)


_VERDICTS: dict[str, Matcher] = {
    "stored": InState((State.STORED,)),
    "remote_accepted": InState((State.RELAYED,)),
    "bounced": InState((State.BOUNCED,)),
    "expired": InState((State.EXPIRED,)),
    "waiting": InState((State.DEFERRED,)),
    "queued": InState((State.QUEUED,)),
    "held": InState((State.HELD,)),
    "cancelled": InState((State.CANCELLED,)),
    "replaced": InState((State.REPLACED,)),
    "duplicate": InState((State.DUPLICATE,)),
    "rejected": InState((State.REFUSED,)),
    "try_later": InState((State.TEMPFAILED,)),
    "aborted": InState((State.ABORTED,)),
    "moved": Text("ev", "box.move"),
    "deleted": Text("ev", "box.expunge"),
    "vanished": Text("ev", "box.vanished"),
    "restored": Text("ev", "restore.message"),
    "remote_lost": Text("ev", "dsn.got"),
    "returned": Text("ev", "queue.bounce"),
    "read": Group(
        tuple((Term(Text("ev", kind), False, ""),) for kind in ("box.read", "pop3.retr"))
    ),
    "greylisted_no_return": Text("rule", "greylist"),
    "redirected": Text("ev", "queue.redirect"),
    "released": Text("ev", "queue.release"),
}
"""Verdicts of ``mtad why`` by the state or the act that makes them."""


def _verdict(value: str) -> Matcher:
    folded = value.lower().replace("-", "_")
    if folded not in _VERDICTS:
        raise ValueError(_no_such("verdict", folded, tuple(_VERDICTS)))
    return _VERDICTS[folded]


_HAVING = ("login", "copy", "parent", "msgid")
"""What ``has:`` takes; ``tracing.details`` knows what they mean in the tables."""


def _has(value: str) -> Matcher:
    if value.lower() not in _HAVING:
        raise ValueError(_no_such("thing to have", value.lower(), _HAVING))
    return Text("has", value.lower())


FIELDS: dict[str, Field] = {
    "from": Field(_address("from"), "the sender", "from:@example.org"),
    "to": Field(_address("to"), "a recipient, as given or as rewritten", "to:alice"),
    "rcpt": Field(_address("to"), "the same as to:", "rcpt:alice@example.org"),
    "box": Field(_address("box"), "the box a copy was stored in", "box:sales@"),
    "domain": Field(_domain, "the sender's or a recipient's domain", "domain:example.org"),
    "subj": Field(_subject, "words of the subject", 'subj:"annual report"'),
    "msgid": Field(lambda v: MessageId(v.strip("<>")), "the Message-ID", "msgid:<7@example.org>"),
    "id": Field(_id, "our id, whole or its beginning", "id:0ampq94g"),
    "qid": Field(_id, "the same as id:", "qid:0ampq94g"),
    "rqid": Field(_text("rqid"), "the queue id of the remote server", "rqid:4XkT1234z"),
    "ip": Field(_ip, "the client's IP address or network", "ip:192.0.2.0/24"),
    "helo": Field(_text("helo"), "the client's name in EHLO, or its domain", "helo:example.net"),
    "user": Field(_text("user"), "the login that sent it", "user:anna"),
    "dir": Field(_direction, "in, submitted or made here", "dir:submitted"),
    "state": Field(_state, "what became of it", "state:bounced"),
    "code": Field(_code, "the last reply's code", "code:5xx"),
    "reply": Field(_text("reply"), "a part of a refusal or deferral", 'reply:"mailbox full"'),
    "mx": Field(_text("mx"), "the remote server, or its domain", "mx:google.com"),
    "verdict": Field(_verdict, "what 'mtad why' says, now or before", "verdict:deleted"),
    "stage": Field(_text("stage"), "where it was refused, put off or broken off", "stage:rcpt"),
    "rule": Field(_text("rule"), "the check that refused or the rule that held", "rule:too_large"),
    "tls": Field(_text("tls"), "none, any, or a part of version and cipher", "tls:TLSv1.2"),
    "snap": Field(_text("snap"), "the snapshot it was put back from", "snap:20261124T030000"),
    "dur": Field(_span("dur", _wait), "how long taking it in took", "dur:>2s"),
    "ev": Field(_text("ev"), "the kind of an event it has", "ev:box.expunge"),
    "actor": Field(_text("actor"), "who did something to it", "actor:anna@example.org"),
    "has": Field(_has, "a login, a copy where it was delivered, a parent, a msgid", "has:copy"),
    "size": Field(_span("size", _octets), "its octets", "size:>5M"),
    "tries": Field(_span("tries", _number), "attempts at a remote server", "tries:>3"),
    "wait": Field(_span("wait", _wait), "from acceptance to the last change", "wait:>1h"),
}
"""Every field that makes a condition."""

TIMES = {
    "since": "from that time on",
    "until": "before that time",
    "on": "on that day, or from one day to another",
    "at": "in that minute",
}
"""Fields that narrow the time."""

"""What the fields of plain text and numbers mean in the tables of one month file.

Partial indexes hold what is worth looking for: a server that put off rather than each that
took, a large message rather than each. Where a span reaches beyond its index, the messages are
walked from the newest instead, among which such ones are many.
"""

# ruff: noqa: S608 - statements are put together of our own words; values are parameters

from collections.abc import Callable
from dataclasses import dataclass

from tracing import shapes
from tracing.archive import sealed
from tracing.condition import LARGE, LONG_WAIT, NEVER, REMOTE, Condition, Hits
from tracing.months import Link
from tracing.terms import Span, Text

Value = Callable[[object], str]
"""Puts a value among a statement's parameters; returns how the statement names it."""

LISTED = 1_000
"""Words of the dictionary up to which those that match are listed."""


@dataclass(frozen=True, slots=True)
class _Number:
    """Where a number lies: the expression, and the condition of its partial index.

    ``floor`` is the least number that the index has, or ``without`` the one it has not.
    """

    table: str
    column: str
    index: str
    floor: int | None = None
    without: int | None = None

    def covers(self, span: Span) -> bool:
        """Whether every number of the span is in the index."""
        if self.floor is not None:
            return span.low is not None and span.low >= self.floor
        outside = self.without
        return outside is None or not (
            (span.low is None or span.low <= outside)
            and (span.high is None or outside <= span.high)
        )


_NUMBERS = {
    "size": _Number("msg", "size", f"size>={LARGE}", floor=LARGE),
    "dir": _Number("msg", "dir", "dir!=0", without=0),
    "code": _Number("rcpt", "code", "code!=250", without=250),
    "tries": _Number("rcpt", "tries", "tries>1", floor=2),
    "wait": _Number("rcpt", "wait", f"wait>={LONG_WAIT}", floor=LONG_WAIT),
}


def of(matcher: Text | Span, link: Link, value: Value) -> Condition:
    """The condition of a matcher."""
    if isinstance(matcher, Span):
        if matcher.field == "dur":
            return _duration(matcher, value)
        return _span(_NUMBERS[matcher.field], matcher, value)
    return _TEXTS[matcher.field](matcher.value, link, value)


def _span(number: _Number, span: Span, value: Value) -> Condition:
    bounds = [(">=", span.low), ("<=", span.high)]
    said = [f"{sign}{value(bound)}" for sign, bound in bounds if bound is not None]
    if number.table == "msg":
        test = " AND ".join(f"+m.{number.column}{one}" for one in said)
    else:
        inner = " AND ".join(f"+{number.column}{one}" for one in said)
        test = f"EXISTS (SELECT 1 FROM rcpt WHERE msg=m.id AND {inner})"
    if not number.covers(span):
        return Condition(test)
    where = " AND ".join([number.index, *(f"{number.column}{one}" for one in said)])
    column = "id" if number.table == "msg" else "msg"
    return Condition(test, (Hits(column, f"{number.table} WHERE {where}", rare=True),))


def _rqid(text: str, _: Link, value: Value) -> Condition:
    named = value(text)
    return Condition(
        f"EXISTS (SELECT 1 FROM rcpt WHERE msg=m.id AND +rqid={named})",
        (Hits("msg", f"rcpt WHERE rqid={named}"),),
    )


def _user(text: str, _: Link, value: Value) -> Condition:
    """The whole login, or its local part."""
    folded = text.lower()
    whole, first, end = value(folded), value(folded + "@"), value(folded + "A")
    test = f"(+m.login={whole} OR +m.login>={first} AND +m.login<{end})"
    return Condition(
        test,
        (
            Hits("id", f"msg WHERE login={whole}"),
            Hits("id", f"msg WHERE login>={first} AND login<{end}"),
        ),
    )


def _helo(text: str, link: Link, value: Value) -> Condition:
    listed = _hosts(text, link)
    if not listed:
        return NEVER
    return Condition(f"+m.helo IN ({listed})", (Hits("id", f"msg WHERE helo IN ({listed})"),))


def _mx(text: str, link: Link, value: Value) -> Condition:
    listed = _hosts(text, link)
    if not listed:
        return NEVER
    return Condition(
        f"EXISTS (SELECT 1 FROM rcpt WHERE msg=m.id AND +host IN ({listed}))",
        (Hits("msg", f"rcpt WHERE host IN ({listed})"),),
    )


def _hosts(text: str, link: Link) -> str:
    """The numbers of a host's name, or of all names below it, as a list in SQL."""
    name = text.strip("[]*.").rstrip(".")
    below = "%." + _escaped(name)
    rows = link.execute(
        "SELECT id FROM str WHERE lower(s)=lower(?) OR s LIKE ? ESCAPE '\\' LIMIT ?",
        (name, below, LISTED),
    )
    return ",".join(str(row[0]) for row in rows)


def _reply(text: str, _: Link, value: Value) -> Condition:
    """A part of what a server said that did not simply take a recipient."""
    said = f"code!=250 AND reply LIKE {value(f'%{_escaped(text)}%')} ESCAPE '\\'"
    return Condition(
        f"EXISTS (SELECT 1 FROM rcpt WHERE msg=m.id AND +{said})",
        (Hits("msg", f"rcpt WHERE code>=0 AND {said}", rare=True),),
    )


def _event(text: str, link: Link, value: Value) -> Condition:
    """A kind of event, or all whose name begins so."""
    begins = text.rstrip("*").rstrip(".")
    rows = link.execute(
        "SELECT id FROM str WHERE s=? OR s>=? AND s<?", (begins, begins + ".", begins + "/")
    )
    listed = ",".join(str(row[0]) for row in rows)
    if not listed:
        return NEVER
    own = f"SELECT 1 FROM ev WHERE ev.trace=m.id AND +ev.kind IN ({listed})"
    also = f"SELECT 1 FROM {_named(link)} WHERE also.trace=m.id AND +ev.kind IN ({listed})"
    return Condition(f"(EXISTS ({own}) OR EXISTS ({also}))")


def _actor(text: str, link: Link, value: Value) -> Condition:
    """Who did something: the whole name, or what follows its colon."""
    rows = link.execute(
        "SELECT id FROM str WHERE s=? OR s LIKE ? ESCAPE '\\' LIMIT ?",
        (text, "%:" + _escaped(text), LISTED),
    ).fetchall()
    listed = ",".join(str(row[0]) for row in rows)
    if not listed:
        return NEVER
    own = f"SELECT 1 FROM ev WHERE ev.trace=m.id AND +ev.actor IN ({listed})"
    also = f"SELECT 1 FROM {_named(link)} WHERE also.trace=m.id AND +ev.actor IN ({listed})"
    test = f"(EXISTS ({own}) OR EXISTS ({also}))"
    acts, joined, did = "ev", "also.seq=ev.seq", f"ev.actor>{REMOTE} AND ev.actor IN ({listed})"
    if isinstance(link, sealed.Sealed):
        if sealed.is_common(link, listed):
            return Condition(test)
        acts, joined, did = "acts ev", "also.own=ev.trace", f"ev.actor IN ({listed})"
    elif any(row[0] == REMOTE for row in rows):
        return Condition(test)
    return Condition(
        test,
        (
            Hits("ev.trace", f"{acts} WHERE {did}"),
            Hits("also.trace", f"{acts} CROSS JOIN also ON {joined} WHERE {did}"),
        ),
        exact=False,  # an act on several messages has a trace of its own
    )


def _named(link: Link) -> str:
    """``also`` with the events that it is about."""
    if isinstance(link, sealed.Sealed):
        return "also CROSS JOIN ev ON ev.trace=also.own AND ev.seq=also.seq"
    return "also CROSS JOIN ev ON ev.seq=also.seq"


_TROUBLED = (
    Hits("id", "msg WHERE status!=10"),
    Hits("msg", "rcpt WHERE status!=10"),
)
"""All that was not simply stored: what was refused, put off or handed on is among it."""


def _of_event(link: Link, kinds: tuple[str, ...], said: str) -> str:
    """A test whether the message has an event of these kinds that says something."""
    listed = _kinds(link, kinds)
    return f"EXISTS (SELECT 1 FROM ev WHERE ev.trace=m.id AND +ev.kind IN ({listed}) AND {said})"


def _kinds(link: Link, kinds: tuple[str, ...]) -> str:
    marks = ",".join("?" * len(kinds))
    rows = link.execute(f"SELECT id FROM str WHERE s IN ({marks})", kinds)
    return ",".join(str(row[0]) for row in rows) or "-1"


def _stage(text: str, link: Link, value: Value) -> Condition:
    """Where in the dialogue it was refused, put off or broken off, by us or by another server."""
    kinds = ("smtp.reject", "smtp.tempfail", "smtp.abort", "out.deferred", "out.failed")
    said = f"json_extract(ev.detail, '$.stage')={value(text)}"
    return Condition(_of_event(link, kinds, said), _TROUBLED, exact=False)


def _rule(text: str, link: Link, value: Value) -> Condition:
    """The check that refused it, or the rule that held it."""
    named = value(text)
    check = f"json_extract(ev.detail, '$.check')={named}"
    held = f"json_extract(ev.detail, '$.why')={named}"
    refused = _of_event(link, ("smtp.reject", "smtp.tempfail"), check)
    return Condition(
        f"({refused} OR {_of_event(link, ('queue.hold',), held)})", _TROUBLED, exact=False
    )


def _snap(text: str, link: Link, value: Value) -> Condition:
    """The snapshot that it was put back from."""
    listed = _kinds(link, ("restore.message",))
    if not listed:
        return NEVER
    said = f"ev.kind IN ({listed}) AND json_extract(ev.detail, '$.snapshot')={value(text)}"
    own = f"SELECT 1 FROM ev WHERE ev.trace=m.id AND +{said}"
    also = f"SELECT 1 FROM {_named(link)} WHERE also.trace=m.id AND +{said}"
    acts = "ev", "ev CROSS JOIN also ON also.seq=ev.seq", f"ev.actor>{REMOTE}"
    if isinstance(link, sealed.Sealed):
        if sealed.listed(link, ("restore.message",)) is None:
            return Condition(f"(EXISTS ({own}) OR EXISTS ({also}))")
        rare = "rare CROSS JOIN ev ON ev.trace=rare.trace AND ev.seq=rare.seq"
        acts = (
            rare,
            f"{rare} CROSS JOIN also ON also.own=ev.trace AND also.seq=ev.seq",
            f"rare.kind IN ({listed})",
        )
    return Condition(
        f"(EXISTS ({own}) OR EXISTS ({also}))",
        (
            Hits("ev.trace", f"{acts[0]} WHERE {acts[2]} AND {said}"),
            Hits("also.trace", f"{acts[1]} WHERE {acts[2]} AND {said}"),
        ),
        exact=False,  # an act on several messages has a trace of its own
    )


def _tls(text: str, link: Link, value: Value) -> Condition:
    """The TLS it came or left by: none, any, or a part of version and cipher."""
    came = _kinds(link, ("tls.ok",))
    session = f"SELECT 1 FROM ev WHERE ev.trace=m.cn AND +ev.kind IN ({came})"
    if text.lower() == "none":
        left = _of_event(link, ("out.delivered",), "json_extract(ev.detail, '$.tls') IS NULL")
        return Condition(f"(m.cn>0 AND NOT EXISTS ({session}) OR {left})")
    part = value("%" if text.lower() == "any" else f"%{_escaped(text)}%")
    version = "json_extract(ev.detail, '$.version')||' '||json_extract(ev.detail, '$.cipher')"
    said = f"json_extract(ev.detail, '$.tls') LIKE {part} ESCAPE '\\'"
    left = _of_event(link, ("out.delivered", "out.deferred", "out.failed"), said)
    shaped = ",".join(f"'[{number}]'" for number in _handshakes(link, text)) or "''"
    met = f"({version} LIKE {part} ESCAPE '\\' OR ev.detail IN ({shaped}))"
    return Condition(f"(EXISTS ({session} AND {met}) OR {left})")


def _handshakes(link: Link, text: str) -> list[int]:
    """The shapes of handshakes whose version and cipher have a part, or of any."""
    part = "" if text.lower() == "any" else text.lower()
    rows = link.execute("SELECT id, s FROM str WHERE s>='[{\"version\"' AND s<'[{\"versioo'")
    every = ((number, shapes.fixed(shape)) for number, shape in rows)
    return [
        number
        for number, said in every
        if "version" in said and part in f"{said['version']} {said.get('cipher', '')}".lower()
    ]


def _has(text: str, _: Link, __: Value) -> Condition:
    """A login that sent it, a copy where it was delivered, a message it came of, a Message-ID."""
    kin = Hits("id", "msg WHERE root>0", rare=True)
    known = {
        "login": Condition("m.login IS NOT NULL", (Hits("id", "msg WHERE login>=''", rare=True),)),
        "copy": Condition("EXISTS (SELECT 1 FROM st WHERE st.msg=m.id AND st.gone IS NULL)"),
        "parent": Condition("m.root IS NOT NULL", (kin,)),
        "msgid": Condition("m.message_id IS NOT NULL"),
    }
    return known[text]


def _duration(span: Span, value: Value) -> Condition:
    """How long it took to take the message in, from the end of its octets to our reply."""
    bounds = [(">=", span.low), ("<=", span.high)]
    took = "coalesce(CAST(json_extract(ev.detail, '$.ms') AS DOUBLE PRECISION), 0)*1000"
    said = " AND ".join(f"{took}{sign}{value(at)}" for sign, at in bounds if at is not None)
    kinds = "SELECT id FROM str WHERE s IN ('smtp.accept','mail.made')"
    return Condition(
        f"EXISTS (SELECT 1 FROM ev WHERE ev.trace=m.id AND +ev.kind IN ({kinds}) AND {said})"
    )


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


_TEXTS: dict[str, Callable[[str, Link, Value], Condition]] = {
    "rqid": _rqid,
    "user": _user,
    "helo": _helo,
    "mx": _mx,
    "reply": _reply,
    "ev": _event,
    "actor": _actor,
    "stage": _stage,
    "rule": _rule,
    "snap": _snap,
    "tls": _tls,
    "has": _has,
}

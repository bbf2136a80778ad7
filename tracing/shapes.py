"""What repeats in the details of events, kept once for a month instead of with each (PURE).

Of the kinds in ``VARYING`` the details are a JSON array: the number of a shape in the month's
dictionary of strings, then values. A shape is a JSON array too: what is the same in all events
of it, then the names of the values. A null stands for what the event has in a column anyway
(``SAME``). Where there is no shape (too long, or too many of them), details stay a JSON object.

    detail  [17,1.234]      shape 17  [{"why":"quit","commands":5,"messages":1},"seconds"]
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

import msgspec

from tracing import access, events, ids, sending
from tracing.event import Event

MAX_SHAPES = 10_000
"""Shapes in one month; some of what they hold is a stranger's to choose."""
MAX_SHAPE = 255
"""Characters of a shape."""

_ITEMS = ("items", "subjects", "uidvalidity")
VARYING: dict[type[Event], tuple[str, ...]] = {
    events.ConnOpen: ("proxy",),
    events.ConnClose: ("seconds",),
    events.TlsOk: (),
    events.SmtpEhlo: ("helo",),
    events.SmtpMail: ("size", "envid"),
    events.SmtpRcpt: ("orcpt",),
    events.StoreDelivered: ("st", "size", "base"),
    events.BoxRead: _ITEMS,
    events.BoxFlags: _ITEMS,
    events.BoxMove: _ITEMS,
    events.BoxExpunge: _ITEMS,
    events.BoxNumbered: _ITEMS,
    events.Pop3Retr: _ITEMS,
    events.Pop3Dele: _ITEMS,
    access.AuthOk: ("login",),
    access.AuthLogout: ("commands", "messages", "deleted", "received", "sent", "seconds"),
    access.CheckResult: ("found",),
    sending.QueueAdd: ("original", "sender", "came_from", "orcpt", "envid", "next_try"),
    sending.OutDns: ("domain", "found"),
    sending.OutTry: ("cn", "reused", "source"),
    sending.OutTls: ("cn", "domain", "source", "rules"),
}
"""Kinds whose details are shaped, and of their fields those that are not part of the shape.

Only kinds whose details no statement looks into; ``facts`` and ``details`` know of the two that
are (``store.delivered``, ``tls.ok``).
"""

OFFSETS = {"st": "trace", "cn": "trace", "next_try": "at"}
"""Numbers that are kept as what lies between them and a column of the event; items are too."""

SAME = {"helo": "host", "login": "addr"}
"""Fields that mostly say what a column of the event says."""

_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder().decode
_NUMBER = re.compile(r"\[(\d+)")


class _Value(str):
    """In the key of a shape, the name of a value."""

    __slots__ = ()


class Names(Protocol):
    """The dictionary of a month."""

    @property
    def by_key(self) -> dict[tuple[Any, ...], int]:
        """Shapes asked for lately, by what they are made of."""

    def shape(self, text: str) -> int | None:
        """The number of a shape of details; None where there are too many of them."""


def shaped(event: Event, detail: dict[str, Any], names: Names) -> str | None:
    """Details by their shape; None where they have none."""
    cls = type(event)
    varying = _VARYING.get(cls)
    if varying is None:
        return None
    key: list[Any] = [cls]
    values: list[Any] = [0]
    for name, value in detail.items():
        if name not in varying:
            key.append(name)
            key.append(value)
            continue
        how = varying[name]
        if how is None:
            values.append(value)
        elif type(how) is str:
            if value == getattr(event, how):
                key.append(name)
                key.append(None)
                continue
            values.append(value)
        else:
            values.append(how(event, value))
        key.append(_VALUES[name])
    found = names.by_key.get(whole_key := tuple(key))
    if found is None:
        found = _new(key, names)
        if found is None:
            return None
        if len(names.by_key) < MAX_SHAPES:
            names.by_key[whole_key] = found
    values[0] = found
    try:
        return _json(values).decode()
    except OverflowError:
        return None


def _new(key: list[Any], names: Names) -> int | None:
    fixed: dict[str, Any] = {}
    varying: list[str] = []
    rest = iter(key[1:])
    for name in rest:
        if isinstance(name, _Value):
            varying.append(str(name))
        else:
            fixed[name] = next(rest)
    shape = _json([fixed, *varying])
    return names.shape(shape.decode()) if len(shape) <= MAX_SHAPE else None


def number_of(detail: str) -> int | None:
    """The shape that details are of; None where they are a JSON object."""
    found = _NUMBER.match(detail)
    return int(found[1]) if found else None


def _items(event: Event, items: Sequence[events.Item]) -> list[list[Any]]:
    trace = event.trace
    return [
        [one.st - trace, one.m - trace, one.uid, one.base]
        if one.base
        else [one.st - trace, one.m - trace, one.uid]
        for one in items
    ]


def _base(event: events.StoreDelivered, base: str) -> str:
    return short_base(event.st, base)


_NEARER: dict[str, Callable[[Any, Any], Any]] = {
    "st": lambda event, value: value - event.trace,
    "cn": lambda event, value: value - event.trace,
    "next_try": lambda event, value: value - event.at,
    "items": _items,
    "base": _base,
}
"""How values are kept, where not as they are."""

_VARYING: dict[type[Event], dict[str, Any]] = {
    cls: {name: _NEARER.get(name) or SAME.get(name) for name in names}
    for cls, names in VARYING.items()
}
_VALUES = {name: _Value(name) for names in VARYING.values() for name in names}


def whole(
    detail: list[Any], shapes: Mapping[int, str], columns: Mapping[str, int]
) -> dict[str, Any]:
    """Shaped details as the fields they stand for; None for what a column says.

    ``columns`` are the event's ``at`` and ``trace``.
    """
    fixed, names = _parts(shapes[detail[0]])
    fields = {**fixed, **dict(zip(names, detail[1:], strict=True))}
    trace = columns["trace"]
    for name in OFFSETS.keys() & names:
        fields[name] += columns[OFFSETS[name]]
    if "items" in names:
        fields["items"] = [[st + trace, m + trace, *rest] for st, m, *rest in fields["items"]]
    if "base" in names:
        fields["base"] = full_base(fields["st"], fields["base"])
    return fields


def fill(fields: dict[str, Any]) -> None:
    """Put in what columns say, once they are among the fields."""
    for name, column in SAME.items():
        if name in fields and fields[name] is None:
            fields[name] = fields.get(column, "")


@lru_cache(maxsize=MAX_SHAPES)
def _parts(shape: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    fixed, *names = _from_json(shape)
    return fixed, tuple(names)


def fixed(shape: str) -> dict[str, Any]:
    """What is the same in all details of a shape; nothing where a text only looks like one."""
    try:
        found = _parts(shape)[0]
    except (msgspec.DecodeError, ValueError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


# ------------------------------------------------- what the rows of others need not repeat

_MARK = "\x1a"
"""With a 1 it stands for the sender's address in the From of its message, with a 0 for itself."""


def short_from(text: str, sender: str) -> str:
    """The text of a From without the sender's address."""
    parts = text.split(sender) if sender else [text]
    return f"{_MARK}1".join(part.replace(_MARK, f"{_MARK}0") for part in parts)


def full_from(text: str, sender: str) -> str:
    """The text that ``short_from`` shortened."""
    if _MARK not in text:
        return text
    return re.sub(f"{_MARK}[01]", lambda one: sender if one[0][1] == "1" else _MARK, text)


@lru_cache(maxsize=256)
def short_base(st: int, base: str) -> str:
    """A base name without what its stored copy's id tells: seconds after it, then the rest.

    ``1795086456.0ak2ax3d42002.mx,S=9`` becomes ``.0.mx,S=9``; no base name begins with a dot.
    Another that does not have that form stays as it is.
    """
    seconds, _, rest = base.partition(".")
    _, dot, rest = rest.partition(".")
    if not dot or not 0 < st < 1 << 63 or not seconds.isascii() or not seconds.isdecimal():
        return base
    short = f".{int(seconds[:20]) - ids.time_us(st) // 1_000_000}.{rest}"
    return short if full_base(st, short) == base else base


def full_base(st: int, base: str) -> str:
    """The base name that ``short_base`` shortened."""
    if not base.startswith("."):
        return base
    later, dot, rest = base[1:].partition(".")
    if not dot or not re.fullmatch(r"-?\d{1,20}", later, re.ASCII):
        return base
    return f"{ids.time_us(st) // 1_000_000 + int(later)}.{ids.text(st)}.{rest}"

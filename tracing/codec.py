"""An event as a row of ``ev`` and back, exactly.

What repeats is interned, what has a column is in it, and the rest is JSON in ``detail``. A
column's value that the column cannot hold as it is (an address in capitals, a reply that has
no template) stands in ``detail`` under the column's name and wins when reading. What repeats
in the details of common kinds is kept apart (``tracing.shapes``).
"""

import re
import socket
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from tracing import addresses, replies, shapes
from tracing.events import (
    COLUMNS,
    REGISTRY,
    Event,
    MailMade,
    SmtpAccept,
    SmtpMail,
    Unknown,
    from_fields,
    to_fields,
    unknown,
)

ASIDE = 1 << 20
"""Numbers from here on are of recipients that were never accepted, or were duplicates."""

DIGEST = re.compile(r"(?:[0-9a-f]{2})+")
"""A digest that a column can hold as octets."""

MAX_STRING = 255
"""Characters of a host or actor that is interned."""

Row = tuple[Any, ...]
"""seq, ts, kind, trace, n, addr, ip, host, code, enh, reply, actor, detail: as in ``ev``."""


class Names(shapes.Names, Protocol):
    """The dictionaries of a month."""

    def address(self, text: str) -> tuple[int, int, bool]:
        """Numbers of an address and its domain, and whether the text is kept as it is."""

    def string(self, text: str) -> int:
        """The number of a string."""


_MESSAGE = frozenset({"size", "sha256", "message_id", "subject", "header_from", "recipients"})

KEPT: dict[type[Event], frozenset[str]] = {
    SmtpMail: frozenset({"cn", "helo", "login"}),
    SmtpAccept: _MESSAGE,
    MailMade: _MESSAGE,
}
"""Fields that the message's own rows hold; ``detail`` has them only where those cannot."""

_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder().decode
_ips: dict[str, bytes | None] = {}
_MAX_IPS = 20_000


def _shape(cls: type[Event]) -> tuple[str, tuple[tuple[str, Any], ...]]:
    apart = {*COLUMNS, *KEPT.get(cls, ())}
    own = [f for f in msgspec.structs.fields(cls) if f.name not in apart]
    return str(cls.__struct_config__.tag), tuple((f.name, f.default) for f in own)


_SPECIAL = frozenset({*KEPT, Unknown})
_EVERY: tuple[type[Event], ...] = (*REGISTRY.values(), Unknown)
_SHAPES = {cls: _shape(cls) for cls in _EVERY}


def encode(seq: int, event: Event, names: Names) -> Row:
    """The row of an event. Raises UnicodeEncodeError for text that is no text: ``scrubbed``."""
    cls = type(event)
    kind, own = _SHAPES[cls]
    detail: dict[str, Any] = {}
    for name, default in own:
        value = getattr(event, name)
        if value != default:
            detail[name] = value
    if cls in _SPECIAL:
        if isinstance(event, SmtpAccept):
            _keep_what_rows_cannot(event, names, detail)
        elif isinstance(event, SmtpMail):
            _must_be_text(event.helo, event.login)
        elif isinstance(event, Unknown):
            kind, detail = _known_as(event)
    own_fields = len(detail)
    addr = ip = host = reply = actor = None
    if text := event.addr:
        addr, _, exact = names.address(text)
        if not exact:
            detail["addr"] = text
    if text := event.ip:
        ip = packed_ip(text)
        if ip is None:
            detail["ip"] = text
    if text := event.host:
        if len(text) > MAX_STRING:
            detail["host"] = text
        else:
            host = names.string(text)
    if text := event.reply:
        template = replies.template(text, event.trace, event.addr, getattr(event, "rqid", ""))
        if template is None:
            detail["reply"] = text
        else:
            reply = names.string(template)
    if (text := event.actor) != "system":
        if len(text) > MAX_STRING or not text:
            detail["actor"] = text
        else:
            actor = names.string(text)
    enh = event.enh or None
    if enh is not None and not enh.isascii():
        detail["enh"], enh = enh, None
    if event.also:
        detail["also"] = event.also
    said: str | None = None
    if detail:
        # What a column could not hold is no part of a shape.
        plain = len(detail) == own_fields
        said = shapes.shaped(event, detail, names) if plain else None
        if said is None:
            said = _json(detail).decode()
    return (
        seq,
        event.at,
        names.string(kind),
        event.trace,
        event.n or None,
        addr,
        ip,
        host,
        event.code or None,
        enh,
        reply,
        actor,
        said,
    )


def _keep_what_rows_cannot(event: SmtpAccept, names: Names, detail: dict[str, Any]) -> None:
    """Put into ``detail`` what the rows of message and recipients would not give back."""
    _must_be_text(event.message_id, event.subject, event.header_from)
    if not DIGEST.fullmatch(event.sha256):
        detail["sha256"] = event.sha256
    last = 0
    for one in event.recipients:
        exact = names.address(one.addr)[2] and (
            one.original == one.addr or names.address(one.original)[2]
        )
        if not exact or not last < one.n < ASIDE or not one.addr or not one.original:
            detail["recipients"] = event.recipients
            return
        last = one.n


def _must_be_text(*values: str) -> None:
    """Raise UnicodeEncodeError for lone surrogates."""
    for value in values:
        if not value.isascii():
            value.encode()


def decode(
    row: Row, kept: dict[str, Any] | None = None, shaped: Mapping[int, str] | None = None
) -> Event:
    """The event of a row whose dictionary numbers were replaced by their texts.

    ``kept`` are the fields of ``KEPT`` that the message's rows hold, ``shaped`` the shapes of
    details by number.
    """
    _, at, kind, trace, n, addr, ip, host, code, enh, reply, actor, detail = row
    fields: dict[str, Any] = {**kept} if kept else {}
    fields["at"], fields["trace"] = at, trace
    by_shape = False
    if detail:
        said = _from_json(detail)
        by_shape = isinstance(said, list)
        fields.update(shapes.whole(said, shaped or {}, fields) if by_shape else said)
    if n:
        fields["n"] = n
    if code:
        fields["code"] = code
    for name, value in (("addr", addr), ("host", host), ("enh", enh), ("actor", actor)):
        if value is not None:
            fields.setdefault(name, value)
    if ip is not None:
        fields.setdefault("ip", ip_text(ip))
    if reply is not None:
        fields["reply"] = replies.fill(reply, trace, fields.get("addr", ""), fields.get("rqid", ""))
    if by_shape:
        shapes.fill(fields)
    fields["kind"] = kind
    return msgspec.convert(fields, Unknown) if kind == "unknown" else from_fields(fields)


def scrubbed(event: Event) -> Event:
    """The event with every lone surrogate as U+FFFD, so that it can be stored."""
    fields = _scrub(to_fields(event))
    return msgspec.convert(fields, Unknown) if isinstance(event, Unknown) else from_fields(fields)


def _scrub(value: Any) -> Any:
    if isinstance(value, str):
        return addresses.storable(value)
    if isinstance(value, dict):
        return {name: _scrub(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_scrub(part) for part in value]
    return value


def _known_as(event: Unknown) -> tuple[str, dict[str, Any]]:
    """An unknown event's own kind and fields, if they give it back exactly."""
    try:
        fields = _from_json(event.fields)
    except (msgspec.DecodeError, UnicodeError):
        fields = None
    if isinstance(fields, dict) and not {"kind", *COLUMNS} & fields.keys():
        common = {name: getattr(event, name) for name in COLUMNS}
        if event.was != "unknown" and unknown({**common, **fields, "kind": event.was}) == event:
            return event.was, fields
    return "unknown", {"was": event.was, "fields": event.fields}


def packed_ip(text: str) -> bytes | None:
    """An IP address as 4 or 16 octets; None for what is not written as one usually is."""
    try:
        return _ips[text]
    except KeyError:
        pass
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        packed: bytes | None = socket.inet_pton(family, text)
        if packed is not None and ip_text(packed) != text:
            packed = None
    except (OSError, ValueError):
        packed = None
    if len(_ips) >= _MAX_IPS:
        _ips.clear()
    _ips[text] = packed
    return packed


def ip_text(packed: bytes) -> str:
    """What ``packed_ip`` packed."""
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)

"""ENVELOPE of a message (RFC 9051 7.5.2; PURE)."""

from collections.abc import Iterable

from mtad.mime import addresses, fields
from mtad.mime.addresses import Address
from mtad.mime.fields import Fields
from mtad.mime.message import Part
from mtad.mime.strings import nstring


def envelope(data: bytes, part: Part) -> bytes:
    """The list of ENVELOPE in its parentheses.

    Of a text field that stands several times the last one counts; address fields that do are
    read as one. ``part`` is a message: the whole one, or the one a message/rfc822 encloses.
    """
    header = part.fields
    subject = header.get(b"subject")
    sender = _listed(header, b"from")
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        nstring(fields.last(header, b"date")),
        nstring(None if subject is None else fields.shown(subject[-1])),
        sender,
        _listed(header, b"sender", sender),
        _listed(header, b"reply-to", sender),
        _listed(header, b"to"),
        _listed(header, b"cc"),
        _listed(header, b"bcc"),
        nstring(fields.last(header, b"in-reply-to")),
        nstring(fields.last(header, b"message-id")),
    )


def addresses_of(header: Fields, name: bytes) -> list[Address]:
    """The addresses in all fields of a name, in order."""
    found: list[Address] = []
    for value in header.get(name, ()):
        found += addresses.parse(value)
    return found


def _listed(header: Fields, name: bytes, default: bytes = b"NIL") -> bytes:
    if name not in header:
        return default
    found = addresses_of(header, name)
    return b"(%b)" % b"".join(_written(found)) if found else default


def _written(found: Iterable[Address]) -> Iterable[bytes]:
    for name, route, mailbox, host in found:
        if name is not None and (b"  " in name or name[0] <= 32 or name[-1] <= 32):
            name = fields.shown(name)
        yield b"(%b %b %b %b)" % (nstring(name), nstring(route), nstring(mailbox), nstring(host))

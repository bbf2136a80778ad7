"""What SORT compares (RFC 5256 2.2 and 3, RFC 5957; PURE)."""

from typing import NamedTuple

from mtad.mime import dates, fields, words
from mtad.mime.addresses import Address
from mtad.mime.envelope import addresses_of
from mtad.mime.message import Part
from mtad.mime.subject import base
from mtad.mime.text import fold


class Keys(NamedTuple):
    """A message's keys, folded; the first address of each field is what counts.

    ``sent`` is (seconds, zone in seconds), None where there is no date: the date it came
    then stands for it. ``is_reply`` tells what the base ``subject`` was taken from.
    """

    sent: tuple[int, int] | None
    subject: str
    is_reply: bool
    from_mailbox: str
    to_mailbox: str
    cc_mailbox: str
    from_display: str
    to_display: str


def keys(part: Part) -> Keys:
    """The keys of a message."""
    header = part.fields
    senders, receivers = _first(part, b"from"), _first(part, b"to")
    subject, is_reply = base((header.get(b"subject") or [b""])[-1])
    return Keys(
        dates.sent(fields.last(header, b"date") or b""),
        fold(subject),
        is_reply,
        _mailbox(senders),
        _mailbox(receivers),
        _mailbox(_first(part, b"cc")),
        _display(senders),
        _display(receivers),
    )


def _first(part: Part, name: bytes) -> Address | None:
    found = addresses_of(part.fields, name)
    return found[0] if found else None


def _mailbox(address: Address | None) -> str:
    if address is None or address.mailbox is None:
        return ""
    return fold(words.decoded(address.mailbox))


def _display(address: Address | None) -> str:
    """RFC 5957 3: the name, else ``mailbox@host``."""
    if address is None or address.mailbox is None:
        return ""
    if address.name:
        return fold(words.decoded(address.name))
    if address.host is None:
        return fold(words.decoded(address.mailbox))
    return fold(words.decoded(address.mailbox + b"@" + address.host))

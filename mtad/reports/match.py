"""Which message of ours a report is about: what to look for, and whose outcome it tells (PURE).

A report may carry several marks of the message. They are tried from the surest to the least:
the return path it came to, the envelope id we gave, our queue id in a Received field of what
it returns, and the Message-ID, which others can write too and which may not be unique.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from mtad.reports.read import Incoming
from mtad.reports.status_fields import Told
from mtad.reports.token import Tokens
from tracing import ids

By = Literal["token", "envelope id", "queue id", "message id"]


@dataclass(frozen=True, slots=True)
class Key:
    """What to look for: message ``m`` (and its recipient ``n`` if not 0), or a Message-ID."""

    by: By
    m: int = 0
    n: int = 0
    message_id: str = ""


@dataclass(frozen=True, slots=True)
class Recipient:
    """A recipient of a message of ours; ``original`` is the address in RCPT."""

    n: int
    addr: str
    original: str = ""


def keys(
    report: Incoming, receivers: Sequence[str], *, tokens: Tokens | None, at: int
) -> Iterator[Key]:
    """What to look for in the log, the surest first, nothing twice.

    ``receivers`` are the recipients of the report's own envelope, ``at`` when it came. An id
    may be another server's that makes ids like ours: then the log does not have it.
    """
    seen = set[int]()
    for key in _by_id(report, receivers, tokens, at):
        if key.m not in seen:
            seen.add(key.m)
            yield key
    if report.message_id:
        yield Key("message id", message_id=report.message_id)


def _by_id(
    report: Incoming, receivers: Sequence[str], tokens: Tokens | None, at: int
) -> Iterator[Key]:
    for receiver in receivers if tokens else ():
        if tokens and (found := tokens.read(receiver, at)):
            yield Key("token", *found)
    if m := ids.parse(report.envelope_id):
        yield Key("envelope id", m)
    for _, queue_id in report.hops:
        if m := ids.parse(queue_id):
            yield Key("queue id", m)


def pairs(
    report: Incoming, recipients: Sequence[Recipient], n: int = 0, *, is_sure: bool = True
) -> Iterator[tuple[Recipient, Told]]:
    """What the report tells of each of a message's recipients.

    Addresses decide, in any case: the original recipient is ours even where the remote passed
    the message on. Where they do not, and it ``is_sure`` that the message is the one, the only
    one told of is recipient ``n`` of the key, or the only recipient of the message.
    """
    by_address: dict[str, Recipient] = {}
    for recipient in recipients:
        for address in (recipient.addr, recipient.original):
            by_address.setdefault(address.lower(), recipient)
    by_address.pop("", None)
    found: dict[int, tuple[Recipient, Told]] = {}
    for told in report.recipients:
        known = by_address.get(told.original.lower()) or by_address.get(told.final.lower())
        if known:
            found.setdefault(known.n, (known, told))
    if is_sure and not found and len(report.recipients) == 1:
        likely = [each for each in recipients if each.n == n] if n else recipients
        if len(likely) == 1:
            found[likely[0].n] = (likely[0], report.recipients[0])
    yield from found.values()

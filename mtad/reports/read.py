"""Reports from elsewhere: what kind, about which message, what of each recipient (PURE).

Delivery status notifications (RFC 3464) and the bounces of systems that have words of their
own, disposition notifications (RFC 8098), abuse reports (RFC 5965). Work is bounded, nothing
raises, and everything read is a stranger's claim: it may be wrong or forged.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

from mtad.headers import Block, guess, message_id, text
from mtad.reports import plain
from mtad.reports.mime import MAX_HEADER, Part, normal, walk
from mtad.reports.status_fields import (
    MAX_FIELDS,
    MAX_GROUPS,
    MAX_NAME,
    Group,
    Told,
    address,
    every_recipient,
    fields,
    groups,
    untyped,
)

Kind = Literal["dsn", "bounce", "mdn", "arf"]

MAX_IDS = 20
"""Ids of one kind that are kept."""

_DELIVERY = ("message/delivery-status", "message/global-delivery-status")
_DISPOSITION = ("message/disposition-notification", "message/global-disposition-notification")
_FEEDBACK = ("message/feedback-report",)
_RETURNED = (
    "message/rfc822",
    "message/global",
    "text/rfc822-headers",
    "message/rfc822-headers",
    "message/global-headers",
)
_RECEIVERS = (b"to", b"delivered-to", b"x-original-to", b"envelope-to")

_ADDRESSES = re.compile(r"[^\s<>()\[\]\",;:]+@[^\s<>()\[\]\",;:]+")
_HOP = re.compile(
    r"\bby\s+([\w.-]{1,255})\s(?:\([^()]*\)\s*)*(?:with\s+\S+\s+)?id\s+([\w-]{5,80})", re.ASCII
)
_DAEMON = re.compile(
    r"mailer.?daemon|mdaemon|post.?master|mail delivery|delivery (?:sub)?system"
    r"|system administrator",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"undeliver|non.?deliver|not (?:be )?deliver|returned mail|fail(?:ure|ed)"
    r"|delivery (?:status|problem|error|report|notif)|mail (?:error|delay|system error)|delayed"
    r"|bounce|could not be sent|warning|не доставлен|недоставлен|сообщени.{0,20}доставк|задерж",
    re.IGNORECASE,
)
_ANSWER = re.compile(r"(?:re|aw|fwd?|wg|sv|ha|отв|пер)(?:\[\d+\])?:", re.IGNORECASE)
_ENOUGH = 3
"""Signs that make a bounce of mail without fields for programs."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A report as it was read.

    ``hops`` are (host, queue id) of the returned header's Received fields, newest first;
    ``receivers`` the addresses the report came to. ``what`` is the disposition of an MDN or the
    feedback type of an ARF report, else empty. ``message_id`` and ``subject`` are the original
    message's.
    """

    kind: Kind
    reporter: str = ""
    recipients: tuple[Told, ...] = ()
    message_id: str = ""
    envelope_id: str = ""
    hops: tuple[tuple[str, str], ...] = ()
    receivers: tuple[str, ...] = ()
    subject: str = ""
    what: str = ""


def read(message: bytes) -> Incoming | None:
    """The report that a message is, None where it is none."""
    message = normal(message)
    block = Block(message, MAX_HEADER)
    parts = walk(message)
    return _for_programs(block, parts) or _bounce(block, parts)


def is_candidate(header: Block, sender: str) -> bool:
    """Whether a message with this header and reverse-path is worth reading: a cheap first look.

    Reports have the null reverse-path or say by their type what they are; bounces of systems
    that know neither come from a daemon.
    """
    return (
        sender in ("", "<>")
        or b"multipart/report" in header.first(b"content-type").lower()
        or bool(header.first(b"x-failed-recipients"))
        or bool(_DAEMON.search(sender) or _DAEMON.search(header.first(b"from").decode("latin-1")))
    )


def _for_programs(block: Block, parts: Sequence[Part]) -> Incoming | None:
    """What the parts made for it say."""
    for types, reading in ((_FEEDBACK, _arf), (_DISPOSITION, _mdn), (_DELIVERY, _dsn)):
        found = next((part for part in parts if part.kind in types), None)
        if found:
            return reading(block, parts, found)
    return None


# ----------------------------------------------------------------------- by kind


def _dsn(block: Block, parts: Sequence[Part], status: Part) -> Incoming:
    found = groups(status.octets)
    about = found[0] if found else {}
    told = every_recipient(found)
    prose, returned = _prose(parts)
    if not told or not all(each.status and each.diagnostic for each in told):
        told = _from_words(block, prose, returned, told)
    reporter = untyped(about.get("reporting-mta", "")) or _sender_domain(block)
    return _incoming("dsn", block, returned, about, reporter, told)


def _bounce(block: Block, parts: Sequence[Part]) -> Incoming | None:
    """A bounce in plain words; one that tells of nobody is none."""
    prose, returned = _prose(parts)
    if not _is_bounce(block, prose, bool(returned.raw.strip())):
        return None
    for part in parts:
        # Some gateways put the report they pass on into a message of their own.
        inner = walk(part.octets) if part.kind == "message/rfc822" else ()
        if report := _for_programs(block, inner):
            return report
    found = groups(prose.encode("utf-8", "replace"))
    told = _from_words(block, prose, returned, every_recipient(found))
    if not told:
        return None
    about = {name: value for group in reversed(found) for name, value in group.items()}
    reporter = untyped(about.get("reporting-mta", "")) or _sender_domain(block)
    return _incoming("bounce", block, returned, about, reporter, told)


def _mdn(block: Block, parts: Sequence[Part], disposition: Part) -> Incoming:
    about = {name: value for group in groups(disposition.octets) for name, value in group.items()}
    final = address(about.get("final-recipient", ""))
    original = address(about.get("original-recipient", ""))
    said = about.get("disposition", "")
    told = (Told(final or original, original, diagnostic=said),) if final or original else ()
    reporter = about.get("reporting-ua", "") or _sender_domain(block)
    what = said.rpartition(";")[2].partition("/")[0].strip().lower()
    return _incoming("mdn", block, _prose(parts)[1], about, reporter, told, what)


def _arf(block: Block, parts: Sequence[Part], feedback: Part) -> Incoming:
    given = list(islice(fields(feedback.octets), MAX_FIELDS))
    about = {name: value for name, value in reversed(given) if name}
    returned = _prose(parts)[1]
    named = [address(value) for name, value in given if name == "original-rcpt-to"]
    named = named or _addresses(returned, b"to")
    told = tuple(Told(each) for each in dict.fromkeys(named) if each)[:MAX_GROUPS]
    reporter = untyped(about.get("reporting-mta", "")) or _sender_domain(block)
    what = about.get("feedback-type", "").lower()
    return _incoming("arf", block, returned, about, reporter, told, what)


def _incoming(
    kind: Kind,
    block: Block,
    returned: Block,
    about: Group,
    reporter: str,
    told: tuple[Told, ...],
    what: str = "",
) -> Incoming:
    ids = (
        about.get("original-message-id", "").encode(),
        returned.first(b"message-id"),
        about.get("x-original-message-id", "").encode(),
        block.first(b"in-reply-to"),
    )
    return Incoming(
        kind,
        reporter[:MAX_NAME],
        told,
        next(filter(None, map(message_id, ids)), ""),
        about.get("original-envelope-id", ""),
        _hops(returned),
        tuple(dict.fromkeys(a for name in _RECEIVERS for a in _addresses(block, name))),
        text(returned.first(b"subject")),
        what,
    )


# ---------------------------------------------------------------------- in words


def _is_bounce(block: Block, prose: str, has_returned: bool) -> bool:
    """Whether a message without fields for programs looks like a bounce."""
    if block.first(b"x-failed-recipients"):
        return True
    path = block.first(b"return-path").strip().lower()
    sender = text(block.first(b"from"))
    subject = text(block.first(b"subject"))
    is_daemon = bool(_DAEMON.search(sender))
    is_null = path in (b"<>", b"<mailer-daemon>") or path.startswith(b"<mailer-daemon@")
    said = bool(_SUBJECT.search(subject)) + plain.is_about_failure(prose) + has_returned
    # People answer bounces, and pass them on to ask what they mean.
    against = 2 * bool(_ANSWER.match(subject))
    return said >= (1 if is_daemon else 2) and 2 * (is_daemon + is_null) + said - against >= _ENOUGH


def _from_words(
    block: Block, prose: str, returned: Block, told: Sequence[Told]
) -> tuple[Told, ...]:
    """The recipients with what the prose adds to the fields about them."""
    failed = _ADDRESSES.findall(text(block.first(b"x-failed-recipients")))
    known = [each.final for each in told] or failed
    receivers, senders = _addresses(block, b"to"), _addresses(block, b"from")
    by_words = plain.recipients(prose, known, receivers + senders)
    if not by_words:
        # Who writes to himself may be all that is named; a bounce that names nobody is about
        # the only recipient of what it returns.
        only = [a for a in _addresses(returned, b"to") if a not in receivers]
        by_words = plain.recipients(prose, only if len(only) == 1 else (), senders)
    given = {each.final.lower(): each for each in told}
    return tuple(_merged(given.get(each.final.lower()), each) for each in by_words)


def _merged(given: Told | None, words: Told) -> Told:
    if given is None:
        return words
    return replace(
        given,
        original=given.original or words.original,
        action=given.action or words.action,
        status=given.status or words.status,
        diagnostic=given.diagnostic or words.diagnostic,
    )


def _prose(parts: Sequence[Part]) -> tuple[str, Block]:
    """The words for people, and the header of the message that was returned."""
    returned = next((part.octets for part in parts if part.kind in _RETURNED), None)
    for kind in ("text/plain", "text/html"):
        texts = [part.text() for part in parts if part.kind == kind]
        if any(each.strip() for each in texts):
            break
    prose, header = plain.parted("\n\n".join(texts))
    return prose, Block(returned if returned is not None else header.encode("utf-8", "replace"))


# ------------------------------------------------------------------- the message


def _sender_domain(block: Block) -> str:
    return next((a.rpartition("@")[2] for a in _addresses(block, b"from")), "")


def _addresses(block: Block, name: bytes) -> list[str]:
    found = (_ADDRESSES.findall(text(value)) for value in block.every(name, MAX_IDS))
    return [address.strip("'<>") for each in found for address in each][:MAX_IDS]


def _hops(returned: Block) -> tuple[tuple[str, str], ...]:
    hops = []
    for value in returned.every(b"received", MAX_IDS):
        if found := _HOP.search(guess(value)):
            hops.append((found[1].lower(), found[2]))
    return tuple(hops)

"""The frame that makes a message ours: its events, and what becomes of it (PURE but for ids).

Everything is decided here, before the barrier: which copies go into which boxes, and which
recipients elsewhere enter the queue, held or not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mtad.delivery import holds, route
from mtad.journal import frame
from mtad.store.names import base_name
from tracing import addresses
from tracing.events import (
    Event,
    MailMade,
    Recipient,
    RouteAlias,
    RouteDuplicate,
    RouteForward,
    SmtpAccept,
)
from tracing.sending import QueueAdd, QueueHold

INBOX = "INBOX"

Resend = Callable[[str, str, int, int], str | None]
"""The reverse-path for passing a message on, from its own, the address that passes it on, the
message's id and its recipient's number; None where its own may stay."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message to be taken in, without its octets.

    ``arrived_ns`` becomes the files' mtime and INTERNALDATE; ``started_us`` is when its
    transaction began. ``reply`` is what the peer is told once the message is ours. ``ret`` and
    ``envid`` (RFC 3461), ``body`` (8BITMIME or empty), ``smtputf8`` and ``requiretls`` are what the
    client said; ``priority`` is higher for what leaves the queue first. With ``rel`` the message
    was made here, about ``parent`` if that is given. ``before`` are events that have to become
    durable with it.
    """

    m: int
    sender: str
    recipients: Sequence[route.Accepted]
    arrived_ns: int
    started_us: int
    ip: str = ""
    host: str = ""
    message_id: str = ""
    subject: str = ""
    header_from: str = ""
    reply: str = ""
    actor: str = "remote"
    ret: str = ""
    envid: str = ""
    body: str = ""
    smtputf8: bool = False
    requiretls: bool = False
    priority: int = 0
    rel: str = ""
    parent: int = 0
    before: Sequence[Event] = ()

    @property
    def at(self) -> int:
        """Its arrival in microseconds."""
        return self.arrived_ns // 1000


@dataclass(frozen=True, slots=True)
class Framed:
    """A frame ready for the journal; ``queued`` are those of its events that fill the queue."""

    meta: frame.Meta
    queued: Sequence[QueueAdd | QueueHold]


def framed(
    envelope: Envelope,
    content: frame.Content,
    lines: int,
    *,
    new_id: Callable[[], int],
    hostname: str,
    hold: holds.Hold | None = None,
    resend: Resend | None = None,
) -> Framed:
    """The frame of a message whose content has so many ``lines``."""
    told: list[Event] = [*envelope.before]
    recipients, links = [], []
    queued: list[QueueAdd | QueueHold] = []
    for final in route.plan(envelope.recipients):
        recipients.append(Recipient(final.n, final.addr, final.accepted.given))
        told += _routed(envelope, final)
        if final.first:
            continue
        if final.is_remote:
            queued += _queued(envelope, final, hold, resend)
        else:
            st, size = new_id(), content.size
            base = base_name(st, envelope.arrived_ns, hostname, size, size + lines)
            links.append(frame.Link(final.n, st, final.addr, INBOX, base))
    told.append(_accepted(envelope, content, tuple(recipients)))
    told += queued
    events = tuple(map(frame.raw, told))
    return Framed(frame.Meta(events=events, content=content, links=tuple(links)), queued)


def _routed(envelope: Envelope, final: route.Final) -> Sequence[Event]:
    """How a recipient as given became a final one, where that is worth telling."""
    told: list[Event] = []
    common: dict[str, Any] = {
        "at": envelope.at,
        "trace": envelope.m,
        "n": final.n,
        "addr": final.addr,
    }
    original = final.accepted.given
    if final.accepted.forward:
        if not _is_same(original, final.addr):
            told.append(RouteForward(**common, original=original))
    elif final.accepted.alias:
        told.append(RouteAlias(**common, original=original))
    if final.first:
        told.append(RouteDuplicate(**common, original=original, first=final.first))
    return told


def _queued(
    envelope: Envelope, final: route.Final, hold: holds.Hold | None, resend: Resend | None
) -> Sequence[QueueAdd | QueueHold]:
    accepted, resent_from = final.accepted, final.accepted.resent_from
    is_own = _is_same(accepted.given, final.addr)
    if resent_from is None and resend is not None and not is_own:
        resent_from = resend(envelope.sender, accepted.given, envelope.m, final.n)
    # The log compares addresses in lower case; what goes on the wire is as it was given.
    exact = envelope.sender if addresses.fold(envelope.sender) != envelope.sender else ""
    add = QueueAdd(
        at=envelope.at,
        trace=envelope.m,
        n=final.n,
        addr=final.addr,
        original="" if is_own else accepted.given,
        sender=exact if resent_from is None else resent_from,
        resent=resent_from is not None,
        came_from="" if resent_from is None else exact,
        notify=accepted.notify,
        orcpt=accepted.orcpt,
        ret=envelope.ret,
        envid=envelope.envid,
        body=envelope.body,
        smtputf8=envelope.smtputf8,
        requiretls=envelope.requiretls,
        priority=envelope.priority,
        next_try=envelope.at,
    )
    rule = hold(envelope.sender, final.addr) if hold is not None else ""
    if not rule:
        return (add,)
    held = QueueHold(
        at=envelope.at,
        trace=envelope.m,
        n=final.n,
        addr=final.addr,
        actor=f"rule:{rule}",
        why=f"the rule {rule}",
    )
    return add, held


def _is_same(given: str, addr: str) -> bool:
    return given == addr or addresses.fold(given) == addresses.fold(addr)


def _accepted(
    envelope: Envelope, content: frame.Content, recipients: tuple[Recipient, ...]
) -> SmtpAccept:
    code, _, rest = envelope.reply.partition(" ")
    fields: dict[str, Any] = {
        "at": envelope.at,
        "trace": envelope.m,
        "addr": envelope.sender,
        "ip": envelope.ip,
        "host": envelope.host,
        "code": int(code or 0),
        "enh": rest.partition(" ")[0],
        "reply": envelope.reply,
        "actor": envelope.actor,
        "size": content.size,
        "sha256": content.sha256.hex(),
        "count": len(recipients),
        "recipients": recipients,
        "message_id": envelope.message_id,
        "subject": envelope.subject,
        "header_from": envelope.header_from,
        "ms": (envelope.at - envelope.started_us) / 1000,
    }
    if envelope.rel:
        return MailMade(**fields, rel=envelope.rel, parent=envelope.parent)
    return SmtpAccept(**fields)

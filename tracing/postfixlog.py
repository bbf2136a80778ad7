"""Events as lines of Postfix's log, with our ids in the place of its queue ids (PURE).

Programs that read such a log find what they look for: ``smtpd`` says who came, ``cleanup``
the Message-ID, ``qmgr`` the envelope and the end, ``smtp`` and ``local`` what became of each
recipient, with ``delays=`` before the queue, in it, for the connection, and for the transfer.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import tzinfo
from typing import Any

from tracing import events, ids, sending
from tracing.event import Event
from tracing.render import moment, safe
from tracing.underway import Known, Underway

Lines = Iterator[tuple[str, str]]
"""The daemon, and what it says."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class PostfixLog:
    """Makes lines of events for the server ``hostname``; ``zone`` None is the local one."""

    def __init__(self, hostname: str, zone: tzinfo | None = None) -> None:
        self._known = Known()
        self._hostname = safe(hostname) or "localhost"
        self._zone = zone

    def lines(self, event: Event, *, wanted: bool = True) -> Iterator[str]:
        """The lines of an event; of one that is not ``wanted`` something is learnt only."""
        known = self._known.take(event)
        write = _WRITERS.get(type(event))
        over = self._known.is_over(event)
        if not wanted or write is None:
            return
        for daemon, said in write(event, known or Underway()):
            yield self._line(event, daemon, said)
        if over:
            yield self._line(event, "qmgr", f"{ids.text(event.trace)}: removed")

    def _line(self, event: Event, daemon: str, said: str) -> str:
        when = moment(event.at, self._zone)
        stamp = f"{_MONTHS[when.month - 1]} {when.day:2} {when:%H:%M:%S}"
        return f"{stamp} {self._hostname} postfix/{daemon}[1]: {safe(said)}"


def _opened(event: events.ConnOpen, _: Underway) -> Lines:
    yield "smtpd", f"connect from unknown[{event.ip}]"


def _closed(event: events.ConnClose, _: Underway) -> Lines:
    yield "smtpd", f"disconnect from unknown[{event.ip}] commands={event.commands}"


def _accepted(event: events.SmtpAccept, known: Underway) -> Lines:
    shown = ids.text(event.trace)
    if known.ip:
        login = f", sasl_username={known.login}" if known.login else ""
        yield "smtpd", f"{shown}: client={known.helo or 'unknown'}[{known.ip}]{login}"
    else:
        yield "pickup", f"{shown}: uid=0 from=<{event.addr}>"
    yield "cleanup", f"{shown}: message-id={event.message_id}"
    yield (
        "qmgr",
        f"{shown}: from=<{event.addr}>, size={event.size}, nrcpt={event.count} (queue active)",
    )


def _to(event: Event, known: Underway) -> str:
    original = known.originals.get(event.n)
    also = f" orig_to=<{original}>," if original else ""
    return f"{ids.text(event.trace)}: to=<{event.addr}>,{also}"


def _delays(event: Event, known: Underway, connect: float = 0.0, transfer: float = 0.0) -> str:
    """``delay`` and ``delays`` in seconds, as far as the acceptance was heard of."""
    waited = 0.0
    if known.since:
        waited = max(0.0, (event.at - known.since) / 1_000_000 - connect - transfer)
    parts = (known.seconds, waited, connect, transfer)
    return f"delay={sum(parts):.2g}, delays={'/'.join(f'{part:.2g}' for part in parts)}"


def _relay(event: Event) -> str:
    return f"relay={event.host or event.ip}[{event.ip}]" if event.host or event.ip else "relay=none"


def _stored(event: events.StoreDelivered, known: Underway) -> Lines:
    said = f"status=sent (delivered to mailbox {event.mailbox})"
    yield "local", f"{_to(event, known)} relay=local, {_delays(event, known)}, dsn=2.0.0, {said}"


def _put_off(event: events.StoreFailed, known: Underway) -> Lines:
    said = f"status=deferred ({event.why})"
    yield "local", f"{_to(event, known)} relay=local, {_delays(event, known)}, dsn=4.3.0, {said}"


def _handed(event: sending.OutDelivered, known: Underway) -> Lines:
    delays = _delays(event, known, event.connect / 1000, event.ms / 1000)
    dsn = event.enh or "2.0.0"
    daemon = "lmtp" if event.lmtp else "smtp"
    said = f"dsn={dsn}, status=sent ({event.reply})"
    yield daemon, f"{_to(event, known)} {_relay(event)}, {delays}, {said}"


def _tried(event: sending.OutDeferred | sending.OutFailed, known: Underway) -> Lines:
    failed = isinstance(event, sending.OutFailed)
    status, dsn = ("bounced", "5.0.0") if failed else ("deferred", "4.0.0")
    if event.reply and event.host:
        why = f"host {event.host}[{event.ip}] said: {event.reply} (in reply to {event.stage})"
    else:
        why = event.reply or event.why
    said = f"dsn={event.enh or dsn}, status={status} ({why})"
    yield "smtp", f"{_to(event, known)} {_relay(event)}, {_delays(event, known)}, {said}"


def _ended(event: Event, known: Underway) -> Lines:
    status, why = {
        "queue.expire": ("expired", "returned to sender"),
        "queue.bounce": ("bounced", f"returned by {event.actor}"),
        "queue.drop": ("dropped", f"by {event.actor}"),
    }[event.kind]
    yield "qmgr", f"{_to(event, known)} status={status}, {why}"


def _held(event: sending.QueueHold, known: Underway) -> Lines:
    yield "qmgr", f"{_to(event, known)} status=hold ({event.why})"


def _reported(event: sending.DsnMade, _: Underway) -> Lines:
    what = "sender non-delivery notification" if event.what == "failed" else f"{event.what} report"
    yield "bounce", f"{ids.text(event.trace)}: {what}: {event.report}"


def _refused(event: events.SmtpReject | events.SmtpTempfail, known: Underway) -> Lines:
    stage = {"dot": "END-OF-MESSAGE", "connect": "CONNECT"}.get(event.stage, event.stage.upper())
    client = f"{known.helo or 'unknown'}[{known.ip or event.ip}]"
    to = f" to=<{event.addr}>" if event.stage == "rcpt" else ""
    helo = f" helo=<{known.helo}>" if known.helo else ""
    name = ids.text(event.trace) if known.ip else "NOQUEUE"
    yield (
        "smtpd",
        f"{name}: reject: {stage} from {client}: {event.reply}; from=<{known.sender}>{to} "
        f"proto=ESMTP{helo}",
    )


_WRITERS: Mapping[type[Event], Callable[[Any, Underway], Lines]] = {
    events.ConnOpen: _opened,
    events.ConnClose: _closed,
    events.SmtpAccept: _accepted,
    events.MailMade: _accepted,
    events.StoreDelivered: _stored,
    events.StoreFailed: _put_off,
    events.SmtpReject: _refused,
    events.SmtpTempfail: _refused,
    sending.OutDelivered: _handed,
    sending.OutDeferred: _tried,
    sending.OutFailed: _tried,
    sending.QueueExpire: _ended,
    sending.QueueBounce: _ended,
    sending.QueueDrop: _ended,
    sending.QueueHold: _held,
    sending.DsnMade: _reported,
}

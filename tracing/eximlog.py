"""Events as lines of Exim's main log (PURE).

The flags and fields are those of Exim's specification, chapter 52: ``<=`` arrival, ``=>``
delivery, ``==`` deferral, ``**`` failure, and ``Completed`` when nothing is left to do. Only
what Exim would write has a line.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import tzinfo
from typing import Any

from tracing import events, ids, sending
from tracing.event import Event
from tracing.render import moment, safe
from tracing.underway import Known, Underway

_STAGES = {"helo": "EHLO", "mail": "MAIL", "rcpt": "RCPT", "auth": "AUTH", "connect": "connection"}


class EximLog:
    """Makes lines of events; ``zone`` None is the local one."""

    def __init__(self, zone: tzinfo | None = None) -> None:
        self._known = Known()
        self._zone = zone

    def lines(self, event: Event, *, wanted: bool = True) -> Iterator[str]:
        """The lines of an event; of one that is not ``wanted`` something is learnt only."""
        known = self._known.take(event)
        write = _WRITERS.get(type(event))
        over = self._known.is_over(event)
        if not wanted or write is None:
            return
        said = [self._stamp(event, known), write(event, known or Underway())]
        yield safe(" ".join(filter(None, said)))
        if over:
            yield f"{self._stamp(event, known)} Completed"

    def _stamp(self, event: Event, known: Underway | None) -> str:
        clock = f"{moment(event.at, self._zone):%Y-%m-%d %H:%M:%S}"
        alone = isinstance(event, events.SmtpReject | events.SmtpTempfail) and known is None
        return clock if alone else f"{clock} {ids.text(event.trace)}"


def _arrival(event: events.SmtpAccept, known: Underway) -> str:
    to = " ".join(one.original for one in event.recipients)
    tls = "s" if known.tls else ""
    protocol = f"esmtp{tls}{'a' if known.login else ''}" if known.ip else "local"
    fields = [
        f"<= {event.addr or '<>'}",
        f"R={ids.text(event.parent)}"
        if isinstance(event, events.MailMade) and event.parent
        else "",
        _client(known),
        f"P={protocol}",
        f"X={known.tls}" if known.tls else "",
        f"A={known.login}" if known.login else "",
        f"S={event.size}",
        f"id={event.message_id.strip('<>')}" if event.message_id else "",
        f'T="{event.subject}"' if event.subject else "",
        f"for {to}",
    ]
    return " ".join(filter(None, fields))


def _client(known: Underway) -> str:
    return f"H={known.helo or known.ip} [{known.ip}]" if known.ip else ""


def _recipient(event: Event, known: Underway) -> str:
    original = known.originals.get(event.n)
    return f"{event.addr} <{original}>" if original else event.addr


def _stored(event: events.StoreDelivered, known: Underway) -> str:
    return (
        f"=> {_recipient(event, known)} F=<{known.sender}> R=box T=maildir "
        f"M={event.mailbox} S={event.size}"
    )


def _handed(event: sending.OutDelivered, known: Underway) -> str:
    tls = f" X={event.tls.replace(' ', ':')}" if event.tls else ""
    transport = "lmtp" if event.lmtp else "remote_smtp"
    time = (event.connect + event.ms) / 1000
    waited = known.seconds + event.wait / 1000 + time
    return (
        f"=> {_recipient(event, known)} F=<{known.sender}> R=dnslookup T={transport} "
        f'{_host(event)}{tls} C="{event.reply}" QT={waited:.3f}s DT={time:.3f}s'
    )


def _host(event: Event) -> str:
    return f"H={event.host or event.ip} [{event.ip}]" if event.host or event.ip else ""


def _trouble(event: Any) -> str:
    """What stood in the way, in the words of the remote server where it said some."""
    where = " ".join(filter(None, ("R=dnslookup T=remote_smtp", _host(event))))
    return f"{where}: {event.stage}: {event.reply or event.why}"


def _deferred(event: sending.OutDeferred, known: Underway) -> str:
    return f"== {_recipient(event, known)} {_trouble(event)}"


def _failed(event: sending.OutFailed, known: Underway) -> str:
    return f"** {_recipient(event, known)} F=<{known.sender}> {_trouble(event)}"


def _put_off(event: events.StoreFailed, known: Underway) -> str:
    return f"== {_recipient(event, known)} R=box T=maildir: {event.why}"


def _expired(event: sending.QueueExpire, known: Underway) -> str:
    return (
        f"** {_recipient(event, known)} F=<{known.sender}>: retry timeout exceeded: {event.reply}"
    )


def _returned(event: sending.QueueBounce, known: Underway) -> str:
    return (
        f"** {_recipient(event, known)} F=<{known.sender}>: returned by {event.actor}: {event.why}"
    )


def _dropped(event: sending.QueueDrop, known: Underway) -> str:
    return f"{_recipient(event, known)} cancelled by {event.actor} {event.why}".rstrip()


def _held(event: sending.QueueHold, known: Underway) -> str:
    return f"Frozen for {_recipient(event, known)}: {event.why}"


def _released(event: sending.QueueRelease, known: Underway) -> str:
    return f"Unfrozen for {_recipient(event, known)} by {event.actor}"


def _rejected(event: events.SmtpReject | events.SmtpTempfail, known: Underway) -> str:
    sort = "rejected" if isinstance(event, events.SmtpReject) else "temporarily rejected"
    client = known if known.ip else Underway(ip=event.ip)
    sender = f" F=<{known.sender}>" if known.ip else ""
    what = _STAGES.get(event.stage, "after DATA")
    to = f" <{event.addr}>" if event.stage == "rcpt" else ""
    return f"{_client(client)}{sender} {sort} {what}{to}: {event.reply}".lstrip()


_WRITERS: Mapping[type[Event], Callable[[Any, Underway], str]] = {
    events.SmtpAccept: _arrival,
    events.MailMade: _arrival,
    events.StoreDelivered: _stored,
    events.StoreFailed: _put_off,
    events.SmtpReject: _rejected,
    events.SmtpTempfail: _rejected,
    sending.OutDelivered: _handed,
    sending.OutDeferred: _deferred,
    sending.OutFailed: _failed,
    sending.QueueExpire: _expired,
    sending.QueueBounce: _returned,
    sending.QueueDrop: _dropped,
    sending.QueueHold: _held,
    sending.QueueRelease: _released,
}

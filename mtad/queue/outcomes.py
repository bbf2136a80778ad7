"""What an outcome means: the recipient's events, and what its sender is to hear (PURE)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mtad.outbound.attempt import Outcome
from mtad.queue.entries import Entry
from mtad.queue.schedule import HOUR, Schedule
from mtad.reports.values import Reported
from mtad.reports.words import What
from tracing.events import Event
from tracing.sending import (
    DsnSuppressed,
    OutDeferred,
    OutDelivered,
    OutFailed,
    QueueBounce,
    QueueExpire,
)

DSN = "dsn"
DOUBLE = "double-bounce"
"""What ``rel`` says of reports made here, and of those for the postmaster about such."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A recipient's events, and with ``what`` the part of a report that goes with them.

    ``to_postmaster`` tells that the report is for the postmaster: there is no sender to tell.
    """

    entry: Entry
    events: Sequence[Event]
    what: What | None = None
    reported: Reported | None = None
    to_postmaster: bool = False


def settle(entry: Entry, outcome: Outcome, began: int, now: int, schedule: Schedule) -> Settled:
    """What became of an attempt that began at ``began``; times in microseconds."""
    if outcome.kind == "delivered":
        return _delivered(entry, outcome, began, now)
    if outcome.kind == "failed":
        event: Event = OutFailed(**_common(entry, outcome, now), **_trouble(outcome))
        return failure(entry, event, _reported(entry, outcome, now))
    letter = entry.letter
    due = schedule.next_try(
        letter.m, letter.arrived, entry.tries + 1, now, warns=_is_to_warn(entry)
    )
    event = OutDeferred(**_common(entry, outcome, now), **_trouble(outcome), next_try=due)
    if not due:
        return _expired(entry, event, outcome, now)
    warns_at = schedule.warns_at(letter.arrived)
    if not (_is_to_warn(entry) and 0 < warns_at <= now):
        return Settled(entry, (event,))
    until = schedule.gives_up_at(letter.arrived)
    return Settled(entry, (event,), "delayed", _reported(entry, outcome, now, until))


def bounced(entry: Entry, event: QueueBounce) -> Settled:
    """What the sender hears when an operator gives a recipient back."""
    last = entry.last
    why = event.why or "it was returned by the administrator of this server"
    reported = Reported(
        entry.addr,
        status="5.0.0",
        reply=last.reply if last.code else "",
        why=why,
        host=last.host if last.code else "",
        original=entry.original,
        orcpt=entry.orcpt,
        last_attempt=entry.tried_at,
    )
    return failure(entry, event, reported)


def failure(entry: Entry, event: Event, reported: Reported) -> Settled:
    """An end that its sender is to hear of, if there is one who wants to (RFC 3461 4.1)."""
    why = ""
    if not entry.letter.sender:
        if entry.letter.rel == DSN:
            return Settled(entry, (event,), "failed", reported, to_postmaster=True)
        why = "a double bounce" if entry.letter.rel == DOUBLE else "null sender"
    elif entry.wants and "FAILURE" not in entry.wants:
        why = f"NOTIFY={entry.notify}"
    if why:
        return Settled(entry, (event, suppressed(entry, event.at, "failed", why)))
    return Settled(entry, (event,), "failed", reported)


def suppressed(entry: Entry, at: int, what: What, why: str) -> DsnSuppressed:
    """The event that tells why nobody is told."""
    return DsnSuppressed(
        at=at, trace=entry.letter.m, n=entry.n, addr=entry.addr, what=what, why=why
    )


def _delivered(entry: Entry, outcome: Outcome, began: int, now: int) -> Settled:
    event = OutDelivered(
        **_common(entry, outcome, now),
        rqid=outcome.rqid,
        tls=outcome.tls,
        verdict=outcome.verdict,
        wait=(began - entry.letter.arrived) / 1000,
        connect=outcome.connect,
        ms=outcome.ms,
        lmtp=outcome.lmtp,
    )
    if "SUCCESS" not in entry.wants or outcome.dsn:
        return Settled(entry, (event,))
    what: What = "delivered" if outcome.lmtp else "relayed"
    if not entry.letter.sender:
        return Settled(entry, (event, suppressed(entry, now, what, "null sender")))
    return Settled(entry, (event,), what, _reported(entry, outcome, now))


def _expired(entry: Entry, event: OutDeferred, outcome: Outcome, now: int) -> Settled:
    end = QueueExpire(
        at=now,
        trace=entry.letter.m,
        n=entry.n,
        addr=entry.addr,
        host=outcome.host,
        ip=outcome.ip,
        code=outcome.code,
        enh=outcome.enh,
        reply=outcome.reply or outcome.why,
        hours=(now - entry.letter.arrived) // HOUR,
        tries=entry.tries + 1,
    )
    settled = failure(entry, end, _reported(entry, outcome, now))
    return Settled(
        entry,
        (event, *settled.events),
        settled.what,
        settled.reported,
        settled.to_postmaster,
    )


def _is_to_warn(entry: Entry) -> bool:
    """Whether the sender is to hear of a delay and has not (RFC 3461 4.1)."""
    wants = entry.wants
    return not entry.warned and bool(entry.letter.sender) and (not wants or "DELAY" in wants)


def _common(entry: Entry, outcome: Outcome, now: int) -> dict[str, Any]:
    return {
        "at": now,
        "trace": entry.letter.m,
        "n": entry.n,
        "addr": entry.addr,
        "host": outcome.host,
        "ip": outcome.ip,
        "code": outcome.code,
        "enh": outcome.enh,
        "reply": outcome.reply,
        "actor": "remote" if outcome.code else "system",
        "attempt": entry.tries + 1,
        "cn": outcome.cn,
    }


def _trouble(outcome: Outcome) -> dict[str, Any]:
    return {"stage": outcome.stage, "why": outcome.why, "tls": outcome.tls}


def _reported(entry: Entry, outcome: Outcome, now: int, until: int = 0) -> Reported:
    return Reported(
        entry.addr,
        status=outcome.enh,
        reply=outcome.reply,
        why=outcome.why,
        host=outcome.host,
        ip=outcome.ip,
        original=entry.original,
        orcpt=entry.orcpt,
        last_attempt=now,
        retry_until=until,
    )

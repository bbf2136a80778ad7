"""The lines about one message put together, and the events they amount to (PURE)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tracing import events, ids, sending
from tracing.codec import ASIDE
from tracing.event import Event
from tracing.history.told import Told

MAX_LINES = 200
"""Numbers of lines that are kept of a message."""
MAX_EVENTS = 5_000
"""Outcomes that are kept of a message; the rest is counted as not understood."""

_ENDINGS = (
    sending.OutDelivered,
    sending.OutFailed,
    sending.QueueExpire,
    sending.QueueDrop,
)
_ATTEMPTS = (sending.OutDelivered, sending.OutFailed, sending.OutDeferred)


@dataclass(slots=True)
class Group:
    """What the lines of one queue id on one server said; times in microseconds."""

    server: str
    key: str
    first: int
    last: int
    source: str = ""
    lines: list[int] = field(default_factory=list)
    sender: str | None = None
    ip: str = ""
    helo: str = ""
    login: str = ""
    message_id: str = ""
    subject: str = ""
    size: int | None = None
    local: bool = False
    over: bool = False
    recipients: dict[str, str] = field(default_factory=dict)
    """Final addresses in the order they were told of, each with the one that led to it."""
    told: list[Event] = field(default_factory=list)

    @property
    def has_arrived(self) -> bool:
        """Whether the lines tell that the server took the message."""
        return self.size is not None or (self.local and self.sender is not None)

    def take(self, one: Told, at: int, source: str, line: int) -> bool:
        """Add a line; whether there was room for it."""
        self.first, self.last, self.source = min(self.first, at), max(self.last, at), source
        if len(self.lines) < MAX_LINES:
            self.lines.append(line)
        if one.sender is not None:
            self.sender = one.sender
        self.ip, self.helo = one.ip or self.ip, one.helo or self.helo
        self.login = one.login or self.login
        self.message_id = one.message_id or self.message_id
        self.subject = one.subject or self.subject
        self.size = one.size if one.size is not None else self.size
        self.local, self.over = self.local or one.local, self.over or one.over
        for address in one.recipients:
            if len(self.recipients) < MAX_EVENTS:
                self.recipients.setdefault(address, address)
        if one.event is None:
            return True
        if len(self.told) >= MAX_EVENTS:
            return False
        address = one.event.addr
        if address and not _is_refusal(one.event):
            original = one.original or address
            if address not in self.recipients and original in self.recipients:
                del self.recipients[original]  # an alias of what the arrival named
            self.recipients.setdefault(address, original)
        self.told.append(one.event)
        return True


def _is_refusal(event: Event) -> bool:
    return isinstance(event, events.SmtpReject | events.SmtpTempfail)


@dataclass(slots=True)
class Known:
    """What the log has of a message already: its events, and its recipients' numbers."""

    seen: set[tuple[str, int, str, str]] = field(default_factory=set)
    numbers: dict[str, int] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    has_begun: bool = False

    @classmethod
    def of(
        cls, told: Sequence[Event], numbers: Mapping[str, int], tries: Mapping[str, int]
    ) -> "Known":
        """From a message's timeline, its recipients' numbers and their attempts."""
        begun = any(isinstance(one, events.SmtpMail | events.SmtpAccept) for one in told)
        return cls({mark(one) for one in told}, dict(numbers), dict(tries), begun)


def mark(event: Event) -> tuple[str, int, str, str]:
    """What makes an event the same one when its line is read again."""
    said = event.reply or str(getattr(event, "why", "") or getattr(event, "report", ""))
    return event.kind, event.at, event.addr, said


def to_events(group: Group, m: int, known: Known, at: int) -> list[Event]:
    """The events of a message that the log does not have yet; empty where it has them all.

    ``at`` is when it is read in.
    """
    made = list(_begin(group, m, known))
    known.seen.update(map(mark, made))
    for event in _spread(group, known):
        one = msgspec.structs.replace(event, trace=m)
        if mark(one) not in known.seen:
            known.seen.add(mark(one))
            made.append(one)
    if made:
        made.append(
            events.MailImported(
                at=at,
                trace=m,
                source=group.source,
                server=group.server,
                key=group.key,
                lines=tuple(group.lines),
                over=group.over,
            )
        )
    return made


def _begin(group: Group, m: int, known: Known) -> Iterator[Event]:
    """The arrival, and the recipients that have no number yet."""
    fresh = [address for address in group.recipients if address not in known.numbers]
    next_n = max((n for n in known.numbers.values() if n < ASIDE), default=0) + 1
    known.numbers |= {address: n for n, address in enumerate(fresh, next_n)}
    refused = not group.has_arrived and any(map(_is_refusal, group.told))
    if known.has_begun or not (group.has_arrived or refused or group.sender is not None):
        for address in fresh:
            original = group.recipients[address]
            if original != address and original in known.numbers:
                # What the arrival named turns out to be an alias.
                known.numbers[address] = known.numbers.pop(original)
                yield sending.QueueRedirect(
                    at=group.first,
                    trace=m,
                    n=known.numbers[address],
                    addr=address,
                    was=original,
                    next_try=group.first,
                )
                continue
            yield sending.QueueAdd(
                at=group.first,
                trace=m,
                n=known.numbers[address],
                addr=address,
                original=original if original != address else "",
            )
        return
    if not group.local:
        yield events.SmtpMail(
            at=group.first,
            trace=m,
            cn=0,
            addr=group.sender or "",
            ip=group.ip,
            helo=group.helo,
            login=group.login,
        )
    if refused:
        return
    told: dict[str, Any] = {
        "at": group.first,
        "trace": m,
        "addr": group.sender or "",
        "size": group.size or 0,
        "sha256": "",
        "count": len(fresh),
        "recipients": tuple(
            events.Recipient(known.numbers[one], one, group.recipients[one]) for one in fresh
        ),
        "message_id": group.message_id,
        "subject": group.subject,
    }
    if group.local:
        yield events.MailMade(rel="local", **told)
    else:
        yield events.SmtpAccept(**told)


def _spread(group: Group, known: Known) -> Iterator[Event]:
    """The outcomes in order, with numbers; what concerns all goes to those without an end."""
    done: set[str] = set()
    tries = known.tries
    for event in sorted(group.told, key=lambda one: one.at):
        if _is_refusal(event) or isinstance(event, sending.DsnMade):
            yield event
            continue
        whom = [event.addr] if event.addr else [a for a in known.numbers if a not in done]
        for address in whom:
            changed: dict[str, object] = {"addr": address, "n": known.numbers.get(address, 0)}
            if isinstance(event, _ATTEMPTS):
                is_fresh = mark(msgspec.structs.replace(event, addr=address)) not in known.seen
                tries[address] = tries.get(address, 0) + is_fresh
                changed["attempt"] = tries[address]
            elif isinstance(event, sending.QueueExpire):
                changed["tries"] = tries.get(address, 0)
                changed["hours"] = max(0, event.at - group.first) // 3_600_000_000
            if isinstance(event, _ENDINGS):
                done.add(address)
            if isinstance(event, sending.OutDelivered) and not event.host:
                changed["host"] = group.server
            yield msgspec.structs.replace(event, **changed)


def id_at(at: int, mixed: int) -> int:
    """An id of the time; ``mixed`` decides among those of one millisecond, or of one second.

    Raises ValueError for a time before ids begin.
    """
    milliseconds = at // 1000 - ids.EPOCH_MS
    if milliseconds < 0:
        raise ValueError("it is from before 2024, where ids begin")
    if at % 1_000_000 == 0:
        milliseconds += mixed % 1000
        mixed //= 1000
    counter = mixed % (1 << ids.COUNTER_BITS)
    return (milliseconds << ids.NODE_BITS | ids.IMPORTED) << ids.COUNTER_BITS | counter

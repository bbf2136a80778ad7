"""What events of mail that leaves do to the rows of recipients.

A row that was queued for delivery elsewhere has ``params``: the parameters of ``queue.add``
and, beside them, what became of the entry: ``held`` (why), ``warned`` (the sender was told of
the delay), ``was`` (the address it was accepted for, once redirected), ``addr`` (the address
as it is, where the log's own form of it differs). A final fate stays final; only the remote's
own word that it took the message counts above ours.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from tracing import events, sending
from tracing.rows import Home, Message, Recipient
from tracing.states import State

_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder(dict[str, Any]).decode
_OWN = [
    (field.name, field.default)
    for field in msgspec.structs.fields(sending.QueueAdd)
    if field.name not in events.COLUMNS and field.name != "next_try"
]


def params_of(event: sending.QueueAdd) -> str:
    """The parameters that are not the default, as JSON."""
    given = {name: value for name, default in _OWN if (value := getattr(event, name)) != default}
    return _json(given).decode() if given else "{}"


def _row(event: events.Event, home: Home) -> tuple[Message, Recipient] | None:
    """The recipient an event is about, if the log knows it."""
    message = home.message(event.trace)
    row = message.recipients.get(event.n) if message else None
    return (message, row) if message is not None and row is not None else None


def _put(
    message: Message, row: Recipient, at: int, status: State, next_try: int | None = None
) -> None:
    row.status, row.next_try, row.last, row.changed = status, next_try, at, True
    message.last = at
    message.settle()


def _answer(row: Recipient, event: Any, home: Home) -> None:
    """What the remote said, or our own words where it said nothing."""
    row.host = home.names.string(event.host) if event.host else None
    row.code, row.enh = event.code or None, event.enh or None
    row.reply = event.reply or getattr(event, "why", "") or None


def _mark(row: Recipient, **marks: Any) -> None:
    """Set marks in the parameters; None takes one away."""
    params = _from_json(row.params or "{}") | marks
    row.params = _json({k: v for k, v in params.items() if v is not None}).decode()


def _waiting(row: Recipient) -> State:
    return State.DEFERRED if row.tries else State.QUEUED


def queue_add(event: sending.QueueAdd, home: Home) -> None:
    """A recipient elsewhere waits for its first attempt."""
    message = home.open_message(event.trace, event.at)
    row = message.recipients.get(event.n)
    number, dom, exact = home.names.address(event.addr)
    if row is None:
        row = Recipient(event.n, number, dom, None, event.at, event.at, State.QUEUED)
        message.recipients[event.n] = row
    row.params = params_of(event)
    if not exact:
        _mark(row, addr=event.addr)
    _put(message, row, event.at, State.QUEUED, event.next_try or event.at)


def queue_hold(event: sending.QueueHold, home: Home) -> None:
    """Nothing is tried until it is released."""
    if (found := _row(event, home)) and State(found[1].status).is_open:
        _mark(found[1], held=event.why)
        _put(*found, event.at, State.HELD)


def queue_again(event: sending.QueueRelease | sending.QueueRetry, home: Home) -> None:
    """It is due at another time."""
    if (found := _row(event, home)) and State(found[1].status).is_open:
        if found[1].status == State.HELD:
            _mark(found[1], held=None)
        _put(*found, event.at, _waiting(found[1]), event.next_try)


def queue_redirect(event: sending.QueueRedirect, home: Home) -> None:
    """It goes to another address, and the one that was accepted stays known.

    Where that is one of ours, a message of its own goes there in its place.
    """
    found = _row(event, home)
    if not found or not event.addr or not State(found[1].status).is_open:
        return
    message, row = found
    if not event.next_try:
        _put(message, row, event.at, State.REPLACED)
        return
    if "was" not in _from_json(row.params or "{}"):
        _mark(row, was=event.was)
    if row.status == State.HELD:
        _mark(row, held=None)
    row.addr, row.dom, exact = home.names.address(event.addr)
    _mark(row, addr=None if exact else event.addr)
    _put(message, row, event.at, _waiting(row), event.next_try)


def queue_expire(event: sending.QueueExpire, home: Home) -> None:
    """The schedule came to its end."""
    if (found := _row(event, home)) and State(found[1].status).is_open:
        _put(*found, event.at, State.EXPIRED)


def queue_drop(event: sending.QueueDrop, home: Home) -> None:
    """An operator cancelled it."""
    if (found := _row(event, home)) and State(found[1].status).is_open:
        _put(*found, event.at, State.CANCELLED)


def queue_bounce(event: sending.QueueBounce, home: Home) -> None:
    """An operator gave it back to the sender."""
    if (found := _row(event, home)) and State(found[1].status).is_open:
        _put(*found, event.at, State.BOUNCED)


def out_delivered(event: sending.OutDelivered, home: Home) -> None:
    """The remote has it."""
    if (found := _row(event, home)) and found[1].status != State.STORED:
        found[1].tries, found[1].rqid = event.attempt, event.rqid or None
        _answer(found[1], event, home)
        _put(*found, event.at, State.RELAYED)


def out_deferred(event: sending.OutDeferred, home: Home) -> None:
    """It is tried again later."""
    if (found := _row(event, home)) and State(found[1].status).is_open:
        found[1].tries = event.attempt
        _answer(found[1], event, home)
        _put(*found, event.at, State.DEFERRED, event.next_try or None)


def out_failed(event: sending.OutFailed, home: Home) -> None:
    """It cannot be delivered."""
    if (found := _row(event, home)) and State(found[1].status).is_open:
        found[1].tries = event.attempt
        _answer(found[1], event, home)
        _put(*found, event.at, State.BOUNCED)


def dsn_made(event: sending.DsnMade, home: Home) -> None:
    """The sender is told of a delay once."""
    if event.what == "delayed" and (found := _row(event, home)):
        _mark(found[1], warned=True)
        found[1].changed = True


RECIPIENTS: dict[type[events.Event], Callable[[Any, Home], None]] = {
    sending.QueueAdd: queue_add,
    sending.QueueHold: queue_hold,
    sending.QueueRelease: queue_again,
    sending.QueueRetry: queue_again,
    sending.QueueRedirect: queue_redirect,
    sending.QueueExpire: queue_expire,
    sending.QueueDrop: queue_drop,
    sending.QueueBounce: queue_bounce,
    sending.OutDelivered: out_delivered,
    sending.OutDeferred: out_deferred,
    sending.OutFailed: out_failed,
    sending.DsnMade: dsn_made,
}
"""What is done in the month of the message."""

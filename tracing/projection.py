"""What each event does to the rows of messages, recipients and stored copies.

One function per kind; those of mail that leaves are in ``tracing.projection_queue``.
"""

import re
from collections.abc import Callable
from typing import Any

from tracing import codec, events, projection_queue, shapes
from tracing.codec import ASIDE
from tracing.rows import Home, Others, Recipient, Stored
from tracing.states import State

_SIZE = re.compile(r",S=(\d{1,15})")


def smtp_mail(event: events.SmtpMail, home: Home) -> None:
    """A transaction begins."""
    message = home.begin_message(event.trace, event.at)
    message.cn = event.cn
    message.dir = 1 if event.login else 0
    message.login = event.login or None
    if event.addr:
        message.sender, message.sdom, _ = home.names.address(event.addr)
    message.ip = codec.packed_ip(event.ip) if event.ip else None
    message.helo = home.names.string(event.helo) if event.helo else None


def smtp_rcpt(event: events.SmtpRcpt, home: Home) -> None:
    """An accepted recipient, provisional until the message is."""
    message = home.message(event.trace)
    if message is None or not event.addr:
        return
    number, dom, _ = home.names.address(event.addr)
    n = event.n or len(message.recipients) + 1
    if n in message.recipients:
        n = message.aside()
    row = Recipient(n, number, dom, None, event.at, event.at, State.RECEIVING)
    message.recipients[n] = row
    message.last = event.at
    message.settle()


def route_duplicate(event: events.RouteDuplicate, home: Home) -> None:
    """An address that needs no copy of its own."""
    message = home.message(event.trace)
    if message is None or not event.addr:
        return
    number, dom, _ = home.names.address(event.addr)
    original = home.names.address(event.original)[0] if event.original else None
    known = message.recipients.get(event.n)
    n = event.n if event.n and (known is None or known.status == State.RECEIVING) else -1
    n = message.aside() if n < 0 else n
    orig = original if original != number else None
    message.recipients[n] = Recipient(n, number, dom, orig, event.at, event.at, State.DUPLICATE)
    message.settle()


def smtp_accept(event: events.SmtpAccept, home: Home) -> None:
    """The message is ours: its recipients are those of the event."""
    message = home.open_message(event.trace, event.at)
    rows = message.recipients
    for n in [n for n, row in rows.items() if n < ASIDE and row.status != State.DUPLICATE]:
        del rows[n]
        message.dropped.append(n)
    address = home.names.address
    for n, addr, original in ((r.n, r.addr, r.original) for r in event.recipients):
        number, dom, _ = address(addr)
        orig = address(original)[0] if original and original != addr else None
        if orig == number:
            orig = None
        if n in rows:
            rows[n].addr, rows[n].dom, rows[n].orig, rows[n].changed = number, dom, orig, True
            continue
        rows[n] = Recipient(n, number, dom, orig, event.at, event.at, State.QUEUED)
    sender, sdom, exact = address(event.addr) if event.addr else (None, None, False)
    if message.sender is None:
        message.sender, message.sdom = sender, sdom
    message.last = event.at
    message.size = event.size
    message.message_id = event.message_id or None
    message.fresh_subject = bool(event.subject) and message.subject is None
    message.subject = event.subject or None
    own = event.addr if exact and sender == message.sender else ""
    message.header_from = shapes.short_from(event.header_from, own) or None
    message.sha256 = bytes.fromhex(event.sha256) if codec.DIGEST.fullmatch(event.sha256) else None
    message.settle()


def mail_made(event: events.MailMade, home: Home, others: Others) -> None:
    """A message that no client brought: where it came from, and its recipients."""
    message = home.open_message(event.trace, event.at)
    message.dir = 1 if event.rel == "local" else 2
    message.rel = event.rel or None
    if event.parent:
        message.parent, message.root = event.parent, others.root_of(event.parent)
    smtp_accept(event, home)


def smtp_refusal(event: events.SmtpReject | events.SmtpTempfail, home: Home) -> None:
    """A refused recipient, or a refused message with all its recipients.

    By LMTP a recipient may be refused after it was taken: it counts as if it had been at once.
    """
    message = home.message(event.trace)
    if message is None:
        return
    status = State.REFUSED if isinstance(event, events.SmtpReject) else State.TEMPFAILED
    message.last = event.at
    if event.stage == "rcpt" or event.n:
        if event.addr:
            taken = message.recipients.get(event.n)
            if taken is not None and taken.status == State.RECEIVING:
                del message.recipients[event.n]
                message.dropped.append(event.n)
            number, dom, _ = home.names.address(event.addr)
            row = Recipient(message.aside(), number, dom, None, event.at, event.at, status)
            _answer(row, event)
            message.recipients[row.n] = row
            message.settle()
        return
    for row in message.recipients.values():
        if row.status == State.RECEIVING:
            row.status, row.last, row.changed = status, event.at, True
            _answer(row, event)
    if message.status == State.RECEIVING:
        message.status = status
    message.settle()


def smtp_abort(event: events.SmtpAbort, home: Home) -> None:
    """The client left before the message was ours."""
    message = home.message(event.trace)
    if message is None:
        return
    for row in message.recipients.values():
        if row.status == State.RECEIVING:
            row.status, row.last, row.changed = State.ABORTED, event.at, True
    if message.status == State.RECEIVING:
        message.status = State.ABORTED
    message.last = event.at
    message.settle()


def store_delivered(event: events.StoreDelivered, home: Home) -> None:
    """A recipient has its copy."""
    message = home.open_message(event.trace, event.at)
    number, dom, _ = home.names.address(event.addr)
    row = message.recipients.get(event.n)
    if row is None:
        row = Recipient(event.n, number, dom, None, event.at, event.at, State.STORED)
        message.recipients[event.n] = row
    row.status, row.st, row.last, row.changed = State.STORED, event.st, event.at, True
    row.reply = row.next_try = None
    message.last = event.at
    message.settle()


def copy_delivered(event: events.StoreDelivered, home: Home) -> None:
    """The copy itself, in the month of its id.

    An act on it may have been recorded first, from another journal: what that said of its
    mailbox and its end stays.
    """
    copy = home.stored(event.st)
    if copy is None:
        box = home.names.address(event.addr)[0]
        mailbox = home.names.string(event.mailbox)
        copy = Stored(event.st, event.trace, event.n, box, mailbox, event.base, event.size)
    else:
        copy.msg, copy.n, copy.base, copy.size = event.trace, event.n, event.base, event.size
    home.store(copy)


def store_failed(event: events.StoreFailed, home: Home) -> None:
    """A copy could not be made yet."""
    message = home.message(event.trace)
    row = message.recipients.get(event.n) if message else None
    if message is None or row is None or State(row.status).is_final:
        return
    row.status, row.reply, row.last = State.DEFERRED, event.why, event.at
    row.tries += 1
    row.changed = True
    message.last = event.at
    message.settle()


def _answer(row: Recipient, event: events.Event) -> None:
    row.code, row.enh, row.reply = event.code or None, event.enh or None, event.reply or None


def box_came(event: events.BoxEvent, others: Others) -> None:
    """Messages entered a box otherwise than by delivery."""
    for item in event.items:
        home = others.home_of(item.st)
        if home is not None:
            _put(event, item, event.mailbox, home)


def box_move(event: events.BoxMove, others: Others) -> None:
    """Messages lie in another mailbox."""
    for item in event.items:
        home = others.home_of(item.st)
        if home is None:
            continue
        copy = home.stored(item.st)
        if copy is None:
            _put(event, item, event.target, home)
        else:
            copy.mailbox = home.names.string(event.target)
            home.store(copy)


def box_copy(event: events.BoxCopy, others: Others) -> None:
    """Copies lie in another mailbox, or in the same."""
    for item in event.items:
        home = others.home_of(item.st)
        if home is not None:
            _put(event, item, event.target, home)


def box_gone(event: events.BoxEvent, others: Others) -> None:
    """Messages are no longer there."""
    for item in event.items:
        home = others.home_of(item.st)
        if home is None:
            continue
        copy = home.stored(item.st) or _put(event, item, event.mailbox, home)
        copy.gone = event.at
        home.store(copy)


def box_mailbox(event: events.BoxMailbox, others: Others) -> None:
    """A renamed mailbox takes its messages along."""
    if event.what != "renamed" or not event.target or not event.addr:
        return
    for home in others.all_homes():
        home.rename(home.names.address(event.addr)[0], event.mailbox, event.target)


def _put(event: events.BoxEvent, item: events.Item, mailbox: str, home: Home) -> Stored:
    box = home.names.address(event.addr)[0]
    size = _SIZE.search(item.base)
    copy = Stored(
        item.st,
        item.m,
        0,
        box,
        home.names.string(mailbox),
        item.base,
        int(size[1]) if size else 0,
    )
    home.store(copy)
    return copy


MESSAGES: dict[type[events.Event], Callable[[Any, Home], None]] = {
    events.SmtpMail: smtp_mail,
    events.SmtpRcpt: smtp_rcpt,
    events.RouteDuplicate: route_duplicate,
    events.SmtpAccept: smtp_accept,
    events.SmtpReject: smtp_refusal,
    events.SmtpTempfail: smtp_refusal,
    events.SmtpAbort: smtp_abort,
    events.StoreDelivered: store_delivered,
    events.StoreFailed: store_failed,
    **projection_queue.RECIPIENTS,
}
"""What is done in the month of the message."""

KIN: dict[type[events.Event], Callable[[Any, Home, Others], None]] = {
    events.MailMade: mail_made,
}
"""The same, where it takes a look at another message, in whatever month."""

COPIES: dict[type[events.Event], Callable[[Any, Others], None]] = {
    events.BoxAppend: box_came,
    events.BoxForeign: box_came,
    events.RestoreMessage: box_came,
    events.BoxMove: box_move,
    events.BoxCopy: box_copy,
    events.BoxExpunge: box_gone,
    events.BoxVanished: box_gone,
    events.BoxMailbox: box_mailbox,
}
"""What is done in the months of the stored copies."""

_PATH = frozenset(
    {
        "auth",
        "check",
        "conn",
        "dsn",
        "mail",
        "out",
        "queue",
        "report",
        "route",
        "smtp",
        "store",
        "tls",
    }
)

OF_PATH = {cls: kind.partition(".")[0] in _PATH for kind, cls in events.REGISTRY.items()} | {
    events.Unknown: False
}
"""Whether an event belongs to the month of its trace; otherwise to the month of its time."""

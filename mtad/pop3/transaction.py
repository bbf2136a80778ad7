"""After the login: looking at messages, fetching and deleting them (RFC 1939 5 to 7)."""

import asyncio
import os

from mtad.clock import now_us
from mtad.journal.frame import Meta, raw
from mtad.pop3 import kept
from mtad.pop3.command import Bad, Command, Negative, none, number, numbers, ok
from mtad.pop3.maildrop import PIECE
from mtad.pop3.session import Session, State
from mtad.pop3.wire import END, Cut, Stuffer
from mtad.store import names
from mtad.store.telling import CHUNK, chunks
from tracing.events import Pop3Dele


async def stat(session: Session, command: Command) -> None:
    """How many messages, and their octets."""
    none(command.argument)
    count, octets = session.maildrop.total
    session.put(b"+OK %d %d\r\n" % (count, octets))


async def listing(session: Session, command: Command) -> None:
    """LIST: the octets of one message, or of all."""
    wanted, drop = number(command.argument), session.maildrop
    if wanted is not None:
        _check(session, wanted)
        session.put(b"+OK %d %d\r\n" % (wanted, drop.sizes[wanted - 1]))
        return
    count, octets = drop.total
    said = "".join([f"{n} {drop.sizes[n - 1]}\r\n" for n in drop.numbers()])
    await session.write(ok(f"{count} messages ({octets} octets)") + said.encode() + END)


async def uidl(session: Session, command: Command) -> None:
    """The unique-id of one message, or of all."""
    wanted, drop = number(command.argument), session.maildrop
    if wanted is not None:
        _check(session, wanted)
        session.put(b"+OK %d %b\r\n" % (wanted, drop.unique_ids[wanted - 1].encode()))
        return
    said = "".join([f"{n} {drop.unique_ids[n - 1]}\r\n" for n in drop.numbers()])
    await session.write(ok("unique-ids follow") + said.encode() + END)


async def retr(session: Session, command: Command) -> None:
    """A whole message."""
    wanted = _one(session, command)
    await _send(session, wanted, None)
    session.has_fetched(wanted)


async def top(session: Session, command: Command) -> None:
    """A message's header and the first lines of its body."""
    given = numbers(command.argument)
    if len(given) != 2:
        raise Bad("TOP takes a message number and a number of lines")
    _check(session, given[0])
    await _send(session, given[0], Cut(given[1]))


async def dele(session: Session, command: Command) -> None:
    """Delete a message at the end of the session."""
    wanted = _one(session, command)
    session.maildrop.deleted.add(wanted)
    session.put(ok(f"message {wanted} goes when you say QUIT"))


async def rset(session: Session, command: Command) -> None:
    """Delete nothing after all."""
    none(command.argument)
    session.maildrop.deleted.clear()
    count, octets = session.maildrop.total
    session.put(ok(f"{count} messages, {octets} octets"))


async def noop(session: Session, command: Command) -> None:
    """Say that one is there."""
    none(command.argument)
    session.put(ok("here"))


async def leave(session: Session, command: Command) -> None:
    """QUIT: what was deleted goes, what was fetched is marked as read (RFC 1939 6).

    All of it is durable before the client is told that it is done.
    """
    none(command.argument)
    session.state = State.UPDATE
    drop, limits = session.maildrop, session.service.limits
    if drop.deleted:
        await _delete(session, sorted(drop.deleted))
    if limits.mark_seen:
        unread = [
            drop.rows[n - 1].uid
            for n in sorted(session.fetched - drop.deleted)
            if "S" not in drop.rows[n - 1].flags
        ]
        for part in chunks(unread):
            await session.box.flags(
                names.INBOX, part, ["\\Seen"], actor=session.actor, client=session.client
            )
    session.put(ok("bye"))


async def _delete(session: Session, gone: list[int]) -> None:
    """Delete messages, or note that they are to be kept for a while and shown no more."""
    drop, days = session.maildrop, session.service.limits.keep_fetched_days
    if not days:
        uids = [drop.rows[n - 1].uid for n in gone]
        await session.box.expunge(names.INBOX, uids, actor=session.actor, client=session.client)
        session.deleted = len(uids)
        return
    journal, at = session.service.journal, now_us()
    items = [drop.item(n) for n in gone]
    for part in chunks(items, CHUNK):
        event = Pop3Dele(
            at=at,
            trace=journal.mint.new(),
            also=tuple(dict.fromkeys(item.m for item in part if item.m)),
            addr=session.address,
            ip=session.ip,
            mailbox=names.INBOX,
            items=tuple(part),
            client=session.client,
            actor=session.actor,
            days=days,
        )
        await journal.commit(Meta(events=(raw(event),)))
    hidden = {item.st: at for item in items}
    await asyncio.to_thread(kept.change, session.box.owner.folder, lambda was: was | hidden)
    session.deleted = len(items)


def _one(session: Session, command: Command) -> int:
    """The message that a command names. Raises Negative."""
    wanted = number(command.argument)
    if wanted is None:
        raise Bad(f"{command.name} takes a message number")
    _check(session, wanted)
    return wanted


def _check(session: Session, wanted: int) -> None:
    if wanted in session.maildrop.deleted:
        raise Negative(f"message {wanted} is deleted")
    if wanted not in session.maildrop:
        raise Negative("there is no such message")


async def _send(session: Session, wanted: int, cut: Cut | None) -> None:
    """Send a message as a multi-line response. Raises Negative when it is gone, Gone."""
    drop = session.maildrop
    try:
        if wanted in drop.ahead:
            data, descriptor = drop.ahead.pop(wanted), -1
        else:
            data, descriptor = await asyncio.to_thread(drop.read, wanted)
    except FileNotFoundError:
        raise Negative("the message was deleted by another program meanwhile") from None
    stuffer = Stuffer()
    try:
        begin = ok(f"{drop.sizes[wanted - 1]} octets") if cut is None else ok("the top follows")
        while True:
            if cut is not None:
                data = cut.feed(data)
            is_last = descriptor < 0 or (cut is not None and cut.is_done)
            sent = begin + stuffer.feed(data)
            if is_last:
                await session.write(sent + stuffer.end())
                return
            await session.write(sent)
            begin = b""
            data = await asyncio.to_thread(os.read, descriptor, PIECE)
            if not data:
                os.close(descriptor)
                descriptor = -1
    finally:
        if descriptor >= 0:
            os.close(descriptor)

"""THREAD and UID THREAD (RFC 5256)."""

import asyncio

from mtad.imap.answer import Ok
from mtad.imap.commands import Thread
from mtad.imap.handlers.chosen import opened
from mtad.imap.searching import SUMMARIES, Searching, asks_modseq
from mtad.imap.session import Session
from mtad.imap.sorting import sent_at
from mtad.mime import fields, threads
from mtad.mime.threads import Mail
from mtad.store.cache_rendering import Summary


async def thread(session: Session, command: Thread) -> Ok | None:
    """Tell which messages match, as the conversations they are part of."""
    selected = opened(session)
    if asks_modseq(command.key):
        session.use_modseqs()
    searching = Searching(session, selected)
    found = await searching.find(command)
    mails = []
    for start in range(0, len(found), SUMMARIES):
        part = {searching.uids[at]: at for at in found[start : start + SUMMARIES]}
        summaries = await selected.box.summaries(selected.view.name, [*part], outline=False)
        mails += [
            _mail(uid, summaries[uid], searching.dates_ns[at])
            for uid, at in part.items()
            if uid in summaries
        ]
        await session.drain()
    if command.algorithm == "REFERENCES":
        made = await asyncio.to_thread(threads.references, mails)
    else:
        made = await asyncio.to_thread(threads.ordered_subject, mails)
    numbers = None
    if not command.by_uid:
        numbers = {mail.uid: selected.number(mail.uid) for mail in mails}
    said = threads.written(made, numbers)
    await session.write(b"* THREAD%b%b\r\n" % (b" " if said else b"", said))
    return None


def _mail(uid: int, summary: Summary, date_ns: int) -> Mail:
    header = fields.read(summary.header, 0, len(summary.header))

    def first(name: bytes) -> bytes:
        return fields.first(header, name) or b""

    return Mail(
        uid,
        first(b"message-id"),
        first(b"references"),
        first(b"in-reply-to"),
        first(b"subject"),
        sent_at(summary, date_ns),
    )

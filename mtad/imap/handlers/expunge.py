r"""EXPUNGE and UID EXPUNGE (RFC 9051 6.4.3, RFC 4315 2.1): what is \Deleted goes for good.

What went is told as EXPUNGE or VANISHED with the tagged answer.
"""

from mtad.imap.answer import Ok
from mtad.imap.commands import Plain, UidExpunge
from mtad.imap.handlers.chosen import who, writable
from mtad.imap.handlers.copy import gone_code
from mtad.imap.selected import Selected
from mtad.imap.session import Session

DELETED = "\\Deleted"


async def expunge(session: Session, command: Plain | UidExpunge) -> Ok | None:
    """Both forms; the UID form spares what it does not name."""
    selected = writable(session, "e")
    if isinstance(command, UidExpunge):
        named = set(selected.resolve(command.numbers, by_uid=True))
        uids = [uid for uid in deleted(selected) if uid in named]
    else:
        uids = deleted(selected)
    if not uids:
        return None
    gone = await selected.box.expunge(selected.view.name, uids, **who(session))
    return Ok(code=gone_code(session) if gone else b"")


def deleted(selected: Selected) -> list[int]:
    r"""The UIDs of all messages that are \Deleted."""
    text, mark = selected.view.flag_text, DELETED.encode()
    return [uid for at, uid in enumerate(selected.view.uids) if mark in text(at)]

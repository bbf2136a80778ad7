"""REPLACE and UID REPLACE: a message comes in the place of another (RFC 8508).

The other goes only once its successor is durable: a crash in between leaves both.
"""

from mtad.imap.answer import Ok
from mtad.imap.commands import NumberSet, Replace
from mtad.imap.handlers.append import code, put
from mtad.imap.handlers.chosen import expunged, there, who, writable
from mtad.imap.handlers.copy import gone_code
from mtad.imap.session import Session


async def replace(session: Session, command: Replace) -> Ok | None:
    """Store a message, in the same or another mailbox, and expunge the one it replaces."""
    selected = writable(session, "te")
    numbers = NumberSet(((command.number, command.number),))
    uids = there(selected, selected.resolve(numbers, command.by_uid))
    if not uids:
        raise expunged()
    done = await put(session, command.mailbox, (command.message,))
    await session.ok("Replacement stored", code(done))
    await selected.box.expunge(selected.view.name, uids, **who(session))
    return Ok(code=gone_code(session))

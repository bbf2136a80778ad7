"""NAMESPACE (RFC 2342, RFC 9051 6.3.10)."""

from mtad.imap import write
from mtad.imap.answer import Ok
from mtad.imap.commands import Plain
from mtad.imap.reach import OTHERS, SHARED
from mtad.imap.session import Session


async def namespace(session: Session, command: Plain) -> Ok | None:
    """One's own mailboxes begin with nothing, others' as ``mtad.imap.reach`` says."""
    session.put(write.namespace([("", "/")], [(OTHERS, "/")], [(SHARED, "/")]))
    return None

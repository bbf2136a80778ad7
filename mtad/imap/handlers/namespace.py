"""NAMESPACE (RFC 2342, RFC 9051 6.3.10)."""

from mtad.imap import write
from mtad.imap.answer import Ok
from mtad.imap.commands import Plain
from mtad.imap.session import Session


async def namespace(session: Session, command: Plain) -> Ok | None:
    """Everything is one's own and begins with nothing."""
    session.put(write.namespace([("", "/")]))
    return None

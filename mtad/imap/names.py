"""The mailboxes of a session's box by name."""

from mtad.imap.session import Session
from mtad.store.rows import MailboxRow


def mailboxes(session: Session) -> dict[str, MailboxRow]:
    """Every mailbox by its name, as last synchronised."""
    found: dict[str, MailboxRow] = session.box.owner.index.mailboxes
    return found

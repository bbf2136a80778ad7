"""The mailboxes of a session's box by name."""

from mtad.imap.answer import No
from mtad.imap.session import Session
from mtad.store.rows import MailboxRow


def mailboxes(session: Session) -> dict[str, MailboxRow]:
    """Every mailbox by its name, as last synchronised."""
    found: dict[str, MailboxRow] = session.box.owner.index.mailboxes
    return found


def find(session: Session, name: str) -> MailboxRow:
    """A mailbox. Raises No [NONEXISTENT]."""
    found = mailboxes(session).get(name)
    if found is None:
        raise No("There is no such mailbox", b"NONEXISTENT")
    return found

"""Making, removing and renaming mailboxes, and subscriptions (RFC 9051 6.3.4 to 6.3.8)."""

from mtad.errors import UsageError
from mtad.imap.answer import No, Ok, line
from mtad.imap.commands import Create, OfMailbox, Rename
from mtad.imap.names import find, mailboxes
from mtad.imap.session import Session
from mtad.store.names import INBOX
from tracing import ids

REAL_USES = {"\\Archive", "\\Drafts", "\\Junk", "\\Sent", "\\Trash"}
r"""Those a mailbox can be given; \All and \Flagged would have to be views of others."""


async def create(session: Session, command: Create) -> Ok | None:
    """RFC 9051 6.3.4, RFC 6154 3. A trailing delimiter only says that inferiors are to come."""
    name = command.mailbox.removesuffix("/")
    if not REAL_USES.issuperset(command.uses):
        raise No("No mailbox can be used for this", b"USEATTR")
    if name == INBOX or name in mailboxes(session):
        raise No("There is such a mailbox already", b"ALREADYEXISTS")
    _check(name)
    try:
        await session.box.create(
            name, uses=command.uses, actor=session.actor, client=session.client, by=session
        )
    except UsageError as error:
        raise No(str(error), b"CANNOT") from None
    made = find(session, name)
    return Ok("", b"MAILBOXID (%b)" % ids.text(made.objectid).encode())


def _check(name: str) -> None:
    """Refuse names that could not be named again by LIST, or by nobody. Raises No."""
    if not name or "%" in name or "*" in name:
        raise No("A mailbox cannot have this name", b"CANNOT")


async def delete(session: Session, command: OfMailbox) -> Ok | None:
    """RFC 9051 6.3.5: inferiors stay, and with them the name as one of no mailbox."""
    name = command.mailbox
    if name == INBOX:
        raise No("INBOX cannot be deleted", b"CANNOT")
    names = mailboxes(session)
    if name not in names:
        if any(one.startswith(f"{name}/") for one in names):
            raise No("This is no mailbox, it only has others below it", b"HASCHILDREN")
        raise No("There is no such mailbox", b"NONEXISTENT")
    if session.selected is not None and session.selected.name == name:
        session.unselect()
        session.put(line(b"*", b"OK", "The mailbox is closed", b"CLOSED"))
    await session.box.delete(name, actor=session.actor, client=session.client, by=session)
    return None


async def rename(session: Session, command: Rename) -> Ok | None:
    """RFC 9051 6.3.6: inferiors go with it; INBOX stays and gives away what is in it."""
    source, target = command.mailbox, command.target.removesuffix("/")
    names = mailboxes(session)
    below = any(one.startswith(f"{source}/") for one in names)
    if source not in names and not below:
        raise No("There is no such mailbox", b"NONEXISTENT")
    if target == INBOX or target in names:
        raise No("There is such a mailbox already", b"ALREADYEXISTS")
    _check(target)
    if target.startswith(f"{source}/") and source != INBOX:
        raise No("A mailbox cannot be moved below itself", b"CANNOT")
    try:
        await session.box.rename(
            source, target, actor=session.actor, client=session.client, by=session
        )
    except UsageError as error:
        raise No(str(error), b"CANNOT") from None
    return None


async def subscribe(session: Session, command: OfMailbox) -> Ok | None:
    """RFC 9051 6.3.7: also to what is not there, or not yet."""
    if not command.mailbox:
        raise No("A mailbox cannot have this name", b"CANNOT")
    await session.box.subscribe(
        command.mailbox, True, actor=session.actor, client=session.client, by=session
    )
    return None


async def unsubscribe(session: Session, command: OfMailbox) -> Ok | None:
    """RFC 9051 6.3.8."""
    await session.box.subscribe(
        command.mailbox, False, actor=session.actor, client=session.client, by=session
    )
    return None

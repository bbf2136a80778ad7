"""Making, removing and renaming mailboxes, and subscriptions (RFC 9051 6.3.4 to 6.3.8)."""

from mtad.errors import UsageError
from mtad.imap.answer import No, Ok, line
from mtad.imap.commands import Create, OfMailbox, Rename
from mtad.imap.handlers.chosen import who
from mtad.imap.place import Place, check, denied, no_such
from mtad.imap.reach import is_reserved, reach, reach_free
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
    async with reach_free(session, name) as place:
        if "l" in place.rights and (name == INBOX or place.exists):
            raise No("There is such a mailbox already", b"ALREADYEXISTS")
        check(place.rights, "k")
        _check(name, place)
        try:
            await place.box.create(
                place.name,
                uses=command.uses,
                like=INBOX if place.reader else "",
                **who(session),
            )
        except UsageError as error:
            raise No(str(error), b"CANNOT") from None
        return Ok("", b"MAILBOXID (%b)" % ids.text(place.objectid).encode())


def _check(name: str, place: Place) -> None:
    """Refuse names that could not be named again by LIST, or by nobody. Raises No."""
    is_taken = not place.reader and is_reserved(name)
    if not place.name or "%" in name or "*" in name or is_taken:
        raise No("A mailbox cannot have this name", b"CANNOT")


async def delete(session: Session, command: OfMailbox) -> Ok | None:
    """RFC 9051 6.3.5: inferiors stay, and with them the name as one of no mailbox."""
    name = command.mailbox
    async with reach(session, name, "x") as place:
        if place.name == INBOX:
            raise No("INBOX cannot be deleted", b"CANNOT")
        if not place.exists:
            if _below(place):
                raise No("This is no mailbox, it only has others below it", b"HASCHILDREN")
            raise no_such()
        if session.selected is not None and session.selected.name == name:
            await session.unselect()
            session.put(line(b"*", b"OK", "The mailbox is closed", b"CLOSED"))
        await place.box.delete(place.name, **who(session))
    return None


def _below(place: Place) -> list[str]:
    """The mailboxes below a name, in its box."""
    every = place.box.owner.index.mailboxes
    return [one for one in every if one.startswith(f"{place.name}/")]


async def rename(session: Session, command: Rename) -> Ok | None:
    """RFC 9051 6.3.6: inferiors go with it; INBOX stays and gives away what is in it."""
    source, target = command.mailbox, command.target.removesuffix("/")
    async with reach(session, source, "x") as old, reach_free(session, target) as new:
        if not old.exists and not _below(old):
            raise no_such()
        if "l" in new.rights and (target == INBOX or new.exists):
            raise No("There is such a mailbox already", b"ALREADYEXISTS")
        check(new.rights, "k")
        _check(target, new)
        if new.box is not old.box:
            raise No("A mailbox cannot be moved to another box; copy its messages", b"CANNOT")
        if target.startswith(f"{source}/") and old.name != INBOX:
            raise No("A mailbox cannot be moved below itself", b"CANNOT")
        if old.reader and old.name == INBOX:
            raise denied()
        try:
            await old.box.rename(old.name, new.name, **who(session))
        except UsageError as error:
            raise No(str(error), b"CANNOT") from None
    return None


async def subscribe(session: Session, command: OfMailbox) -> Ok | None:
    """RFC 9051 6.3.7: also to what is not there, or not yet, in one's own box."""
    if not command.mailbox:
        raise No("A mailbox cannot have this name", b"CANNOT")
    async with reach(session, command.mailbox, "l"):
        await session.box.subscribe(command.mailbox, True, **who(session))
    return None


async def unsubscribe(session: Session, command: OfMailbox) -> Ok | None:
    """RFC 9051 6.3.8."""
    await session.box.subscribe(command.mailbox, False, **who(session))
    return None

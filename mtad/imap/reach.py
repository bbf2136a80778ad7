"""Mailboxes by the names that clients give them: one's own, and those of others (RFC 2342).

Others' are below ``Other Users/`` with their owner's address, or below ``Shared/`` where the
owner is a public box. What a client has no right to is not there. Own mailboxes that happen to
be called so stay what they are, since no address comes after the prefix.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from mtad.imap.place import Place, check, no_such
from mtad.imap.session import Session
from mtad.store.acl import NOBODY, Acl
from mtad.store.names import INBOX

OTHERS, SHARED = "Other Users/", "Shared/"


def split(mailbox: str) -> tuple[str, str, str] | None:
    """Namespace, owner and the owner's mailbox that a name means; None for one's own."""
    for space in (OTHERS, SHARED):
        if mailbox.startswith(space):
            owner, _, name = mailbox.removeprefix(space).partition("/")
            if "@" in owner:
                return space, owner, INBOX if name.upper() == INBOX else name
    return None


def is_reserved(mailbox: str) -> bool:
    """Whether no mailbox may be made with a name, since those of others are there."""
    return f"{mailbox}/".startswith((OTHERS, SHARED))


@asynccontextmanager
async def reach(
    session: Session, mailbox: str, needs: str = "", *, absent: bytes = b"NONEXISTENT"
) -> AsyncIterator[Place]:
    """The place of a mailbox, its box open for the length of a ``with``.

    One's own need not exist. Raises No where others' do not, or ``needs`` are rights that are
    missing; ``absent`` is the code for the former.
    """
    found = split(mailbox)
    if found is None:
        yield Place(session.box, mailbox)
        return
    space, owner, name = found
    rights = (await _lists(session, space, owner)).get(name, NOBODY).of(session.address)
    if not rights:
        raise no_such(absent)
    check(rights, needs, absent)
    async with session.service.open_box(owner) as box:
        yield Place(box, name, f"{space}{owner}/", rights, session.address)


@asynccontextmanager
async def reach_free(session: Session, mailbox: str) -> AsyncIterator[Place]:
    """The same for a name that a mailbox is to get; the rights are those to the nearest above.

    INBOX counts as the one above those that have no other.
    """
    found = split(mailbox)
    if found is None:
        yield Place(session.box, mailbox)
        return
    space, owner, name = found
    lists = await _lists(session, space, owner)
    if not any(one.of(session.address) for one in lists.values()):
        raise no_such()
    async with session.service.open_box(owner) as box:
        above = name.rpartition("/")[0]
        while above and above not in box.owner.index.mailboxes:
            above = above.rpartition("/")[0]
        rights = lists.get(above or INBOX, NOBODY).of(session.address)
        yield Place(box, name, f"{space}{owner}/", rights, session.address)


async def rights_now(session: Session, place: Place) -> str:
    """The rights to a mailbox that was reached before, as they are by now."""
    if not place.reader:
        return place.rights
    owner = place.box.owner.address
    lists = await _lists(session, place.prefix.removesuffix(f"{owner}/"), owner)
    return lists.get(place.name, NOBODY).of(session.address)


async def visible(session: Session) -> dict[str, str]:
    """Others' mailboxes that a client may know of, by the names it has for them: its rights."""
    found = {}
    for owner, lists in (await session.service.shares.by_owner()).items():
        space = _space(session, owner)
        if not space:
            continue
        for name, acl in lists.items():
            rights = acl.of(session.address)
            if "l" in rights:
                found[f"{space}{owner}/{name}"] = rights
    return found


async def _lists(session: Session, space: str, owner: str) -> Mapping[str, Acl]:
    """The lists of rights of an owner's mailboxes, if the owner is in this namespace."""
    if _space(session, owner) != space:
        return {}
    return (await session.service.shares.by_owner()).get(owner, {})


def _space(session: Session, owner: str) -> str:
    """The namespace in which a client finds a box's mailboxes; "" for its own or none at all."""
    directory = session.service.logins.directory
    if owner == session.address or not directory.is_box(owner):
        return ""
    return SHARED if directory.is_public(owner) else OTHERS

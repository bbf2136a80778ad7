"""The messages a command names in the selected mailbox, and whether it may change them."""

from collections.abc import Sequence
from typing import TypedDict

from mtad.imap.answer import No
from mtad.imap.commands import NumberSet
from mtad.imap.place import Place, check, denied
from mtad.imap.selected import Selected
from mtad.imap.session import Session


def expunged() -> No:
    """Another session has expunged what this one still has a number for (RFC 5530 3)."""
    return No("Some of the messages are gone; NOOP tells which", b"EXPUNGEISSUED")


class Who(TypedDict):
    """Who asks a box for an act."""

    actor: str
    client: str
    by: object


def who(session: Session) -> Who:
    """The session as the one who acts."""
    return {"actor": session.actor, "client": session.client, "by": session}


async def exists(place: Place) -> bool:
    """Whether the box has a mailbox, if only since a moment ago."""
    if not place.exists:
        await place.box.sync()
    return place.exists


def opened(session: Session) -> Selected:
    """The selected mailbox, to read from. Raises No where that is not allowed any more."""
    assert session.selected is not None
    check(session.selected.rights, "r")
    return session.selected


def writable(session: Session, needs: str = "") -> Selected:
    """The selected mailbox, to change.

    Raises No when it was opened to be read only, or ``needs`` are rights that are missing.
    """
    selected = opened(session)
    if selected.read_only:
        raise No("The mailbox was opened with EXAMINE", b"READ-ONLY")
    if not set(needs).issubset(selected.rights):
        raise denied()
    return selected


def there(selected: Selected, uids: Sequence[int]) -> list[int]:
    """Those of the UIDs that are not expunged."""
    if not selected.has_gone():
        return list(uids)
    return [uid for uid in uids if selected.view.position(uid) >= 0]


def whole(selected: Selected, numbers: NumberSet, by_uid: bool) -> list[int]:
    """The messages of a command that does all or nothing.

    UIDs that are gone are passed over; raises No for a sequence number whose message is gone.
    """
    uids = selected.resolve(numbers, by_uid)
    found = there(selected, uids)
    if len(found) < len(uids) and not by_uid:
        raise expunged()
    return found

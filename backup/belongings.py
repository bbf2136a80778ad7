"""What a box has besides its messages: who may use its mailboxes, and what clients keep there.

Rights, special uses and metadata belong to a mailbox, subscriptions to the box. Quota and
network rules are the directory's; a box's snapshot has them too, so that one box can be made
what it was without touching the rest of the directory.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from backup.format import BoxRoot, MailboxRoot
from mtad.config import Loaded
from mtad.store import acls, annotations, mailboxes, reading, subscriptions, uses
from mtad.store.reading import BoxState
from tracing.events import Event
from tracing.stored import BoxAcl, BoxMailbox

if TYPE_CHECKING:
    from mtad.directory.lookup import Directory


class Account(NamedTuple):
    """What the directory says of a box; empty where it knows no such box."""

    quota: tuple[int, ...] = ()
    """Octets and messages, 0 for no limit."""
    rules: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Networks from which it may be logged into, by service."""


NO_ACCOUNT = Account()


@dataclass(frozen=True, slots=True)
class Traits:
    """What a mailbox has: lines of its list of rights, special uses, metadata by name."""

    rights: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    notes: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Belongings:
    """What a box has; ``notes`` are by number and name, as in a snapshot's box."""

    mailboxes: Mapping[str, Traits] = field(default_factory=dict)
    subscribed: frozenset[str] = frozenset()
    notes: Mapping[tuple[int, str], bytes] = field(default_factory=dict)
    account: Account = NO_ACCOUNT


def read(
    folder: Path, root: Path, state: BoxState, account: Account = NO_ACCOUNT
) -> tuple[Belongings, list[str]]:
    """What the box in ``folder``, read just now, has; and what of it cannot be read.

    ``root`` is its Maildir.
    """
    problems = []
    try:
        notes = annotations.everything(folder)
    except sqlite3.Error as error:
        notes = {}
        problems.append(f"{annotations.FILE}: {error}")
    found = {}
    numbers = set()
    for info in state.mailboxes:
        where = root / state.folders.get(info.name, "")
        own = {name: value for (number, name), value in notes.items() if number == info.id}
        found[info.name] = Traits(
            acls.read(where).lines(), uses.read(where), own if info.id else {}
        )
        numbers.add(info.id)
    numbers.discard(annotations.BOX)
    rest = {key: value for key, value in notes.items() if key[0] not in numbers}
    return Belongings(found, frozenset(subscriptions.read(root)), rest, account), problems


def seen(folder: Path) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """The users other than the owner who have seen a message, by base name; and as above."""
    path = folder / "index.db"
    found: dict[str, list[str]] = {}
    try:
        for user, base in sorted(reading.seen(path)) if path.exists() else ():
            found.setdefault(base, []).append(user)
    except sqlite3.Error as error:
        return {}, [f"{path.name}: who has seen what: {error}"]
    return {base: tuple(users) for base, users in found.items()}, []


def directory_of(loaded: Loaded) -> "Directory | None":
    """Who is who on this server; None where nothing was ever set up."""
    places = loaded.places
    if places.server is None and not places.state_file.exists():
        return None
    from mtad.directory.lookup import Directory  # noqa: PLC0415 - brings a database library

    return Directory(places.state_db)


def account(directory: "Directory | None", box: str) -> Account:
    """What the directory says of a box."""
    if directory is None or not directory.is_box(box):
        return NO_ACCOUNT
    return Account(tuple(directory.quota(box)), directory.rules_of(box))


def of_root(root: BoxRoot) -> Belongings | None:
    """What a snapshot says; None for one from before that was kept."""
    if root.subscribed is None:
        return None
    return Belongings(
        {one.name: Traits(one.rights, one.uses, dict(one.notes)) for one in root.mailboxes},
        frozenset(root.subscribed),
        {(number, name): value for number, name, value in root.notes},
        Account(root.quota, root.rules),
    )


def dress(root: BoxRoot, has: Belongings) -> BoxRoot:
    """A box's root with what the box has."""
    nothing = Traits()
    return BoxRoot(
        root.address,
        tuple(_dressed(one, has.mailboxes.get(one.name, nothing)) for one in root.mailboxes),
        tuple(sorted(has.subscribed)),
        tuple((*key, value) for key, value in sorted(has.notes.items())),
        has.account.quota,
        has.account.rules,
    )


def _dressed(one: MailboxRoot, traits: Traits) -> MailboxRoot:
    numbers = (one.uidvalidity, one.uidnext, one.highestmodseq, one.messages, one.chunks)
    notes = tuple(sorted(traits.notes.items()))
    return MailboxRoot(one.name, *numbers, traits.rights, traits.uses, notes, one.objectid)


def play(has: Belongings, happened: Iterable[Event]) -> Belongings:
    """What the box has after events; they do not tell of metadata, which stays as it is."""
    found, subscribed = dict(has.mailboxes), set(has.subscribed)
    for event in sorted(happened, key=lambda event: event.at):
        if isinstance(event, BoxAcl):
            was = found.get(event.mailbox, Traits())
            found[event.mailbox] = replace(was, rights=event.acl)
        elif isinstance(event, BoxMailbox):
            name = event.mailbox
            if event.what == mailboxes.CREATED:
                found.setdefault(name, Traits(event.acl, event.uses))
            elif event.what == mailboxes.DELETED:
                found.pop(name, None)
            elif event.what == mailboxes.RENAMED:
                for former in [one for one in found if f"{one}/".startswith(f"{name}/")]:
                    found[event.target + former.removeprefix(name)] = found.pop(former)
            elif event.what == mailboxes.SUBSCRIBED:
                subscribed.add(name)
            elif event.what == mailboxes.UNSUBSCRIBED:
                subscribed.discard(name)
    return replace(has, mailboxes=found, subscribed=frozenset(subscribed))

"""Domains, boxes, mailboxes and messages of a real server, read and never changed."""

import heapq
import os
from collections import Counter
from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from backup import heads
from mtad import db
from mtad.address import box_folder
from mtad.directory import connections, lookup, tables
from mtad.errors import NothingFound
from mtad.store import reading
from mtad.store.quota import held
from mtad.store.values import Message
from mtad.where import Places
from tui import preview
from tui.data import Account, Domain, Folder, Letter
from tui.lang import _

MOST = 2_000
"""Messages of a mailbox that are listed at most, the latest."""
MAX_HEADER = 16 * 2**10
"""Octets of a message in which a list looks for its subject and sender."""


def domains(places: Places) -> Sequence[Domain]:
    """The domains by name. Raises MtadError."""
    view = _directory(places)
    of_boxes, of_aliases = _counts(view.boxes), _counts(view.aliases)
    return [
        Domain(name, of_boxes[name], of_aliases[name], name in view.relayed)
        for name in sorted(view.domains)
    ]


def accounts(places: Places, domain: str) -> Sequence[Account]:
    """Boxes of a domain and then its aliases, by name. Raises MtadError."""
    view = _directory(places)
    box, credential = tables.box.c, tables.credential.c
    with connections.reading(places.state_db) as connection:
        known = connection.execute(
            sa.select(box.address, box.added, sa.func.max(credential.last_used))
            .outerjoin_from(tables.box, tables.credential, credential.box == box.address)
            .where(box.domain == domain)
            .group_by(box.address, box.added)
            .order_by(box.address)
        ).all()
    led: dict[str, list[str]] = {}
    for alias, targets in sorted(view.aliases.items()):
        for target in targets:
            led.setdefault(target, []).append(alias)
    made = [
        _account(places, view, address, added, last or 0, led.get(address, ()))
        for address, added, last in known
    ]
    aliases = sorted(name for name in view.aliases if name.rpartition("@")[2] == domain)
    return [*made, *(Account(name, leads_to=view.aliases[name]) for name in aliases)]


def _account(
    places: Places, view: lookup.View, address: str, added: int, last: int, led: Sequence[str]
) -> Account:
    octets, messages = held(places.boxes / box_folder(address))
    forward = view.forwards.get(address)
    return Account(
        address,
        (),
        octets,
        messages,
        *view.quotas.get(address, (0, 0)),
        address in view.locked,
        added,
        last,
        tuple(led),
        forward.targets if forward else (),
        forward.keep if forward else True,
        tuple(str(rule) for (owner, _service), rule in view.rules.items() if owner == address),
    )


def folders(places: Places, box: str) -> Sequence[Folder]:
    """The mailboxes of a box, INBOX first. Raises MtadError, OSError."""
    state = reading.read_box(places.boxes / box_folder(box), box)
    octets: dict[str, int] = {}
    unseen: dict[str, int] = {}
    for one in state.messages:
        octets[one.mailbox] = octets.get(one.mailbox, 0) + one.size
        unseen[one.mailbox] = unseen.get(one.mailbox, 0) + ("S" not in one.flags)
    return [
        Folder(one.name, one.messages, unseen.get(one.name, 0), octets.get(one.name, 0))
        for one in state.mailboxes
    ]


def letters(places: Places, box: str, mailbox: str) -> tuple[Sequence[Letter], int]:
    """The latest messages of a mailbox, latest first, and how many more there are.

    Raises MtadError, OSError.
    """
    folder = places.boxes / box_folder(box)
    every = [one for one in reading.read_box(folder, box).messages if one.mailbox == mailbox]
    latest = heapq.nlargest(MOST, every, key=lambda one: (one.internaldate_ns, one.uid))
    found = []
    for kept in latest:
        try:
            head = heads.head(_octets(places, box, kept, MAX_HEADER))
        except NothingFound:
            continue  # deleted since the box was read
        found.append(Letter(kept, head.sender, head.subject, head.message_id))
    return found, len(every) - len(latest)


def content(places: Places, box: str, kept: Message) -> bytes:
    """The beginning of a message, as much as is looked at. Raises MtadError, OSError."""
    return _octets(places, box, kept, preview.MAX_OCTETS)


def _octets(places: Places, box: str, kept: Message, most: int) -> bytes:
    try:
        descriptor = reading.open_message(places.boxes / box_folder(box), kept)
    except FileNotFoundError:
        raise NothingFound(_("the message is gone")) from None
    with open(descriptor, "rb", buffering=0) as file:
        return _whole(file.fileno(), most)


def _whole(descriptor: int, most: int) -> bytes:
    """Up to so many octets; a read may give fewer at a time."""
    parts = []
    while most and (part := os.read(descriptor, most)):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def _directory(places: Places) -> lookup.View:
    db.check(places.state_db, db.STATE)
    with connections.reading(places.state_db) as connection:
        return lookup.read(connection)


def _counts(addresses: Iterable[str]) -> Counter[str]:
    return Counter(address.rpartition("@")[2] for address in addresses)

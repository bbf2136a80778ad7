"""The files of many messages at once: where they lie, and what is made of their octets.

For any thread; waits for no act. A file whose name has changed meanwhile is found by its base
name, one that is gone is left out.
"""

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

from mtad.errors import NothingFound
from mtad.store import maildir
from mtad.store.owner import Owner

T = TypeVar("T")


def places(owner: Owner, mailbox: str, uids: Sequence[int]) -> dict[int, str]:
    """The paths where messages should lie. Raises NothingFound for the mailbox."""
    known = owner.mailbox(mailbox)
    folder = owner.ground.files.mailbox(known.folder)
    return {
        uid: f"{folder}/{'new' if fresh else 'cur'}/{name}"
        for uid, fresh, name in owner.index.beside.names(known.id, uids)
    }


def files(owner: Owner, number: int, uids: Sequence[int]) -> list[tuple[int, bytes]]:
    """Email ids and the paths where messages should lie; ``number`` is the mailbox's in the index.

    Raises NothingFound for the mailbox.
    """
    for mailbox in list(owner.index.mailboxes.values()):
        if mailbox.id == number:
            folder = owner.ground.files.mailbox(mailbox.folder)
            rows = owner.index.beside.messages(number, uids)
            return [(row.email, os.fsencode(owner.ground.entry(row).below(folder))) for row in rows]
    raise NothingFound(f"{owner.address} has no mailbox with the number {number}")


def each(
    owner: Owner, mailbox: str, uids: Sequence[int], work: Callable[[bytes], T]
) -> dict[int, T]:
    """What ``work`` makes of the octets of each message, as they are stored.

    Raises NothingFound for the mailbox, and what ``work`` raises.
    """
    found = {}
    for uid, path in places(owner, mailbox, uids).items():
        try:
            try:
                descriptor = maildir.open_file(path)
            except FileNotFoundError:
                descriptor = owner.open_message(mailbox, uid)
            data = _read(descriptor)
        except (NothingFound, OSError):
            continue
        found[uid] = work(data)
    return found


def _read(descriptor: int) -> bytes:
    try:
        size = os.fstat(descriptor).st_size
        data = os.read(descriptor, size + 1)
        if len(data) == size:
            return data
        pieces = [data]  # a read gives 2 GiB at most, and a file may grow
        while data := os.read(descriptor, 2**20):
            pieces.append(data)
        return b"".join(pieces)
    finally:
        os.close(descriptor)

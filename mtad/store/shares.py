"""Which mailboxes of which boxes are shared with whom: what listings and look-ups need.

A picture of the lists of rights in all boxes (``mtad.store.acls``), made when it is wanted
first. A box's part is read again when its owner in this process changes anything; what other
programs write is found within some minutes.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from mtad import address
from mtad.store import acls, maildir
from mtad.store.acl import Acl
from mtad.store.holding import MAILDIR
from mtad.where import Places

ANEW_SECONDS = 300
"""After this long all of it is read again."""

Shared = Mapping[str, Acl]
"""The lists of a box's mailboxes, of those that are shared."""


class Shares:
    """The picture, for one event loop."""

    def __init__(self, places: Places) -> None:
        self._boxes = places.boxes
        self._known: dict[str, Shared] = {}
        self._stale: set[str] = set()
        self._read_at = 0.0
        self._turn = asyncio.Lock()

    def changed(self, owner: str) -> None:
        """Something was done to the mailboxes of a box; in any thread."""
        self._stale.add(owner)

    async def by_owner(self) -> Mapping[str, Shared]:
        """The boxes that share anything, as they are."""
        async with self._turn:
            if not self._read_at or time.monotonic() - self._read_at > ANEW_SECONDS:
                self._stale.clear()
                self._known = await asyncio.to_thread(every, self._boxes)
                self._read_at = time.monotonic()
            while self._stale:
                owner = self._stale.pop()
                found = await asyncio.to_thread(of_box, self._boxes, owner)
                self._known.pop(owner, None)
                if found:
                    self._known[owner] = found
        return self._known


def of_box(boxes: Path, owner: str) -> dict[str, Acl]:
    """The lists of a box's mailboxes, of those that are shared; blocks for a moment."""
    root = boxes / address.box_folder(owner) / MAILDIR
    return {
        name: found
        for name, folder in sorted(_folders(root))
        if (found := acls.read(root / folder)).entries
    }


def _folders(root: Path) -> Iterator[tuple[str, str]]:
    try:
        yield from maildir.folders(root).items()
    except OSError:
        return


def every(boxes: Path) -> dict[str, Shared]:
    """The same of all boxes that share anything."""
    found: dict[str, Shared] = {}
    for folder in boxes.glob("*/*"):
        try:
            owner = address.box_address(f"{folder.parent.name}/{folder.name}")
        except ValueError:
            continue
        if shared := of_box(boxes, owner):
            found[owner] = shared
    return found

"""A box as it is now, read like a past one: what chooses and writes messages serves both."""

import os
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from backup.contents import Contents
from backup.format import Damaged, Entry
from mtad.store.reading import Found, open_message, read_box


class Living(Contents):
    """The messages of a box on the disk; their ids are their base names."""

    def __init__(self, folder: Path, address: str) -> None:
        """Read what the box has. Raises Corrupt."""
        super().__init__(None)
        self._folder = folder
        found = read_box(folder, address).messages
        found.sort(key=lambda one: (one.mailbox, one.uid or 2**32, one.base))
        self._messages = {_id(one): one for one in found}
        self.entries = [_entry(one) for one in found]

    def in_reading_order(self, ids: Iterable[bytes]) -> list[bytes]:
        """Ids as they are given: those of a mailbox together, by UID."""
        return list(dict.fromkeys(ids))

    def message(self, object_id: bytes) -> tuple[bytes, bytes]:
        """A message and its SHA-256, wherever in the box it is by now. Raises Damaged."""
        try:
            descriptor = open_message(self._folder, self._messages[object_id])
            with os.fdopen(descriptor, "rb") as file:
                raw = file.read()
        except OSError as error:
            raise Damaged(f"it cannot be read: {error.strerror}") from error
        return raw, sha256(raw).digest()


def _id(one: Found) -> bytes:
    return f"{one.folder}/{one.base}".encode(errors="surrogateescape")


def _entry(one: Found) -> Entry:
    fields = (one.flags, one.keywords, one.internaldate_ns, one.size, _id(one))
    return Entry(one.mailbox, one.uid, one.base, one.st, one.m, *fields)

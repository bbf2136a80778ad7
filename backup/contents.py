"""Where the octets of messages are: in the repository, or in files that are still on the disk.

Files are those of messages deleted lately (``content/``) and of the box itself. An id is that
of the repository; where there is none, the digest itself serves.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from backup import heads
from backup.cache import Head
from backup.format import TEXT, Damaged, Entry
from backup.repository import Repository
from mtad.mime import fields as mime_fields
from mtad.mime import message as mime
from mtad.mime.parameters import disposition
from mtad.store import maildir

MAX_LOOKED = 64 * 2**20
"""Octets of a message in which attachments are looked for."""


class Contents:
    """Messages by id. For one thread at a time."""

    def __init__(self, store: Repository | None) -> None:
        self.store = store
        self._files: dict[bytes, Path] = {}
        self._heads: dict[bytes, Head] = {}

    def identify(self, digest: bytes) -> bytes:
        """The id of the message with a SHA-256."""
        return self.store.keys.id_of(TEXT, digest) if self.store else digest

    def add(self, path: Path) -> tuple[bytes, int, int] | None:
        """Learn of a file: its id, octets, mtime in nanoseconds; None where there is none."""
        try:
            with open(maildir.open_file(path), "rb", buffering=0) as file:
                at = os.fstat(file.fileno())
                digest = hashlib.file_digest(file, "sha256").digest()
        except OSError:
            return None
        object_id = self.identify(digest)
        self._files.setdefault(object_id, path)
        return object_id, at.st_size, at.st_mtime_ns

    def in_reading_order(self, ids: Iterable[bytes]) -> list[bytes]:
        """Ids in the order in which they are read fastest."""
        wanted = list(dict.fromkeys(ids))
        rest = [each for each in wanted if each not in self._files]
        files = [each for each in wanted if each in self._files]
        return files + (self.store.in_reading_order(rest) if self.store else rest)

    def message(self, object_id: bytes) -> tuple[bytes, bytes]:
        """A message and its SHA-256, proven. Raises Damaged."""
        path = self._files.get(object_id)
        if path is not None:
            with contextlib.suppress(OSError), open(maildir.open_file(path), "rb") as file:
                raw = file.read()
                digest = hashlib.sha256(raw).digest()
                if self.identify(digest) == object_id:
                    return raw, digest
        if self.store is None:
            raise Damaged("its file is gone, and no snapshot has it")
        return self.store.message(object_id)

    def heads(self, entries: Iterable[Entry]) -> dict[bytes, Head]:
        """Header fields by id, read where the cache has none; those unreadable are left out."""
        wanted = [each for each in dict.fromkeys(entry.id for entry in entries) if each]
        found = self.store.cache.heads(wanted) if self.store else {}
        stored: dict[bytes, Head] = {}
        for object_id in self.in_reading_order(i for i in wanted if i not in found):
            if object_id in self._heads:
                continue
            with contextlib.suppress(Damaged):
                if object_id in self._files or self.store is None:
                    self._heads[object_id] = heads.head(self.message(object_id)[0])
                else:
                    stored[object_id] = heads.head(self.store.start(object_id))
        if stored and self.store:
            self.store.cache.keep_heads(stored)
        return self._heads | found | stored

    def has_attachment(self, object_id: bytes) -> bool:
        """Whether a part of a message calls itself an attachment or has a file's name."""
        try:
            raw = self.message(object_id)[0]
        except Damaged:
            return False
        return len(raw) <= MAX_LOOKED and _attached(mime.parse(mime.wire(raw)))


def _attached(part: mime.Part) -> bool:
    todo = [part]
    while todo:
        each = todo.pop()
        said = disposition(mime_fields.first(each.fields, b"content-disposition") or b"")
        if said is not None and (
            said[0].lower() == b"attachment" or any(k.startswith(b"filename") for k, _ in said[1])
        ):
            return True
        todo += each.children
        if each.message is not None:
            todo.append(each.message)
    return False

"""Writing needed objects into packs anew, messages sorted so that like lies beside like.

Messages of one sender's domain and subject compress well together. A snapshot sorts what it
adds; here a batch of up to 1 GiB of what many snapshots added is sorted as a whole, in windows
of 64 MiB, so memory is bounded. Bodies and manifests keep their order.
"""

from collections.abc import Callable, Iterable, Iterator

from backup import heads, split
from backup.format import TEXT, Damaged
from backup.grouping import WINDOW_BYTES, groups
from backup.repository import Repository
from backup.writer import Writer

BATCH_BYTES = 2**30
"""Octets of messages that are sorted among each other."""

Objects = Iterable[tuple[bytes, int]]
"""Ids and octets, in reading order."""


class Rewriting:
    """Copies objects through a writer; ``lost`` are those that could not be read."""

    def __init__(
        self, repository: Repository, writer: Writer, progress: Callable[[int], None]
    ) -> None:
        self._repository, self._writer, self._progress = repository, writer, progress
        self.copied = 0
        self.lost: list[bytes] = []

    def copy(self, kind: bytes, objects: Objects) -> None:
        """Add objects of one kind. Raises OSError."""
        if kind != TEXT:
            for group in groups(self._read(each for each, _ in objects)):
                self._writer.add(kind, group)
            return
        for batch in portions(objects, BATCH_BYTES):
            self._sorted(batch)

    def _sorted(self, batch: list[tuple[bytes, int]]) -> None:
        sizes = dict(batch)
        keys = {each: _key(record) for each, record in self._read(sizes, count=False)}
        order = sorted(keys, key=lambda each: (keys[each], each))
        for window in portions(((each, sizes[each]) for each in order), WINDOW_BYTES):
            ids = self._repository.in_reading_order(each for each, _ in window)
            records = dict(self._read(ids))
            found = ((each, records[each]) for each, _ in window if each in records)
            for group in groups(found):
                self._writer.add(TEXT, group)

    def _read(self, ids: Iterable[bytes], *, count: bool = True) -> Iterator[tuple[bytes, bytes]]:
        for object_id in ids:
            try:
                stored = self._repository.get(object_id)
            except Damaged:
                self.lost.append(object_id)
                continue
            if count:
                self.copied += len(stored)
                self._progress(self.copied)
            yield object_id, stored


def _key(record: bytes) -> tuple[bytes, bytes]:
    try:
        return heads.sort_key(split.read(record)[1])
    except Damaged:
        return b"", b""


def portions(objects: Objects, limit: int) -> Iterator[list[tuple[bytes, int]]]:
    """Runs of objects of at most so many octets, or of one object."""
    found: list[tuple[bytes, int]] = []
    total = 0
    for object_id, size in objects:
        if found and total + size > limit:
            yield found
            found, total = [], 0
        found.append((object_id, size))
        total += size
    if found:
        yield found

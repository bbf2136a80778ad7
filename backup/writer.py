"""Adding to a repository: frames are compressed in threads and written in order into packs.

Nothing that is added counts before ``finish`` has synced the packs and then the index
segment that lists them; what is left of a run that stops earlier is garbage.
"""

import hashlib
import secrets
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

from backup import format
from backup.format import BODY, MANIFEST, TABLE, TEXT, PackEntry
from backup.places import Draft, pack_path
from backup.repository import Repository, compress

PACK_BYTES = 16 * 2**20
"""A pack is closed once it holds this much; it ends below twice that, or with its one frame."""
PENDING_BYTES = 8 * 2**20
"""Octets waiting to be compressed; bounds memory."""


class Writer:
    """Adds objects; nothing of it counts before ``finish``, and no snapshot before a commit.

    Bodies are to be added before the messages that have them, and a pack of messages is closed
    after the pack of their bodies: what is left of a run that was stopped is adopted by the
    next one, which takes a message that is stored for whole.

    Whoever makes one holds a lock of the repository already (``backup.retired`` says why).
    Compression runs in two threads; frames are encrypted and written in the order they
    were added.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        repository.see_retired()
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="zstd")
        self._packs = {kind: _Pack(repository, kind) for kind in (TEXT, BODY, MANIFEST)}
        self._pending: deque[tuple[bytes, list[bytes], list[int], int, Future[bytes]]] = deque()
        self._pending_bytes = 0
        self._fresh: set[bytes] = set()
        self.stored = 0

    def has(self, object_id: bytes) -> bool:
        """Whether an object is stored, or will be."""
        return object_id in self._fresh or self._repository.cache.has(object_id)

    def claim(self, object_id: bytes) -> bool:
        """True if the object is not stored and the caller is now to add it."""
        if self.has(object_id):
            return False
        self._fresh.add(object_id)
        return True

    def add(self, kind: bytes, objects: list[tuple[bytes, bytes]]) -> None:
        """Add one frame of claimed objects (id, content)."""
        data = format.payload([content for _, content in objects])
        lengths = [len(content) for _, content in objects]
        future = self._pool.submit(compress, data)
        self._pending.append((kind, [each for each, _ in objects], lengths, len(data), future))
        self._pending_bytes += len(data)
        while self._pending and (self._pending_bytes > PENDING_BYTES or self._pending[0][4].done()):
            self._write()

    def _write(self) -> None:
        kind, ids, lengths, raw, future = self._pending.popleft()
        self._pending_bytes -= raw
        pack = self._packs[kind]
        pack.add(ids, lengths, raw, future.result())
        if pack.is_full:
            if kind == TEXT:
                self._packs[BODY].close()
            pack.close()

    def finish(self) -> None:
        """Make everything durable: packs, then the index segment. Raises OSError."""
        while self._pending:
            self._write()
        done: list[PackEntry] = []
        for kind in (BODY, TEXT, MANIFEST):
            self._packs[kind].close()
            done += self._packs[kind].done
        self._pool.shutdown()
        self.stored = sum(pack.size for pack in done)
        self._repository.write_segment(done)

    def abandon(self) -> None:
        """Stop and remove what is half written."""
        self._pool.shutdown(cancel_futures=True)
        for pack in self._packs.values():
            pack.abandon()


class _Pack:
    """The pack of one kind that is being filled, and those that were."""

    def __init__(self, repository: Repository, kind: bytes) -> None:
        self._repository, self._kind = repository, kind
        self._upload: Draft | None = None
        self.done: list[PackEntry] = []

    def _begin(self) -> Draft:
        keys = self._repository.keys
        self._header, self._cipher = keys.begin(self._kind, secrets.token_bytes(32))
        _, self._salt = format.read_header(self._header)
        self._frames: list[format.FrameEntry] = []
        self._hash = hashlib.sha256()
        self._upload = self._repository.folder.begin()
        self._put(self._upload, self._header)
        return self._upload

    def _put(self, upload: Draft, data: bytes) -> None:
        upload.write(data)
        self._hash.update(data)

    def add(self, ids: list[bytes], lengths: list[int], raw: int, packed: bytes) -> None:
        """Append a frame; one of manifests twice, so that no single damage costs a listing."""
        upload = self._upload or self._begin()
        for _ in range(1 + (self._kind == MANIFEST)):
            number = len(self._frames)
            offset = upload.size
            fields = (self._kind, number, len(ids), raw, packed)
            self._put(upload, format.seal(self._cipher, self._header, *fields))
            stored = len(packed) + format.TAG
            entry = (number, offset, stored, raw, tuple(lengths), b"".join(ids))
            self._frames.append(format.FrameEntry(*entry))

    @property
    def is_full(self) -> bool:
        return self._upload is not None and self._upload.size >= PACK_BYTES

    def close(self) -> None:
        upload = self._upload
        if upload is None:
            return
        table = format.encode(PackEntry(b"", self._kind, self._salt, 0, tuple(self._frames)))
        offset = upload.size
        number = len(self._frames)
        fields = (TABLE, number, 0, len(table), compress(table))
        cipher = self._repository.keys.table_cipher(self._header)
        frame = format.seal(cipher, self._header, *fields)
        self._put(upload, frame)
        self._put(upload, format.footer(offset, len(frame), self._header))
        name = self._hash.digest()
        upload.finish(pack_path(name.hex()))
        frames = tuple(self._frames)
        self.done.append(PackEntry(name, self._kind, self._salt, upload.size, frames))
        self._upload = None

    def abandon(self) -> None:
        if self._upload is not None:
            self._upload.abandon()

"""Taking a snapshot: one commit over many boxes, each as one read transaction saw it.

A box is read through ``mtad.store.reading``. Base names are unique and contents immutable,
so the set of names tells what is there already; contents not stored yet are linked aside at
once, so that no later expunge takes them, and are read, hashed, split and compressed without
any lock on the box. An unchanged box adds no object.
"""

import contextlib
import fcntl
import hashlib
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from backup import belongings, format, heads, server_part, split
from backup.aside import Aside
from backup.belongings import NO_ACCOUNT, Account, Belongings
from backup.format import BODY, MANIFEST, TEXT, BoxLine, BoxRoot, Commit, Entry, MailboxRoot
from backup.grouping import GROUP_BYTES, WINDOW_BYTES, groups
from backup.repository import Repository
from backup.server_part import Source
from backup.writer import Writer
from mtad import clock
from mtad.errors import Locked
from mtad.store import foreign, reading
from mtad.store.reading import Found
from mtad.store.values import MailboxInfo


@dataclass(slots=True)
class Progress:
    """How far a snapshot has come."""

    boxes: int
    boxes_done: int = 0
    messages: int = 0
    read: int = 0
    read_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """A snapshot that was taken; ``same_as`` names the one nothing has changed since."""

    name: str
    commit: Commit
    same_as: str = ""


def create(
    repository: Repository,
    boxes: Sequence[tuple[str, Path]],
    *,
    scope: str,
    tags: Sequence[str] = (),
    aside: Path,
    sync: Callable[[str], None] = lambda address: None,
    account: Callable[[str], Account] = lambda address: NO_ACCOUNT,
    server: Callable[[], Iterable[Source]] | None = None,
    maildirs: Mapping[str, Path] = MappingProxyType({}),
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Taken:
    """Take a snapshot of boxes, given as address and folder.

    ``aside`` is a folder on the boxes' file system for links. ``sync`` asks a box's owner to
    number what is new, ``account`` what the directory says of it. ``server`` are the files
    of the server, if it is to be in the snapshot, asked for after the boxes were read, so that
    the log knows of every message in them. ``maildirs`` are, by address, those that are no
    boxes of ours. ``progress`` is called often; what it raises stops
    the snapshot and leaves no trace of it. Raises Locked when another snapshot is running,
    OSError when the repository cannot be written.
    """
    began = time.monotonic()
    with _alone(aside):
        earlier = repository.snapshots()
        at = max([clock.now_us(), *(commit.at + 1 for commit in earlier.values())])
        run = _Run(repository, aside, Progress(len(boxes)), maildirs, progress)
        try:
            repository.adopt()
            lines = []
            for address, folder in boxes:
                sync(address)
                lines.append(run.box(address, folder, earlier, account(address)))
                run.shown.boxes_done += 1
                progress(run.shown)
            if server is not None:
                lines.append(run.server(server(), earlier))
            run.flush()
            run.writer.finish()
        except BaseException:
            run.writer.abandon()
            raise
        commit = Commit(
            at=at,
            scope=scope,
            boxes=tuple(lines),
            added=run.added,
            stored=run.writer.stored,
            seconds=round(time.monotonic() - began, 3),
            unread=tuple(run.unread),
            tags=tuple(tags),
        )
        same = [name for name, old in earlier.items() if old.mail == commit.mail]
        newest = same[-1] if same and same[-1] == next(reversed(earlier), "") else ""
        return Taken(repository.commit(commit), commit, newest)


@contextlib.contextmanager
def _alone(aside: Path) -> Iterator[None]:
    """One snapshot at a time; what an earlier one left aside is removed."""
    aside.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(aside / "lock", "wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked("another snapshot is being taken; wait for it to end") from None
        for left in aside.glob("links-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


class _Run:
    """One snapshot in the making."""

    def __init__(
        self,
        repository: Repository,
        aside: Path,
        shown: Progress,
        maildirs: Mapping[str, Path],
        progress: Callable[[Progress], None],
    ) -> None:
        self.repository = repository
        self.writer = Writer(repository)
        self.shown = shown
        self.maildirs = maildirs
        self.added = 0
        self.unread: list[str] = []
        self._progress = progress
        self._links = aside / f"links-{secrets.token_hex(6)}"
        self._texts: list[tuple[tuple[bytes, bytes], bytes, bytes]] = []
        self._texts_bytes = 0
        self._bodies: list[tuple[bytes, bytes]] = []
        self._bodies_bytes = 0
        self._manifests: list[tuple[bytes, bytes]] = []

    # -------------------------------------------------------------------- boxes

    def box(
        self, address: str, folder: Path, earlier: dict[str, Commit], account: Account
    ) -> BoxLine:
        """Store what a box has and the repository has not; the box's line in the commit."""
        root = self.maildirs.get(address)
        if root is None:
            root, state = folder / "Maildir", reading.read_box(folder, address)
        else:
            state = foreign.read_maildir(root, address)
        known = self._known(address, earlier)
        stored = self.repository.cache.stored([object_id for object_id, _ in known.values()])
        known = {base: each for base, each in known.items() if each[0] in stored}
        ids = [self._stored(message, known) for message in state.messages]
        missing = [number for number, object_id in enumerate(ids) if object_id is None]
        with Aside(self._links) as aside:
            caught, failed = aside.take(root, state.messages, missing) if missing else ([], {})
            for number, error in failed.items():
                self._unreadable(address, state.messages[number], error)
            for number in caught:
                ids[number] = self._read(address, state.messages[number], number, aside)
        self.shown.messages += len(ids)
        has, problems = belongings.read(folder, root, state, account)
        seen, others = belongings.seen(folder)
        self.unread += [f"{address}/{problem}" for problem in (*problems, *others)]
        entries: dict[str, list[Entry]] = {box.name: [] for box in state.mailboxes}
        for message, object_id in zip(state.messages, ids, strict=True):
            if object_id is not None:
                by = seen.get(message.base, ())
                entries.setdefault(message.mailbox, []).append(_entry(message, object_id, by))
        return self._manifest(address, state.mailboxes, entries, has)

    def _known(self, address: str, earlier: dict[str, Commit]) -> dict[str, tuple[bytes, int]]:
        """Object and size by base name, from the box's last readable snapshot."""
        for commit in reversed(earlier.values()):
            for line in commit.boxes:
                if line.address == address:
                    try:
                        root = self.repository.manifest(line.root, BoxRoot)
                        entries = self.repository.entries(root)
                    except format.Damaged:
                        break
                    return {entry.base: (entry.id, entry.size) for entry in entries}
        return {}

    def _stored(self, message: Found, known: dict[str, tuple[bytes, int]]) -> bytes | None:
        """The object of a message that needs no reading."""
        object_id, size = known.get(message.base, (None, -1))
        if object_id is not None and size == message.size:
            return object_id
        if message.sha256:
            object_id = self.repository.keys.id_of(TEXT, message.sha256)
            if self.writer.has(object_id):
                return object_id
        return None

    def _unreadable(self, address: str, message: Found, error: OSError) -> None:
        shown = message.base.encode(errors="replace").decode()
        self.unread.append(f"{address}/{message.mailbox}/{shown}: {error.strerror}")

    def _read(self, address: str, message: Found, number: int, aside: Aside) -> bytes | None:
        """Read and add a message that was set aside; None when it cannot be read."""
        try:
            raw = aside.read(number)
        except OSError as error:
            self._unreadable(address, message, error)
            return None
        object_id, is_new = self._keep(raw)
        self.added += is_new
        self.shown.read += 1
        self.shown.read_bytes += len(raw)
        if self.shown.read % 64 == 0:
            self._progress(self.shown)
        return object_id

    # ----------------------------------------------------------------- the server

    def server(self, sources: Iterable[Source], earlier: dict[str, Commit]) -> BoxLine:
        """Store the server's files; its line in the commit. A file that is gone is passed over."""
        before = self._files(earlier)
        self._links.mkdir(mode=0o700)
        files = []
        try:
            for source in sources:
                try:
                    files.append(self._file(source, before.get(source.name)))
                except (OSError, sqlite3.Error) as error:
                    self.unread.append(f"{source.name}: {error}")
        finally:
            shutil.rmtree(self._links, ignore_errors=True)
        root = self._keep_manifest(server_part.root(files))
        count = sum(file.messages for file in files)
        return BoxLine(server_part.ADDRESS, root, count, count * server_part.PIECE)

    def _files(self, earlier: dict[str, Commit]) -> dict[str, MailboxRoot]:
        """The server's files as its last readable snapshot has them, if all of it is stored."""
        for commit in reversed(earlier.values()):
            for line in commit.boxes:
                if line.address == server_part.ADDRESS:
                    try:
                        root = self.repository.manifest(line.root, BoxRoot)
                        ids = [entry.id for entry in self.repository.entries(root)]
                    except format.Damaged:
                        return {}
                    whole = len(self.repository.cache.stored(ids)) == len({*ids})
                    return {one.name: one for one in root.mailboxes} if whole else {}
        return {}

    def _file(self, source: Source, before: MailboxRoot | None) -> MailboxRoot:
        size, mtime_ns = server_part.stamp_of(source)
        if before and (before.uidnext, before.highestmodseq) == (size, mtime_ns) != (0, 0):
            return before
        entries = []
        for number, piece in enumerate(server_part.pieces(source, self._links), 1):
            object_id, _ = self._keep(piece)
            entries.append(server_part.entry(source.name, number, piece, object_id, mtime_ns))
            if number % 64 == 0:
                self._progress(self.shown)
        chunks = b"".join(self._keep_manifest(chunk) for chunk in format.chunks(entries))
        return MailboxRoot(source.name, 0, size, mtime_ns, len(entries), chunks)

    # ------------------------------------------------------------------ contents

    def _keep(self, raw: bytes) -> tuple[bytes, bool]:
        """The object that octets are, added unless it is there; whether it was not."""
        object_id = self.repository.keys.id_of(TEXT, hashlib.sha256(raw).digest())
        is_new = self.writer.claim(object_id)
        if is_new:
            self._keep_text(object_id, raw)
        return object_id, is_new

    def _keep_text(self, object_id: bytes, raw: bytes) -> None:
        record = split.record(raw, self._keep_body)
        self._texts.append((heads.sort_key(raw), object_id, record))
        self._texts_bytes += len(record)
        if self._texts_bytes >= WINDOW_BYTES:
            self._flush_texts()

    def _keep_body(self, body: bytes) -> bytes:
        object_id = self.repository.keys.id_of(BODY, hashlib.sha256(body).digest())
        if self.writer.claim(object_id):
            if self._bodies and self._bodies_bytes + len(body) > GROUP_BYTES:
                self._flush_bodies()
            self._bodies.append((object_id, body))
            self._bodies_bytes += len(body)
        return object_id

    def _flush_texts(self) -> None:
        """Hand messages to the writer, after the bodies they have."""
        self._flush_bodies()
        self._texts.sort()
        for group in groups((object_id, record) for _, object_id, record in self._texts):
            self.writer.add(TEXT, group)
        self._texts, self._texts_bytes = [], 0

    def _flush_bodies(self) -> None:
        if self._bodies:
            self.writer.add(BODY, self._bodies)
        self._bodies, self._bodies_bytes = [], 0

    def flush(self) -> None:
        """Hand everything that is waiting to the writer."""
        self._flush_texts()
        self._flush_manifests()

    # ----------------------------------------------------------------- manifests

    def _manifest(
        self,
        address: str,
        mailboxes: Sequence[MailboxInfo],
        entries: dict[str, list[Entry]],
        has: Belongings,
    ) -> BoxLine:
        meta = {box.name: box for box in mailboxes}
        roots = []
        for name in sorted(entries):
            box = meta.get(name)
            chunk_ids = [self._keep_manifest(chunk) for chunk in format.chunks(entries[name])]
            numbers = (box.uidvalidity, box.uidnext, box.highestmodseq) if box else (0, 0, 0)
            found = (len(entries[name]), b"".join(chunk_ids))
            objectid = box.id if box else 0
            roots.append(MailboxRoot(name, *numbers, *found, objectid=objectid))
        root = self._keep_manifest(belongings.dress(BoxRoot(address, tuple(roots)), has))
        rows = [entry for each in entries.values() for entry in each]
        return BoxLine(address, root, len(rows), sum(entry.size for entry in rows))

    def _keep_manifest(self, manifest: format.Chunk | BoxRoot) -> bytes:
        data = format.encode(manifest)
        object_id = self.repository.keys.id_of(MANIFEST, hashlib.sha256(data).digest())
        if self.writer.claim(object_id):
            self._manifests.append((object_id, data))
        return object_id

    def _flush_manifests(self) -> None:
        for group in groups(self._manifests):
            self.writer.add(MANIFEST, group)
        self._manifests = []


def _entry(message: Found, object_id: bytes, seen: tuple[str, ...]) -> Entry:
    return Entry(
        message.mailbox,
        message.uid,
        message.base,
        message.st,
        message.m,
        message.flags,
        message.keywords,
        message.internaldate_ns,
        message.size,
        object_id,
        seen,
    )

"""Looking into a repository without changing it: what commands and screens show.

All methods may be called from any thread, one at a time is served. Times are microseconds
since the Unix epoch unless named otherwise; texts are as they stand in the mail and must go
through ``tracing.render.safe`` before a terminal sees them.
"""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backup import access, choosing, holds, lives
from backup.cache import Brief
from backup.contents import Contents
from backup.format import BoxRoot, Damaged, Entry
from backup.lives import Change, Life
from backup.past import Past, box_root
from backup.planning import Wish, select
from backup.repository import Repository
from mtad import clock
from mtad.errors import Corrupt, NothingFound, UsageError
from tracing import ids

if TYPE_CHECKING:
    from mtad.config import Loaded


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot in a list; ``size`` is octets of mail, ``stored`` what it added on disk."""

    name: str
    at: int
    scope: str
    boxes: int
    messages: int
    size: int
    added: int
    stored: int
    seconds: float
    unread: int
    tags: tuple[str, ...] = ()
    held: bool = False


@dataclass(frozen=True, slots=True)
class Box:
    """A box in a snapshot."""

    address: str
    messages: int
    size: int


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox in a snapshot."""

    name: str
    messages: int
    uidvalidity: int
    uidnext: int


@dataclass(frozen=True, slots=True)
class Message:
    """A message in a snapshot. ``date`` is its Date field, 0 when it has none."""

    entry: Entry
    subject: str
    sender: str
    date: int
    message_id: str

    @property
    def arrived(self) -> int:
        """When it came into the box, in microseconds."""
        return self.entry.mtime_ns // 1000


class Catalog:
    """A read-only view of a repository; a context manager."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._lock = threading.Lock()

    @classmethod
    def open(cls, loaded: "Loaded") -> "Catalog":
        """The repository the settings name. Raises keys.NoRepository, NotPermitted, Corrupt."""
        return cls(open_repository(loaded))

    def close(self) -> None:
        """Release the repository."""
        with self._lock:
            self._repository.close()

    def __enter__(self) -> "Catalog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def notes(self) -> list[str]:
        """What was found damaged while reading, in sentences."""
        return self._repository.notes

    def snapshots(self) -> list[Snapshot]:
        """Every snapshot, newest first."""
        with self._lock:
            self._repository.refresh()
            found = self._repository.briefs()
            held = holds.held(self._repository)
        return [summary(name, brief, name in held) for name, brief in reversed(found.items())]

    def resolve(self, given: str) -> str:
        """The snapshot that ``latest``, a name or an unambiguous part of one means."""
        with self._lock:
            return self._repository.resolve(given)[0]

    def boxes(self, snapshot: str) -> list[Box]:
        """The boxes of a snapshot."""
        with self._lock:
            _, commit = self._repository.resolve(snapshot)
        return [Box(line.address, line.messages, line.size) for line in commit.mail]

    def mailboxes(self, snapshot: str, box: str) -> list[Mailbox]:
        """The mailboxes of a box in a snapshot. Raises NothingFound, Corrupt."""
        with self._lock:
            root = self._root(snapshot, box)
        return [Mailbox(m.name, m.messages, m.uidvalidity, m.uidnext) for m in root.mailboxes]

    def messages(self, snapshot: str, box: str, mailbox: str) -> list[Message]:
        """The messages of a mailbox in a snapshot, newest arrival first.

        The first look at a mailbox reads its messages' headers from the packs; later ones
        come from the cache. Raises NothingFound, Corrupt.
        """
        with self._lock:
            root = self._root(snapshot, box)
            if mailbox not in [each.name for each in root.mailboxes]:
                raise NothingFound(f"snapshot {snapshot}: {box} has no mailbox {mailbox}")
            try:
                entries = self._repository.entries(root, mailbox)
            except Damaged as error:
                raise Corrupt(f"snapshot {snapshot}, box {box}, {mailbox}: {error}") from error
            return self._dressed(entries)

    def find(
        self, snapshot: str, box: str, terms: Sequence[str], mailbox: str | None = None
    ) -> list[Message]:
        """The messages that ``mtad restore`` with these terms would choose. Raises SearchError."""
        with self._lock:
            try:
                everything = self._repository.entries(self._root(snapshot, box))
            except Damaged as error:
                raise Corrupt(f"snapshot {snapshot}, box {box}: {error}") from error
            wish = Wish(choosing.parse(" ".join(terms), clock.now_us()), mailbox)
            chosen = select(Contents(self._repository), Past(box, snapshot, everything), wish)
            return self._dressed([everything[number] for number in chosen])

    def over_all(
        self, text: str, *, limit: int, progress: Callable[[int, int], None]
    ) -> list[Life]:
        """Messages that any snapshot has, the latest arrival first; all for a limit of 0.

        Snapshots that are new are looked through first. Raises SearchError, Corrupt.
        """
        with self._lock:
            try:
                lives.follow(self._repository, progress)
                return list(lives.find(self._repository, text, clock.now_us(), limit=limit))
            except Damaged as error:
                raise Corrupt(f"{error}; 'mtad snapshot verify' says more") from error

    def difference(self, before: str, after: str, box: str | None = None) -> list[Change]:
        """What differs between two snapshots. Raises NothingFound, Corrupt."""
        with self._lock:
            former, latter = (self._repository.resolve(each)[1] for each in (before, after))
            if box and not any(line.address == box for line in (*former.mail, *latter.mail)):
                raise NothingFound(f"neither snapshot has a box {box}")
            try:
                return list(lives.difference(self._repository, former, latter, box))
            except Damaged as error:
                raise Corrupt(f"{error}; 'mtad snapshot verify' says more") from error

    def message(self, snapshot: str, wanted: str, box: str | None = None) -> bytes:
        """A message of a snapshot by its id, stored copy's id or base name.

        Raises NothingFound, UsageError where several fit, Corrupt.
        """
        number = ids.parse(wanted)
        with self._lock:
            name, commit = self._repository.resolve(snapshot)
            try:
                found = {
                    entry.id
                    for line in commit.mail
                    if box in (None, line.address)
                    for entry in self._repository.iter_entries(
                        self._repository.manifest(line.root, BoxRoot), None
                    )
                    if wanted == entry.base or (number and number in (entry.m, entry.st))
                }
                if not found:
                    raise NothingFound(f"snapshot {name} has no message {wanted}")
                if len(found) > 1:
                    raise UsageError(f"several messages are meant by {wanted}; say --box ADDRESS")
                return self._repository.message(found.pop())[0]
            except Damaged as error:
                raise Corrupt(str(error)) from error

    def content(self, entry: Entry) -> bytes:
        """A message as it was. Raises Corrupt."""
        with self._lock:
            try:
                return self._repository.message(entry.id)[0]
            except Damaged as error:
                raise Corrupt(str(error)) from error

    def _root(self, snapshot: str, box: str) -> BoxRoot:
        name, commit = self._repository.resolve(snapshot)
        return box_root(self._repository, name, commit, box)

    def _dressed(self, entries: list[Entry]) -> list[Message]:
        known = Contents(self._repository).heads(entries)
        found = []
        for entry in sorted(entries, key=lambda e: (-e.mtime_ns, e.uid)):
            head = known.get(entry.id)
            fields = (head.subject, head.sender, head.at, head.message_id) if head else None
            found.append(Message(entry, *(fields or ("", "", 0, ""))))
        return found


def open_repository(loaded: "Loaded", *, heal: bool = False) -> Repository:
    """The repository the settings name. Raises what ``Repository`` raises."""
    folder = access.repository_of(loaded)
    key_file = key_file_of(loaded)
    try:
        return Repository(folder, key_file, loaded.places.cache, heal=heal)
    except BaseException:
        folder.close()
        raise


def key_file_of(loaded: "Loaded") -> Path:
    """The key file in force: the one MTAD_SNAPSHOT_KEY names, else that of the settings."""
    given = os.environ.get("MTAD_SNAPSHOT_KEY")
    return Path(given) if given else loaded.beside(loaded.config.backup.key_file)


def summary(name: str, brief: Brief, held: bool = False) -> Snapshot:
    """A commit as lists show it."""
    counts = (brief.boxes, brief.messages, brief.size, brief.added, brief.stored)
    return Snapshot(
        name, brief.at, brief.scope, *counts, brief.seconds, brief.unread, brief.tags, held
    )

"""What a box held once: as a snapshot has it, as of any minute, or what was deleted since.

A minute is made of the last snapshot that was complete before it and of what the log says
happened until then. Octets come out of snapshots, out of ``content/`` (deleted messages keep a
name there for ``store.keep_deleted_days``), or out of the box itself; a message whose octets
are nowhere is told as lost, never left out silently.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from backup import belongings
from backup.belongings import Account, Belongings
from backup.contents import Contents
from backup.format import BoxRoot, Commit, Damaged, Entry, MailboxRoot
from backup.moment import Gone, Moment
from backup.repository import Repository
from mtad import clock, control
from mtad.address import box_folder
from mtad.config import Loaded
from mtad.errors import Corrupt, MtadError, NothingFound, Unreachable, UsageError
from mtad.journal.content import path_of
from mtad.journal.reader import Reader
from mtad.store import reading
from mtad.store.replay import OWNERS
from tracing import boxlog, months
from tracing.event import kind_of
from tracing.events import Event
from tracing.stored import BoxEvent

if TYPE_CHECKING:
    from mtad.directory.lookup import Directory

DELETED = "none (mail kept after deletion)"
"""What stands for the snapshot in events of messages that came from ``content/``."""
NO_SNAPSHOT = "none (the log alone)"


@dataclass(slots=True)
class Past:
    """A box as it was: ``numbers`` are those of its mailboxes where a snapshot alone tells."""

    box: str
    snapshot: str
    entries: list[Entry]
    numbers: dict[str, MailboxRoot] = field(default_factory=dict)
    at: int = 0
    lost: list[Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    belongings: Belongings | None = None
    """What it had besides; None where no snapshot tells."""


class History:
    """Looks into the past of boxes. ``store`` is None where there is no repository yet."""

    def __init__(self, loaded: Loaded, store: Repository | None) -> None:
        self._loaded = loaded
        self._store = store
        self.contents = Contents(store)
        self._directory: list[Directory | None] = []

    def account(self, box: str) -> Account:
        """What the directory says of a box now."""
        if not self._directory:
            self._directory.append(belongings.directory_of(self._loaded))
        return belongings.account(self._directory[0], box)

    def snapshots(self, box: str) -> list[tuple[str, Commit]]:
        """The snapshots that have a box, oldest first."""
        found = self._store.snapshots() if self._store else {}
        return [(n, c) for n, c in found.items() if any(b.address == box for b in c.boxes)]

    def boxes(self) -> set[str]:
        """Every box that a snapshot has."""
        found = self._store.snapshots() if self._store else {}
        return {line.address for commit in found.values() for line in commit.mail}

    def before(self, box: str, at: int) -> Belongings:
        """What the last snapshot before a time says a box had besides its messages."""
        for name, commit in reversed(self.snapshots(box)):
            if commit.at < at:
                return belongings.of_root(self._read(name, commit, box)[0]) or Belongings()
        return Belongings()

    # -------------------------------------------------------------- three pasts

    def of_snapshot(self, box: str, given: str = "latest") -> Past:
        """A box as a snapshot has it; ``latest`` is the last one that has the box.

        Raises NothingFound, Corrupt.
        """
        if self._store is None or given == "latest":
            having = self.snapshots(box)
            if not having:
                raise NothingFound(
                    f"no snapshot has a box {box}; 'mtad snapshot list' shows them, and "
                    "'mtad restore --deleted' what was deleted lately"
                )
            name, commit = having[-1]
        else:
            name, commit = self._store.resolve(given)
        root, entries = self._read(name, commit, box)
        numbers = {each.name: each for each in root.mailboxes}
        return Past(box, name, entries, numbers, commit.at, belongings=belongings.of_root(root))

    def at(self, box: str, at: int) -> Past:
        """A box as of a time in microseconds. Raises NothingFound, UsageError, Corrupt."""
        if at > clock.now_us():
            raise UsageError("that time is yet to come; --at takes one that is over")
        before = [
            (name, commit)
            for name, commit in self.snapshots(box)
            if commit.at + int(commit.seconds * 1_000_000) <= at
        ]
        moment, since, label, has = Moment(), 0, NO_SNAPSHOT, None
        if before:
            name, commit = before[-1]
            root, entries = self._read(name, commit, box)
            moment, since, label = Moment.of(entries), commit.at, name
            has = belongings.of_root(root)
        happened = list(self.story(box, since, at + 1))
        if not before and not happened:
            raise NothingFound(f"neither a snapshot nor the log knows {box} as of that time")
        moment.play(happened)
        past = Past(box, label, [], at=at, notes=self._gaps(since))
        past.belongings = has and belongings.play(has, happened)
        self._fill(past, moment.entries.values())
        return past

    def deleted(self, box: str, since: int, until: int) -> Past:
        """What was deleted in a box from ``since`` on and before ``until`` and is not there.

        Raises NothingFound, Corrupt.
        """
        wanted = [one for one in self._moment(box, since, until).gone if since <= one.at < until]
        past = Past(box, DELETED, [], at=until, notes=self._gaps(since))
        self._fill(past, [_undeleted(one) for one in _last(wanted)])
        return past

    def gone_by(self, box: str, since: int, client: str) -> Past:
        """What one restore deleted, for taking it back."""
        moment = self._moment(box, since, clock.now_us() + 1)
        wanted = [one.entry for one in _last(moment.gone) if one.client == client]
        past = Past(box, DELETED, [])
        self._fill(past, wanted)
        return past

    def uidnext(self, box: str, since: int, uidvalidity: int) -> int:
        """Above every UID that the log says was given since then under a UIDVALIDITY."""
        moment = Moment()
        moment.play(self.story(box, since))
        return moment.uidnext.get(uidvalidity, 1)

    def has_log_of(self, at: int) -> bool:
        """Whether the log reaches back to a time."""
        every = months.listing(self._loaded.places.log)
        return bool(every) and months.times(every[-1])[0] <= at

    # -------------------------------------------------------------------- log

    def story(self, box: str, since: int, until: int = (1 << 63) - 1) -> Iterator[Event]:
        """What happened to a box, oldest first; what no log role took in yet from journals.

        Raises Corrupt for a month that cannot be read.
        """
        places = self._loaded.places
        try:
            control.ask(places.socket("log"), "position", seconds=60)
            waiting: list[BoxEvent] = []
        except (Unreachable, MtadError):
            waiting = list(self._in_journals(box, since, until))
        told: set[tuple[object, ...]] = set()
        try:
            for event in boxlog.story(places.log, box, since, until):
                told.add(_key(event))
                yield event
        except (sqlite3.Error, months.NewerVersion) as error:
            raise Corrupt(f"the log cannot be read: {error}") from error
        yield from (event for event in waiting if _key(event) not in told)

    def _in_journals(self, box: str, since: int, until: int) -> Iterator[BoxEvent]:
        found: list[BoxEvent] = []
        for pattern in OWNERS:
            for directory in sorted(self._loaded.places.journal.glob(pattern)):
                reader = Reader(directory)
                try:
                    for frame in reader.frames(0):
                        found += [
                            event
                            for event in frame.events
                            if isinstance(event, BoxEvent)
                            and event.addr == box
                            and since <= event.at < until
                        ]
                finally:
                    reader.close()
        return iter(sorted(found, key=lambda event: event.at))

    # ---------------------------------------------------------------- private

    def _moment(self, box: str, since: int, until: int) -> Moment:
        """A box through its events; snapshots tell how messages were that no event describes."""
        every = [(n, c) for n, c in self.snapshots(box) if c.at < until]
        before = [one for one in every if one[1].at <= since][-1:]
        start = before[0][1].at if before else 0
        happened = list(self.story(box, start, until))
        moment, after = Moment(), start
        roots: set[bytes] = set()
        for name, commit in (*before, *(one for one in every if one[1].at > since)):
            moment.play(e for e in happened if after <= e.at < commit.at)
            after = commit.at
            (root,) = (line.root for line in commit.boxes if line.address == box)
            if root not in roots:
                roots.add(root)
                moment.see(self._read(name, commit, box)[1])
        moment.play(e for e in happened if e.at >= after)
        return moment

    def _read(self, name: str, commit: Commit, box: str) -> tuple[BoxRoot, list[Entry]]:
        assert self._store is not None
        root = box_root(self._store, name, commit, box)
        try:
            return root, self._store.entries(root)
        except Damaged as error:
            raise Corrupt(f"snapshot {name}, box {box}: {error}") from error

    def _gaps(self, since: int) -> list[str]:
        if since and not self.has_log_of(since):
            return [
                "the log does not reach back to the snapshot: what happened between them and the "
                "log's beginning is not known"
            ]
        return []

    def _fill(self, past: Past, entries: Iterable[Entry]) -> None:
        """Find the octets of messages of which events told; those nowhere are lost."""
        unknown: list[Entry] = []
        for entry in entries:
            if entry.id:
                past.entries.append(entry)
                continue
            found = self._kept(entry)
            (past.entries if found else unknown).append(found or entry)
        if not unknown:
            return
        present = self._in_box(past.box) if unknown else {}
        stored: dict[str, Entry] | None = None
        for entry in unknown:
            found = self._from(entry, present.get(entry.base))
            if found is None:
                stored = self._in_snapshots(past.box) if stored is None else stored
                known = stored.get(entry.base)
                found = known and replace(
                    entry, id=known.id, size=known.size, mtime_ns=known.mtime_ns
                )
            (past.entries if found else past.lost).append(found or entry)

    def _kept(self, entry: Entry) -> Entry | None:
        """The message out of ``content/``, under its own name or that of its delivery."""
        for number in dict.fromkeys((entry.st, entry.m)):
            found = number and self._from(entry, path_of(self._loaded.places, number))
            if found and entry.size in (0, found.size):
                return found
        return None

    def _from(self, entry: Entry, path: Path | None) -> Entry | None:
        found = self.contents.add(path) if path is not None else None
        if found is None:
            return None
        object_id, size, mtime_ns = found
        return replace(entry, id=object_id, size=size, mtime_ns=mtime_ns)

    def _in_box(self, box: str) -> dict[str, Path]:
        folder = self._loaded.places.boxes / box_folder(box)
        return {one.base: one.path for one in reading.read_box(folder, box).messages}

    def _in_snapshots(self, box: str) -> dict[str, Entry]:
        """Every message that any snapshot has of a box, by base name."""
        found: dict[str, Entry] = {}
        roots: set[bytes] = set()
        for name, commit in reversed(self.snapshots(box)):
            (root,) = (line.root for line in commit.boxes if line.address == box)
            if root not in roots:
                roots.add(root)
                for entry in self._read(name, commit, box)[1]:
                    found.setdefault(entry.base, entry)
        return found


def box_root(repository: Repository, name: str, commit: Commit, address: str) -> BoxRoot:
    """A box in a snapshot. Raises NothingFound, Corrupt."""
    for line in commit.boxes:
        if line.address == address:
            try:
                return repository.manifest(line.root, BoxRoot)
            except Damaged as error:
                raise Corrupt(f"snapshot {name}, box {address}: {error}") from error
    raise NothingFound(
        f"snapshot {name} has no box {address}; 'mtad snapshot ls {name}' lists them"
    )


def _key(event: Event) -> tuple[object, ...]:
    """What tells an event from all others, whether the log or a journal has it."""
    items = tuple(item.st for item in event.items) if isinstance(event, BoxEvent) else ()
    return kind_of(type(event)), event.at, event.trace, items


def _last(gone: Iterable[Gone]) -> list[Gone]:
    """Each message once, as it was last deleted."""
    return list({one.entry.base: one for one in gone}.values())


def _undeleted(one: Gone) -> Entry:
    r"""The message without ``\Deleted``, with which it would soon be deleted again."""
    return replace(one.entry, flags=one.entry.flags.replace("T", ""), uid=0)

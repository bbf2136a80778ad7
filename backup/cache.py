"""The local index of a repository: where each object is. Always rebuildable from the packs.

A damaged, foreign or outdated cache is thrown away. It holds ids and places, the commits in
clear, and the header fields people search by; like the mail itself it never leaves the host.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from backup import format
from backup.format import MANIFEST, Commit, PackEntry
from mtad import clock

SCHEMA = """
CREATE TABLE meta (k TEXT PRIMARY KEY, v TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE segment (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE pack (no INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, kind BLOB NOT NULL,
    salt BLOB NOT NULL, size INTEGER NOT NULL, listed INTEGER NOT NULL,
    retired INTEGER NOT NULL DEFAULT 0);
CREATE TABLE frame (no INTEGER PRIMARY KEY, pack INTEGER NOT NULL, number INTEGER NOT NULL,
    at INTEGER NOT NULL, stored INTEGER NOT NULL, raw INTEGER NOT NULL, count INTEGER NOT NULL);
CREATE TABLE object (id BLOB NOT NULL, frame INTEGER NOT NULL, at INTEGER NOT NULL,
    length INTEGER NOT NULL, PRIMARY KEY (id, frame)) WITHOUT ROWID;
CREATE TABLE damaged (id BLOB NOT NULL, pack TEXT NOT NULL, PRIMARY KEY (id, pack)) WITHOUT ROWID;
CREATE TABLE uses (id BLOB PRIMARY KEY, bodies BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE scanned (pack TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE proven (pack TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE snapshot (name TEXT PRIMARY KEY, at INTEGER NOT NULL, brief BLOB NOT NULL,
    body BLOB NOT NULL);
CREATE TABLE told (name TEXT PRIMARY KEY, at INTEGER NOT NULL, members INTEGER NOT NULL);
CREATE TABLE members (no INTEGER PRIMARY KEY, boxes TEXT NOT NULL UNIQUE);
CREATE TABLE track (box TEXT PRIMARY KEY, root BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE life (no INTEGER PRIMARY KEY, box TEXT NOT NULL, base TEXT NOT NULL,
    mailbox TEXT NOT NULL, uid INTEGER NOT NULL, st INTEGER NOT NULL, m INTEGER NOT NULL,
    flags TEXT NOT NULL, keywords TEXT NOT NULL, mtime_ns INTEGER NOT NULL, size INTEGER NOT NULL,
    id BLOB NOT NULL, words TEXT NOT NULL, appeared INTEGER NOT NULL,
    vanished INTEGER NOT NULL, UNIQUE (box, base));
CREATE INDEX life_mtime ON life (mtime_ns);
CREATE TABLE head (id BLOB PRIMARY KEY, subject TEXT NOT NULL, sender TEXT NOT NULL,
    at INTEGER NOT NULL, message_id TEXT NOT NULL, recipients TEXT NOT NULL) WITHOUT ROWID;
"""
_PLACES = (
    "SELECT o.id, d.id IS NOT NULL, p.retired, p.no, p.name, f.number, o.at, o.length, f.at, "
    "f.stored, f.raw, f.count, p.kind, p.salt "
    "FROM object o JOIN frame f ON f.no=o.frame JOIN pack p ON p.no=f.pack "
    "LEFT JOIN damaged d ON d.id=o.id AND d.pack=p.name WHERE o.id IN ({})"
)
_STORED = "SELECT DISTINCT id FROM object WHERE id IN ({})"
_STORED_WELL = (
    "SELECT DISTINCT o.id FROM object o JOIN frame f ON f.no=o.frame "
    "JOIN pack p ON p.no=f.pack WHERE o.id IN ({}) AND NOT p.retired AND NOT EXISTS "
    "(SELECT 1 FROM damaged d WHERE d.id=o.id AND d.pack=p.name)"
)
_HEADS = "SELECT id, subject, sender, at, message_id, recipients FROM head WHERE id IN ({})"
VERSION = "8"
_AT_ONCE = 500
"""Ids in one statement."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where an object is; sorts in reading order."""

    pack: str
    number: int
    at: int
    length: int
    offset: int
    stored: int
    raw: int
    count: int
    kind: bytes
    salt: bytes


class Brief(msgspec.Struct, frozen=True, array_like=True):
    """What lists show of a commit: it has a line for each box, and there may be thousands."""

    at: int
    scope: str
    boxes: int
    messages: int
    size: int
    added: int
    stored: int
    seconds: float
    unread: int
    tags: tuple[str, ...]
    was: tuple[str, ...]

    @classmethod
    def of(cls, commit: Commit) -> "Brief":
        """That of a commit."""
        boxes = commit.mail
        size = sum(line.size for line in boxes)
        counts = (len(boxes), sum(line.messages for line in boxes), size)
        return cls(
            commit.at,
            commit.scope,
            *counts,
            added=commit.added,
            stored=commit.stored,
            seconds=commit.seconds,
            unread=len(commit.unread),
            tags=commit.tags,
            was=commit.was,
        )


@dataclass(frozen=True, slots=True)
class Head:
    """What people know a message by; ``at`` is the Date field in microseconds, 0 unknown."""

    subject: str
    sender: str
    at: int
    message_id: str
    recipients: str = ""
    """To, Cc and Bcc."""


class Cache:
    """The cache of one repository. May be used by one thread at a time."""

    def __init__(self, path: Path, repository: str) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path, self._repository = path, repository
        try:
            self._db = self._open()
        except sqlite3.DatabaseError:
            self._drop()
            self._db = self._open()
        self._look()

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=30, check_same_thread=False, isolation_level=None)
        try:
            db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;")
            db.execute("BEGIN IMMEDIATE")
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name='meta'").fetchone():
                for statement in SCHEMA.split(";"):
                    db.execute(statement)
                stamp = (("version", VERSION), ("repository", self._repository))
                db.executemany("INSERT INTO meta VALUES (?, ?)", stamp)
            found = dict(db.execute("SELECT k, v FROM meta"))
            if found != {"version": VERSION, "repository": self._repository}:
                raise sqlite3.DatabaseError("a cache of something else")
            db.execute("COMMIT")
        except BaseException:
            db.close()
            raise
        return db

    def _drop(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    @property
    def database(self) -> sqlite3.Connection:
        """The connection, for questions about all there is."""
        return self._db

    def forget(self) -> None:
        """Forget where everything is and which snapshots there are.

        The header fields stay: they belong to contents, wherever those lie. So does what was
        found damaged, until that is read again.
        """
        with self.changing() as db:
            for name in ("segment", "pack", "frame", "object", "snapshot"):
                db.execute(f"DELETE FROM {name}")  # noqa: S608 - names of our own

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    # ---------------------------------------------------------------- index

    def segments(self) -> set[str]:
        """The index segments that were taken in."""
        return {name for (name,) in self._db.execute("SELECT name FROM segment")}

    def packs(self) -> set[str]:
        """Every pack known."""
        return {name for (name,) in self._db.execute("SELECT name FROM pack")}

    def listed(self) -> set[str]:
        """The packs that an index segment lists."""
        return {name for (name,) in self._db.execute("SELECT name FROM pack WHERE listed")}

    def add(self, segment: str | None, packs: Sequence[PackEntry]) -> None:
        """Take in packs and the segment that lists them, if any does, in one transaction."""
        with self.changing() as db:
            for pack in packs:
                if segment:
                    db.execute("UPDATE pack SET listed=1 WHERE name=?", (pack.name.hex(),))
                row = db.execute(
                    "INSERT INTO pack (name, kind, salt, size, listed) VALUES (?, ?, ?, ?, ?) "
                    "ON CONFLICT DO NOTHING RETURNING no",
                    (pack.name.hex(), pack.kind, pack.salt, pack.size, segment is not None),
                ).fetchone()
                if row is None:
                    continue
                numbers = {frame.number for frame in pack.frames}
                for frame in pack.frames:
                    is_second = frame.number % 2 and frame.number - 1 in numbers
                    if pack.kind == MANIFEST and is_second:
                        continue
                    place = (frame.number, frame.offset, frame.stored, frame.raw)
                    (number,) = db.execute(
                        "INSERT INTO frame (pack, number, at, stored, raw, count) "
                        "VALUES (?, ?, ?, ?, ?, ?) RETURNING no",
                        (row[0], *place, len(frame.lengths)),
                    ).fetchone()
                    db.executemany(
                        "INSERT OR IGNORE INTO object VALUES (?, ?, ?, ?)",
                        [(each, number, at, length) for each, at, length in frame.objects()],
                    )
            if segment:
                db.execute("INSERT OR IGNORE INTO segment VALUES (?)", (segment,))

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """One transaction."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def has(self, object_id: bytes) -> bool:
        """Whether an object is stored where one may rely on it."""
        return bool(self.stored([object_id]))

    def stored(self, ids: Sequence[bytes]) -> set[bytes]:
        """Those of the objects that are stored where one may rely on it.

        A copy that is damaged, or in a pack that is about to be removed, does not count.
        """
        query = _STORED_WELL if self._some_are_bad else _STORED
        found: set[bytes] = set()
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            found.update(each for (each,) in self._db.execute(query.format(_marks(some)), some))
        return found

    def place(self, object_id: bytes) -> Place | None:
        """Where an object is."""
        return self.places([object_id]).get(object_id)

    def places(self, ids: Sequence[bytes]) -> dict[bytes, Place]:
        """Where objects are, by their best copies; those not stored are left out."""
        found: dict[bytes, tuple[tuple[int, int, int], Place]] = {}
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            for object_id, bad, retired, no, *fields in self._db.execute(
                _PLACES.format(_marks(some)), some
            ):
                worth = (-bad, -retired, no)
                if object_id not in found or found[object_id][0] < worth:
                    found[object_id] = (worth, Place(*fields))
        return {object_id: place for object_id, (_, place) in found.items()}

    def copies(self, object_id: bytes) -> list[Place]:
        """Everywhere an object is, the best copy first."""
        rows = self._db.execute(_PLACES.format("?"), (object_id,)).fetchall()
        rows.sort(key=lambda row: (-row[1], -row[2], row[3]), reverse=True)
        return [Place(*row[4:]) for row in rows]

    # -------------------------------------------------------------- what is bad

    def _look(self) -> None:
        """See whether there is any copy that does not count."""
        query = "SELECT EXISTS (SELECT 1 FROM damaged) OR EXISTS (SELECT 1 FROM pack WHERE retired)"
        (self._some_are_bad,) = self._db.execute(query).fetchone()

    def retired(self) -> set[str]:
        """The packs that are about to be removed."""
        return {name for (name,) in self._db.execute("SELECT name FROM pack WHERE retired")}

    def retire(self, names: Iterable[str]) -> None:
        """These packs, and no others, are about to be removed."""
        wanted = set(names)
        if wanted & self.packs() == self.retired():
            return
        with self.changing() as db:
            db.execute("UPDATE pack SET retired=0")
            marks = [(name,) for name in wanted]
            db.executemany("UPDATE pack SET retired=1 WHERE name=?", marks)
        self._look()

    def drop(self, packs: Iterable[str], segments: Iterable[str] = ()) -> None:
        """Forget packs that are gone, and segments."""
        gone = [(name,) for name in packs]
        of_gone = "(SELECT no FROM frame WHERE pack IN (SELECT no FROM pack WHERE retired=2))"
        with self.changing() as db:
            db.executemany("UPDATE pack SET retired=2 WHERE name=?", gone)
            db.execute(f"DELETE FROM object WHERE frame IN {of_gone}")  # noqa: S608
            db.execute(f"DELETE FROM frame WHERE no IN {of_gone}")  # noqa: S608
            db.execute("DELETE FROM pack WHERE retired=2")
            db.executemany("DELETE FROM damaged WHERE pack=?", gone)
            db.executemany("DELETE FROM scanned WHERE pack=?", gone)
            db.executemany("DELETE FROM proven WHERE pack=?", gone)
            db.executemany("DELETE FROM segment WHERE name=?", [(name,) for name in segments])
        self._look()

    def note_damage(self, pack: str, bad: Iterable[bytes]) -> None:
        """Remember which objects of a pack cannot be read; none where all can."""
        with self.changing() as db:
            db.execute("DELETE FROM damaged WHERE pack=?", (pack,))
            rows = [(each, pack) for each in bad]
            db.executemany("INSERT OR IGNORE INTO damaged VALUES (?, ?)", rows)
        self._look()

    def damaged(self) -> set[str]:
        """The packs in which something is known to be unreadable."""
        return {name for (name,) in self._db.execute("SELECT DISTINCT pack FROM damaged")}

    def prove(self, pack: str) -> None:
        """Remember that a pack was read just now."""
        with self.changing() as db:
            db.execute("INSERT OR REPLACE INTO proven VALUES (?, ?)", (pack, clock.now_us()))

    def proven(self) -> dict[str, int]:
        """When packs were read last, in microseconds, by name."""
        return dict(self._db.execute("SELECT pack, at FROM proven"))

    def keep_uses(self, uses: Sequence[tuple[bytes, bytes]], pack: str | None) -> None:
        """Remember which bodies messages use; ``pack`` is one of which all are known now."""
        with self.changing() as db:
            db.executemany("INSERT OR IGNORE INTO uses VALUES (?, ?)", uses)
            if pack:
                db.execute("INSERT OR IGNORE INTO scanned VALUES (?)", (pack,))

    # ------------------------------------------------------------ snapshots

    def snapshots(self) -> dict[str, bytes]:
        """The commits seen, encoded, by name."""
        return dict(self._db.execute("SELECT name, body FROM snapshot"))

    def snapshot(self, name: str) -> bytes:
        """A commit that was seen, encoded. Raises KeyError."""
        row = self._db.execute("SELECT body FROM snapshot WHERE name=?", (name,)).fetchone()
        if row is None:
            raise KeyError(name)
        found: bytes = row[0]
        return found

    def briefs(self) -> dict[str, Brief]:
        """The commits seen, without their boxes, by name, oldest first."""
        rows = self._db.execute("SELECT name, brief FROM snapshot ORDER BY at, name")
        return {name: format.decode(brief, Brief) for name, brief in rows}

    def keep_snapshots(self, add: dict[str, bytes], remove: Iterable[str]) -> None:
        """Remember commits and forget those that are gone. Raises Damaged for what is none."""
        rows = []
        for name, body in add.items():
            commit = format.decode(body, Commit)
            rows.append((name, commit.at, format.encode(Brief.of(commit)), body))
        with self.changing() as db:
            db.executemany("INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?, ?)", rows)
            db.executemany("DELETE FROM snapshot WHERE name=?", [(name,) for name in remove])

    # ---------------------------------------------------------------- heads

    def heads(self, ids: Sequence[bytes]) -> dict[bytes, Head]:
        """The header fields known of messages."""
        found = {}
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            rows = self._db.execute(_HEADS.format(_marks(some)), some)
            found.update({row[0]: Head(*row[1:]) for row in rows})
        return found

    def keep_heads(self, heads: dict[bytes, Head]) -> None:
        """Remember header fields."""
        rows = [
            (i, h.subject, h.sender, h.at, h.message_id, h.recipients) for i, h in heads.items()
        ]
        with self.changing() as db:
            db.executemany("INSERT OR REPLACE INTO head VALUES (?, ?, ?, ?, ?, ?)", rows)


def _marks(values: Sequence[bytes]) -> str:
    """As many question marks as there are values."""
    return ",".join("?" * len(values))

"""What the snapshots of a repository need, and which copy of it stays: the one in the best pack.

References are followed from the commits through every manifest to messages and bodies. Whatever
stands in a commit or a manifest as octets of the length of ids and is the id of an object counts
as a reference, so that nothing is ever taken for unneeded because it is new to this module. The
sets are temporary tables of the cache, so memory is bounded however much there is.

Which bodies a message needs stands in its record; that is read once for each pack, and kept in
the cache.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from backup import format, keys, split
from backup.format import ID, MANIFEST, TEXT, BoxRoot, Damaged
from backup.repository import Repository
from backup.subkeys import Sealed
from mtad.errors import Corrupt

MAX_DEPTH = 8
"""Manifests below manifests that are followed."""
_TABLES = """
DROP TABLE IF EXISTS temp.needed;
DROP TABLE IF EXISTS temp.kept;
DROP TABLE IF EXISTS temp.worth;
CREATE TEMP TABLE needed (id BLOB PRIMARY KEY, depth INTEGER NOT NULL) WITHOUT ROWID;
CREATE TEMP TABLE kept (id BLOB PRIMARY KEY, frame INTEGER NOT NULL, at INTEGER NOT NULL,
    length INTEGER NOT NULL, bad INTEGER NOT NULL) WITHOUT ROWID;
CREATE TEMP TABLE worth (pack INTEGER PRIMARY KEY, share REAL NOT NULL) WITHOUT ROWID;
"""
_WORTH = """
INSERT INTO worth
SELECT r.pack, CAST(s.needed AS REAL) / r.raw
FROM (SELECT pack, sum(raw) AS raw FROM frame GROUP BY pack) r
JOIN (SELECT f.pack AS pack, sum(o.length + 4) AS needed FROM needed n
    JOIN object o ON o.id=n.id JOIN frame f ON f.no=o.frame GROUP BY f.pack) s ON s.pack=r.pack
"""
_KEPT = """
INSERT OR REPLACE INTO kept
SELECT n.id, o.frame, o.at, o.length, d.id IS NOT NULL FROM needed n
JOIN object o ON o.id=n.id JOIN frame f ON f.no=o.frame JOIN pack p ON p.no=f.pack
JOIN worth w ON w.pack=p.no LEFT JOIN damaged d ON d.id=o.id AND d.pack=p.name
ORDER BY d.id IS NOT NULL DESC, p.retired DESC, w.share, p.size, p.name
"""
_PACKS = """
SELECT p.name, p.kind, p.size, p.listed, p.retired, r.raw, coalesce(l.live, 0), coalesce(l.bad, 0)
FROM pack p JOIN (SELECT pack, sum(raw) AS raw FROM frame GROUP BY pack) r ON r.pack=p.no
LEFT JOIN (SELECT f.pack AS pack, sum(k.length + 4) AS live, max(k.bad) AS bad
    FROM kept k JOIN frame f ON f.no=k.frame GROUP BY f.pack) l ON l.pack=p.no
ORDER BY p.no
"""


@dataclass(frozen=True, slots=True)
class Use:
    """A pack and how much of it is needed: octets before compression, in all and needed."""

    name: str
    kind: bytes
    size: int
    listed: bool
    retired: bool
    raw: int
    live: int
    has_bad: bool
    """Whether something that is needed cannot be read there, nor anywhere else."""

    @property
    def dead(self) -> float:
        """The share nobody needs, 0 to 1."""
        return max(0.0, 1 - self.live / self.raw) if self.raw else 1.0


class Needs:
    """What is needed, as of one moment. For one thread, and one at a time in a cache."""

    def __init__(
        self, repository: Repository, progress: Callable[[str, int], None] = lambda what, n: None
    ) -> None:
        """Gather it. ``progress`` gets words and a count.

        Raises Corrupt when a commit or manifest cannot be read: what that one needs is unknown.
        """
        self._repository, self._progress = repository, progress
        self._db = repository.cache.database
        self._db.executescript(_TABLES)
        self.unknown = False
        """Whether a message cannot be read, so that it is not known which bodies it needs.

        So with a key that may only put.
        """
        self._commits()
        self._manifests()
        self._bodies()
        self._db.execute(_WORTH)
        self._db.execute(_KEPT)

    def _add(self, ids: Iterable[bytes], depth: int) -> None:
        rows = [(each, depth) for each in ids]
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR IGNORE INTO needed VALUES (?, ?)", rows)
        self._db.execute("COMMIT")

    def _commits(self) -> None:
        folder = self._repository.folder
        there = {name.removesuffix(keys.COPY) for name in folder.names("snapshots")}
        self.names = frozenset(self._repository.snapshots())
        bodies = self._repository.cache.snapshots()
        for name in sorted(there - self.names):
            if name not in {each.removesuffix(keys.COPY) for each in folder.names("snapshots")}:
                continue
            raise Corrupt(
                f"snapshot {name} cannot be read, so it is unknown what it needs; "
                f"'mtad snapshot verify' says more, 'mtad snapshot forget {name}' gives it up"
            )
        for name in self.names:
            self._add(references(bodies[name]), 0)
            commit = format.decode(bodies[name], format.Commit)
            self._demand((line.root for line in commit.boxes), f"snapshot {name}")

    def _manifests(self) -> None:
        """Follow references, one depth after the other, each in reading order."""
        query = (
            "SELECT DISTINCT n.id FROM needed n JOIN object o ON o.id=n.id "
            "JOIN frame f ON f.no=o.frame JOIN pack p ON p.no=f.pack "
            "WHERE n.depth=? AND p.kind=?"
        )
        for depth in range(MAX_DEPTH):
            found = [each for (each,) in self._db.execute(query, (depth, MANIFEST))]
            for number, object_id in enumerate(self._repository.in_reading_order(found)):
                if number % 256 == 0:
                    self._progress("manifests", number)
                self._manifest(object_id, depth)

    def _manifest(self, object_id: bytes, depth: int) -> None:
        try:
            data = self._repository.get(object_id)
        except Damaged as error:
            raise Corrupt(
                f"{error}: it is unknown what snapshots need; 'mtad snapshot verify' says more"
            ) from error
        self._add(references(data), depth + 1)
        try:
            root = format.decode(data, BoxRoot)
        except Damaged:
            return
        chunks = (each for box in root.mailboxes for each in _ids(box.chunks))
        self._demand(chunks, f"box {root.address}")

    def _demand(self, ids: Iterable[bytes], where: str) -> None:
        wanted = list(dict.fromkeys(ids))
        if len(self._repository.cache.places(wanted)) < len(wanted):
            raise Corrupt(
                f"{where}: a manifest is in no pack, so it is unknown what it needs; "
                "'mtad snapshot verify' says more"
            )

    # ------------------------------------------------------------------- bodies

    def _bodies(self) -> None:
        """The bodies of needed messages; of packs not looked into yet their records are read."""
        fresh = self._db.execute(
            "SELECT no, name FROM pack WHERE kind=? AND name NOT IN (SELECT pack FROM scanned)",
            (TEXT,),
        ).fetchall()
        for done, (number, name) in enumerate(fresh):
            self._progress("packs of messages", done)
            self._scan(number, name)
        query = "SELECT u.bodies FROM needed n JOIN uses u ON u.id=n.id"
        self._add((each for (ids,) in self._cursor(query) for each in _ids(ids)), MAX_DEPTH)

    def _cursor(self, query: str) -> list[tuple[Any, ...]]:
        return self._db.execute(query).fetchall()

    def _scan(self, pack: int, name: str) -> None:
        """Keep which bodies the messages of a pack use; a pack with damage is read again."""
        query = (
            "SELECT o.id FROM object o JOIN frame f ON f.no=o.frame WHERE f.pack=? "
            "ORDER BY f.number, o.at"
        )
        uses, whole = [], True
        for (object_id,) in self._db.execute(query, (pack,)).fetchall():
            try:
                bodies = split.wanted(self._repository.get(object_id))
            except (Damaged, Sealed):
                whole = False
                is_needed = "SELECT 1 FROM needed WHERE id=?"
                if self._db.execute(is_needed, (object_id,)).fetchone():
                    self.unknown = True
                continue
            if bodies:
                uses.append((object_id, b"".join(bodies)))
        self._repository.cache.keep_uses(uses, name if whole else None)

    # ------------------------------------------------------------------ answers

    def packs(self) -> list[Use]:
        """Every pack there is and what of it is needed; of an object one copy counts."""
        return [
            Use(name, kind, size, bool(listed), bool(retired), raw, live, bool(bad))
            for name, kind, size, listed, retired, raw, live, bad in self._cursor(_PACKS)
        ]

    def of_pack(self, name: str) -> list[tuple[bytes, int]]:
        """Id and octets of what is needed of a pack, in reading order."""
        query = (
            "SELECT k.id, k.length FROM kept k JOIN frame f ON f.no=k.frame "
            "WHERE f.pack=(SELECT no FROM pack WHERE name=?) ORDER BY f.number, k.at"
        )
        return self._db.execute(query, (name,)).fetchall()


def references(data: bytes) -> Iterator[bytes]:
    """Whatever may be an id in a commit or manifest; nothing in what is no MessagePack."""
    try:
        todo: list[Any] = [msgspec.msgpack.decode(data)]
    except msgspec.MsgspecError:
        return
    while todo:
        each = todo.pop()
        if isinstance(each, bytes):
            if len(each) % ID == 0:
                yield from _ids(each)
        elif isinstance(each, list):
            todo += each
        elif isinstance(each, dict):
            todo += each.values()


def _ids(joined: bytes) -> Iterator[bytes]:
    return (joined[at : at + ID] for at in range(0, len(joined), ID))

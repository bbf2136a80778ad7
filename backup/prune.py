"""Giving back the room of what no snapshot needs, while snapshots, restores and readers go on.

Packs that nobody needs are removed; packs that are mostly dead, packs that are small when there
are many, and packs with damage of which all is stored elsewhere are written anew with what is
needed of them. With a key that may not read contents, packs of messages are only removed, and
those of bodies stay: which of them are needed cannot be known. Order of writes:

1. packs anew, each synced and named, then the index segment that lists them;
2. a mark that names the packs to be removed (``backup.retired``), then the locks it waits for;
3. once those locks are gone, and no snapshot turns out to need what only marked packs have
   (such packs are taken out of the mark): index segments without the marked packs;
4. the segments they replace are removed, then the packs, then the mark.

Whatever stops a run before 2 leaves packs that nothing refers to, which the next run takes for
what they are; from 2 on the mark stands, its packs count as absent, and the next run goes on
with 3. No step touches a commit, and until 4 every object is where it was. A reader that finds
a pack gone reads the index again (``Repository.get``).
"""

import contextlib
import dataclasses
import fcntl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from backup import format, retired
from backup.format import BODY, MANIFEST, TEXT, Damaged, PackEntry
from backup.locks import Lock
from backup.needs import Needs, Use
from backup.places import pack_path
from backup.repository import Repository
from backup.rewriting import Rewriting
from backup.writer import PACK_BYTES, Writer
from mtad.errors import Locked

WASTE = 0.3
"""The dead share from which a pack is written anew."""
SMALL_BYTES = PACK_BYTES // 2
SMALL_PACKS = 30
"""From so many small packs of a kind on they are written together; compacting needs two."""
SMALL_SEGMENT_BYTES = 2**20
SEGMENTS = 30
"""From so many small index segments on they are written together."""
SEGMENT_OBJECTS = 200_000
"""A segment that is written together lists about so many objects."""


@dataclass(slots=True)
class Pruned:
    """What a run did, or would do."""

    packs: int = 0
    octets: int = 0
    """Of all packs, before."""
    dropped: list[Use] = field(default_factory=list)
    rewritten: list[Use] = field(default_factory=list)
    written: int = 0
    """Octets of the packs written anew."""
    removed: int = 0
    freed: int = 0
    """Packs that are gone, and their octets."""
    waiting: int = 0
    waiting_octets: int = 0
    """Marked packs whose removal waits for others who use the repository."""
    spared: list[str] = field(default_factory=list)
    """Packs that stay although they should go, because something in them cannot be read."""


@dataclass(frozen=True, slots=True)
class How:
    """What is written anew: from which dead share on, small packs, or all packs of messages."""

    waste: float = WASTE
    compact: bool = False
    everything: bool = False


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One pruner of this machine at a time. Raises Locked.

    Those of two machines do no harm: each looks at the marks of both before it removes.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(folder / "prune.lock", "wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked("the repository is being pruned already; wait for it to end") from None
        yield


def prune(
    repository: Repository,
    lock: Lock,
    how: How = How(),
    *,
    dry_run: bool = False,
    progress: Callable[[str, int], None] = lambda what, number: None,
) -> Pruned:
    """Give back room, under a shared lock. ``progress`` gets words and a count.

    Raises Corrupt when it cannot be told what snapshots need, OSError when the repository
    cannot be written; nothing that counts is lost then.
    """
    run = _Run(repository, lock, how, progress)
    if not dry_run:
        if not retired.held(repository.folder, lock.name):
            repository.adopt()
        run.sweep()
    run.choose()
    if not dry_run:
        run.rewrite()
        run.sweep()
    return run.done


class _Run:
    def __init__(
        self,
        repository: Repository,
        lock: Lock,
        how: How,
        progress: Callable[[str, int], None],
    ) -> None:
        self._repository, self._folder = repository, repository.folder
        self._lock, self._how, self._progress = lock, how, progress
        self._needs: Needs | None = None
        self.done = Pruned()

    def _needed(self) -> Needs:
        """What is needed by the snapshots there are now."""
        self._repository.see_retired()
        self._needs = Needs(self._repository, self._progress)
        return self._needs

    # ---------------------------------------------------------------- choosing

    def choose(self) -> None:
        """Which packs go, and which are written anew."""
        needs = self._needed()
        uses = [use for use in needs.packs() if use.listed and not use.retired]
        self.done.packs, self.done.octets = len(uses), sum(use.size for use in uses)
        small, broken = self._small(uses), self._repository.cache.damaged()
        for use in uses:
            if use.kind == BODY and needs.unknown:
                if use.dead >= self._how.waste:
                    self.done.spared.append(use.name)
            elif not use.live:
                self.done.dropped.append(use)
            elif use.dead >= self._how.waste or use.name in small or use.name in broken:
                if use.has_bad:
                    self.done.spared.append(use.name)
                elif self._can_read(use.kind):
                    self.done.rewritten.append(use)

    def _can_read(self, kind: bytes) -> bool:
        """Whether packs of this kind can be written anew; contents only with all rights."""
        return kind == MANIFEST or self._repository.keys.can_read

    def _small(self, uses: list[Use]) -> set[str]:
        """Packs that are written together because they are small, or all of messages."""
        found: set[str] = set()
        limit = 2 if self._how.compact or self._how.everything else SMALL_PACKS
        for kind in (TEXT, BODY, MANIFEST):
            names = {use.name for use in uses if use.kind == kind and use.size < SMALL_BYTES}
            if self._how.everything and kind == TEXT:
                names = {use.name for use in uses if use.kind == kind}
            if len(names) >= limit:
                found |= names
        return found

    # ---------------------------------------------------------------- rewriting

    def rewrite(self) -> None:
        """Copy what is needed into packs anew, then mark the former ones."""
        assert self._needs is not None
        gone = [use.name for use in self.done.dropped]
        if self.done.rewritten:
            writer = Writer(self._repository)
            try:
                lost = self._copy(writer, self._needs)
                writer.finish()
            except BaseException:
                writer.abandon()
                raise
            self.done.written = writer.stored
            bad = {place.pack for each in lost for place in self._repository.cache.copies(each)}
            kept = [use for use in self.done.rewritten if use.name not in bad]
            self.done.spared += [use.name for use in self.done.rewritten if use.name in bad]
            self.done.rewritten = kept
            gone += [use.name for use in kept]
        if gone:
            retired.mark(self._folder, gone, self._lock.name)

    def _copy(self, writer: Writer, needs: Needs) -> list[bytes]:
        copying = Rewriting(
            self._repository, writer, lambda octets: self._progress("octets copied", octets)
        )
        for kind in (BODY, TEXT, MANIFEST):
            names = [use.name for use in self.done.rewritten if use.kind == kind]
            copying.copy(kind, (each for name in names for each in needs.of_pack(name)))
        return copying.lost

    # ----------------------------------------------------------------- removing

    def sweep(self) -> None:
        """Remove the packs of each mark that nobody can rely on any more."""
        self._folder.sweep()
        marks = [
            retired.settled(self._folder, each, self._lock.name)
            for each in retired.read(self._folder)
        ]
        due = [each for each in marks if retired.is_due(self._folder, each, self._lock.name)]
        if due:
            needs = self._needed()
            wanted = {
                use.name
                for use in needs.packs()
                if use.retired and (use.live or (use.kind == BODY and needs.unknown))
            }
            for each in due:
                self._remove(each, wanted)
        left = {name for each in retired.read(self._folder) for name in each.packs}
        self._repository.see_retired()
        self.done.waiting = len(left)
        sizes = (self._size(name) for name in left)
        self.done.waiting_octets = sum(sizes)

    def _remove(self, mark: retired.Mark, wanted: set[str]) -> None:
        if mark.packs & wanted:
            mark = dataclasses.replace(mark, packs=mark.packs - wanted)
            retired.write(self._folder, mark)
            self._repository.adopt()
        self._unlist(mark.packs)
        for name in sorted(mark.packs):
            size = self._size(name)
            self._folder.remove(pack_path(name))
            self.done.removed += bool(size)
            self.done.freed += size
        retired.remove(self._folder, mark)

    def _size(self, name: str) -> int:
        try:
            return self._folder.size(pack_path(name))
        except OSError:
            return 0

    def _unlist(self, gone: frozenset[str]) -> None:
        """Put segments in place of those that list packs which go, and of many small ones."""
        names = sorted(self._folder.segments())
        sizes = {name: self._folder.size(f"index/{name}") for name in names}
        few = [name for name in names if sizes[name] < SMALL_SEGMENT_BYTES]
        merge = set(few) if len(few) >= SEGMENTS else set()
        former: list[str] = []
        left: dict[bytes, PackEntry] = {}
        for name in names:
            try:
                packs = self._repository.segment(name)
            except (OSError, Damaged):
                continue
            if name in merge or any(pack.name.hex() in gone for pack in packs):
                former.append(name)
                left.update((pack.name, pack) for pack in packs if pack.name.hex() not in gone)
        for portion in _portions(list(left.values())):
            self._repository.write_segment(portion)
        self._repository.cache.drop(gone, former)
        for name in former:
            self._folder.remove(f"index/{name}")


def _portions(packs: list[PackEntry]) -> Iterator[list[PackEntry]]:
    """Packs in runs that make segments of a sensible size."""
    found: list[PackEntry] = []
    objects = 0
    for pack in packs:
        found.append(pack)
        objects += sum(len(frame.ids) // format.ID for frame in pack.frames)
        if objects >= SEGMENT_OBJECTS:
            yield found
            found, objects = [], 0
    if found:
        yield found

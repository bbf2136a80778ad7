"""A repository to a second place, as it is: only what is missing there, nothing ever removed.

Files are carried over sealed, so that no key is needed and the copy opens with the same keys.
Each pack is compared with the hash it is named after on its way.

Order of writes: keys and config (config last, as when a repository is made), packs, index
segments, holds, commits. Lists are taken in the reverse order, so that whatever a listed commit
needs is listed too. Interrupted anywhere, the copy holds whole snapshots only, and a repetition
goes on with what is missing. It needs no right to remove or overwrite anything: its lock then
stays and goes stale. Both places are locked against removers while it runs, and at the end the
target's packs are listed once more, should somebody have removed one before the commits came.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from backup import format, holds, keys, retired
from backup.format import Damaged
from backup.keys import CONFIG, COPY
from backup.locks import Lock
from backup.places import Storage, pack_path
from mtad.errors import Corrupt, Locked, MtadError, UsageError

CHUNK = 4 * 2**20
ROUNDS = 3
"""How often packs are looked for that somebody removed meanwhile."""


@dataclass(slots=True)
class Copied:
    """What was carried over; ``snapshots`` are those the target has now and had not before."""

    repository: str = ""
    files: int = 0
    octets: int = 0
    snapshots: int = 0
    damaged: list[str] = field(default_factory=list)
    """Files that are damaged where they came from, carried over as they are."""
    notes: list[str] = field(default_factory=list)


def copy(
    source: Storage,
    target: Storage,
    *,
    say: Callable[[str], None] = lambda sentence: None,
    progress: Callable[[int, int, int], None] = lambda done, total, octets: None,
) -> Copied:
    """Bring the target up to the source. ``progress`` gets packs done, in all, octets sent.

    Raises UsageError where the target is another repository, Locked, OSError, Corrupt.
    """
    keys.require(source)
    if source.shown == target.shown:
        raise UsageError(f"{source.shown} is the repository itself; name another place")
    with Lock(source, say=say):
        done = Copied()
        done.repository, notes = keys.repository_id(source)
        done.notes += notes
        _same_or_new(done.repository, target)
        run = _Run(source, target, done, progress)
        with Lock(target, say=say):
            run.keys()
            run.all()
    return done


def _same_or_new(repository: str, target: Storage) -> None:
    """Raise UsageError when something else lies there; make what an empty place needs."""
    if target.exists(CONFIG) or target.exists(CONFIG + COPY):
        other, _ = keys.repository_id(target)
        if other != repository:
            raise UsageError(
                f"{target.shown} holds another repository ({other[:16]}, not "
                f"{repository[:16]}); name an empty place"
            )
    elif any(True for _ in target.packs()) or target.names("snapshots"):
        raise UsageError(f"{target.shown} holds snapshots but no {CONFIG}; name an empty place")
    else:
        target.make()


class _Run:
    def __init__(
        self,
        source: Storage,
        target: Storage,
        done: Copied,
        progress: Callable[[int, int, int], None],
    ) -> None:
        self._source, self._target, self._done = source, target, done
        self._progress = progress

    def keys(self) -> None:
        """The ways in, then what makes it a repository."""
        have = set(self._target.names("keys"))
        names = {name.removesuffix(COPY) for name in self._source.names("keys")}
        for name in sorted(names):
            if not {name, name + COPY} <= have:
                self._twice(f"keys/{name}", format.unstamp)
        self._done.notes += [
            f"the copy still opens with key {name.removesuffix('.json')}, which was removed here"
            for name in sorted(have - names)
            if not name.endswith(COPY)
        ]
        if not all(self._target.exists(name) for name in (CONFIG, CONFIG + COPY)):
            self._twice(CONFIG, format.unstamp)

    def _twice(self, name: str, check: Callable[[bytes], object]) -> bool:
        """A file that is kept twice, from whichever copy is good; whether there is one."""
        try:
            data, notes = keys.read_twice(self._source, name, check, heal=False)
        except Corrupt as error:
            self._done.damaged.append(str(error))
            return False
        self._done.notes += notes
        for each in (name, name + COPY):
            if not self._target.exists(each):
                self._put(each, data)
        return True

    def _put(self, name: str, data: bytes) -> None:
        self._target.put(name, data)
        self._done.files += 1
        self._done.octets += len(data)

    def all(self) -> None:
        """Everything but keys and config."""
        commits = {name.removesuffix(COPY) for name in self._source.names("snapshots")}
        held = self._source.names(holds.FOLDER)
        segments = self._source.segments()
        packs = sorted(self._source.packs())
        if retired.packs(self._target) & set(packs):
            raise Locked(
                f"packs that the copy needs are about to be removed from {self._target.shown}: end "
                "that there with 'mtad snapshot prune', then run this again"
            )
        self._packs(packs)
        for name in sorted(segments - self._target.segments()):
            self._put(f"index/{name}", self._source.get(f"index/{name}"))
        for name in sorted(set(held) - set(self._target.names(holds.FOLDER))):
            self._put(f"{holds.FOLDER}/{name}", self._source.get(f"{holds.FOLDER}/{name}"))
        self._target.assure()
        have = set(self._target.names("snapshots"))
        for name in sorted(commits):
            if {name, name + COPY} <= have:
                continue
            is_there = self._twice(f"snapshots/{name}", lambda data, n=name: _commit(n, data))  # type: ignore[misc]
            self._done.snapshots += is_there and not {name, name + COPY} & have
        for _ in range(ROUNDS):
            if not self._packs(packs):
                return
        raise MtadError(
            f"somebody removes packs from {self._target.shown} as fast as they are copied; stop "
            "that, and run this again"
        )

    def _packs(self, names: list[str]) -> int:
        """Carry over the packs that are missing; how many."""
        have = set(self._target.packs())
        missing = [name for name in names if name not in have]
        for number, name in enumerate(missing):
            self._progress(number, len(missing), self._done.octets)
            self._pack(name)
        return len(missing)

    def _pack(self, name: str) -> None:
        """One pack; read again where it is not what it is named after."""
        for is_last in (False, True):
            draft = self._target.begin()
            try:
                found = hashlib.sha256()
                for data in self._chunks(pack_path(name)):
                    found.update(data)
                    draft.write(data)
                if found.hexdigest() == name or is_last:
                    draft.finish(pack_path(name))
                    break
            except BaseException:
                draft.abandon()
                raise
            draft.abandon()
        if found.hexdigest() != name:
            self._done.damaged.append(f"{pack_path(name)} is not what it is named after")
        self._done.files += 1
        self._done.octets += draft.size

    def _chunks(self, path: str) -> Iterator[bytes]:
        at = 0
        while data := self._source.read(path, at, CHUNK):
            yield data
            at += len(data)
            if len(data) < CHUNK:
                return


def _commit(name: str, data: bytes) -> None:
    """Raise Damaged for octets that are not those of the commit of this name."""
    if hashlib.sha256(data).hexdigest()[:8] != name.rpartition("-")[2]:
        raise Damaged("its octets are not those it is named after")

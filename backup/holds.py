"""Legal hold: snapshots that nothing forgets until they are released.

A hold is the file ``holds/<snapshot>`` of the repository: clear, stamped JSON (``format.stamp``)
with ``at`` in microseconds, ``by`` and ``why``. It lies beside the commit, which is never
written again. What cannot be read holds all the same. A held snapshot is not forgotten, is not
written anew without some of its boxes, and keeps its name.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from backup import format
from backup.format import Damaged
from backup.locks import Lock
from backup.repository import Repository
from mtad.errors import NothingFound, UsageError

FOLDER = "holds"
MAX_WHY = 500


@dataclass(frozen=True, slots=True)
class Hold:
    """Since when, by whom and why a snapshot is held; 0 and "" where the file is damaged."""

    at: int = 0
    by: str = ""
    why: str = ""


def is_held(repository: Repository, name: str) -> bool:
    """Whether a snapshot, by its whole name, must not be forgotten."""
    return repository.folder.exists(_path(name))


def held(repository: Repository) -> dict[str, Hold]:
    """Every hold by the snapshot's name, also of one that is damaged or gone."""
    return {name: _read(repository, name) for name in repository.folder.names(FOLDER)}


def hold(repository: Repository, given: Sequence[str], *, at: int, by: str, why: str) -> list[str]:
    """Hold snapshots; returns the names of those that were not held.

    Durable when it returns. Raises NothingFound, UsageError, Locked, OSError.
    """
    if len(why) > MAX_WHY:
        raise UsageError(f"the reason has more than {MAX_WHY} characters")
    with Lock(repository.folder):  # against forgetting, which excludes others
        names = [repository.resolve(one)[0] for one in given]
        fresh = [name for name in dict.fromkeys(names) if not is_held(repository, name)]
        for name in fresh:
            repository.folder.put(_path(name), format.stamp(asdict(Hold(at, by, why))))
    return fresh


def release(repository: Repository, given: Sequence[str]) -> list[str]:
    """Let snapshots go; returns their names. Raises NothingFound where one is not held."""
    every = held(repository)
    names = []
    for one in given:
        fits = [name for name in every if name.startswith(one) or name.rpartition("-")[2] == one]
        if one == "latest":
            fits = [repository.resolve(one)[0]]
        if len(fits) != 1 or fits[0] not in every:
            what = "may be any of several" if len(fits) > 1 else "is not held"
            raise NothingFound(f"{one} {what}; 'mtad snapshot list' shows which are")
        names += fits
    for name in dict.fromkeys(names):
        repository.folder.remove(_path(name))
    return list(dict.fromkeys(names))


def _path(name: str) -> str:
    return f"{FOLDER}/{name}"


def _read(repository: Repository, name: str) -> Hold:
    try:
        fields = format.unstamp(repository.folder.get(_path(name)))
        return Hold(int(fields["at"]), str(fields["by"]), str(fields["why"]))
    except (OSError, Damaged, KeyError, ValueError):
        return Hold()

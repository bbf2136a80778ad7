"""Replacing a domain's DKIM keys: new files, then the directory, then old files go.

Order of writes: the new keys' files are durable before the directory names them, and a key is
out of the directory before its file is removed. A command that is cut short leaves at most a
file that nothing names.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mtad import clock
from mtad.config import Loaded
from mtad.directory.key_changes import KeyChanges
from mtad.directory.lookup import DkimKey
from mtad.errors import MtadError
from mtad.journal import disk
from mtad.mailauth import keys
from mtad.zone import Record

MAX_A_DAY = 26
"""Rotations of one domain in a day."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """What was done: the selectors made, and those whose keys are gone."""

    made: tuple[str, ...]
    removed: tuple[str, ...]


def selectors(taken: Sequence[str]) -> dict[str, str]:
    """Names for the next keys by algorithm: a letter and the day, then letters of the alphabet."""
    day = f"{clock.now():%Y%m%d}"
    for number in range(MAX_A_DAY + 1):
        end = chr(ord("a") + number - 1) if number else ""
        made = {name: f"{letter}{day}{end}" for name, letter in keys.LETTERS.items()}
        if not set(made.values()) & set(taken):
            return made
    raise MtadError(f"this domain has had {len(taken)} keys today; that is enough")


def rotate(
    loaded: Loaded,
    changes: KeyChanges,
    domain: str,
    held: Sequence[DkimKey],
    *,
    signs_from: int,
    over: int,
) -> Rotation:
    """Make keys that sign from a time on; remove those that signed their last before ``over``.

    Times in microseconds. Raises MtadError, OSError.
    """
    names = selectors([key.selector for key in held])
    made = []
    try:
        for algorithm, selector in names.items():
            path = loaded.beside(keys.file_of(domain, selector))
            keys.write(path, keys.generate(algorithm))
            made.append(path)
        changes.add_keys(domain, names, signs_from)
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
        raise
    removed = []
    for key in held:
        if key.signs_until is not None and key.signs_until < over:
            changes.remove_key(domain, key.selector)
            path = loaded.beside(keys.file_of(domain, key.selector))
            path.unlink(missing_ok=True)
            disk.sync_path(path.parent)
            removed.append(key.selector)
    return Rotation(tuple(names.values()), tuple(removed))


def record(loaded: Loaded, domain: str, selector: str) -> Record:
    """What to publish of a key. Raises MtadError."""
    private = keys.read(loaded.beside(keys.file_of(domain, selector)))
    return keys.record(domain, selector, private)

"""Packs about to be removed: marked first, removed once nobody can rely on them any more.

A mark is a file in ``retired/`` that names packs, and the locks that were held when it became
durable. Whoever adds to the repository takes a lock first and reads the marks second
(``Repository.see_retired``), and does not count on what only marked packs have. The pruner
writes the mark first and reads the locks second. So of an adder and a pruner that come together
at least one knows of the other: either the adder stores again what the packs had, or the pruner
waits for the adder's lock to end, and then looks once more at what snapshots need.

A mark that is damaged counts as none: its packs are listed again and cost room, nothing else.
"""

import contextlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace

from backup import format, locks
from backup.format import Damaged
from backup.places import Storage
from mtad import clock

FOLDER = "retired"


@dataclass(frozen=True, slots=True)
class Mark:
    """Packs to be removed once the locks named in ``waits_for`` are gone.

    None as long as they are not known: then all that are held now count.
    """

    name: str
    at: int
    packs: frozenset[str]
    waits_for: frozenset[str] | None = None


def read(folder: Storage) -> list[Mark]:
    """Every readable mark."""
    found = []
    for name in folder.names(FOLDER):
        with contextlib.suppress(OSError, Damaged, KeyError, TypeError, ValueError):
            fields = format.unstamp(folder.get(f"{FOLDER}/{name}"))
            waits = fields["waits_for"]
            waits_for = None if waits is None else frozenset(map(str, waits))
            packs = frozenset(map(str, fields["packs"]))
            found.append(Mark(name, int(fields["at_us"]), packs, waits_for))
    return found


def packs(folder: Storage) -> set[str]:
    """Every pack that is about to be removed."""
    return {pack for mark in read(folder) for pack in mark.packs}


def mark(folder: Storage, names: Iterable[str], own_lock: str) -> Mark:
    """Mark packs durably, then see who may rely on them. Raises OSError."""
    made = Mark(secrets.token_hex(16), clock.now_us(), frozenset(names))
    write(folder, made)
    return settled(folder, made, own_lock)


def settled(folder: Storage, made: Mark, own_lock: str) -> Mark:
    """The mark with the locks it waits for; those held now where that was not written yet."""
    if made.waits_for is None:
        made = replace(made, waits_for=frozenset(held(folder, own_lock)))
        write(folder, made)
    return made


def is_due(folder: Storage, made: Mark, own_lock: str) -> bool:
    """Whether nobody is left who may rely on the packs."""
    return made.waits_for is not None and not made.waits_for & held(folder, own_lock)


def held(folder: Storage, own_lock: str) -> set[str]:
    """The locks of all others who use the repository now.

    A stale one does not count: its holder may not commit any more (``locks.Lock.assure``).
    """
    every = locks.holders(folder, folder.modified(own_lock))
    return {one.name for one in every if not one.is_stale} - {own_lock}


def write(folder: Storage, made: Mark) -> None:
    """Write a mark, in place of the one of its name. Raises OSError."""
    waits = None if made.waits_for is None else sorted(made.waits_for)
    fields = {"at_us": made.at, "packs": sorted(made.packs), "waits_for": waits}
    folder.put(f"{FOLDER}/{made.name}", format.stamp(fields))


def remove(folder: Storage, made: Mark) -> None:
    """Remove a mark: its packs are gone."""
    folder.remove(f"{FOLDER}/{made.name}")

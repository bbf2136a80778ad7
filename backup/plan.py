"""Which messages of a snapshot a box lacks (PURE).

A message is there when the box has its base name, in whatever mailbox it is now, or has its
content under another name. Each message of the box stands for at most one of the snapshot,
so two copies that were deleted are two copies to put back, and a plan made after it was
carried out puts nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

from backup.format import Entry


@dataclass(frozen=True, slots=True)
class Present:
    """A message in the box now; ``id`` is its object id, None while nobody read it."""

    mailbox: str
    base: str
    size: int
    id: bytes | None


@dataclass(frozen=True, slots=True)
class Step:
    """What is done with one message of the snapshot, and why."""

    entry: Entry
    put: bool
    reason: str


def match(
    everything: Sequence[Entry], present: Sequence[Present]
) -> tuple[dict[int, Present], list[int]]:
    """Which message of the box stands for which entry (by number); entries without one.

    Names first, then contents; within both, the same mailbox first.
    """
    pairs: dict[int, Present] = {}
    entries, rest = list(enumerate(everything)), list(present)
    _pair(pairs, entries, rest, lambda e: (e.base, e.mailbox), lambda p: (p.base, p.mailbox))
    _pair(pairs, entries, rest, lambda e: e.base, lambda p: p.base)
    _pair(pairs, entries, rest, lambda e: (e.id, e.mailbox), lambda p: (p.id, p.mailbox))
    _pair(pairs, entries, rest, lambda e: e.id, lambda p: p.id)
    return pairs, [number for number, _ in entries]


def _pair(
    pairs: dict[int, Present],
    entries: list[tuple[int, Entry]],
    present: list[Present],
    entry_key: Callable[[Entry], Hashable],
    present_key: Callable[[Present], Hashable],
) -> None:
    """Take equal ones out of both lists and into ``pairs``."""
    waiting: dict[Hashable, list[Present]] = defaultdict(list)
    for each in present:
        waiting[present_key(each)].append(each)
    left: list[tuple[int, Entry]] = []
    used: set[int] = set()
    for number, entry in entries:
        candidates = waiting.get(entry_key(entry), [])
        for at, each in enumerate(candidates):
            if each.id in (None, entry.id):
                pairs[number] = candidates.pop(at)
                used.add(id(each))
                break
        else:
            left.append((number, entry))
    entries[:] = left
    present[:] = [each for each in present if id(each) not in used]


def unread(everything: Sequence[Entry], present: Sequence[Present]) -> list[int]:
    """Numbers of messages in the box whose content must be known to judge: few, or none.

    Those without an id that no name accounts for and that are as large as a missing entry.
    """
    pairs, missing = match(everything, present)
    accounted = {id(each) for each in pairs.values()}
    sizes = {everything[number].size for number in missing}
    return [
        number
        for number, each in enumerate(present)
        if each.id is None and id(each) not in accounted and each.size in sizes
    ]


def plan(
    wanted: Iterable[int], everything: Sequence[Entry], present: Sequence[Present]
) -> list[Step]:
    """What to do for each wanted entry of a box's snapshot, by number.

    The whole snapshot of the box is given, so that a message of the box is never taken for
    two of the snapshot.
    """
    pairs, _ = match(everything, present)
    steps = []
    for number in wanted:
        entry = everything[number]
        there = pairs.get(number)
        if there is None:
            steps.append(Step(entry, True, "not in the box"))
        elif there.base == entry.base:
            where = "" if there.mailbox == entry.mailbox else f", in {there.mailbox}"
            steps.append(Step(entry, False, f"there already{where}"))
        else:
            steps.append(Step(entry, False, f"the same content is in {there.mailbox}"))
    return steps

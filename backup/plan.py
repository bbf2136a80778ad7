"""Which messages of a snapshot a box lacks (PURE).

A message is there when the box has its base name, in whatever mailbox it is now, or has its
content under another name. Each message of the box stands for at most one of the snapshot,
so two copies that were deleted are two copies to put back, and a plan made after it was
carried out puts nothing.

A box can also be made exactly what it was: then messages go back to their mailboxes, get their
flags again, and those that the snapshot has not are removed.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from backup.format import Entry


@dataclass(frozen=True, slots=True)
class Present:
    """A message in the box now; ``id`` is its object id, None while nobody read it."""

    mailbox: str
    base: str
    size: int
    id: bytes | None
    flags: str = ""
    keywords: tuple[str, ...] = ()
    st: int = 0
    mtime_ns: int = 0


class Act(StrEnum):
    """What can be done with a message."""

    PUT = "put"
    SKIP = "skip"
    MOVE = "move"
    MARK = "mark"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Step:
    """What is done with one message, and why.

    ``entry`` is the message as the snapshot has it, or, where it is to be removed, as the box
    has it. ``there`` is the message of the box that stands for it; it is moved from its mailbox
    to the entry's, and gets the entry's flags.
    """

    entry: Entry
    act: Act
    reason: str
    there: Present | None = None

    @property
    def put(self) -> bool:
        """Whether the message is put back."""
        return self.act is Act.PUT


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
            steps.append(Step(entry, Act.PUT, "not in the box"))
        elif there.base == entry.base:
            where = "" if there.mailbox == entry.mailbox else f", in {there.mailbox}"
            steps.append(Step(entry, Act.SKIP, f"there already{where}", there))
        else:
            steps.append(Step(entry, Act.SKIP, f"the same content is in {there.mailbox}", there))
    return steps


def exact(
    everything: Sequence[Entry], present: Sequence[Present], mailbox: str | None = None
) -> list[Step]:
    """What makes a box, or one mailbox of it, exactly what a snapshot has.

    Messages of the mailbox that the snapshot has elsewhere go there.
    """
    pairs, _ = match(everything, present)
    scope = [
        number
        for number, entry in enumerate(everything)
        if mailbox in (None, entry.mailbox)
        or (number in pairs and pairs[number].mailbox == mailbox)
    ]
    steps = []
    for step in plan(scope, everything, present):
        entry, there = step.entry, step.there
        if there is None:
            steps.append(step)
        elif there.mailbox != entry.mailbox:
            steps.append(replace(step, act=Act.MOVE, reason=f"it is in {there.mailbox}"))
        elif (there.flags, there.keywords) != (entry.flags, entry.keywords):
            steps.append(replace(step, act=Act.MARK, reason="its flags are others"))
        else:
            steps.append(step)
    accounted = {id(each) for each in pairs.values()}
    for each in present:
        if id(each) not in accounted and mailbox in (None, each.mailbox):
            steps.append(Step(as_entry(each), Act.REMOVE, "was not there then", each))
    return steps


def as_entry(there: Present) -> Entry:
    """A message of the box as a snapshot would have it."""
    fields = (there.flags, there.keywords, there.mtime_ns, there.size, there.id or b"")
    return Entry(there.mailbox, 0, there.base, there.st, 0, *fields)

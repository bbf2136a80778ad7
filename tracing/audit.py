"""Do the books balance? The log, the boxes, their indexes and the journals compared (PURE).

The facts come as streams, the boxes one after the other, so that only one of them is in
memory. Facts must be of one moment: the journals' mark is taken first, everything up to it
applied, and boxes read while their owners are still.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tracing import ids
from tracing.states import State


@dataclass(frozen=True, slots=True)
class Copy:
    """A stored copy as the log tells it; ``m`` is 0 where its message is not known."""

    st: int
    m: int
    box: str
    mailbox: str
    base: str
    size: int
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Fate:
    """An accepted recipient in the log, with the stored copy that its row names.

    One elsewhere is ``remote``; ``at`` is its acceptance and ``next_try`` when it is due again,
    in microseconds.
    """

    n: int
    addr: str
    state: State
    st: int = 0
    copy: Copy | None = None
    remote: bool = False
    at: int = 0
    next_try: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """A message in the log; ``promised`` recipients were accepted, None without that event."""

    m: int
    promised: int | None
    fates: Sequence[Fate]


@dataclass(frozen=True, slots=True)
class File:
    """A message file of a box; ``st`` is the one in its name, 0 for a name that has none."""

    mailbox: str
    base: str
    size: int
    st: int


@dataclass(frozen=True, slots=True)
class Indexed:
    """A row of a box's index."""

    mailbox: str
    uid: int
    base: str
    st: int


@dataclass(frozen=True, slots=True)
class Box:
    """All of one box: its living copies by the log, its files, its index."""

    address: str
    copies: Sequence[Copy]
    files: Sequence[File]
    index: Sequence[Indexed]


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame a journal still holds: the message it made ours, the copies it placed.

    ``has_message`` tells that the message's octets are in it, safe from being overwritten.
    """

    journal: str
    seq: int
    m: int = 0
    links: Sequence[int] = ()
    has_message: bool = False


@dataclass(frozen=True, slots=True)
class Handed:
    """A recipient that the log says another server took, ``times`` by its events, 0 for never."""

    m: int
    n: int
    state: State
    times: int


@dataclass(frozen=True, slots=True)
class Break:
    """A place where the log of a month is not what was recorded."""

    month: str
    first: int
    last: int


@dataclass(slots=True)
class Facts:
    """What is compared. ``known`` looks stored copies up in the log, gone ones too.

    ``has_content`` tells whether a message has a content file. Mail for elsewhere accepted
    before ``overdue``, in microseconds, has been given up by now or someone holds it.
    """

    messages: Iterable[Message] = ()
    boxes: Iterable[Box] = ()
    frames: Iterable[Frame] = ()
    applied: Mapping[str, int] = field(default_factory=dict)
    breaks: Iterable[Break] = ()
    known: Callable[[Sequence[int]], Mapping[int, Copy]] = lambda sts: {}
    handed: Iterable[Handed] = ()
    has_content: Callable[[int], bool] = lambda m: False
    overdue: int = 0
    untold: Iterable[Copy] = ()
    """Copies, gone ones too, of which no event says how they came."""


@dataclass(frozen=True, slots=True)
class Violation:
    """Something without explanation: what is wrong as one sentence, and whose trace it is."""

    text: str
    trace: int = 0

    def __str__(self) -> str:
        return self.text


def violations(facts: Facts) -> list[Violation]:
    """Everything that does not balance; an empty list is the proof that all does."""
    held: set[int] = set()
    readable: set[int] = set()
    found = list(_of_frames(facts, held, readable))
    accepted: set[int] = set()
    for message in facts.messages:
        if message.promised is not None and message.m in held:
            accepted.add(message.m)
        found += _of_message(message, held)
        found += _of_queue(message, facts, readable)
    for m in sorted(held - accepted):
        text = f"message {ids.text(m)} is in a journal that was applied, but not in the log"
        found.append(Violation(text, m))
    for box in facts.boxes:
        found += _of_box(box, facts)
    found += [violation for one in facts.handed for violation in _of_handed(one)]
    for copy in facts.untold:
        end = "went from" if copy.gone else "is in"
        what = f"copy {ids.text(copy.st)} of message {ids.text(copy.m)} {end} {copy.box}"
        found.append(Violation(f"{what}, but no event says how it came", copy.m))
    for one in facts.breaks:
        which = f"events {one.first} to {one.last}"
        found.append(Violation(f"the log of {one.month} is not as it was written: {which}"))
    return found


def _of_frames(facts: Facts, held: set[int], readable: set[int]) -> Iterator[Violation]:
    """Frames that were not applied, and copies the log does not know; fills the sets."""
    for frame in facts.frames:
        if frame.seq > facts.applied.get(frame.journal, 0):
            yield Violation(
                f"frame {frame.seq} of the journal {frame.journal} is not applied", frame.m
            )
            continue
        if frame.m:
            held.add(frame.m)
        if frame.has_message:
            readable.add(frame.m)
        known = facts.known(frame.links) if frame.links else {}
        for st in frame.links:
            if st not in known:
                yield Violation(
                    f"copy {ids.text(st)} of message {ids.text(frame.m)} is in the journal "
                    f"{frame.journal}, frame {frame.seq}, but not in the log",
                    frame.m,
                )


def _of_message(message: Message, held: set[int]) -> Iterator[Violation]:
    """Every accepted recipient has exactly one fate, and a copy if it says so."""
    shown = ids.text(message.m)
    if message.promised is None:
        if message.fates:
            text = f"message {shown} has accepted recipients but was never accepted"
            yield Violation(text, message.m)
    elif len(message.fates) != message.promised:
        yield Violation(
            f"message {shown} was accepted for {message.promised} recipients, "
            f"but {len(message.fates)} have a fate",
            message.m,
        )
    for fate in message.fates:
        whose = f"recipient {fate.n} of message {shown} ({fate.addr})"
        if fate.state.is_open and not fate.remote and message.m not in held:
            text = f"{whose} is {fate.state.word}, but no journal holds the message"
            yield Violation(text, message.m)
        elif not fate.state.is_open and not fate.state.is_final:
            yield Violation(f"{whose} was accepted, but is {fate.state.word}", message.m)
        elif fate.state is State.STORED:
            copy = fate.copy
            if not fate.st or copy is None:
                yield Violation(f"{whose} is delivered, but no stored copy is recorded", message.m)
            elif copy.m != message.m or copy.box != fate.addr:
                yield Violation(
                    f"{whose} is delivered as copy {ids.text(fate.st)}, which is recorded as "
                    f"message {ids.text(copy.m)} in {copy.box}",
                    message.m,
                )


def _of_queue(message: Message, facts: Facts, readable: set[int]) -> Iterator[Violation]:
    """What waits to leave is there to be sent, and has a time to be sent at."""
    waiting = [fate for fate in message.fates if fate.remote and fate.state.is_open]
    shown = ids.text(message.m)
    if waiting and message.m not in readable and not facts.has_content(message.m):
        yield Violation(f"message {shown} waits in the queue, but is nowhere to be read", message.m)
    for fate in waiting:
        if fate.state is State.HELD:
            continue
        whose = f"recipient {fate.n} of message {shown} ({fate.addr}) is {fate.state.word}"
        if not fate.next_try:
            yield Violation(f"{whose}, but has no time to be tried at", message.m)
        elif fate.at < facts.overdue:
            yield Violation(f"{whose}, though it had to be given up by now", message.m)


def _of_handed(one: Handed) -> Iterator[Violation]:
    """What another server took is over, has its proof, and was handed over once."""
    whose = f"recipient {one.n} of message {ids.text(one.m)}"
    if one.state is not State.RELAYED:
        yield Violation(f"{whose} was taken by another server, but is {one.state.word}", one.m)
    if not one.times:
        yield Violation(f"{whose} is {one.state.word}, but no server said that it took it", one.m)
    elif one.times > 1:
        yield Violation(f"{whose} was handed over {one.times} times", one.m)


def _of_box(box: Box, facts: Facts) -> Iterator[Violation]:
    """The living copies, the files and the index rows are the same messages."""
    living = {copy.st: copy for copy in box.copies}
    files: dict[int, list[File]] = {}
    for file in box.files:
        files.setdefault(file.st, []).append(file)
    for st, copy in living.items():
        yield from _of_copy(copy, files.get(st, ()))
    strays = [st for st in files if st not in living]
    known = facts.known([st for st in strays if st])
    for st in strays:
        for file in files[st]:
            where = f"the file {file.base} in {box.address}/{file.mailbox}"
            other = known.get(st)
            if other is None:
                yield Violation(f"{where} is not explained by any event")
            elif other.gone:
                yield Violation(f"{where} is of copy {ids.text(st)}, which was deleted", other.m)
            else:
                yield Violation(
                    f"{where} is of copy {ids.text(st)}, which belongs to {other.box}", other.m
                )
    yield from _of_index(box, living)


def _of_copy(copy: Copy, files: Sequence[File]) -> Iterator[Violation]:
    what = f"copy {ids.text(copy.st)} of message {ids.text(copy.m)}"
    if not files:
        yield Violation(f"{what} has no file in {copy.box}/{copy.mailbox}", copy.m)
        return
    if len(files) > 1:
        places = ", ".join(sorted(file.mailbox for file in files))
        yield Violation(f"{what} lies in {copy.box} {len(files)} times: {places}", copy.m)
        return
    file = files[0]
    if file.mailbox != copy.mailbox:
        yield Violation(
            f"{what} lies in {copy.box}/{file.mailbox}, but belongs in {copy.mailbox}", copy.m
        )
    if file.base != copy.base:
        yield Violation(f"{what} is the file {file.base}, but was stored as {copy.base}", copy.m)
    if copy.size and file.size != copy.size:
        yield Violation(
            f"{what} in {copy.box}/{file.mailbox} has {file.size} octets, "
            f"but was stored with {copy.size}",
            copy.m,
        )


def _of_index(box: Box, living: Mapping[int, Copy]) -> Iterator[Violation]:
    there = {(file.mailbox, file.base) for file in box.files}
    numbered: dict[int, Indexed] = {}
    for row in box.index:
        where = f"UID {row.uid} of {box.address}/{row.mailbox}"
        copy = living.get(row.st)
        m = copy.m if copy else 0
        if (row.mailbox, row.base) not in there:
            yield Violation(f"{where} has no file", m)
        if copy is None:
            yield Violation(
                f"{where} is of copy {ids.text(row.st)}, which the log does not have in the box"
            )
        if row.st in numbered:
            first = numbered[row.st]
            yield Violation(
                f"{where} and UID {first.uid} of {first.mailbox} are the same copy "
                f"{ids.text(row.st)}",
                m,
            )
        numbered[row.st] = row

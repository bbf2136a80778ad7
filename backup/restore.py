"""Putting messages of a snapshot back into their box, through the box's owner.

The plan says for each message whether it is put and why; carrying it out proves each content
by its hash, writes it to the box's ``tmp/`` with its former time in nanoseconds, and lets the
owner take it in under its former mailbox, flags and keywords, in the order of the former
UIDs. A restore that was killed is simply repeated: what is there already is skipped.
"""

import contextlib
import hashlib
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from backup import heads
from backup.cache import Head
from backup.format import TEXT, BoxRoot, Commit, Damaged, Entry
from backup.plan import Present, Step, plan, unread
from backup.repository import Repository
from mtad.errors import Corrupt, NothingFound
from mtad.store import reading
from mtad.store.reading import Found
from mtad.store.values import Prepared
from tracing import ids

PREFIX = "restore-"
LEFT_SECONDS = 36 * 3600
"""Age from which a file of ours in ``tmp/`` belongs to a restore that died."""
ROUND = 8192
ROUND_BYTES = 512 * 2**20
"""Messages lying in ``tmp/`` at the same time."""
BATCH = 256
"""Messages in one act of the owner."""


class Owner(Protocol):
    """What a restore needs of the boxes' owner."""

    def create(self, box: str, mailbox: str, *, actor: str) -> object:
        """Make a mailbox and its box unless they are there."""

    def put(
        self,
        box: str,
        mailbox: str,
        items: Sequence[Prepared],
        *,
        actor: str,
        client: str = "",
        snapshot: str | None = None,
    ) -> Sequence[int]:
        """Take prepared files into a mailbox; returns UIDs."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a restore would do."""

    snapshot: str
    box: str
    steps: tuple[Step, ...]

    @property
    def puts(self) -> list[Entry]:
        """The messages to put back."""
        return [step.entry for step in self.steps if step.put]


@dataclass(slots=True)
class Result:
    """What a restore did; ``failed`` are messages the repository cannot give back any more."""

    restored: int = 0
    skipped: int = 0
    failed: list[tuple[Entry, str]] = field(default_factory=list)


def box_root(repository: Repository, name: str, commit: Commit, address: str) -> BoxRoot:
    """A box in a snapshot. Raises NothingFound, Corrupt."""
    for line in commit.boxes:
        if line.address == address:
            try:
                return repository.manifest(line.root, BoxRoot)
            except Damaged as error:
                raise Corrupt(f"snapshot {name}, box {address}: {error}") from error
    raise NothingFound(
        f"snapshot {name} has no box {address}; 'mtad snapshot ls {name}' lists them"
    )


def known_heads(repository: Repository, entries: Iterable[Entry]) -> dict[bytes, Head]:
    """Header fields by object id, read from the packs where the cache has none.

    Messages that cannot be read are left out.
    """
    wanted = list(dict.fromkeys(entry.id for entry in entries))
    found = repository.cache.heads(wanted)
    read: dict[bytes, Head] = {}
    for object_id in repository.in_reading_order(i for i in wanted if i not in found):
        with contextlib.suppress(Damaged):
            read[object_id] = heads.head(repository.start(object_id))
    if read:
        repository.cache.keep_heads(read)
    return found | read


def select(
    repository: Repository, everything: Sequence[Entry], mailbox: str | None, terms: Sequence[str]
) -> list[int]:
    """Numbers of the entries that are wanted.

    One term that is an id chooses by stored copy or message; otherwise every term must occur
    in the subject, the sender or the Message-ID.
    """
    chosen = [n for n, e in enumerate(everything) if mailbox in (None, e.mailbox)]
    if not terms:
        return chosen
    number = ids.parse(terms[0]) if len(terms) == 1 else None
    if number is not None:
        named = [n for n in chosen if number in (everything[n].st, everything[n].m)]
        if named:
            return named
    known = known_heads(repository, (everything[n] for n in chosen))
    words = [term.casefold() for term in terms]

    def fits(entry: Entry) -> bool:
        head = known.get(entry.id)
        if head is None:
            return False
        text = f"{head.subject}\n{head.sender}\n{head.message_id}".casefold()
        return all(word in text for word in words)

    return [n for n in chosen if fits(everything[n])]


def make_plan(
    repository: Repository,
    name: str,
    root: BoxRoot,
    folder: Path,
    *,
    mailbox: str | None = None,
    terms: Sequence[str] = (),
) -> Plan:
    """Compare a box in a snapshot with the box as it is. Raises NothingFound, Corrupt."""
    try:
        everything = repository.entries(root)
    except Damaged as error:
        raise Corrupt(f"snapshot {name}, box {root.address}: {error}") from error
    wanted = select(repository, everything, mailbox, terms)
    if not wanted:
        where = f" in {mailbox}" if mailbox else ""
        what = f" that fits {' '.join(terms)!r}" if terms else ""
        raise NothingFound(f"snapshot {name} has no message of {root.address}{where}{what}")
    state = reading.read_box(folder, root.address)
    present = [_present(repository, message) for message in state.messages]
    for number in unread(everything, present):
        with contextlib.suppress(OSError):
            digest = _digest(folder, state.messages[number])
            object_id = repository.keys.id_of(TEXT, digest)
            old = present[number]
            present[number] = Present(old.mailbox, old.base, old.size, object_id)
    return Plan(name, root.address, tuple(plan(wanted, everything, present)))


def _present(repository: Repository, message: Found) -> Present:
    known = repository.keys.id_of(TEXT, message.sha256) if message.sha256 else None
    return Present(message.mailbox, message.base, message.size, known)


def _digest(folder: Path, message: Found) -> bytes:
    with open(reading.open_message(folder, message), "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").digest()


def apply(
    repository: Repository,
    todo: Plan,
    owner: Owner,
    folder: Path,
    *,
    operation: str,
    actor: str,
    client: str = "",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Result:
    """Carry a plan out. ``folder`` is the box's, ``operation`` names this restore's files.

    Contents are proven before they are handed over. Raises what the owner raises; what was
    put by then stays, and a repetition goes on from there.
    """
    puts = todo.puts
    result = Result(skipped=len(todo.steps) - len(puts))
    if not puts:
        return result
    owner.create(todo.box, "INBOX", actor=actor)
    tmp = folder / "Maildir" / "tmp"
    tmp.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sweep(tmp)
    made: set[Path] = set()
    numbers = itertools.count()
    try:
        for few in _rounds(sorted(puts, key=lambda e: (e.mailbox, e.uid or 2**63, e.base))):
            ready = _prepare(repository, few, tmp, operation, numbers, made, result)
            for mailbox, items in _batches(few, ready):
                made -= {tmp / item.tmp for item in items}  # from here on they are the owner's
                owner.put(
                    todo.box, mailbox, items, actor=actor, client=client, snapshot=todo.snapshot
                )
                result.restored += len(items)
                progress(result.restored + len(result.failed), len(puts))
    finally:
        for path in made:
            path.unlink(missing_ok=True)
    return result


def _rounds(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    few: list[Entry] = []
    size = 0
    for entry in entries:
        if few and (len(few) == ROUND or size + entry.size > ROUND_BYTES):
            yield few
            few, size = [], 0
        few.append(entry)
        size += entry.size
    if few:
        yield few


def _prepare(
    repository: Repository,
    few: Sequence[Entry],
    tmp: Path,
    operation: str,
    numbers: "itertools.count[int]",
    made: set[Path],
    result: Result,
) -> dict[Entry, Prepared]:
    """Write contents to ``tmp``, frame by frame of the repository."""
    users: dict[bytes, list[Entry]] = {}
    for entry in few:
        users.setdefault(entry.id, []).append(entry)
    ready: dict[Entry, Prepared] = {}
    for object_id in repository.in_reading_order(users):
        try:
            raw, digest = repository.message(object_id)
        except Damaged as error:
            result.failed += [(entry, str(error)) for entry in users[object_id]]
            continue
        for entry in users[object_id]:
            name = f"{PREFIX}{operation}-{next(numbers)}"
            path = tmp / name
            made.add(path)
            with open(path, "xb", opener=_private) as file:
                file.write(raw)
            os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns))
            base = entry.base if entry.base.isprintable() else ""
            fields = (base, entry.flags, entry.keywords, entry.mtime_ns, len(raw), digest)
            ready[entry] = Prepared(name, *fields, entry.m, entry.st)
    return ready


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _batches(
    few: Sequence[Entry], ready: dict[Entry, Prepared]
) -> Iterator[tuple[str, list[Prepared]]]:
    """What one act of the owner takes: messages of one mailbox in their former order."""
    items: list[Prepared] = []
    mailbox = ""
    for entry in few:
        if entry not in ready:
            continue
        if items and (entry.mailbox != mailbox or len(items) == BATCH):
            yield mailbox, items
            items = []
        mailbox = entry.mailbox
        items.append(ready[entry])
    if items:
        yield mailbox, items


def _sweep(tmp: Path) -> None:
    """Remove what a killed restore left; by change time, for the other one is the mail's."""
    horizon = time.time() - LEFT_SECONDS
    for path in tmp.glob(f"{PREFIX}*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ctime < horizon:
                path.unlink()

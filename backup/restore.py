"""Putting messages back into a box, through the box's owner.

The plan says for each message what is done and why; carrying it out proves each content
by its hash, writes it to the box's ``tmp/`` with its former time in nanoseconds, and lets the
owner take it in under its former mailbox, flags and keywords, in the order of the former
UIDs. Where messages are to be removed, that comes last. Each act names its restore as the
client, so that it can be found and taken back. A restore that was killed is simply repeated:
what is there already is skipped.
"""

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from backup import changing
from backup.changes import Change, Delete, Make
from backup.changing import BATCH, Changing
from backup.contents import Contents
from backup.format import Damaged, Entry
from backup.plan import Act, Step
from backup.planning import Plan
from mtad.errors import NothingFound
from mtad.store import names
from mtad.store.values import Message, Prepared

PREFIX = "restore-"
LEFT_SECONDS = 36 * 3600
"""Age from which a file of ours in ``tmp/`` belongs to a restore that died."""
ROUND = 8192
ROUND_BYTES = 512 * 2**20
"""Messages lying in ``tmp/`` at the same time."""


class Owner(changing.Owner, Protocol):
    """What a restore needs of the boxes' owner; as ``mtad.store.client.Boxes``."""

    def renumber(
        self,
        box: str,
        mailbox: str,
        uidvalidity: int,
        uidnext: int,
        *,
        actor: str,
        client: str = "",
    ) -> bool:
        """Give a mailbox without any past its former numbers."""

    def put(
        self,
        box: str,
        mailbox: str,
        items: Sequence[Prepared],
        *,
        actor: str,
        client: str = "",
        snapshot: str | None = None,
        over_quota: bool = False,
    ) -> Sequence[int]:
        """Take prepared files into a mailbox; returns UIDs."""

    def move(
        self,
        box: str,
        mailbox: str,
        uids: Sequence[int],
        target: str,
        *,
        actor: str,
        client: str = "",
    ) -> Sequence[int]:
        """Move messages."""

    def expunge(
        self, box: str, mailbox: str, uids: Sequence[int], *, actor: str, client: str = ""
    ) -> int:
        """Delete messages."""


@dataclass(slots=True)
class Result:
    """What a restore did; ``failed`` are messages that cannot be given back any more."""

    restored: int = 0
    skipped: int = 0
    moved: int = 0
    marked: int = 0
    removed: int = 0
    changes: list[Change] = field(default_factory=list)
    failed: list[tuple[Entry, str]] = field(default_factory=list)


def client_of(operation: str) -> str:
    """What acts of a restore name as their client."""
    return f"mtad restore {operation}"


class Applying:
    """One plan being carried out; ``operation`` names its files and its acts."""

    def __init__(
        self,
        contents: Contents,
        todo: Plan,
        owner: Owner,
        folder: Path,
        *,
        operation: str,
        actor: str,
        directory: changing.Directory | None = None,
        over_quota: bool = False,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._contents = contents
        self._todo = todo
        self._owner = owner
        self._tmp = folder / "Maildir" / "tmp"
        self._operation = operation
        self._actor = actor
        self._client = client_of(operation)
        self._changing = Changing(
            todo.box, folder, owner, directory, actor=actor, client=self._client
        )
        self._over_quota = over_quota
        self._progress = progress
        self._total = len(todo.puts) + todo.others
        self._done = 0
        self._validity: dict[str, int] = {}
        self.result = Result(skipped=len(todo.of(Act.SKIP)))

    def run(self) -> Result:
        """Carry it out: make mailboxes, put back, move, mark, change, and remove last.

        Contents are proven before they are handed over. Raises what the owner raises; what was
        done by then stays, and a repetition goes on from there.
        """
        if self._total:
            self._owner.create(self._todo.box, names.INBOX, actor=self._actor)
            self._change(lambda change: isinstance(change, Make))
            self._number()
            self._put()
            self._move()
            self._mark()
            self._change(lambda change: not isinstance(change, Make | Delete))
            self._remove()
            self._change(lambda change: isinstance(change, Delete))
        return self.result

    def _change(self, which: Callable[[Change], bool]) -> None:
        wanted = [change for change in self._todo.changes if which(change)]
        self._changing.carry_out(wanted, self.result.changes.append)
        self._step(len(wanted))

    # ---------------------------------------------------------------- put back

    def _put(self) -> None:
        puts = sorted(self._todo.puts, key=lambda e: (e.mailbox, e.uid or 2**63, e.base))
        if not puts:
            return
        self._tmp.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(self._tmp)
        made: set[Path] = set()
        numbers = itertools.count()
        try:
            for few in _rounds(puts):
                ready = self._prepare(few, numbers, made)
                for mailbox, entries in _batches(few, ready):
                    items = [ready[entry] for entry in entries]
                    # from here on they are the owner's
                    made -= {self._tmp / item.tmp for item in items}
                    uids = self._owner.put(
                        self._todo.box,
                        mailbox,
                        items,
                        actor=self._actor,
                        client=self._client,
                        snapshot=self._todo.snapshot,
                        over_quota=self._over_quota,
                    )
                    self.result.restored += len(items)
                    self._see(mailbox, zip(entries, uids, strict=True))
                    self._step(len(items))
        finally:
            for path in made:
                path.unlink(missing_ok=True)

    def _see(self, mailbox: str, put: Iterable[tuple[Entry, int]]) -> None:
        """What other users had seen is seen by them."""
        seen: dict[str, list[int]] = {}
        for entry, uid in put:
            for who in entry.seen:
                seen.setdefault(who, []).append(uid)
        for who, uids in seen.items():
            self._changing.see(mailbox, uids, who, True)

    def _number(self) -> None:
        """Let lost mailboxes go on with their numbers; learn those of all."""
        box = self._todo.box
        for mailbox, number in self._todo.numbers.items():
            self._owner.create(box, mailbox, actor=self._actor, client=self._client)
            self._owner.renumber(
                box,
                mailbox,
                number.uidvalidity,
                number.uidnext,
                actor=self._actor,
                client=self._client,
            )
        there = self._owner.list(box, names.INBOX).mailboxes
        self._validity = {one.name: one.uidvalidity for one in there}

    def _prepare(
        self, few: Sequence[Entry], numbers: "itertools.count[int]", made: set[Path]
    ) -> dict[Entry, Prepared]:
        """Write contents to ``tmp``, in the order in which they are read fastest."""
        users: dict[bytes, list[Entry]] = {}
        for entry in few:
            users.setdefault(entry.id, []).append(entry)
        ready: dict[Entry, Prepared] = {}
        for object_id in self._contents.in_reading_order(users):
            try:
                raw, digest = self._contents.message(object_id)
            except Damaged as error:
                self.result.failed += [(entry, str(error)) for entry in users[object_id]]
                self._step(len(users[object_id]))
                continue
            for entry in users[object_id]:
                name = f"{PREFIX}{self._operation}-{next(numbers)}"
                path = self._tmp / name
                made.add(path)
                with open(path, "xb", opener=_private) as file:
                    file.write(raw)
                os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns))
                ready[entry] = self._prepared(entry, name, len(raw), digest)
        return ready

    def _prepared(self, entry: Entry, tmp: str, size: int, digest: bytes) -> Prepared:
        number = self._todo.numbers.get(entry.mailbox)
        keeps = number is not None and self._validity.get(entry.mailbox) == number.uidvalidity
        return Prepared(
            tmp,
            entry.base if entry.base.isprintable() else "",
            entry.flags,
            entry.keywords,
            entry.mtime_ns,
            size,
            digest,
            entry.m,
            entry.st,
            entry.uid if keeps else 0,
        )

    # ------------------------------------------------------ move, mark, remove

    def _move(self) -> None:
        groups: dict[tuple[str, str], list[Step]] = {}
        for step in self._todo.of(Act.MOVE):
            assert step.there is not None
            groups.setdefault((step.there.mailbox, step.entry.mailbox), []).append(step)
        for (mailbox, target), steps in groups.items():
            self._owner.create(self._todo.box, target, actor=self._actor, client=self._client)
            for uids in self._uids(mailbox, steps):
                moved = self._owner.move(
                    self._todo.box, mailbox, uids, target, actor=self._actor, client=self._client
                )
                self.result.moved += len(moved)
            self._step(len(steps))

    def _mark(self) -> None:
        """Flags of the messages that keep their place, and of those that were just moved."""
        groups: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[Step]] = {}
        for step in (*self._todo.of(Act.MARK), *self._todo.of(Act.MOVE)):
            assert step.there is not None
            wanted = {*names.flag_names(step.entry.flags), *step.entry.keywords}
            has = {*names.flag_names(step.there.flags), *step.there.keywords}
            key = (step.entry.mailbox, tuple(sorted(wanted - has)), tuple(sorted(has - wanted)))
            if wanted != has:
                groups.setdefault(key, []).append(step)
        for (mailbox, add, remove), steps in groups.items():
            for uids in self._uids(mailbox, steps):
                self.result.marked += self._owner.flags(
                    self._todo.box,
                    mailbox,
                    uids,
                    add,
                    remove,
                    actor=self._actor,
                    client=self._client,
                )
            self._step(sum(step.act is Act.MARK for step in steps))

    def _remove(self) -> None:
        groups: dict[str, list[Step]] = {}
        for step in self._todo.of(Act.REMOVE):
            groups.setdefault(step.entry.mailbox, []).append(step)
        for mailbox, steps in groups.items():
            for uids in self._uids(mailbox, steps):
                self.result.removed += self._owner.expunge(
                    self._todo.box, mailbox, uids, actor=self._actor, client=self._client
                )
            self._step(len(steps))

    def _uids(self, mailbox: str, steps: Sequence[Step]) -> Iterator[list[int]]:
        """The UIDs that messages have now, a batch at a time; those gone are left out."""
        there = {one.base: one.uid for one in self._listed(mailbox)}
        bases = (step.there.base for step in steps if step.there is not None)
        uids = [there[base] for base in bases if there.get(base)]
        for start in range(0, len(uids), BATCH):
            yield sorted(uids[start : start + BATCH])

    def _listed(self, mailbox: str) -> Sequence[Message]:
        with contextlib.suppress(NothingFound):
            return self._owner.list(self._todo.box, mailbox).messages
        return ()

    def _step(self, count: int) -> None:
        self._done += count
        self._progress(self._done, self._total)


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


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _batches(few: Sequence[Entry], ready: Container[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    """What one act of the owner takes: messages of one mailbox in their former order."""
    batch: list[Entry] = []
    for entry in few:
        if entry not in ready:
            continue
        if batch and (entry.mailbox != batch[0].mailbox or len(batch) == BATCH):
            yield batch[0].mailbox, batch
            batch = []
        batch.append(entry)
    if batch:
        yield batch[0].mailbox, batch


def _sweep(tmp: Path) -> None:
    """Remove what a killed restore left; by change time, for the other one is the mail's."""
    horizon = time.time() - LEFT_SECONDS
    for path in tmp.glob(f"{PREFIX}*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ctime < horizon:
                path.unlink()

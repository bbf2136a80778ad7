"""Taking prepared files into a mailbox: synced before the promise, renamed after it.

Order: times set, files synced (four at a time), ``tmp`` synced; the frame; renames into
``cur``; the touched folders synced; the index. A crash before the frame leaves files in
``tmp`` that mean nothing; one after it leaves a frame from which the rest is done.

A short message that comes alone (APPEND) is in the frame as well, and nothing but the frame is
synced: where a power cut took the file or its octets, they are written again from it
(``mtad.store.mending``). Files and folders are synced before the frame's segment is used again.
"""

import hashlib
import os
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from mtad import clock
from mtad.errors import MtadError, UsageError
from mtad.journal import disk
from mtad.journal.frame import MAX_BODY, Act, Copy, Put, PutItem
from mtad.store import keywords, maildir, names
from mtad.store.acts import Ground
from mtad.store.desk import Desk
from mtad.store.rows import MailboxRow, Row
from mtad.store.telling import chunks, traced
from mtad.store.values import Prepared
from tracing.events import BoxAppend, Event, Item, RestoreMessage


class Do(Protocol):
    """What promises an act and does it: ``Holding.do``."""

    def __call__(self, act: Act, event: Event, *, body: bytes = b"") -> None:
        """Do it."""


SYNCING_THREADS = 4
_MAX_BASE = 200


class Putting:
    """One call of ``put`` into one mailbox."""

    def __init__(self, ground: Ground, desk: Desk, hostname: str, mailbox: MailboxRow) -> None:
        self._ground = ground
        self._index = ground.index
        self._desk = desk
        self._hostname = hostname
        self._mailbox = mailbox
        self._tmp = ground.files.root / "tmp"

    def run(
        self,
        items: Sequence[Prepared],
        do: Do,
        *,
        actor: str,
        client: str,
        snapshot: str | None,
    ) -> list[int]:
        """The UIDs the files got, or that their equals have. Raises MtadError and UsageError.

        Items keep UIDs they ask for where nobody ever had these or higher ones.
        """
        for item in items:
            self._check(item)
        uids: dict[str, int] = {}
        for part in chunks(items):
            fresh = []
            for item in part:
                there = self._equal(item)
                if there is None:
                    fresh.append(item)
                else:
                    uids[item.tmp] = there.uid
                    maildir.remove(self._tmp / item.tmp)
            if fresh:
                body = self._inline(fresh)
                act, event = self._plan(fresh, actor, client, snapshot, inline=bool(body))
                self._sync(fresh, whole=not body)
                if {done.copy.base for done in act.items} & {item.base for item in fresh}:
                    # A deletion of the former bearer of a name must not be done once more
                    # when its present one is there.
                    self._ground.settle()
                do(act, event, body=body)
                uids.update(
                    (item.tmp, done.copy.uid) for item, done in zip(fresh, act.items, strict=True)
                )
        return [uids[item.tmp] for item in items]

    def _check(self, item: Prepared) -> None:
        if not item.tmp or "/" in item.tmp or item.tmp.startswith("."):
            raise UsageError(f"{item.tmp!a} is not the name of a prepared file")
        for word in item.keywords:
            keywords.check(word)
        try:
            at = (self._tmp / item.tmp).lstat()
        except FileNotFoundError:
            raise MtadError(f"the prepared file {item.tmp} is not in {self._tmp}") from None
        if not stat.S_ISREG(at.st_mode) or at.st_nlink != 1 or at.st_size != item.size:
            raise MtadError(
                f"the prepared file {item.tmp} is not a file of {item.size} octets of its own"
            )

    def _equal(self, item: Prepared) -> Row | None:
        """The message that has this base name and content already."""
        row = self._index.by_base(self._mailbox, item.base) if _usable(item.base) else None
        if row is None or row.size != item.size:
            return None
        digest = row.sha256
        if digest is None:
            path = self._ground.files.path(self._mailbox.folder, self._ground.entry(row))
            try:
                with open(maildir.open_file(path), "rb") as file:
                    digest = hashlib.file_digest(file, "sha256").digest()
            except OSError:
                return None
        return row if digest == item.sha256 else None

    def _inline(self, items: Sequence[Prepared]) -> bytes:
        """The octets of a message that its frame has room for; nothing where files are synced."""
        if len(items) > 1 or items[0].size > MAX_BODY:
            return b""
        with open(maildir.open_file(self._tmp / items[0].tmp), "rb") as file:
            return file.read(MAX_BODY)

    def _plan(
        self,
        items: Sequence[Prepared],
        actor: str,
        client: str,
        snapshot: str | None,
        *,
        inline: bool,
    ) -> tuple[Put, Event]:
        uids = self._numbers(items)
        taken = self._index.knows(item.base for item in items if _usable(item.base))
        planned = []
        for uid, item in zip(uids, items, strict=True):
            st = self._desk.mint()
            base = item.base
            if not _usable(base) or base in taken:
                wire = maildir.wire_size(self._tmp / item.tmp, item.size)
                base = names.base_name(st, item.mtime_ns, self._hostname, item.size, wire)
            taken.add(base)
            planned.append(
                PutItem(
                    Copy(st, item.m, uid, base),
                    item.tmp,
                    names.letters(letter for letter in item.flags if letter.isupper()),
                    keywords.spelled(self._index, self._mailbox, item.keywords),
                    item.mtime_ns,
                    item.size,
                    item.sha256,
                    item.was,
                    inline,
                )
            )
        act = Put(
            self._ground.address, self._mailbox.name, tuple(planned), self._index.take_modseq()
        )
        named = tuple(Item(p.copy.st, p.copy.m, p.copy.uid, p.copy.base) for p in planned)
        trace, also = traced(named, self._desk)
        marks = tuple((*names.flag_names(p.flags), *p.keywords) for p in planned)
        if not any(marks):
            marks = ()
        if snapshot is None:
            return act, BoxAppend(
                at=clock.now_us(),
                trace=trace,
                also=also,
                addr=self._ground.address,
                mailbox=self._mailbox.name,
                items=named,
                uidvalidity=self._mailbox.uidvalidity,
                client=client,
                actor=actor,
                marks=marks,
            )
        return act, RestoreMessage(
            at=clock.now_us(),
            trace=trace,
            also=also,
            addr=self._ground.address,
            mailbox=self._mailbox.name,
            items=named,
            uidvalidity=self._mailbox.uidvalidity,
            client=client,
            actor=actor,
            snapshot=snapshot,
            was=tuple(item.was for item in items),
            marks=marks,
        )

    def _numbers(self, items: Sequence[Prepared]) -> Sequence[int]:
        """The UIDs that files get: those they ask for, else the next."""
        asked = [item.uid for item in items]
        if self._index.may_number(self._mailbox, asked):
            return asked
        first = self._index.take_uids(self._mailbox, len(items))
        return range(first, first + len(items))

    def _sync(self, items: Sequence[Prepared], *, whole: bool) -> None:
        """Times of the files, and with ``whole`` all of them and their names on the disk."""

        def one(item: Prepared) -> None:
            path = self._tmp / item.tmp
            descriptor = maildir.open_file(path)
            try:
                if os.fstat(descriptor).st_mtime_ns != item.mtime_ns:
                    disk.utime(descriptor, ns=(item.mtime_ns, item.mtime_ns))
                if whole:
                    disk.fsync(descriptor)
            finally:
                os.close(descriptor)

        if len(items) == 1:
            one(items[0])
        else:
            with ThreadPoolExecutor(SYNCING_THREADS, "put") as pool:
                list(pool.map(one, items))
        if whole:
            maildir.sync_folder(self._tmp)
        else:
            self._ground.files.unsynced = True


def _usable(base: str) -> bool:
    """Whether a base name can be given again as it is."""
    return (
        0 < len(base.encode(errors="replace")) <= _MAX_BASE
        and not base.startswith(".")
        and not set("/:;") & set(base)
        and base.isprintable()
    )

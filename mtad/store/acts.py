"""Doing what a journal frame says to a box: files first, then the index, as often as it takes.

The frame is durable before anything here runs, and the index transaction that ends an act also
says which frame it did. A start that finds frames above that number does them again, so each
step must be harmless when it was done before: a file that has its name keeps it, one that is
gone stays gone, a row that is there is not added. Numbers come from the frame.
"""

import os
from dataclasses import dataclass

from mtad import clock
from mtad.journal.frame import Act, Copy, Expunge, Flags, Move, Put
from mtad.store import keywords, maildir, names
from mtad.store.files import Files
from mtad.store.index import Index
from mtad.store.maildir import Entry
from mtad.store.rows import MailboxRow, Row
from tracing.events import Item


@dataclass(slots=True)
class Ground:
    """What acts are done on: one box's address, index and files."""

    address: str
    index: Index
    files: Files

    def mailbox(self, name: str, objectid: int) -> MailboxRow:
        """A mailbox of the box, made if it is not there. Raises ValueError for no name at all."""
        known = self.index.mailboxes.get(name)
        folder = known.folder if known else names.mailbox_folder(name)
        maildir.ensure(self.files.root, folder)
        if known is None:
            with self.index.transaction():
                known = self.index.add_mailbox(name, folder, objectid)
                keywords.load(self.index, known, self.files.mailbox(folder))
        return known

    def settle(self) -> None:
        """Make every act so far durable: the files, then what the index says of them."""
        self.files.sync()
        self.index.checkpoint()

    def entry(self, row: Row) -> Entry:
        """Where a message's file should lie."""
        return Entry(bool(row.fresh), row.name)

    def marks(self, mailbox: MailboxRow, flags: str, words: tuple[str, ...]) -> str:
        """The letters of a file name for flags and keywords."""
        if set(words) - set(self.index.keywords(mailbox)):
            with self.index.transaction():
                self.index.keyword_numbers(mailbox, words)
            keywords.save(self.index, mailbox, self.files.mailbox(mailbox.folder))
        return flags + self.index.letters(mailbox, words)


def perform(ground: Ground, act: Act, journal: str, seq: int) -> None:
    """Do an act of frame ``seq``; whole when it returns, to be repeated when it raises."""
    if isinstance(act, Flags):
        _flags(ground, act, journal, seq)
    elif isinstance(act, Expunge):
        _expunge(ground, act, journal, seq)
    elif isinstance(act, Move):
        _move(ground, act, journal, seq)
    else:
        _put(ground, act, journal, seq)


def _flags(ground: Ground, act: Flags, journal: str, seq: int) -> None:
    index, files = ground.index, ground.files
    mailbox = index.mailboxes.get(act.mailbox)
    if mailbox is None:
        return _nothing(index, journal, seq)
    index.claim(mailbox, 0, act.modseq)
    rows = []
    with files.changing((mailbox.folder, "new"), (mailbox.folder, "cur")):
        for copy, flags, words in zip(act.copies, act.flags, act.keywords, strict=True):
            row = index.by_base(mailbox, copy.base)
            marks = ground.marks(mailbox, flags, words)
            here = ground.entry(row) if row else Entry(True, copy.base)
            wanted = Entry(False, names.join(copy.base, marks))
            if here.fresh and not marks:
                wanted = Entry(True, copy.base)
            files.rename(mailbox.folder, here, mailbox.folder, wanted)
            if row is not None:
                row.fresh, row.name = int(wanted.fresh), wanted.name
                row.flags, row.keywords, row.modseq = flags, " ".join(words), act.modseq
                rows.append(row)
    with index.transaction():
        index.update(rows)
        _end(index, mailbox, act.modseq)
        index.set_applied(journal, seq)


def _expunge(ground: Ground, act: Expunge, journal: str, seq: int) -> None:
    index, files = ground.index, ground.files
    mailbox = index.mailboxes.get(act.mailbox)
    if mailbox is None:
        return _nothing(index, journal, seq)
    index.claim(mailbox, max((copy.uid for copy in act.copies), default=0), act.modseq)
    uids = []
    with files.changing((mailbox.folder, "new"), (mailbox.folder, "cur")):
        for copy in act.copies:
            row = index.by_base(mailbox, copy.base)
            files.remove(mailbox.folder, ground.entry(row) if row else Entry(True, copy.base))
            uids.append(row.uid if row else copy.uid)
    with index.transaction():
        index.delete(mailbox, uids, act.modseq)
        _end(index, mailbox, act.modseq)
        index.set_applied(journal, seq)


def _move(ground: Ground, act: Move, journal: str, seq: int) -> None:
    index, files = ground.index, ground.files
    source, target = ground.mailbox(act.mailbox, seq), ground.mailbox(act.target, seq)
    index.claim(target, max(act.uids, default=0), act.modseq)
    left, rows = [], []
    touched = [(box.folder, sub) for box in (source, target) for sub in ("new", "cur")]
    with files.changing(*touched):
        for copy, uid in zip(act.copies, act.uids, strict=True):
            row = index.by_base(source, copy.base)
            if row is None and index.by_base(target, copy.base):
                continue
            here = ground.entry(row) if row else Entry(True, copy.base)
            flags, words = (row.flags, row.words) if row else ("", ())
            marks = ground.marks(target, flags, words)
            wanted = Entry(False, names.join(copy.base, marks))
            if here.fresh and not marks:
                wanted = Entry(True, copy.base)
            if not files.rename(source.folder, here, target.folder, wanted):
                there = files.find(target.folder, copy.base)
                if there is None:
                    if row is not None:
                        left.append(row.uid)
                    continue
                wanted = there
            if row is not None:
                left.append(row.uid)
            rows.append(_moved(ground, target, copy, row, wanted, uid, act.modseq))
    with index.transaction():
        index.delete(source, left, act.modseq)
        index.insert([row for row in rows if row is not None])
        _end(index, source, act.modseq)
        _end(index, target, act.modseq)
        index.set_applied(journal, seq)


def _moved(
    ground: Ground,
    target: MailboxRow,
    copy: Copy,
    row: Row | None,
    entry: Entry,
    uid: int,
    modseq: int,
) -> Row | None:
    """The row of a moved message in its mailbox; one that lost its row gets what the file says."""
    at = entry.below(ground.files.mailbox(target.folder)).lstat()
    return Row(
        target.id,
        _free_uid(ground.index, target, uid),
        copy.base,
        int(entry.fresh),
        entry.name,
        copy.st,
        row.m if row else copy.m,
        row.email if row else copy.st,
        row.flags if row else "",
        row.keywords if row else "",
        modseq,
        at.st_mtime_ns,
        clock.now_us(),
        at.st_size,
        row.sha256 if row else None,
    )


def _put(ground: Ground, act: Put, journal: str, seq: int) -> None:
    index, files = ground.index, ground.files
    mailbox = ground.mailbox(act.mailbox, seq)
    index.claim(mailbox, max((item.copy.uid for item in act.items), default=0), act.modseq)
    path = files.mailbox(mailbox.folder)
    rows = []
    with files.changing((mailbox.folder, "cur")):
        for item in act.items:
            base = item.copy.base
            if index.by_base(mailbox, base):
                continue
            marks = ground.marks(mailbox, item.flags, item.keywords)
            wanted = Entry(False, names.join(base, marks))
            try:
                maildir.rename(files.root / "tmp" / item.tmp, wanted.below(path))
            except FileNotFoundError:
                there = files.find(mailbox.folder, base)
                if there is None:
                    continue
                wanted = there
            files.touched.update((files.root / "tmp", wanted.below(path).parent))
            rows.append(
                Row(
                    mailbox.id,
                    _free_uid(index, mailbox, item.copy.uid),
                    base,
                    int(wanted.fresh),
                    wanted.name,
                    item.copy.st,
                    item.copy.m,
                    item.copy.st,
                    item.flags,
                    " ".join(item.keywords),
                    act.modseq,
                    item.mtime_ns,
                    clock.now_us(),
                    item.size,
                    item.sha256,
                )
            )
    files.sync()
    with index.transaction():
        index.insert(rows)
        _end(index, mailbox, act.modseq)
        index.set_applied(journal, seq)


def adopt(ground: Ground, name: str, items: tuple[Item, ...], journal: str, seq: int) -> None:
    """Give foreign files the copies and UIDs that a frame says they got."""
    index, files = ground.index, ground.files
    mailbox = ground.mailbox(name, seq)
    index.claim(mailbox, max((item.uid for item in items), default=0), 0)
    modseq = index.take_modseq()
    rows = []
    there = index.copies(item.st for item in items)
    with files.changing():
        for item in items:
            if item.st in there or index.by_base(mailbox, item.base):
                continue
            entry = files.find(mailbox.folder, item.base)
            if entry is not None:
                rows.append(row_of(ground, mailbox, entry, item.base, item.st, item.uid, modseq))
    with index.transaction():
        index.insert([row for row in rows if row is not None])
        _end(index, mailbox, modseq)
        index.set_applied(journal, seq)


def row_of(
    ground: Ground, mailbox: MailboxRow, entry: Entry, base: str, st: int, uid: int, modseq: int
) -> Row | None:
    """A row with what a file itself says; None when it is gone."""
    folder = ground.files.mailbox(mailbox.folder)
    try:
        at = os.lstat(f"{folder}/{'new' if entry.fresh else 'cur'}/{entry.name}")
    except FileNotFoundError:
        return None
    letters = names.split(entry.name)[1]
    flags = "".join(letter for letter in letters if letter.isupper())
    words = keywords.words(ground.index, mailbox, letters)
    return Row(
        mailbox.id, uid, base, int(entry.fresh), entry.name, st, None, st, flags,
        " ".join(words), modseq, at.st_mtime_ns, clock.now_us(), at.st_size, None,
    )  # fmt: skip


def _nothing(index: Index, journal: str, seq: int) -> None:
    """The mailbox is gone with all that was in it: the act is done."""
    with index.transaction():
        index.set_applied(journal, seq)


def _free_uid(index: Index, mailbox: MailboxRow, uid: int) -> int:
    """The UID a frame gave, or another where the index was made anew and has used it."""
    return index.take_uids(mailbox, 1) if not uid or index.by_uid(mailbox, uid) else uid


def _end(index: Index, mailbox: MailboxRow, modseq: int) -> None:
    mailbox.highestmodseq = max(mailbox.highestmodseq, modseq)
    index.save_mailbox(mailbox)

"""Doing what a journal frame says to a box: files first, then the index, as often as it takes.

The frame is durable before anything here runs, and the index transaction that ends an act also
says which frame it did. A start that finds frames above that number does them again, so each
step must be harmless when it was done before: a file that has its name keeps it, one that is
gone stays gone, a row that is there is not added. Numbers come from the frame.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mtad import clock
from mtad.journal import content
from mtad.journal.frame import Act, Copy, Expunge, Flags, Move, Put, Seen
from mtad.store import keywords, maildir, names, uidlist
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
    content: str = ""
    """The folder in which what is deleted keeps a name for a while; "" for none."""

    def mailbox(self, name: str, objectid: int) -> MailboxRow:
        """A mailbox of the box, made if it is not there. Raises ValueError for no name at all."""
        known = self.index.mailboxes.get(name)
        folder = known.folder if known else names.mailbox_folder(name)
        maildir.ensure(self.files.root, folder)
        if known is None:
            with self.index.durably():
                listed = uidlist.read(self.files.mailbox(folder))
                validity = listed.uidvalidity if listed else 0
                known = self.index.add_mailbox(name, folder, objectid, validity)
                keywords.load(self.index, known, self.files.mailbox(folder))
        return known

    def settle(self, mailboxes: Iterable[MailboxRow] = ()) -> None:
        """Make every act so far durable: the files, then what the index says of them.

        Of ``mailboxes`` also what others did to their files.
        """
        for mailbox in mailboxes:
            path = self.files.mailbox(mailbox.folder)
            self.files.touched.update((path / "new", path / "cur"))
        self.files.sync()
        self.index.checkpoint()

    def entry(self, row: Row) -> Entry:
        """Where a message's file should lie."""
        return Entry(bool(row.fresh), row.name)

    def find(self, mailbox: MailboxRow, base: str) -> tuple[MailboxRow, Entry | None]:
        """The file of a base name, in a mailbox or wherever a later act brought it."""
        others = (one for one in self.index.mailboxes.values() if one is not mailbox)
        for place in (mailbox, *others):
            entry = self.files.find(place.folder, base)
            if entry is not None:
                return place, entry
        return mailbox, None

    def marks(self, mailbox: MailboxRow, flags: str, words: tuple[str, ...]) -> str:
        """The letters of a file name for flags and keywords, as they stand in it."""
        if set(words) - set(self.index.keywords(mailbox)):
            with self.index.durably():  # no name may have a letter that means nothing
                self.index.keyword_numbers(mailbox, words)
            keywords.save(self.index, mailbox, self.files.mailbox(mailbox.folder))
        return names.letters(flags + self.index.letters(mailbox, words))


def wanted(row: Row, marks: str) -> Entry:
    """Where a message belongs with letters; new mail without any stays new."""
    if row.fresh and not marks:
        return Entry(True, row.base)
    return Entry(False, f"{row.base}:2,{marks}")


def perform(ground: Ground, act: Act, journal: str, seq: int, planned: Sequence[Row] = ()) -> None:
    """Do an act of frame ``seq``; whole when it returns, to be repeated when it raises.

    ``planned`` are the rows of its messages where the index was just asked for them; they
    are changed.
    """
    if isinstance(act, Put):
        return _put(ground, act, journal, seq)
    source = ground.index.mailboxes.get(act.mailbox)
    if planned:
        rows = {row.base: row for row in planned}
    elif source is not None:
        rows = ground.index.by_bases(source, (copy.base for copy in act.copies))
    else:
        rows = {}
    if isinstance(act, Flags):
        _flags(ground, act, journal, seq, rows)
    elif isinstance(act, Expunge):
        _expunge(ground, act, journal, seq, rows)
    elif isinstance(act, Seen):
        _seen(ground, act, journal, seq, list(rows.values()))
    else:
        _move(ground, act, journal, seq, rows)
    return None


def announce(ground: Ground, act: Flags, planned: Sequence[Row]) -> None:
    """Let the index say what a change of flags makes of its messages, before files follow.

    The act is still to be performed: the rows keep the names that their files have, and the
    frame does not count as done.
    """
    for row, flags, words in zip(planned, act.flags, act.keywords, strict=True):
        row.flags, row.keywords, row.modseq = flags, " ".join(words), act.modseq
    mailbox = ground.index.mailboxes[act.mailbox]
    with ground.index.transaction():
        ground.index.mark(mailbox, planned)
        _end(ground.index, mailbox, act.modseq)


def follow(ground: Ground, act: Flags) -> None:
    """Have the files of some messages of an announced change follow; its frame is not done."""
    mailbox = ground.index.mailboxes[act.mailbox]
    rows = ground.index.by_bases(mailbox, (copy.base for copy in act.copies))
    _flags(ground, act, "", 0, rows)


def _flags(ground: Ground, act: Flags, journal: str, seq: int, known: dict[str, Row]) -> None:
    """Without a journal the frame does not count as done."""
    index, files = ground.index, ground.files
    mailbox = index.mailboxes.get(act.mailbox)
    if mailbox is None:
        return _nothing(index, journal, seq)
    index.claim(mailbox, max((copy.uid for copy in act.copies), default=0), act.modseq)
    rows: list[Row] = []
    named: list[Row] = []
    made: list[Row] = []
    marks: dict[tuple[str, tuple[str, ...]], str] = {}
    with files.changing((mailbox.folder, "new"), (mailbox.folder, "cur")):
        for copy, flags, words in zip(act.copies, act.flags, act.keywords, strict=True):
            row = known.get(copy.base)
            if row is None:
                row = _lost(ground, mailbox, copy)
                if row is None:
                    continue
                made.append(row)
            elif row.modseq > act.modseq:
                continue  # a later act, told already, says what its flags are
            else:
                (named if row.modseq == act.modseq else rows).append(row)
            letters = marks.get((flags, words))
            if letters is None:
                letters = marks[flags, words] = ground.marks(mailbox, flags, words)
            entry = wanted(row, letters)
            files.rename(mailbox.folder, ground.entry(row), mailbox.folder, entry)
            row.fresh, row.name = int(entry.fresh), entry.name
            row.flags, row.keywords, row.modseq = flags, " ".join(words), act.modseq
    with index.transaction():
        index.update(rows)
        index.rename(named)
        index.insert(made)
        _end(index, mailbox, act.modseq)
        if journal:
            index.set_applied(journal, seq)


def _expunge(ground: Ground, act: Expunge, journal: str, seq: int, known: dict[str, Row]) -> None:
    index, files = ground.index, ground.files
    mailbox = index.mailboxes.get(act.mailbox)
    if mailbox is None:
        return _nothing(index, journal, seq)
    index.claim(mailbox, max((copy.uid for copy in act.copies), default=0), act.modseq)
    uids = []
    with files.changing((mailbox.folder, "new"), (mailbox.folder, "cur")):
        for copy in act.copies:
            row = known.get(copy.base)
            st = row.st if row else copy.st
            keep = content.name_of(ground.content, st) if ground.content and st else ""
            files.remove(mailbox.folder, ground.entry(row) if row else Entry(True, copy.base), keep)
            uids.append(row.uid if row else copy.uid)
    with index.transaction():
        index.delete(mailbox, uids, act.modseq)
        index.forget_seen(copy.base for copy in act.copies)
        _end(index, mailbox, act.modseq)
        index.set_applied(journal, seq)


def _seen(ground: Ground, act: Seen, journal: str, seq: int, rows: list[Row]) -> None:
    """The messages count as changed for everybody: a mailbox has one row of mod-sequences."""
    index = ground.index
    mailbox = index.mailboxes.get(act.mailbox)
    if mailbox is None:
        return _nothing(index, journal, seq)
    index.claim(mailbox, 0, act.modseq)
    for row in rows:
        row.modseq = act.modseq
    with index.transaction():
        index.mark_seen(mailbox, act.user, rows, act.seen)
        index.update(rows)
        _end(index, mailbox, act.modseq)
        index.set_applied(journal, seq)


def _move(ground: Ground, act: Move, journal: str, seq: int, known: dict[str, Row]) -> None:
    index, files = ground.index, ground.files
    source, target = ground.mailbox(act.mailbox, seq), ground.mailbox(act.target, seq)
    index.claim(target, max(act.uids, default=0), act.modseq)
    left, rows = [], []
    there = index.by_bases(target, [copy.base for copy in act.copies if copy.base not in known])
    marks: dict[tuple[str, str], str] = {}
    touched = [(box.folder, sub) for box in (source, target) for sub in ("new", "cur")]
    with files.changing(*touched):
        for copy, uid in zip(act.copies, act.uids, strict=True):
            row = known.get(copy.base)
            if row is not None:
                left.append(row.uid)
            elif copy.base in there:
                continue
            else:
                row = _lost(ground, source, copy)
            if row is None:
                continue
            letters = marks.get((row.flags, row.keywords))
            if letters is None:
                letters = ground.marks(target, row.flags, row.words)
                marks[row.flags, row.keywords] = letters
            entry = wanted(row, letters)
            if not files.rename(source.folder, ground.entry(row), target.folder, entry):
                found = files.find(target.folder, copy.base)
                if found is None:
                    continue
                entry = found
            rows.append(_moved(ground, target, row, entry, uid, act.modseq))
    with index.transaction():
        index.delete(source, left, act.modseq)
        index.insert(rows)
        _end(index, source, act.modseq)
        _end(index, target, act.modseq)
        index.set_applied(journal, seq)


def _lost(ground: Ground, mailbox: MailboxRow, copy: Copy) -> Row | None:
    """The row of a message that a power cut took from the index, made of its file.

    The file may lie in another mailbox already, where a later act brought it. None when it is
    nowhere: then a later act deleted it.
    """
    place, entry = ground.find(mailbox, copy.base)
    row = entry and row_of(ground, place, entry, copy.base, copy.st, copy.uid, 0)
    if row:
        row.mailbox, row.uid = mailbox.id, _free_uid(ground.index, mailbox, copy.uid)
        row.m = copy.m
    return row


def _moved(
    ground: Ground, target: MailboxRow, row: Row, entry: Entry, uid: int, modseq: int
) -> Row:
    """The row of a moved message in its mailbox."""
    return Row(
        target.id,
        _free_uid(ground.index, target, uid),
        row.base,
        int(entry.fresh),
        entry.name,
        row.st,
        row.m,
        row.email,
        row.flags,
        row.keywords,
        modseq,
        row.date_ns,
        clock.now_us(),
        row.size,
        row.sha256,
        row.wire,
    )


def _put(ground: Ground, act: Put, journal: str, seq: int) -> None:
    index, files = ground.index, ground.files
    mailbox = ground.mailbox(act.mailbox, seq)
    index.claim(mailbox, max((item.copy.uid for item in act.items), default=0), act.modseq)
    path = files.mailbox(mailbox.folder)
    rows = []
    aside = files.place("", "tmp")
    there = index.by_bases(mailbox, (item.copy.base for item in act.items))
    with files.changing((mailbox.folder, "cur")):
        for item in act.items:
            base = item.copy.base
            if base in there:
                continue
            marks = ground.marks(mailbox, item.flags, item.keywords)
            entry = Entry(False, f"{base}:2,{marks}")
            try:
                maildir.rename(aside / item.tmp, entry.below(path))
            except FileNotFoundError:
                found = ground.find(mailbox, base)[1]
                if found is None:
                    continue
                entry = found
            files.touched.add(aside)
            files.touched.add(files.place(mailbox.folder, "new" if entry.fresh else "cur"))
            rows.append(
                Row(
                    mailbox.id,
                    _free_uid(index, mailbox, item.copy.uid),
                    base,
                    int(entry.fresh),
                    entry.name,
                    item.copy.st,
                    item.copy.m,
                    item.email or item.copy.st,
                    item.flags,
                    " ".join(item.keywords),
                    act.modseq,
                    item.mtime_ns,
                    clock.now_us(),
                    item.size,
                    item.sha256 or None,
                    maildir.measure(entry.below(path), base, item.size),
                )
            )
    if not all(item.inline for item in act.items):
        files.sync_names()
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
        maildir.measure(entry.below(folder), base, at.st_size),
    )  # fmt: skip


def _nothing(index: Index, journal: str, seq: int) -> None:
    """The mailbox is gone with all that was in it: the act is done."""
    if journal:
        with index.transaction():
            index.set_applied(journal, seq)


def _free_uid(index: Index, mailbox: MailboxRow, uid: int) -> int:
    """The UID a frame gave, or another where the index was made anew and has used it."""
    return index.take_uids(mailbox, 1) if not uid or index.by_uid(mailbox, uid) else uid


def _end(index: Index, mailbox: MailboxRow, modseq: int) -> None:
    mailbox.highestmodseq = max(mailbox.highestmodseq, modseq)
    index.save_mailbox(mailbox)

"""What happened to a box's files since the last look: mail delivered, and other programs' doings.

A file with a base name the index does not have is a delivery (it names its stored copy, and
the log knows it here) or foreign. A message whose file is nowhere vanished; one whose file is
elsewhere was moved or renamed; other letters are other flags. Each becomes an event, and
nothing is declared gone before the whole box was listed until nothing further appeared.
Where Dovecot numbered messages before, they keep their UIDs (``mtad.store.uidlist``).
"""

import time
from collections.abc import Mapping, Sequence

from mtad import clock
from mtad.journal.frame import Meta, raw
from mtad.store import keywords, maildir, names, uidlist
from mtad.store.acts import Ground, row_of
from mtad.store.desk import Desk
from mtad.store.ledger import Ledger
from mtad.store.looking import Arrival, Findings, Look, is_text, key_of
from mtad.store.maildir import Entry
from mtad.store.rows import MailboxRow, Row
from mtad.store.telling import chunks, item_of, traced
from mtad.store.uidlist import Uidlist
from tracing import ids
from tracing.events import (
    BoxFlags,
    BoxForeign,
    BoxMailbox,
    BoxMove,
    BoxNumbered,
    BoxVanished,
    Event,
    Item,
)

LATE_US = 86_400_000_000
"""Age of a stored copy from which the log is no longer asked for its message."""
LATE_SECONDS = 1.0
LATE_ROWS = 500
OUTSIDE = "outside"


class Notice:
    """Brings a box's index up to what its files say."""

    def __init__(
        self,
        ground: Ground,
        desk: Desk,
        ledger: Ledger,
        hostname: str,
        copies: Mapping[str, int],
    ) -> None:
        """``copies`` are the stored copies of files whose names do not tell them."""
        self._ground = ground
        self._index = ground.index
        self._files = ground.files
        self._desk = desk
        self._ledger = ledger
        self._hostname = hostname
        self._looking = Look(ground.index, ground.files)
        self._copies = copies
        self._late_asked = 0.0
        self._late_after = 0
        self._lists: dict[int, Uidlist] = {}
        """UIDs that another program gave, by mailbox, until they are taken over."""
        self._listed: set[int] = set()
        """Mailboxes in whose folders such a list was looked for."""

    def run(self, *, doubt: bool = True) -> int:
        """Look, record, number; returns how many messages got a UID.

        Without ``doubt`` folders whose times are as they were are taken for unchanged. Raises
        FileNotFoundError when the Maildir itself is not there: then nothing vanished.
        """
        if self._files.changed("", "", doubt=doubt):
            seen = self._files.begin("", "")
            self._mailboxes()
            self._files.listed("", "", seen)
        self._find_lists()
        self._late()
        findings = self._looking.look(doubt=doubt)
        try:
            numbered = self._record(findings)
            self._take_over()
            return numbered
        except BaseException:
            for mailbox in self._index.mailboxes.values():
                self._files.forget(mailbox.folder)  # what was seen is not recorded yet
            raise

    def _record(self, findings: Findings) -> int:
        """Make index and events of what was found."""
        self._renamed(findings.renamed)
        moved = self._moved(findings)
        arrivals = [*findings.arrivals, *(self._retitle(double) for double in findings.doubles)]
        self._vanished(findings.vanished)
        numbered = 0
        for mailbox in {arrival.mailbox.id: arrival.mailbox for arrival in arrivals}.values():
            numbered += self._number(mailbox, [a for a in arrivals if a.mailbox is mailbox])
        return numbered + moved

    # ------------------------------------------------------------------ looking

    def _mailboxes(self) -> None:
        """Take in folders that came, forget those that went."""
        found = maildir.folders(self._files.root)
        known = {mailbox.folder: mailbox for mailbox in self._index.mailboxes.values()}
        came = {name: folder for name, folder in found.items() if folder not in known}
        if came:
            with self._index.durably():
                for name, folder in came.items():
                    listed = uidlist.read(self._files.mailbox(folder))
                    validity = listed.uidvalidity if listed else 0
                    mailbox = self._index.add_mailbox(name, folder, self._desk.mint(), validity)
                    keywords.load(self._index, mailbox, self._files.mailbox(folder))
        if not self._index.is_new:
            for name in came:
                self._note_mailbox(name, "appeared")
        for folder in known.keys() - set(found.values()):
            mailbox = known[folder]
            self._vanished([(mailbox, row) for row in self._index.of_mailbox(mailbox)])
            with self._index.transaction():
                self._index.drop_mailbox(mailbox)
            self._note_mailbox(mailbox.name, "vanished")

    def _find_lists(self) -> None:
        """Read the UIDs that another program gave; numbers it gave are given to nobody else.

        Its mod-sequences are not known, but whoever counts them from 1 is below the time in
        milliseconds.
        """
        for mailbox in self._index.mailboxes.values():
            if mailbox.id in self._listed:
                continue
            listed = uidlist.read(self._files.mailbox(mailbox.folder))
            if listed is not None and listed.uidvalidity == mailbox.uidvalidity:
                self._index.claim(mailbox, listed.uidnext - 1, clock.now_us() // 1000)
                with self._index.transaction():
                    self._raise_modseq(mailbox, self._index.modseq)
                self._lists[mailbox.id] = listed
            self._listed.add(mailbox.id)

    def _take_over(self) -> None:
        """The messages have their UIDs: from here on this program gives further ones."""
        for mailbox in list(self._index.mailboxes.values()):
            if mailbox.id in self._lists:
                self._index.checkpoint()
                uidlist.taken(self._files.mailbox(mailbox.folder))
                del self._lists[mailbox.id]

    def _note_mailbox(self, name: str, what: str) -> None:
        self._desk.note(
            BoxMailbox(
                at=clock.now_us(),
                trace=self._desk.mint(),
                addr=self._ground.address,
                mailbox=name,
                what=what,
                actor=OUTSIDE,
            )
        )

    # ---------------------------------------------------------------- recording

    def _renamed(self, renamed: Sequence[tuple[MailboxRow, Row, Entry]]) -> None:
        """Other names are other places or letters; other letters are other flags."""
        if not renamed:
            return
        modseq = self._index.take_modseq()
        groups: dict[tuple[int, tuple[str, ...], tuple[str, ...]], list[Row]] = {}
        boxes = {mailbox.id: mailbox for mailbox, _, _ in renamed}
        with self._index.transaction():
            for mailbox, row, entry in renamed:
                letters = names.split(entry.name)[1]
                flags = "".join(letter for letter in letters if letter.isupper())
                keywords.learn(self._index, mailbox, letters)
                words = keywords.words(self._index, mailbox, letters)
                unlettered = self._index.keywords(mailbox)[26:]
                words = tuple(sorted({*words, *(w for w in row.words if w in unlettered)}))
                before = {*names.flag_names(row.flags), *row.words}
                after = {*names.flag_names(flags), *words}
                row.fresh, row.name = int(entry.fresh), entry.name
                if before != after:
                    row.modseq = modseq
                    delta = tuple(sorted(after - before)), tuple(sorted(before - after))
                    groups.setdefault((mailbox.id, *delta), []).append(row)
                row.flags, row.keywords = flags, " ".join(words)
            self._index.update([row for _, row, _ in renamed])
            for mailbox in boxes.values():
                self._raise_modseq(mailbox, modseq)
        for (mailbox_id, added, removed), rows in groups.items():
            for part in chunks([item_of(row) for row in rows]):
                trace, also = traced(part, self._desk)
                self._desk.note(
                    BoxFlags(
                        at=clock.now_us(),
                        trace=trace,
                        also=also,
                        addr=self._ground.address,
                        mailbox=boxes[mailbox_id].name,
                        items=tuple(part),
                        actor=OUTSIDE,
                        added=added,
                        removed=removed,
                    )
                )

    def _moved(self, findings: Findings) -> int:
        """Pair arrivals with what vanished; an arrival of a name still in use gets its own."""
        gone = {key_of(row.base): (mailbox, row) for mailbox, row in findings.vanished}
        pairs: dict[tuple[int, int], list[tuple[Row, Arrival]]] = {}
        rest = []
        known = self._looking.known(findings.arrivals)
        for arrival in findings.arrivals:
            if not is_text(arrival.base):
                findings.doubles.append(arrival)
                continue
            source = gone.pop(key_of(arrival.base), None)
            if source is None and arrival.base in known:
                source = self._left(arrival)
                if source is None:
                    findings.doubles.append(arrival)
                    continue
            if source is None:
                rest.append(arrival)
            else:
                pairs.setdefault((source[0].id, arrival.mailbox.id), []).append(
                    (source[1], arrival)
                )
        findings.arrivals = rest
        findings.vanished = list(gone.values())
        boxes = {mailbox.id: mailbox for mailbox in self._index.mailboxes.values()}
        for (source_id, target_id), moves in pairs.items():
            for part in chunks(moves):
                self._record_move(boxes[source_id], boxes[target_id], part)
        return sum(len(moves) for moves in pairs.values())

    def _left(self, arrival: Arrival) -> tuple[MailboxRow, Row] | None:
        """The message that had an arrival's base name, if its own file is gone by now."""
        by_id = {mailbox.id: mailbox for mailbox in self._index.mailboxes.values()}
        for row in self._index.rows("base = ?", (arrival.base,)):
            mailbox = by_id[row.mailbox]
            path = self._files.mailbox(mailbox.folder)
            if mailbox is not arrival.mailbox and maildir.locate(path, row.base) is None:
                return mailbox, row
        return None

    def _record_move(
        self, source: MailboxRow, target: MailboxRow, moves: Sequence[tuple[Row, Arrival]]
    ) -> None:
        modseq = self._index.take_modseq()
        first = self._index.take_uids(target, len(moves))
        rows, items = [], []
        for uid, (row, arrival) in enumerate(moves, first):
            now = row_of(self._ground, target, arrival.entry, arrival.base, row.st, uid, modseq)
            if now is None:
                self._files.forget(target.folder)
                continue
            now.m, now.email, now.sha256 = row.m, row.email, row.sha256
            rows.append(now)
            items.append(Item(row.st, row.m or 0, uid, arrival.base))
        if not items:
            return
        trace, also = traced(items, self._desk)
        event = BoxMove(
            at=clock.now_us(),
            trace=trace,
            also=also,
            addr=self._ground.address,
            mailbox=source.name,
            items=tuple(items),
            uidvalidity=target.uidvalidity,
            actor=OUTSIDE,
            target=target.name,
        )
        seq = self._commit(event)
        with self._index.transaction():
            self._index.delete(source, [row.uid for row, _ in moves], modseq)
            self._index.insert(rows)
            self._raise_modseq(source, modseq)
            self._raise_modseq(target, modseq)
            self._index.set_applied(self._desk.name, seq)

    def _vanished(self, vanished: Sequence[tuple[MailboxRow, Row]]) -> None:
        boxes = {mailbox.id: mailbox for mailbox, _ in vanished}
        for mailbox in boxes.values():
            for part in chunks(row for box, row in vanished if box is mailbox):
                modseq = self._index.take_modseq()
                items = tuple(map(item_of, part))
                trace, also = traced(items, self._desk)
                event = BoxVanished(
                    at=clock.now_us(),
                    trace=trace,
                    also=also,
                    addr=self._ground.address,
                    mailbox=mailbox.name,
                    items=items,
                    actor=OUTSIDE,
                )
                seq = self._commit(event)
                with self._index.transaction():
                    self._index.delete(mailbox, [row.uid for row in part], modseq)
                    self._index.forget_seen(row.base for row in part)
                    self._raise_modseq(mailbox, modseq)
                    self._index.set_applied(self._desk.name, seq)

    def _retitle(self, arrival: Arrival) -> Arrival:
        """Give a file a name of its own: two have one base name, or it is not text."""
        folder = arrival.mailbox.folder
        path = self._files.path(folder, arrival.entry)
        try:
            at = path.lstat()
        except FileNotFoundError:
            self._files.forget(folder)
            return arrival
        st = self._desk.mint()
        size = at.st_size
        base = names.base_name(
            st, at.st_mtime_ns, self._hostname, size, maildir.wire_size(path, size)
        )
        letters = names.split(arrival.entry.name)[1]
        name = names.join(base, letters) if letters or not arrival.entry.fresh else base
        entry = Entry(arrival.entry.fresh, name)
        with self._files.changing((folder, "new"), (folder, "cur")):
            maildir.rename(path, self._files.path(folder, entry))
            self._files.touched.add(path.parent)
        return Arrival(arrival.mailbox, entry, base, st)

    def _number(self, mailbox: MailboxRow, arrivals: Sequence[Arrival]) -> int:
        """UIDs for files: deliveries in order of their stored copies, then foreign ones."""
        ours: list[tuple[int, Arrival]] = []
        foreign = []
        told = {}
        named = [None if one.st else names.st_of(one.base) for one in arrivals]
        there = self._index.copies(st for st in named if st is not None)
        for st, arrival in zip(named, arrivals, strict=True):
            known = None if st is None else self._ledger.known(st)
            elsewhere = known and known.box and known.box != self._ground.address
            if st is None or st in there or (known and (known.gone or elsewhere)):
                foreign.append(arrival)
            else:
                there.add(st)
                ours.append((st, arrival))
                told[st] = known
        ours.sort(key=lambda one: (one[0], one[1].base))
        foreign.sort(key=lambda one: one.base)
        numbered = 0
        for part in chunks(ours):
            rows = self._rows(mailbox, part)
            for row in rows:
                known = told[row.st]
                if known is not None:
                    row.m, row.sha256 = known.m, known.sha256
            self._insert(mailbox, rows)
            self._note_numbered(mailbox, rows)
            numbered += len(rows)
        for group in chunks(foreign):
            rows = self._rows(mailbox, [(self._copy_of(one), one) for one in group])
            for row in rows:
                row.m = 0
            if rows:
                items = tuple(map(item_of, rows))
                trace, also = traced(items, self._desk)
                marks = tuple((*names.flag_names(row.flags), *row.words) for row in rows)
                seq = self._commit(
                    BoxForeign(
                        at=clock.now_us(),
                        trace=trace,
                        also=also,
                        addr=self._ground.address,
                        mailbox=mailbox.name,
                        items=items,
                        uidvalidity=mailbox.uidvalidity,
                        actor=OUTSIDE,
                        marks=marks if any(marks) else (),
                    )
                )
                self._insert(mailbox, rows, seq)
            numbered += len(rows)
        return numbered

    def _copy_of(self, arrival: Arrival) -> int:
        return arrival.st or self._copies.get(arrival.base) or self._desk.mint()

    def _rows(self, mailbox: MailboxRow, copies: Sequence[tuple[int, Arrival]]) -> list[Row]:
        """Rows for files that are still there, with UIDs and one mod-sequence."""
        modseq = self._index.take_modseq()
        found = []
        for st, one in copies:
            row = row_of(self._ground, mailbox, one.entry, one.base, st, 0, modseq)
            if row is None:
                self._files.forget(mailbox.folder)
            else:
                found.append(row)
        self._give_uids(mailbox, found)
        return sorted(found, key=lambda row: row.uid)

    def _give_uids(self, mailbox: MailboxRow, rows: Sequence[Row]) -> None:
        """The UIDs that another program gave, and further ones to the rest."""
        listed = self._lists.get(mailbox.id)
        if listed is not None:
            given = {row.base: listed.uids[row.base] for row in rows if row.base in listed.uids}
            used = self._index.used(mailbox, given.values())
            for row in rows:
                uid = given.get(row.base, 0)
                row.uid = 0 if uid in used else uid
        fresh = [row for row in rows if not row.uid]
        first = self._index.take_uids(mailbox, len(fresh))
        for uid, row in enumerate(fresh, first):
            row.uid = uid

    def _insert(self, mailbox: MailboxRow, rows: Sequence[Row], seq: int = 0) -> None:
        with self._index.transaction():
            self._index.insert(rows)
            for row in rows:
                if row.keywords:
                    keywords.learn(self._index, mailbox, names.split(row.name)[1])
            if rows:
                self._raise_modseq(mailbox, rows[-1].modseq)
            if seq:
                self._index.set_applied(self._desk.name, seq)

    def _note_numbered(self, mailbox: MailboxRow, rows: Sequence[Row]) -> None:
        if not rows:
            return
        items = tuple(Item(row.st, row.m or 0, row.uid) for row in rows)
        trace, also = traced(items, self._desk)
        self._desk.note(
            BoxNumbered(
                at=clock.now_us(),
                trace=trace,
                also=also,
                addr=self._ground.address,
                mailbox=mailbox.name,
                items=items,
                uidvalidity=mailbox.uidvalidity,
            )
        )

    def _late(self) -> None:
        """Ask the log again about copies it did not know; some of them, once a second."""
        if time.monotonic() - self._late_asked < LATE_SECONDS:
            return
        self._late_asked = time.monotonic()
        rows = self._index.late(self._late_after, LATE_ROWS)
        self._late_after = max((row.st for row in rows), default=0)
        oldest = clock.now_us() - LATE_US
        told = []
        for row in rows:
            known = self._ledger.known(row.st)
            if known is not None:
                row.m, row.sha256 = known.m, row.sha256 or known.sha256
                told.append(row)
            elif ids.time_us(row.st) < oldest:
                row.m = 0
                told.append(row)
        if told:
            with self._index.transaction():
                self._index.learn(told)

    def _raise_modseq(self, mailbox: MailboxRow, modseq: int) -> None:
        mailbox.highestmodseq = max(mailbox.highestmodseq, modseq)
        self._index.save_mailbox(mailbox)

    def _commit(self, event: Event) -> int:
        return self._desk.commit(Meta(events=(raw(event),)))

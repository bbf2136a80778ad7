"""The one process that may change a box: frame first, then files, then index.

``Owner`` holds the box's lock and does one thing at a time. Each act is (1) planned against an
index brought up to date, (2) made durable as a journal frame with its event, (3) done to files
and index by ``acts.perform``. What fails between (2) and (3) is done before anything else, by
this process or at the next opening.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from mtad import clock
from mtad.errors import MtadError, NothingFound, UsageError
from mtad.journal.frame import Copy, Expunge, Flags, Move
from mtad.store import keywords, mailboxes, maildir, names, subject, uidlist
from mtad.store.copying import Copying
from mtad.store.holding import LATER
from mtad.store.putting import Putting
from mtad.store.reading import message
from mtad.store.rows import MailboxRow, Row
from mtad.store.shaping import Shaping
from mtad.store.telling import CHUNK, chunks, item_of, traced
from mtad.store.values import (
    Copied,
    FlagsDone,
    MailboxInfo,
    MailboxStatus,
    Message,
    Placed,
    Prepared,
    Quota,
)
from tracing.events import BoxExpunge, BoxFlags, BoxMove, Item


class Owner(Shaping):
    """A box open for change. Safe for concurrent threads, which then wait for each other."""

    # ------------------------------------------------------------------ reading

    def sync(self, *, rung: bool = False) -> int:
        """Take in what happened to the files; returns how many messages got a UID.

        ``rung`` says that mail came, however old the folders seem.
        """
        with self.working():
            if rung:
                self.ground.files.unsettle("new")
            return self.look(doubt=True)

    def is_stale(self) -> bool:
        """Whether ``sync`` would find anything to do; in any thread, waits for no act.

        Not while files lag: those follow in a moment, and then their folders are compared.
        """
        if self.lags:
            return False
        folders = [mailbox.folder for mailbox in list(self.index.mailboxes.values())]
        return self.has_more or self.ground.files.is_stale(folders)

    def mailboxes(self) -> list[MailboxInfo]:
        """Every mailbox with its numbers, INBOX first; waits for no act."""
        found = [
            MailboxInfo(
                mailbox.name,
                mailbox.uidvalidity,
                mailbox.uidnext,
                mailbox.highestmodseq,
                self.index.beside.count(mailbox.id),
                mailbox.objectid,
            )
            for mailbox in list(self.index.mailboxes.values())
        ]
        return sorted(found, key=lambda one: (one.name != names.INBOX, one.name))

    def messages(self, mailbox: str | None = None) -> list[Message]:
        """Messages of one mailbox or of all, by mailbox and UID; waits for no act.

        Raises NothingFound when there is no such mailbox.
        """
        every = self.index.mailboxes.values()
        chosen = list(every) if mailbox is None else [self.mailbox(mailbox)]
        return [
            message(box.name, row, box.folder, self.ground.entry(row))
            for box in chosen
            for row in self.index.beside.messages(box.id)
        ]

    def status(self, mailbox: str) -> MailboxStatus:
        """The counts of a mailbox; waits for no act. Raises NothingFound."""
        box = self.mailbox(mailbox)
        key = (box.uidnext, box.highestmodseq, box.recent)
        known = self._counts.get(box.id)
        if known is None or known[0] != key:
            counts = self.index.beside.status(box.id, box.recent)
            known = self._counts[box.id] = (key, counts)
        messages, unseen, deleted, size, recent = known[1]
        return MailboxStatus(
            messages,
            box.uidnext,
            box.uidvalidity,
            unseen,
            recent,
            deleted,
            size,
            box.highestmodseq,
            box.objectid,
        )

    def rows(self, mailbox: str, uids: Sequence[int] | None = None) -> list[Row]:
        """Messages by UID, those that are there, or all; ascending; waits for no act."""
        return self.index.beside.messages(self.mailbox(mailbox).id, uids)

    def open_message(self, mailbox: str, uid: int) -> int:
        """A descriptor of a message's file; waits for no act. Raises NothingFound."""
        box = self.mailbox(mailbox)
        for _ in range(3):
            rows = self.index.beside.messages(box.id, (uid,))
            if not rows:
                break
            folder = self.ground.files.mailbox(box.folder)
            with suppress(FileNotFoundError):
                return maildir.open_file(self.ground.entry(rows[0]).below(folder))
            opened = maildir.open_base(folder, rows[0].base)
            if opened is not None:
                return opened
        raise NothingFound(f"{self.address} has no message with UID {uid} in {box.name}")

    def changed(self, mailbox: str, modseq: int) -> list[int]:
        """UIDs changed after a mod-sequence, ascending; waits for no act."""
        return self.index.beside.changed(self.mailbox(mailbox).id, modseq)

    def vanished(self, mailbox: str, modseq: int) -> list[int]:
        """UIDs expunged after a mod-sequence, ascending; waits for no act."""
        return self.index.beside.vanished(self.mailbox(mailbox).id, modseq)

    def quota(self) -> Quota:
        """What the box holds and may hold; waits for no act."""
        limits = self.limits()
        return Quota(self.index.octets, limits.octets, self.index.messages, limits.messages)

    # --------------------------------------------------------------------- acts

    def flags(
        self,
        mailbox: str,
        uids: Sequence[int],
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        *,
        replace: bool = False,
        unchanged_since: int | None = None,
        later: bool = False,
        actor: str,
        client: str = "",
    ) -> FlagsDone:
        r"""Add and remove flags (``\Seen``) and keywords; UIDs that are gone are passed over.

        ``replace`` leaves only ``add``. Messages changed after the mod-sequence
        ``unchanged_since`` stay as they are (RFC 7162 3.1.3). With ``later`` files of many
        messages are renamed by ``follow``, and those of any while others are to follow.
        Raises NothingFound, UsageError and MtadError.
        """
        plus, plus_words = keywords.sort(add)
        minus, minus_words = keywords.sort(remove)
        with self.working(lagging=later):
            lags = self.lags
            if not lags:
                self.look()
            box = self.mailbox(mailbox)
            plus_words = keywords.spelled(self.index, box, plus_words)
            minus_words = keywords.spelled(self.index, box, minus_words)
            changed, failed = [], []
            after: dict[tuple[str, str], tuple[str, tuple[str, ...], bool]] = {}
            for row in self._rows(box, uids):
                if unchanged_since is not None and row.modseq > unchanged_since:
                    failed.append(row.uid)
                    continue
                known = after.get((row.flags, row.keywords))
                if known is None:
                    if replace:
                        flags, words = plus, plus_words
                    else:
                        # Other programs may keep $Forwarded as a keyword.
                        letters, had_words = keywords.sort(row.words)
                        flags = names.letters({*row.flags, *letters} - {*minus} | {*plus})
                        words = tuple(sorted({*had_words} - {*minus_words} | {*plus_words}))
                    known = (flags, words, (flags, words) != (row.flags, row.words))
                    after[row.flags, row.keywords] = known
                if known[2]:
                    changed.append((row, known[0], known[1]))
            done: list[tuple[Flags, BoxFlags, list[Row]]] = []
            for part in chunks(changed):
                rows = [row for row, _, _ in part]
                act = Flags(
                    self.address,
                    box.name,
                    tuple(map(_copy, rows)),
                    tuple(flags for _, flags, _ in part),
                    tuple(words for _, _, words in part),
                    self.index.take_modseq(),
                )
                items, trace, also = self._named(rows)
                if replace:
                    had = {mark for row in rows for mark in _marks(row.flags, row.words)}
                    removed = tuple(sorted(had - {*_marks(plus, plus_words)}))
                else:
                    removed = _marks(minus, minus_words)
                event = BoxFlags(
                    at=clock.now_us(),
                    trace=trace,
                    also=also,
                    addr=self.address,
                    mailbox=box.name,
                    items=items,
                    client=client,
                    actor=actor,
                    added=_marks(plus, plus_words),
                    removed=removed,
                )
                done.append((act, event, rows))
            if lags or (later and len(changed) > LATER):
                self.do_later(done)
            else:
                for act, event, rows in done:
                    self.do(act, event, rows)
            return FlagsDone(
                tuple(row.uid for row, _, _ in changed), tuple(failed), box.highestmodseq
            )

    def move(
        self, mailbox: str, uids: Sequence[int], target: str, *, actor: str, client: str = ""
    ) -> Copied:
        """Move messages to another mailbox; UIDs that are gone are passed over.

        Raises NothingFound, and UsageError where both are one.
        """
        with self.working():
            self.look()
            source, goal = self.mailbox(mailbox), self.mailbox(target)
            if source is goal:
                raise UsageError(f"the messages are in {source.name} already")
            sources: list[int] = []
            targets: list[int] = []
            for part in chunks(self._rows(source, uids)):
                first = self.index.take_uids(goal, len(part))
                fresh = tuple(range(first, first + len(part)))
                act = Move(
                    self.address,
                    source.name,
                    goal.name,
                    tuple(map(_copy, part)),
                    fresh,
                    self.index.take_modseq(),
                )
                items, trace, also = self._named(part, fresh)
                self.do(
                    act,
                    BoxMove(
                        at=clock.now_us(),
                        trace=trace,
                        also=also,
                        addr=self.address,
                        mailbox=source.name,
                        items=items,
                        uidvalidity=goal.uidvalidity,
                        client=client,
                        actor=actor,
                        target=goal.name,
                    ),
                    part,
                )
                sources += [copy.uid for copy in act.copies]
                targets += fresh
            return Copied(goal.uidvalidity, tuple(sources), tuple(targets))

    def copy(
        self, mailbox: str, uids: Sequence[int], target: str, *, actor: str, client: str = ""
    ) -> Copied:
        """Copy messages to a mailbox, which may be the same; UIDs that are gone are passed over.

        All or none: where it fails, what was copied is deleted again. Raises NothingFound,
        OverQuota, MtadError and OSError.
        """
        with self.working():
            self.look()
            source, goal = self.mailbox(mailbox), self.mailbox(target)
            rows = self._rows(source, uids)
            self.check_quota(sum(row.size for row in rows), len(rows))
            before = goal.uidnext
            copying = Copying(self.ground, self.desk, self.hostname, source, goal)
            try:
                done = copying.run(rows, self.do, actor=actor, client=client)
            except (MtadError, OSError):
                with suppress(MtadError, OSError):
                    made = range(before, goal.uidnext)
                    self.expunge(goal.name, made, actor=actor, client=client)
                raise
            return Copied(
                goal.uidvalidity,
                tuple(uid for uid, _ in done),
                tuple(uid for _, uid in done),
            )

    def expunge(
        self, mailbox: str, uids: Sequence[int], *, actor: str, client: str = ""
    ) -> tuple[int, ...]:
        """Delete messages; returns the UIDs of those that were there, ascending.

        What snapshots and content keep stays there. Raises NothingFound.
        """
        with self.working():
            self.look()
            box = self.mailbox(mailbox)
            rows = self._rows(box, uids)
            for part in chunks(rows):
                act = Expunge(
                    self.address, box.name, tuple(map(_copy, part)), self.index.take_modseq()
                )
                items, trace, also = self._named(part)
                self.do(
                    act,
                    BoxExpunge(
                        at=clock.now_us(),
                        trace=trace,
                        also=also,
                        addr=self.address,
                        mailbox=box.name,
                        items=items,
                        client=client,
                        actor=actor,
                        subjects=tuple(
                            subject.of_file(
                                self.ground.files.path(box.folder, self.ground.entry(row))
                            )
                            for row in part
                        ),
                    ),
                    part,
                )
            return tuple(sorted(row.uid for row in rows))

    def put(
        self,
        mailbox: str,
        items: Sequence[Prepared],
        *,
        make: bool = True,
        actor: str,
        client: str = "",
        snapshot: str | None = None,
        over_quota: bool = False,
    ) -> Placed:
        """Take prepared files in; the mailbox is made if need be, unless ``make`` is False.

        A file whose base name and content the mailbox has already is dropped, and its UID is
        that of the message that is there: an interrupted restore can simply be run again.
        Up to ``CHUNK`` files are one act. With ``over_quota`` they may be more than the box may
        hold; ``snapshot`` says from which one they are put back.
        Raises NothingFound, UsageError, OverQuota and MtadError.
        """
        with self.working():
            self.look()
            if not over_quota:
                self.check_quota(sum(item.size for item in items), len(items))
            box = self.make(mailbox, actor, client) if make else self.mailbox(mailbox)
            putting = Putting(self.ground, self.desk, self.hostname, box)
            uids = putting.run(items, self.do, actor=actor, client=client, snapshot=snapshot)
            return Placed(box.uidvalidity, tuple(uids))

    def rename(self, mailbox: str, target: str, *, actor: str, client: str = "") -> None:
        """Give a mailbox, and those below it, another name (RFC 9051 6.3.6).

        UIDs and UIDVALIDITY go along. INBOX stays and only its messages move, under further
        UIDs. Raises NothingFound, and UsageError where a name is taken or none at all.
        """
        with self.working():
            self.look()
            source = self.find(mailbox)
            if source is not None and source.name == names.INBOX:
                self.check_free(target)
                self.make(target, actor, client)
                uids = [row.uid for row in self.index.of_mailbox(source)]
                self.move(source.name, uids, target, actor=actor, client=client)
                return
            every = mailboxes.below(self.ground, mailbox)
            if not every:
                self.mailbox(mailbox)
            if f"{target}/".startswith(f"{mailbox}/"):
                raise UsageError(f"{target} is {mailbox} itself or below it")
            for name in every:
                self.check_free(target + name.removeprefix(mailbox))
            self.ground.settle(self.index.mailboxes[name] for name in every)
            self.tell_shape(mailbox, mailboxes.RENAMED, actor, client, target)

    def delete(self, mailbox: str, *, actor: str, client: str = "") -> int:
        """Delete a mailbox with its messages; returns how many those were (RFC 9051 6.3.5).

        Mailboxes below it stay. Raises NothingFound, and UsageError for INBOX.
        """
        with self.working():
            self.look()
            box = self.mailbox(mailbox)
            if box.name == names.INBOX:
                raise UsageError("INBOX cannot be deleted")
            count = 0
            while rows := self.index.of_mailbox(box):
                uids = [row.uid for row in rows]
                count += len(self.expunge(box.name, uids, actor=actor, client=client))
            self.ground.settle([box])
            self.tell_shape(box.name, mailboxes.DELETED, actor, client)
            return count

    def hand_over(self) -> int:
        """Write each mailbox's UIDs down for Dovecot; returns how many messages have one.

        To be the last act before the box is closed: who opens it again takes them back.
        """
        count = 0
        with self.working():
            self.look(doubt=True)
            for box in self.index.mailboxes.values():
                rows = self.index.of_mailbox(box)
                uidlist.write(
                    self.ground.files.mailbox(box.folder),
                    box.uidvalidity,
                    box.uidnext,
                    box.objectid,
                    ((row.uid, row.base) for row in rows),
                )
                count += len(rows)
        return count

    def remember(
        self,
        rows: Mapping[str, Row],
        objectids: Mapping[str, int],
        seen: Collection[tuple[str, str]],
        done: Mapping[str, int],
    ) -> None:
        """Take over from a former index what files do not say, by base name and by mailbox.

        ``seen`` are users and base names of what they have seen. ``done`` are the last frames of
        journals that count as done.
        """
        with self.working(), self.index.durably():
            for journal, seq in done.items():
                self.index.set_applied(journal, max(seq, self.index.applied.get(journal, 0)))
            self.index.recall_seen(seen)
            for box in self.index.mailboxes.values():
                self.index.set_objectid(box, objectids.get(box.name, box.objectid))
                found = self.index.of_mailbox(box)
                self.index.recall(
                    [(row, rows[row.base]) for row in found if row.base in rows],
                )

    # ------------------------------------------------------------------ private

    def _rows(self, mailbox: MailboxRow, uids: Sequence[int]) -> list[Row]:
        """Messages by UID, each once, in the order given; those not there are left out."""
        wanted = dict.fromkeys(uids)
        if len(wanted) > CHUNK:
            known = {row.uid: row for row in self.index.of_mailbox(mailbox)}
        else:
            known = {row.uid: row for row in self.index.by_uids(mailbox, wanted)}
        return [known[uid] for uid in wanted if uid in known]

    def _named(
        self, rows: Sequence[Row], uids: Sequence[int] = ()
    ) -> tuple[tuple[Item, ...], int, tuple[int, ...]]:
        items = [item_of(row) for row in rows]
        if uids:
            items = [Item(i.st, i.m, uid, i.base) for i, uid in zip(items, uids, strict=True)]
        trace, also = traced(items, self.desk)
        return tuple(items), trace, also


def _copy(row: Row) -> Copy:
    return Copy(row.st, row.m or 0, row.uid, row.base)


def _marks(flags: str, words: Sequence[str]) -> tuple[str, ...]:
    """Flags and keywords as events name them."""
    return (*names.flag_names(flags), *words)

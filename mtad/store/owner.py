"""The one process that may change a box: frame first, then files, then index.

``Owner`` holds the box's lock and does one thing at a time. Each act is (1) planned against an
index brought up to date, (2) made durable as a journal frame with its event, (3) done to files
and index by ``acts.perform``. What fails between (2) and (3) is done before anything else, by
this process or at the next opening.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from mtad import clock
from mtad.errors import NothingFound, UsageError
from mtad.journal.frame import Copy, Expunge, Flags, Move
from mtad.store import keywords, mailboxes, maildir, names, subject
from mtad.store.holding import Holding
from mtad.store.putting import Putting
from mtad.store.reading import message
from mtad.store.rows import MailboxRow, Row
from mtad.store.telling import CHUNK, chunks, item_of, traced
from mtad.store.values import MailboxInfo, Message, Prepared
from tracing.events import BoxExpunge, BoxFlags, BoxMailbox, BoxMove, Item


class Owner(Holding):
    """A box open for change. Safe for concurrent threads, which then wait for each other."""

    # ------------------------------------------------------------------ reading

    def sync(self) -> int:
        """Take in what happened to the files; returns how many messages got a UID."""
        with self.working():
            return self.look()

    def mailboxes(self) -> list[MailboxInfo]:
        """Every mailbox with its numbers, INBOX first; waits for no act."""
        found = [
            MailboxInfo(
                mailbox.name,
                mailbox.uidvalidity,
                mailbox.uidnext,
                mailbox.highestmodseq,
                self.index.view_count(mailbox),
                mailbox.objectid,
            )
            for mailbox in list(self.index.mailboxes.values())
        ]
        return sorted(found, key=lambda one: (one.name != names.INBOX, one.name))

    def messages(self, mailbox: str | None = None) -> list[Message]:
        """Messages of one mailbox or of all, by mailbox and UID; waits for no act.

        Raises NothingFound when there is no such mailbox.
        """
        if mailbox is None:
            chosen = list(self.index.mailboxes.values())
        else:
            chosen = [self._mailbox(mailbox)]
        return [
            message(box.name, row, box.folder, self.ground.entry(row))
            for box in chosen
            for row in self.index.view(box)
        ]

    # --------------------------------------------------------------------- acts

    def flags(
        self,
        mailbox: str,
        uids: Sequence[int],
        add: Sequence[str],
        remove: Sequence[str],
        *,
        actor: str,
        client: str = "",
    ) -> int:
        r"""Add and remove flags (``\Seen``) and keywords; returns how many messages changed."""
        plus, plus_words = keywords.sort(add)
        minus, minus_words = keywords.sort(remove)
        with self.working():
            self.look()
            box = self._mailbox(mailbox)
            changed = []
            for row in self._rows(box, uids):
                flags = names.letters((set(row.flags) - set(minus)) | set(plus))
                words = tuple(sorted((set(row.words) - set(minus_words)) | set(plus_words)))
                if (flags, words) != (row.flags, row.words):
                    changed.append((row, flags, words))
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
                self.do(
                    act,
                    BoxFlags(
                        at=clock.now_us(),
                        trace=trace,
                        also=also,
                        addr=self.address,
                        mailbox=box.name,
                        items=items,
                        client=client,
                        actor=actor,
                        added=(*names.flag_names(plus), *plus_words),
                        removed=(*names.flag_names(minus), *minus_words),
                    ),
                )
            return len(changed)

    def move(
        self, mailbox: str, uids: Sequence[int], target: str, *, actor: str, client: str = ""
    ) -> list[int]:
        """Move messages to another mailbox; returns their UIDs there, in order of ``uids``."""
        with self.working():
            self.look()
            source, goal = self._mailbox(mailbox), self._mailbox(target)
            if source is goal:
                raise UsageError(f"the messages are in {source.name} already")
            result: list[int] = []
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
                        client=client,
                        actor=actor,
                        target=goal.name,
                    ),
                )
                result += fresh
            return result

    def expunge(self, mailbox: str, uids: Sequence[int], *, actor: str, client: str = "") -> int:
        """Delete messages; returns how many. What snapshots and content keep stays there."""
        with self.working():
            self.look()
            box = self._mailbox(mailbox)
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
                )
            return len(rows)

    def put(
        self,
        mailbox: str,
        items: Sequence[Prepared],
        *,
        actor: str,
        client: str = "",
        snapshot: str | None = None,
    ) -> list[int]:
        """Take prepared files in, into a mailbox that is made if need be; returns their UIDs.

        A file whose base name and content the mailbox has already is dropped, and its UID is
        that of the message that is there: an interrupted restore can simply be run again.
        """
        with self.working():
            self.look()
            box = self._make(mailbox, actor)
            putting = Putting(self.ground, self.desk, self.hostname, box)
            return putting.run(items, self.do, actor=actor, client=client, snapshot=snapshot)

    def create(self, mailbox: str, *, actor: str) -> bool:
        """Make a mailbox; False when it is there. Raises UsageError for no name at all."""
        with self.working():
            self.look()
            there = self._find(mailbox) is not None
            self._make(mailbox, actor)
            return not there

    def rename(self, mailbox: str, target: str, *, actor: str, client: str = "") -> None:
        """Give a mailbox, and those below it, another name (RFC 9051 6.3.6).

        UIDs and UIDVALIDITY go along. INBOX stays and only its messages move, under further
        UIDs. Raises NothingFound, and UsageError where a name is taken or none at all.
        """
        with self.working():
            self.look()
            source = self._find(mailbox)
            if source is not None and source.name == names.INBOX:
                self._check_free(target)
                self._make(target, actor)
                uids = [row.uid for row in self.index.of_mailbox(source)]
                self.move(source.name, uids, target, actor=actor, client=client)
                return
            every = mailboxes.below(self.ground, mailbox)
            if not every:
                self._mailbox(mailbox)
            if f"{target}/".startswith(f"{mailbox}/"):
                raise UsageError(f"{target} is {mailbox} itself or below it")
            for name in every:
                self._check_free(target + name.removeprefix(mailbox))
            self.ground.settle(self.index.mailboxes[name] for name in every)
            self._shape(mailbox, mailboxes.RENAMED, actor, client, target)

    def delete(self, mailbox: str, *, actor: str, client: str = "") -> int:
        """Delete a mailbox with its messages; returns how many those were (RFC 9051 6.3.5).

        Mailboxes below it stay. Raises NothingFound, and UsageError for INBOX.
        """
        with self.working():
            self.look()
            box = self._mailbox(mailbox)
            if box.name == names.INBOX:
                raise UsageError("INBOX cannot be deleted")
            count = 0
            while rows := self.index.of_mailbox(box):
                uids = [row.uid for row in rows]
                count += self.expunge(box.name, uids, actor=actor, client=client)
            self.ground.settle([box])
            self._shape(box.name, mailboxes.DELETED, actor, client)
            return count

    # ------------------------------------------------------------------ private

    def _find(self, name: str) -> MailboxRow | None:
        if name.upper() == names.INBOX:
            name = names.INBOX
        return self.index.mailboxes.get(name)

    def _mailbox(self, name: str) -> MailboxRow:
        found = self._find(name)
        if found is None:
            raise NothingFound(f"{self.address} has no mailbox {name}")
        return found

    def _make(self, name: str, actor: str) -> MailboxRow:
        found = self._find(name)
        if found is not None:
            maildir.ensure(self.ground.files.root, found.folder)
            return found
        path = self._folder(name)
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise UsageError(f"{path} is in the way of a mailbox {name}")
        self._shape(name, mailboxes.CREATED, actor)
        return self._mailbox(name)

    def _folder(self, name: str) -> Path:
        """Where a mailbox would lie. Raises UsageError for a name that none can have."""
        try:
            return self.ground.files.mailbox(names.mailbox_folder(name))
        except ValueError as error:
            raise UsageError(str(error)) from error

    def _check_free(self, name: str) -> None:
        """Raises UsageError where a name cannot be given to a mailbox."""
        path = self._folder(name)
        if self._find(name):
            raise UsageError(f"{self.address} has a mailbox {name} already")
        if os.path.lexists(path):
            raise UsageError(f"{path} is in the way of a mailbox {name}")

    def _shape(self, name: str, what: str, actor: str, client: str = "", target: str = "") -> None:
        self.shape(
            BoxMailbox(
                at=clock.now_us(),
                trace=self.desk.mint(),
                addr=self.address,
                mailbox=name,
                what=what,
                target=target,
                client=client,
                actor=actor,
            )
        )

    def _rows(self, mailbox: MailboxRow, uids: Sequence[int]) -> list[Row]:
        """Messages by UID, in the order given. Raises NothingFound with those not there."""
        wanted = list(dict.fromkeys(uids))
        if len(wanted) > CHUNK:
            known = {row.uid: row for row in self.index.of_mailbox(mailbox)}
            found = [known.get(uid) for uid in wanted]
        else:
            found = [self.index.by_uid(mailbox, uid) for uid in wanted]
        missing = [str(uid) for uid, row in zip(wanted, found, strict=True) if row is None]
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise NothingFound(
                f"{self.address} has no message with UID {', '.join(missing[:5])}{more} "
                f"in {mailbox.name}"
            )
        return [row for row in found if row is not None]

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

"""The one process that may change a box: frame first, then files, then index.

``Owner`` holds the box's lock and does one thing at a time. Each act is (1) planned against an
index brought up to date, (2) made durable as a journal frame with its event, (3) done to files
and index by ``acts.perform``. What fails between (2) and (3) is done before anything else, by
this process or at the next opening.
"""

import fcntl
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from mtad import clock
from mtad.errors import Locked, MtadError, NothingFound, UsageError
from mtad.journal.frame import Act, Copy, Expunge, Flags, Meta, Move, raw
from mtad.journal.writer import JournalBroken, JournalFull
from mtad.store import acts, keywords, maildir, names, subject
from mtad.store.acts import CHUNK, Ground
from mtad.store.desk import Desk
from mtad.store.files import Files
from mtad.store.index import Index, MailboxRow, Row
from mtad.store.ledger import Ledger
from mtad.store.noticing import Notice, chunks, item_of, traced
from mtad.store.putting import Putting
from mtad.store.replay import Replay
from mtad.store.values import MailboxInfo, Message, Prepared
from mtad.where import Places
from tracing.events import BoxExpunge, BoxFlags, BoxForeign, BoxMailbox, BoxMove, Event, Item

MAILDIR = "Maildir"


class Owner:
    """A box open for change. Safe for concurrent threads, which then wait for each other."""

    def __init__(
        self, folder: Path, address: str, hostname: str, replay: Replay, desk: Desk | None
    ) -> None:
        """Lock the box, open its index, do what journals promised; only that without ``desk``.

        Raises Locked when another process owns the box, MtadError when its Maildir is gone.
        """
        self.folder = folder
        self.address = address
        self.hostname = hostname
        self._desk = desk
        self._replay = replay
        self._turn = threading.RLock()
        self._unfinished: list[tuple[Act, int]] = []
        self._lock = _take_lock(folder, address)
        self._closed = False
        try:
            index = Index(folder / "index.db")
        except BaseException:
            os.close(self._lock)
            raise
        try:
            files = Files(folder / MAILDIR)
            if index.is_new:
                maildir.ensure(files.root)
                maildir.sync_folder(folder)
            elif not files.root.is_dir():
                raise MtadError(f"{files.root} is not there; is its disk mounted?")
            for mailbox in index.mailboxes.values():
                files.trust(mailbox.folder, "new", mailbox.new_mtime)
                files.trust(mailbox.folder, "cur", mailbox.cur_mtime)
            self.ground = Ground(address, index, files)
            self._ledger = Ledger(Places(folder.parents[2]).log)
            self.replayed = self._recover()
        except BaseException:
            index.abandon()
            os.close(self._lock)
            raise

    @classmethod
    def open(cls, folder: Path, address: str, hostname: str, desk: Desk) -> Self:
        """Open a box on its own, looking through the journals for what it has still to do."""
        replay = Replay(Places(folder.parents[2]).journal)
        try:
            replay.scan()
            return cls(folder, address, hostname, replay, desk)
        finally:
            replay.close()

    def _recover(self) -> int:
        count = 0
        for journal, seq, what in self._replay.todo(self.address, dict(self.index.applied)):
            if isinstance(what, BoxForeign):
                acts.adopt(self.ground, what.mailbox, what.items, journal, seq)
            else:
                acts.perform(self.ground, what, journal, seq)
            count += 1
        return count

    @property
    def index(self) -> Index:
        """The box's index."""
        return self.ground.index

    @property
    def desk(self) -> Desk:
        """The journal this owner's acts go to."""
        assert self._desk is not None, "a box opened for recovery takes no acts"
        return self._desk

    # ------------------------------------------------------------------ reading

    def sync(self) -> int:
        """Take in what happened to the files; returns how many messages got a UID."""
        with self._working():
            return self._sync()

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
        return [message(box, row) for box in chosen for row in self.index.view(box)]

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
        with self._working():
            self._sync()
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
                self._do(
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
        with self._working():
            self._sync()
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
                self._do(
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
        with self._working():
            self._sync()
            box = self._mailbox(mailbox)
            rows = self._rows(box, uids)
            for part in chunks(rows):
                act = Expunge(
                    self.address, box.name, tuple(map(_copy, part)), self.index.take_modseq()
                )
                items, trace, also = self._named(part)
                self._do(
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
        with self._working():
            self._sync()
            box = self._make(mailbox, actor)
            putting = Putting(self.ground, self.desk, self.hostname, box)
            return putting.run(items, self._do, actor=actor, client=client, snapshot=snapshot)

    def create(self, mailbox: str, *, actor: str) -> bool:
        """Make a mailbox; False when it is there. Raises UsageError for no name at all."""
        with self._working():
            self._sync()
            there = self._find(mailbox) is not None
            self._make(mailbox, actor)
            return not there

    # ------------------------------------------------------------------- ending

    def settle(self) -> None:
        """Make all that was done durable, so that its frames may go; waits for no act.

        Syncs the folders and the index's write-ahead log from outside the index's connection.
        Raises OSError, and MtadError while a promised act is not done.
        """
        if self._unfinished:
            raise MtadError(f"{self.address} has an act to finish")
        self.ground.files.sync()
        for name in ("index.db-wal", "index.db"):
            with suppress(FileNotFoundError):
                maildir.sync_file(self.folder / name)
        maildir.sync_folder(self.folder)

    def close(self) -> None:
        """Make everything durable and give the box back."""
        with self._turn:
            if self._closed:
                return
            self._closed = True
            try:
                if self._unfinished:
                    with suppress(Exception):
                        self._finish()
                if self._unfinished:
                    self._replay.failed(self.address, self._unfinished[-1][1])
                    self.index.abandon()
                    return
                self.ground.files.sync()
                for mailbox in self.index.mailboxes.values():
                    mailbox.new_mtime = self.ground.files.settled_mtime(mailbox.folder, "new")
                    mailbox.cur_mtime = self.ground.files.settled_mtime(mailbox.folder, "cur")
                self.index.close()
            finally:
                self._ledger.close()
                os.close(self._lock)

    # ------------------------------------------------------------------ private

    @contextmanager
    def _working(self) -> Iterator[None]:
        with self._turn:
            if self._closed:
                raise MtadError(f"the box {self.address} is closed")
            self._finish()
            yield

    def _finish(self) -> None:
        """Do what was promised and failed."""
        while self._unfinished:
            act, seq = self._unfinished[0]
            acts.perform(self.ground, act, self.desk.name, seq)
            del self._unfinished[0]

    def _sync(self) -> int:
        try:
            count = Notice(self.ground, self.desk, self._ledger, self.hostname).run()
        except FileNotFoundError as error:
            if self.ground.files.root.is_dir():
                raise
            raise MtadError(
                f"{self.ground.files.root} is not there; is its disk mounted?"
            ) from error
        except (JournalFull, JournalBroken) as error:
            raise MtadError(f"{self.address} cannot be changed now: {error}") from error
        self.index.is_new = False
        return count

    def _do(self, act: Act, event: Event) -> None:
        """Promise an act, then do it. Raises MtadError when it was not promised."""
        try:
            seq = self.desk.commit(Meta(events=(raw(event),), acts=(act,)))
        except (JournalFull, JournalBroken) as error:
            raise MtadError(f"{self.address} cannot be changed now: {error}") from error
        self._unfinished.append((act, seq))
        self._finish()

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
        try:
            made = self.ground.mailbox(name, self.desk.mint())
        except ValueError as error:
            raise UsageError(str(error)) from error
        self.desk.commit(
            Meta(
                events=(
                    raw(
                        BoxMailbox(
                            at=clock.now_us(),
                            trace=self.desk.mint(),
                            addr=self.address,
                            mailbox=made.name,
                            what="created",
                            actor=actor,
                        )
                    ),
                )
            )
        )
        return made

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


def message(mailbox: MailboxRow, row: Row) -> Message:
    """A message as others see it."""
    return Message(
        mailbox.name,
        row.uid,
        row.st,
        row.m or 0,
        row.base,
        row.flags,
        row.words,
        row.modseq,
        row.date_ns,
        row.size,
        row.sha256,
        f"{'new' if row.fresh else 'cur'}/{row.name}",
        mailbox.folder,
    )


def _copy(row: Row) -> Copy:
    return Copy(row.st, row.m or 0, row.uid, row.base)


def _take_lock(folder: Path, address: str) -> int:
    """The box's lock, which ends with the process. Raises Locked."""
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if made:
        for path in (folder.parent, folder.parent.parent):
            maildir.sync_folder(path)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise Locked(f"another process has the box {address} open") from None
    return lock

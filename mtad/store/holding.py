"""A box held by one process: its lock, its index, and what was promised and not done yet.

Who holds the lock may change the box. Opening does what journals promise; every later piece
of work first finishes what a failure left behind; closing makes all of it durable.
"""

import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import msgspec

from mtad.errors import Locked, MtadError
from mtad.journal import disk
from mtad.journal.frame import Act, Flags, Meta, raw
from mtad.journal.writer import JournalBroken, JournalFull
from mtad.store import acts, mailboxes, maildir
from mtad.store.acts import Ground
from mtad.store.desk import Desk
from mtad.store.files import Files
from mtad.store.index import Index
from mtad.store.ledger import Ledger
from mtad.store.mending import measure, mend, sweep
from mtad.store.noticing import Notice
from mtad.store.quota import Limits, OverQuota, is_over
from mtad.store.replay import Promised, Replay
from mtad.store.rows import Row
from mtad.store.telling import chunks
from mtad.where import Kept, Places
from tracing.events import BoxAcl, BoxForeign, BoxMailbox, Event

MAILDIR = "Maildir"
TOGETHER = 20
"""Changes of flags, of a thousand messages each, in one frame."""
LATER = 20
"""Messages of a change of flags above which their files may follow later."""
MOST_LAGGING = 250_000
"""Messages whose files may follow later; those of further ones are waited for."""
SLICE_SECONDS = 0.001
"""How long files follow before acts have their turn."""
SLICE = 40
"""Files that follow together."""


class Holding:
    """What every change of a box stands on. Safe for concurrent threads, which wait in turn."""

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
        self.limits: Callable[[], Limits] = Limits
        """What the box may hold, asked before each act that puts something into it."""
        self.copies: Mapping[str, int] = {}
        """Stored copies of files whose names do not tell them, by base name; for a repair."""
        self.by: object = None
        """The session for which work is done, None where it is nobody's."""
        self._unfinished: deque[tuple[Promised, int]] = deque()
        """With the frame that each ends, 0 where others of the same frame follow."""
        self._told = 0
        """How many of these the index tells already: their files are to follow."""
        self._lagging = 0
        """Messages of these."""
        self._lock = take_lock(folder, address)
        self._counts: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {}
        self._closed = False
        self._notice: Notice | None = None
        files = Files(folder / MAILDIR)
        try:
            if not (folder / "index.db").exists():  # where there is one, so is a Maildir
                maildir.ensure(files.root)
                maildir.sync_folder(folder)
            index = Index(folder / "index.db")
        except BaseException:
            os.close(self._lock)
            raise
        try:
            if not files.root.is_dir():
                raise MtadError(f"{files.root} is not there; is its disk mounted?")
            for mailbox in index.mailboxes.values():
                files.trust(mailbox.folder, "new", mailbox.new_mtime)
                files.trust(mailbox.folder, "cur", mailbox.cur_mtime)
            content = os.fspath(Places(folder.parents[2]).content)
            self.ground = Ground(address, index, files, content)
            self._ledger = Ledger(replay.log)
            self.replayed = self._recover()
            sweep(self.ground)
            measure(self.ground)
        except BaseException:
            index.abandon()
            os.close(self._lock)
            raise

    @classmethod
    def open(
        cls, folder: Path, address: str, hostname: str, desk: Desk, log: Kept | None = None
    ) -> Self:
        """Open a box on its own, looking through the journals for what it has still to do."""
        replay = Replay(Places(folder.parents[2]).journal, log=log)
        try:
            replay.scan()
            return cls(folder, address, hostname, replay, desk)
        finally:
            replay.close()

    def _recover(self) -> int:
        """Do what journals promise; returns how many acts.

        What is found after an unclean stop, or done here, is durable when this returns: later
        acts, in whatever journal, never meet it again.
        """
        if self.index.lost_power:
            mend(self.ground, lambda: self._replay.todo(self.address, {}))
        count = 0
        for due in self._replay.todo(self.address, dict(self.index.applied)):
            self._perform(due.what, due.journal if due.is_last else "", due.seq)
            count += 1
        if count or not self.index.was_clean:
            self.ground.files.unsynced = True
            self.ground.settle(self.index.mailboxes.values())
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

    # ------------------------------------------------------------------- ending

    def settle(self) -> None:
        """Make all that was done durable, so that its frames may go; waits for no act.

        Syncs the folders and the index's write-ahead log from outside the index's connection.
        The index itself needs none: SQLite syncs it before it uses its log again. It must have
        none, since to close a descriptor of it is to give up the connection's locks (fcntl(2)),
        and then another process that has read it takes the log away. Raises OSError, and
        MtadError while a promised act is not done.
        """
        if self._unfinished:
            raise MtadError(f"{self.address} has an act to finish")
        self.ground.files.sync()
        with suppress(FileNotFoundError):
            maildir.sync_file(self.folder / "index.db-wal")
        maildir.sync_folder(self.folder)

    def rest(self, before: float) -> bool:
        """Keep nothing open that nobody used since ``before``, see ``Resting.rest``.

        Numbers stay in memory, and the lock is kept. Waits for no act.
        """
        closed = self.index.beside.rest(before)
        if self._turn.acquire(blocking=False):
            try:
                if self.index.rest(before):
                    self._ledger.close()
                    closed = True
            finally:
                self._turn.release()
        return closed

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

    # ------------------------------------------------------------- for the acts

    @contextmanager
    def working(self, *, lagging: bool = False) -> Iterator[None]:
        """One piece of work at a time, what failed before it first. Raises MtadError if closed.

        With ``lagging`` it may be done while files are to follow earlier acts (``lags``).
        """
        with self._turn:
            if self._closed:
                raise MtadError(f"the box {self.address} is closed")
            if not (lagging and self.lags):
                self._finish()
            while self.lags and self._lagging > MOST_LAGGING:
                self._follow_slice()
            yield

    @property
    def lags(self) -> bool:
        """Whether all that is not done are files that follow what the index says."""
        return 0 < self._told == len(self._unfinished)

    def _finish(self) -> None:
        """Do what was promised and failed."""
        while self._unfinished:
            self._finish_one()

    def _finish_one(self) -> None:
        what, seq = self._unfinished[0]
        self._perform(what, self.desk.name if seq else "", seq)
        self._unfinished.popleft()
        if self._told:
            assert isinstance(what, Flags)
            self._told -= 1
            self._lagging -= len(what.copies)

    def _follow_slice(self) -> None:
        """Do an act, or of one whose files follow so many of them."""
        what = self._unfinished[0][0]
        if self.lags and isinstance(what, Flags) and len(what.copies) > SLICE:
            self._finish_some()
        else:
            self._finish_one()

    def _finish_some(self) -> None:
        """The same for some files of a change of flags that is told; the frame is not done."""
        what, seq = self._unfinished[0]
        assert isinstance(what, Flags)
        acts.follow(self.ground, cut(what, 0, SLICE))
        self._unfinished[0] = (cut(what, SLICE, None), seq)
        self._lagging -= SLICE

    def _perform(self, what: Promised, journal: str, seq: int, planned: Sequence[Row] = ()) -> None:
        if isinstance(what, BoxForeign):
            acts.adopt(self.ground, what.mailbox, what.items, journal, seq)
        elif isinstance(what, BoxMailbox | BoxAcl):
            mailboxes.perform(self.ground, what, journal, seq)
        else:
            acts.perform(self.ground, what, journal, seq, planned)

    def look(self, *, doubt: bool = False) -> int:
        """Bring the index up to the files; returns how many messages got a UID.

        With ``doubt`` folders are listed in which a change could have hidden. Raises MtadError
        when the Maildir is not there or the journal takes nothing.
        """
        if self._notice is None:
            self._notice = Notice(self.ground, self.desk, self._ledger, self.hostname, self.copies)
        by, self.by = self.by, None
        try:
            count = self._notice.run(doubt=doubt)
        except FileNotFoundError as error:
            if self.ground.files.root.is_dir():
                raise
            raise MtadError(
                f"{self.ground.files.root} is not there; is its disk mounted?"
            ) from error
        except (JournalFull, JournalBroken) as error:
            raise MtadError(f"{self.address} cannot be changed now: {error}") from error
        finally:
            self.by = by
        self.index.is_new = False
        return count

    def check_quota(self, octets: int, messages: int) -> None:
        """Raises OverQuota where the box has no room for so much more."""
        limits = self.limits()
        index = self.index
        if is_over(limits, index.octets + octets, index.messages + messages):
            raise OverQuota(f"{self.address} is full: delete mail, or have its quota raised")

    def promise(self, meta: Meta, body: bytes = b"") -> int:
        """Make a frame durable; returns its number. Raises MtadError when it is not."""
        try:
            return self.desk.commit(meta, body)
        except (JournalFull, JournalBroken) as error:
            raise MtadError(f"{self.address} cannot be changed now: {error}") from error

    def do(self, act: Act, event: Event, planned: Sequence[Row] = (), body: bytes = b"") -> None:
        """Promise an act, then do it, perhaps on rows that are ``planned`` for it.

        ``body`` are the octets of a file that the act has inline. Raises MtadError when it was
        not promised.
        """
        seq = self.promise(Meta(events=(raw(event),), acts=(act,)), body)
        self._unfinished.append((act, seq))
        self._perform(act, self.desk.name, seq, planned)
        self._unfinished.pop()

    def do_later(self, changes: Iterable[tuple[Flags, Event, Sequence[Row]]]) -> None:
        """Promise changes of flags and tell them; their files follow by ``follow``.

        ``TOGETHER`` are one frame. They have the standing of acts that failed after their
        promise: nothing but further changes of flags is done before them, and no end, orderly or
        not, forgets them.
        """
        for part in chunks(changes, TOGETHER):
            events = tuple(raw(event) for _, event, _ in part)
            seq = self.promise(Meta(events=events, acts=tuple(act for act, _, _ in part)))
            self._unfinished.extend((act, 0) for act, _, _ in part[:-1])
            self._unfinished.append((part[-1][0], seq))
            for act, _, planned in part:
                acts.announce(self.ground, act, planned)
                self._told += 1
                self._lagging += len(act.copies)

    @property
    def has_more(self) -> bool:
        """Whether ``follow`` has anything to do."""
        return bool(self._unfinished) and not self._closed

    def follow(self) -> bool:
        """Do what is not done for ``SLICE_SECONDS``; returns whether there is more.

        What fails is done before the next act, whichever that is.
        """
        with self._turn:
            end = time.monotonic() + SLICE_SECONDS
            try:
                while self.has_more:
                    self._follow_slice()
                    if time.monotonic() >= end:
                        break
            except BaseException:
                self._told = self._lagging = 0
                raise
            return self.has_more

    def shape(self, event: BoxMailbox | BoxAcl) -> None:
        """The same for what is done to a mailbox as a whole: the event says it."""
        seq = self.promise(Meta(events=(raw(event),)))
        self._unfinished.append((event, seq))
        self._finish()


def cut(act: Flags, begin: int, end: int | None) -> Flags:
    """A change of flags for some of its messages."""
    part = slice(begin, end)
    return msgspec.structs.replace(
        act, copies=act.copies[part], flags=act.flags[part], keywords=act.keywords[part]
    )


def take_lock(folder: Path, address: str) -> int:
    """The box's lock, which ends with the process. Raises Locked."""
    disk.make_folder(folder, 0o700)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise Locked(f"another process has the box {address} open") from None
    return lock

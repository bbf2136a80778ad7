"""The log role's one working thread: frames in, files and rows out, in the journals' order.

A round reads every journal up to what was durable when it began. Files of a batch are made
first, then its rows are written, then subscribers and the boxes' owners hear of it. What
fails stays in the journals and is tried again: nothing is skipped, and a frame that may have
been executed in part is executed by ``replay``.
"""

import contextlib
import logging
import os
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TypeVar

from mtad import control
from mtad.directory import authkey
from mtad.errors import MtadError
from mtad.journal.bell import Bell
from mtad.journal.frame import Frame
from mtad.journal.reader import Reader
from mtad.materialise.correlate import Correlator
from mtad.materialise.fates import Fates
from mtad.materialise.files import ContentMissing, Files
from mtad.materialise.pending import Pending, waits
from mtad.materialise.recycle import Recycler
from mtad.materialise.replay import Replay
from mtad.materialise.rows import OWN, Noted, Rows, failed
from mtad.materialise.tail import Journals
from mtad.reports.token import Tokens
from mtad.where import Places
from tracing import events, sending
from tracing.log import Recorder

log = logging.getLogger("mtad.materialise")

T = TypeVar("T")

POLL_SECONDS = 0.2
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
_ENDS = frozenset(
    {
        sending.OutDelivered,
        sending.OutFailed,
        sending.QueueExpire,
        sending.QueueDrop,
        sending.QueueBounce,
        sending.QueueRedirect,
    }
)
"""Events with which a recipient elsewhere may be the last one of its message."""


@dataclass(slots=True)
class Standing:
    """How the work stands; changed by the worker, read by anyone."""

    frames: int = 0
    problem: str = ""
    since: float = 0.0
    applied: dict[str, int] = field(default_factory=dict)


def _tokens(places: Places) -> Tokens | None:
    """Reads return paths made here; None where their secret cannot be had."""
    try:
        return Tokens([authkey.load(places.auth_key).return_paths])
    except (MtadError, OSError) as error:
        log.warning("bounces are not known by the return path they come to: %s", error)
        return None


class Worker:
    """Executes journals until told to stop. All but ``ask``, ``tell``, ``do``, ``keep`` and
    ``stop`` are its own.

    ``on_noted`` gets events as they are recorded; ``on_round`` the number that ``ask`` gave,
    once all that was durable when it was asked is applied. Both run in the worker's thread.
    """

    def __init__(
        self,
        places: Places,
        *,
        keep_seconds: float = 45,
        cap_bytes: int = 256 * 2**20,
        on_noted: Callable[[Noted], None] = lambda noted: None,
        on_round: Callable[[int], None] = lambda number: None,
    ) -> None:
        self.standing = Standing()
        self._places = places
        self._on_noted = on_noted
        self._on_round = on_round
        self._files = Files(places)
        self._journals = Journals(places.journal)
        self._recorder = Recorder(places.log)
        self._access = Bell(places.run / "access.bell")
        self._queue = Bell(places.run / "mta.bell")
        self._rows = Rows(self._recorder, self._access, self._queue, self._noted)
        self._pending = Pending(self._files, self._recorder.spent)
        self._reports = Correlator(places.log, self._files.content_path, _tokens(places))
        self._wanted: deque[int] = deque()
        self._told: deque[Callable[[int], events.Event]] = deque()
        self._calls: deque[Callable[[], None]] = deque()
        self._recycler = Recycler(
            self._files,
            self._pending,
            keep_seconds=keep_seconds,
            cap_bytes=cap_bytes,
            checkpoint=self._recorder.checkpoint,
        )
        self._suspect: tuple[str, int] | None = None
        self._outage = False
        self._pause = 0.0
        self._asked = 0
        self._recovered = False
        self._unfinished = False
        self._stopping = False
        self._event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._bell: socket.socket | None = None

    # ------------------------------------------------------------ from outside

    def ask(self, content_of: int = 0) -> int:
        """Ask for a round; ``on_round`` gives this number when it is through.

        A message's content, where the round finds that it is wanted, has its file by then.
        """
        if content_of:
            self._wanted.append(content_of)
        self._asked += 1
        os.eventfd_write(self._event_fd, 1)
        return self._asked

    def tell(self, make: Callable[[int], events.Event]) -> None:
        """Record an event of the role's own soon; ``make`` gets an id that nothing else has."""
        self._told.append(make)
        os.eventfd_write(self._event_fd, 1)

    def do(self, work: Callable[[Recorder], T]) -> "Future[T]":
        """Have something done to the log between two rounds, in the worker's thread."""
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(work(self._recorder))
            except Exception as error:
                done.set_exception(error)

        self._calls.append(run)
        os.eventfd_write(self._event_fd, 1)
        return done

    def keep(self, seconds: float) -> None:
        """Let segments go once they are that old."""
        self._recycler.keep_seconds = seconds

    def stop(self) -> None:
        """Let the thread finish what is durable and end."""
        self._stopping = True
        os.eventfd_write(self._event_fd, 1)

    # -------------------------------------------------------------- the thread

    def start(self) -> None:
        """Replay what the journals hold, then say that the role is up.

        Waits out whatever stands in the way, a full disk too, until told to stop.
        """
        self._bell = control.bind(self._places.doorbell, socket.SOCK_DGRAM)
        while not self._stopping and not self._try(self._recover):
            self._wait()
        if self._recovered:
            self._rows.say(events.SysStart, role=OWN, version=version("mtad"))
            self._try(self._rows.flush)

    def run(self) -> None:
        """Rounds until told to stop, then a last one."""
        while not self._stopping:
            self.turn()
            self._wait()
        if self._recovered and self.turn():
            self._rows.say(events.SysStop, role=OWN, why="told to")
            if self._try(self._rows.flush):
                self._try(self._recorder.checkpoint)

    def turn(self) -> bool:
        """One round, and a slice of tidying up when it left nothing undone."""
        asked = self._asked
        if not self._try(self._round):
            return False
        self._on_round(asked)
        while self._calls:
            self._calls.popleft()()
        self._unfinished = False
        self._try(self._tidy)
        return True

    def close(self) -> None:
        """Let everything go; what is not applied stays in the journals."""
        self._journals.close()
        self._recorder.close()
        self._access.close()
        self._queue.close()
        if self._bell is not None:
            self._bell.close()
        os.close(self._event_fd)

    def _wait(self) -> None:
        """Until the bell rings, someone asks, or it is time to look again."""
        if self._pause:
            until = time.monotonic() + self._pause
            while not self._stopping and (left := until - time.monotonic()) > 0:
                select.select([self._event_fd], [], [], left)
                self._hear()
            return
        listening: list[int | socket.socket] = [self._event_fd]
        if self._bell is not None:
            listening.append(self._bell)
        select.select(listening, [], [], 0 if self._unfinished else POLL_SECONDS)
        self._hear()

    def _hear(self) -> None:
        """Take what was rung so far."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._event_fd)
        if self._bell is not None:
            with contextlib.suppress(BlockingIOError):
                while self._bell.recv(256):
                    pass

    def _try(self, work: Callable[[], object]) -> bool:
        """Run a piece of work; a failure is remembered, shown, and tried again later."""
        try:
            work()
        except Exception as error:
            self._pause = min(LONGEST_PAUSE_SECONDS, self._pause * 2 or FIRST_PAUSE_SECONDS)
            if not self.standing.problem:
                self.standing.since = time.time()
            self.standing.problem = f"{type(error).__name__}: {error}"
            return False
        if self._pause:
            self._pause = 0.0
            self.standing.problem = ""
        return True

    # ------------------------------------------------------------------ rounds

    def _round(self) -> None:
        """Apply all that is durable now. Raises what stopped it."""
        if self._recorder.resume() or not self._recovered:
            self._recovered = False
            self._recover()
        while self._told:
            self._rows.tell([self._told.popleft()(self._recorder.mint.new())])
        self._rows.flush()
        readers = self._journals.look()
        for reader in readers:
            for frame in reader.frames(self._applied(reader.name)):
                self._take(reader.name, frame)
        self._tell_damage(readers)
        self._rows.flush()
        self._tie_reports()
        while self._wanted:
            self._pending.keep(self._wanted[0])
            self._wanted.popleft()

    def _tie_reports(self) -> None:
        """Add what reports tell to the traces they are about, now that all is in the log."""
        told = self._reports.events()
        if told:
            self._rows.tell(told)
            self._rows.flush()

    def _noted(self, noted: Noted) -> None:
        """Tell of what is in the log; it may be a message's end."""
        self._on_noted(noted)
        ended = {event.trace for _, event in noted if type(event) in _ENDS}
        if ended:
            self._pending.ended(ended)

    def _applied(self, name: str) -> int:
        known = self.standing.applied.get(name)
        if known is None:
            known = self.standing.applied[name] = self._recorder.applied(name)
        return known

    def _take(self, name: str, frame: Frame) -> None:
        """Execute one frame and put its events into the batch."""
        made: Sequence[events.Event] = ()
        if waits(frame):
            self._hold(frame)
        elif frame.meta.content is not None:
            try:
                if self._suspect == (name, frame.seq):
                    made = self._once_more(frame)
                    self._suspect = None
                else:
                    made = self._files.deliver(frame)
            except ContentMissing as error:
                made = failed(frame, str(error))
            except OSError as error:
                self._suspect = (name, frame.seq)
                if not self._outage:
                    self._outage = True
                    why = f"{error.strerror or error}; the journal keeps it"
                    self._rows.tell(failed(frame, why))
                self._rows.flush()
                raise
            self._outage = False
        self._reports.see(frame)
        self._add(name, frame, made)

    def _add(self, name: str, frame: Frame, made: Sequence[events.Event]) -> None:
        self.standing.applied[name] = frame.seq
        self.standing.frames += 1
        if self._rows.add(name, frame, made):
            self._rows.flush()

    def _hold(self, frame: Frame) -> None:
        assert frame.meta.content is not None
        self._pending.take(frame.meta.content, frame.body)

    def _once_more(self, frame: Frame) -> Sequence[events.Event]:
        """Finish a frame that may have been executed in part."""
        fates = self._fates()
        try:
            return Replay(self._files, fates).execute(frame)
        finally:
            fates.close()

    def _tell_damage(self, readers: Iterable[Reader]) -> None:
        """Make events of what readers found damaged."""
        for reader in readers:
            for damage in reader.damage:
                self._rows.say(
                    events.AuditViolation,
                    what=f"journal {reader.name}, segment {damage.number}: octets "
                    f"{damage.start} to {damage.end} are damaged",
                )
            reader.damage.clear()

    def _tidy(self) -> None:
        """Give files to what stays in the queue, and segments back to their writers."""
        self._pending.sweep()
        self._unfinished = self._recycler.step(self._journals.look(), self.standing.applied)

    # ------------------------------------------------------------------ replay

    def _fates(self) -> Fates:
        owners = [
            Reader(reader.directory, finished=False)
            for reader in self._journals.look()
            if not reader.name.startswith("mta-")
        ]
        return Fates(owners, self._recorder.gone)

    def _recover(self) -> None:
        """Execute all frames that segments still hold once more. Raises; safe to repeat."""
        self._rows.forget()
        fates = self._fates()
        replay = Replay(self._files, fates)
        replayed = repaired = 0
        try:
            fates.refresh()
            for known in self._journals.look():
                reader = Reader(known.directory, finished=False)
                applied = self.standing.applied[reader.name] = self._recorder.applied(reader.name)
                try:
                    for frame in reader.frames(0):
                        before = replay.repaired
                        made: Sequence[events.Event] = ()
                        try:
                            if waits(frame):
                                self._hold(frame)
                            else:
                                made = replay.execute(frame)
                        except ContentMissing as error:
                            made = failed(frame, str(error))
                        self._reports.see(frame)
                        if frame.seq > applied:
                            replayed += not reader.name.startswith("cli-")
                            self._add(reader.name, frame, made)
                        else:
                            repaired += replay.repaired - before
                    self._tell_damage([reader])
                finally:
                    reader.close()
                self._rows.flush()
        finally:
            fates.close()
        self._pending.settle()
        self._recovered = True
        if replayed or repaired:
            self._rows.say(events.SysRecovered, frames=replayed, repaired=repaired)
        self._rows.flush()
        self._tie_reports()

"""The log role's one working thread: frames in, files and rows out, in the journals' order.

A round reads every journal up to what was durable when it began. Files of a batch are made
first, then its rows are written in one transaction per month, then subscribers and the boxes'
owners hear of it. What fails stays in the journals and is tried again: nothing is skipped,
and a frame that may have been executed in part is executed by ``replay``.
"""

import contextlib
import json
import os
import select
import socket
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from mtad import clock, control
from mtad.journal.bell import Bell
from mtad.journal.frame import Frame
from mtad.journal.reader import Reader
from mtad.materialise.fates import Fates
from mtad.materialise.files import ContentMissing, Files
from mtad.materialise.recycle import Recycler
from mtad.materialise.replay import Replay
from mtad.materialise.tail import Journals
from mtad.where import Places
from tracing import events
from tracing.log import Applied, Recorder

POLL_SECONDS = 0.2
BATCH_FRAMES = 500
BATCH_OCTETS = 8 * 2**20
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
OWN = "log"
"""The name under which events of this role itself are recorded."""
_BOXES_PER_RING = 500

Noted = Sequence[tuple[int, events.Event]]


@dataclass(slots=True)
class Standing:
    """How the work stands; replaced or changed by the worker, read by anyone."""

    frames: int = 0
    problem: str = ""
    since: float = 0.0
    applied: dict[str, int] = field(default_factory=dict)


class Worker:
    """Executes journals until told to stop. All methods but ``ask`` and ``stop`` are its own."""

    def __init__(
        self,
        places: Places,
        *,
        keep_seconds: float = 45,
        cap_bytes: int = 256 * 2**20,
        on_noted: Callable[[Noted], None] = lambda noted: None,
        on_round: Callable[[int], None] = lambda number: None,
    ) -> None:
        self._places = places
        self._on_noted = on_noted
        self._on_round = on_round
        self._files = Files(places)
        self._journals = Journals(places.journal)
        self._recorder = Recorder(places.log)
        self._recycler = Recycler(
            self._files,
            keep_seconds=keep_seconds,
            cap_bytes=cap_bytes,
            checkpoint=self._recorder.checkpoint,
        )
        self._access = Bell(places.run / "access.bell")
        self._suspect: tuple[str, int] | None = None
        self._batch: list[Applied] = []
        self._octets = 0
        self._boxes: dict[str, None] = {}
        self._own: list[events.Event] = []
        self._failed = False
        self._pause = 0.0
        self._own_seq = 0
        self._asked = 0
        self._recovered = False
        self._unfinished = False
        self._stopping = False
        self._event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._bell: socket.socket | None = None
        self.standing = Standing()

    # ------------------------------------------------------------ from outside

    def ask(self) -> int:
        """Ask for a round; once ``on_round`` gives this number, what was durable is applied."""
        self._asked += 1
        os.eventfd_write(self._event_fd, 1)
        return self._asked

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
            self._say(events.SysStart, role=OWN, version=version("mtad"))
            self._try(self._flush)

    def run(self) -> None:
        """Rounds until told to stop, then a last one."""
        while not self._stopping:
            self.turn()
            self._wait()
        if self._recovered and self.turn():
            self._say(events.SysStop, role=OWN, why="told to")
            if self._try(self._flush):
                self._try(self._recorder.checkpoint)

    def turn(self) -> bool:
        """One round, and a slice of recycling when it left nothing undone."""
        asked = self._asked
        if not self._try(self._round):
            return False
        self._on_round(asked)
        self._unfinished = False
        self._try(self._recycle)
        return True

    def close(self) -> None:
        """Let everything go; what is not applied stays in the journals."""
        self._journals.close()
        self._recorder.close()
        self._access.close()
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
        else:
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

    def _round(self) -> None:
        """Apply all that is durable now. Raises what stopped it."""
        self._flush()
        for reader in self._journals.look():
            applied = self._applied(reader.name)
            for frame in reader.frames(applied):
                self._take(reader.name, frame)
        self._flush()
        if self._tell_damage(self._journals.look()):
            self._flush()

    def _applied(self, name: str, *, anew: bool = False) -> int:
        known = self.standing.applied.get(name)
        if known is None or anew:
            known = self.standing.applied[name] = self._recorder.applied(name)
        return known

    def _take(self, name: str, frame: Frame) -> None:
        """Execute one frame and put its events into the batch."""
        made: Sequence[events.Event] = ()
        if frame.meta.content is not None:
            try:
                made = self._deliver(name, frame)
            except OSError as error:
                self._suspect = (name, frame.seq)
                self._store_failed(frame, error)
                self._flush()
                raise
        self._add(name, frame, made)

    def _add(self, name: str, frame: Frame, made: Sequence[events.Event]) -> None:
        """Put an executed frame's events into the batch."""
        told = events_of(frame)
        told.extend(made)
        self._batch.append(Applied(name, frame.seq, frame.last_id, told))
        self._boxes.update((link.box, None) for link in frame.meta.links)
        self._octets += len(frame.body)
        self.standing.applied[name] = frame.seq
        self.standing.frames += 1
        if len(self._batch) >= BATCH_FRAMES or self._octets >= BATCH_OCTETS:
            self._flush()

    def _deliver(self, name: str, frame: Frame) -> Sequence[events.Event]:
        content = frame.meta.content
        assert content is not None
        made: Sequence[events.Event]
        try:
            if self._suspect == (name, frame.seq):
                made = self._once_more(frame)
                self._suspect = None
            else:
                made = self._files.deliver(frame)
        except ContentMissing as error:
            made = _failed(frame, str(error))
        self._failed = False
        return made

    def _once_more(self, frame: Frame) -> Sequence[events.Event]:
        """Finish a frame that may have been executed in part."""
        fates = self._fates()
        try:
            return Replay(self._files, fates).execute(frame)
        finally:
            fates.close()

    def _store_failed(self, frame: Frame, error: OSError) -> None:
        """Tell once of an outage that the mail of a frame has to wait for."""
        if not self._failed:
            self._failed = True
            self._own += _failed(frame, f"{error.strerror or error}; the journal keeps it")

    def _flush(self) -> None:
        """Write the rows of the batch, then tell of it. Raises, and keeps the batch."""
        if self._own:
            applied = self._recorder.applied(OWN)
            self._own_seq = max(applied + 1, self._own_seq + 1, clock.now_us())
            self._batch.append(Applied(OWN, self._own_seq, 0, tuple(self._own)))
            self._own.clear()
        if not self._batch:
            return
        try:
            noted = self._recorder.apply(self._batch)
        except (OSError, sqlite3.OperationalError):
            raise
        except Exception:
            noted = self._one_by_one()
        self._batch.clear()
        self._octets = 0
        self._on_noted(noted)
        boxes = list(self._boxes)
        self._boxes.clear()
        for first in range(0, len(boxes), _BOXES_PER_RING):
            self._access.ring(json.dumps(boxes[first : first + _BOXES_PER_RING]).encode())

    def _one_by_one(self) -> list[tuple[int, events.Event]]:
        """Record frame by frame; one that cannot be recorded leaves a violation in its place."""
        noted: list[tuple[int, events.Event]] = []
        for one in self._batch:
            try:
                noted += self._recorder.apply([one])
            except (OSError, sqlite3.OperationalError):
                raise
            except Exception as error:
                kinds = ", ".join(event.kind for event in one.events)
                violation = events.AuditViolation(
                    at=clock.now_us(),
                    trace=one.events[0].trace if one.events else self._recorder.mint.new(),
                    what=f"journal {one.journal}, frame {one.seq} ({kinds}) could not be "
                    f"recorded: {error!r}",
                )
                noted += self._recorder.apply(
                    [Applied(one.journal, one.seq, one.last_id, (violation,))]
                )
        return noted

    def _say(self, kind: Callable[..., events.Event], **fields: Any) -> None:
        """An event of this role's own, to go with the next batch."""
        self._own.append(kind(at=clock.now_us(), trace=self._recorder.mint.new(), **fields))

    def _tell_damage(self, readers: Iterable[Reader]) -> bool:
        """Make events of what readers found damaged; whether there was anything."""
        found = False
        for reader in readers:
            for damage in reader.damage:
                found = True
                self._say(
                    events.AuditViolation,
                    what=f"journal {reader.name}, segment {damage.number}: octets "
                    f"{damage.start} to {damage.end} are damaged",
                )
            reader.damage.clear()
        return found

    def _recycle(self) -> None:
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
        self._batch.clear()
        self._boxes.clear()
        fates = self._fates()
        replay = Replay(self._files, fates)
        replayed = repaired = 0
        try:
            fates.refresh()
            for known in self._journals.look():
                reader = Reader(known.directory, finished=False)
                try:
                    applied = self._applied(reader.name, anew=True)
                    for frame in reader.frames(0):
                        before = replay.repaired
                        made: Sequence[events.Event]
                        try:
                            made = replay.execute(frame)
                        except ContentMissing as error:
                            made = _failed(frame, str(error))
                        if frame.seq > applied:
                            replayed += not reader.name.startswith("cli-")
                            self._add(reader.name, frame, made)
                        else:
                            repaired += replay.repaired - before
                    self._tell_damage([reader])
                finally:
                    reader.close()
                self._flush()
        finally:
            fates.close()
        self._recovered = True
        if replayed or repaired:
            self._say(events.SysRecovered, frames=replayed, repaired=repaired)
        self._flush()


def events_of(frame: Frame) -> list[events.Event]:
    """A frame's events; what cannot be read leaves a violation in its place."""
    told: list[events.Event] = []
    for raw in frame.meta.events:
        try:
            told.append(events.decode(bytes(raw)))
        except ValueError as error:
            content = frame.meta.content
            told.append(
                events.AuditViolation(
                    at=clock.now_us(),
                    trace=content.m if content else frame.last_id,
                    what=f"an event of frame {frame.seq} cannot be read: {error}",
                )
            )
    return told


def _failed(frame: Frame, why: str) -> list[events.Event]:
    """The events that tell that a frame's recipients have to wait."""
    content = frame.meta.content
    if content is None:
        return []
    at = clock.now_us()
    return [
        events.StoreFailed(at=at, trace=content.m, n=link.n, addr=link.box, why=why)
        for link in frame.meta.links
    ]

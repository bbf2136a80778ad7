"""Hands executed frames to the log in batches, and tells who wants to know.

A batch is one transaction per month. When it fails it is kept and tried again. A frame that
the log cannot take at all leaves a violation in its place, so that it stops nobody else.
"""

import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from mtad import clock
from mtad.journal.bell import Bell
from mtad.journal.frame import Frame
from tracing import events
from tracing.log import Applied, Recorder

BATCH_FRAMES = 500
BATCH_OCTETS = 8 * 2**20
OWN = "log"
"""The name under which events of the log role itself are recorded."""
_PER_RING = 500

_SENDER = "mta-"
"""What the names of journals begin with whose process runs the queue."""

Noted = Sequence[tuple[int, events.Event]]


class Rows:
    """The batch that is being gathered; for one thread."""

    def __init__(
        self, recorder: Recorder, access: Bell, queue: Bell, on_noted: Callable[[Noted], None]
    ) -> None:
        self._recorder = recorder
        self._access = access
        self._queue = queue
        self._on_noted = on_noted
        self._batch: list[Applied] = []
        self._octets = 0
        self._boxes: dict[str, None] = {}
        self._queued: dict[int, None] = {}
        self._own: list[events.Event] = []
        self._own_seq = 0

    def add(self, journal: str, frame: Frame, made: Sequence[events.Event]) -> bool:
        """Take a frame's events and those of its execution; whether the batch is full."""
        told = events_of(frame)
        told.extend(made)
        self._batch.append(Applied(journal, frame.seq, frame.last_id, told))
        self._boxes.update((link.box, None) for link in frame.meta.links)
        if not journal.startswith(_SENDER):
            self._queued.update((one.trace, None) for one in told if one.kind.startswith("queue."))
        self._octets += len(frame.body)
        return len(self._batch) >= BATCH_FRAMES or self._octets >= BATCH_OCTETS

    def say(self, kind: Callable[..., events.Event], **fields: Any) -> None:
        """An event of the log role's own, to go with the next batch."""
        self._own.append(kind(at=clock.now_us(), trace=self._recorder.mint.new(), **fields))

    def tell(self, told: Sequence[events.Event]) -> None:
        """Events about a message that come from no frame, to go with the next batch."""
        self._own += told

    def forget(self) -> None:
        """Drop what was gathered; the journals still have it."""
        self._batch.clear()
        self._boxes.clear()
        self._queued.clear()
        self._octets = 0

    def flush(self) -> None:
        """Write what was gathered, then tell of it. Raises, and then keeps it."""
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
        boxes, queued = list(self._boxes), list(self._queued)
        self.forget()
        self._on_noted(noted)
        for bell, names in ((self._access, boxes), (self._queue, queued)):
            for first in range(0, len(names), _PER_RING):
                bell.ring(json.dumps(names[first : first + _PER_RING]).encode())

    def _one_by_one(self) -> list[tuple[int, events.Event]]:
        """Record frame by frame; one that cannot be recorded leaves a violation."""
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


def failed(frame: Frame, why: str) -> list[events.Event]:
    """The events that tell that a frame's recipients have to wait."""
    content = frame.meta.content
    if content is None:
        return []
    at = clock.now_us()
    return [
        events.StoreFailed(at=at, trace=content.m, n=link.n, addr=link.box, why=why)
        for link in frame.meta.links
    ]

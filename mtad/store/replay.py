"""Acts that journals promise and a box has not done yet, found at start.

A frame is durable before its act touches the box, so a process that dies in between leaves
frames above what the box's index says it has done. Only journals of owners hold acts: those
of the access role and of commands that ran without a daemon.
"""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mtad.journal.frame import Act, Frame
from mtad.journal.reader import Reader
from mtad.store.mailboxes import ACTS
from mtad.where import Kept
from tracing.events import BoxAcl, BoxForeign, BoxMailbox

OWNERS = ("access-*", "cli-*")
"""Names of the journals whose processes own boxes."""
_TELLING = (b"box.foreign", b"box.mailbox", b"box.acl")
"""Kinds of events that say by themselves what is to be done."""

Promised = Act | BoxForeign | BoxMailbox | BoxAcl
"""What a frame says is to be done to a box."""


class Todo(NamedTuple):
    """What one frame says about one box."""

    journal: str
    seq: int
    what: Promised
    body: bytes
    """The message of a file that is inline."""
    is_last: bool
    """Whether the frame is done with it."""


class Replay:
    """What the journals below a folder say, box by box. Cheap to ask again.

    ``own`` is this process's own journal: what it promised it does itself, unless ``failed``
    says otherwise.
    """

    def __init__(self, root: Path, *, own: str = "", log: Kept | None = None) -> None:
        self.log = log or root.parent / "log"
        """The event log that boxes ask about their messages."""
        self._root = root
        self._own = own
        self._readers: dict[str, Reader] = {}
        self._after: dict[str, int] = {}
        self._last: dict[str, dict[str, int]] = {}
        self._lock = threading.Lock()

    @property
    def boxes(self) -> list[str]:
        """Addresses of the boxes that any frame seen says something about."""
        return list(self._last)

    def scan(self) -> None:
        """Look at the frames that came since the last time; safe for concurrent threads."""
        with self._lock:
            for directory in self._journals():
                name = directory.name
                reader = self._readers.get(name)
                if reader is None:
                    reader = self._readers[name] = Reader(directory)
                for frame in reader.frames(self._after.get(name, 0)):
                    self._after[name] = frame.seq
                    for address in {address for address, _ in _said(frame)}:
                        self._last.setdefault(address, {})[name] = frame.seq

    def skip_own(self, own: str) -> None:
        """From here on this process has journal ``own``."""
        self._own = own
        reader = self._readers.pop(own, None)
        if reader is not None:
            reader.close()

    def failed(self, address: str, seq: int) -> None:
        """An act of ours is durable but was not done: it is due at the box's next opening."""
        with self._lock:
            self._last.setdefault(address, {})[self._own] = seq

    def is_due(self, address: str, applied: dict[str, int]) -> bool:
        """Whether ``todo`` has anything for a box."""
        return any(last > applied.get(journal, 0) for journal, last in self._promised(address))

    def todo(self, address: str, applied: dict[str, int]) -> Iterator[Todo]:
        """What a box has still to do, given the last frame it did of each journal, in order."""
        for journal, last in self._promised(address):
            done = applied.get(journal, 0)
            if last <= done:
                continue
            reader = Reader(self._root / journal)
            try:
                for frame in reader.frames(done):
                    ours = [what for box, what in _said(frame) if box == address]
                    for left, what in enumerate(ours, 1 - len(ours)):
                        yield Todo(journal, frame.seq, what, frame.body, not left)
            finally:
                reader.close()

    def last(self, address: str) -> list[tuple[str, int]]:
        """The last frame about a box of each journal that has any."""
        return self._promised(address)

    def _promised(self, address: str) -> list[tuple[str, int]]:
        with self._lock:
            return sorted(self._last.get(address, {}).items())

    def close(self) -> None:
        """Let the files go."""
        while self._readers:
            self._readers.popitem()[1].close()

    def _journals(self) -> list[Path]:
        found = (path for pattern in OWNERS for path in self._root.glob(pattern))
        return sorted(path for path in found if path.is_dir() and path.name != self._own)


def _said(frame: Frame) -> Iterator[tuple[str, Promised]]:
    """Acts of a frame, foreign files it gave numbers to, and mailboxes, each with its box."""
    for act in frame.meta.acts:
        yield act.box, act
    if any(kind in bytes(raw) for raw in frame.meta.events for kind in _TELLING):
        for event in frame.events:
            if isinstance(event, BoxForeign | BoxAcl) or (
                isinstance(event, BoxMailbox) and event.what in ACTS
            ):
                yield event.addr, event

"""What a box needs of a journal, callable from the threads its work is done in.

A journal belongs to one event loop's thread; boxes do their listing, renaming and indexing
elsewhere. Where there is a loop, commits and notes are handed to it, in order; where there is
none (a command), they are made directly.
"""

import asyncio
import threading

from mtad.journal.frame import Meta
from mtad.journal.writer import Journal
from tracing.events import Event


class Desk:
    """A journal as a box sees it."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.loop: asyncio.AbstractEventLoop | None = None
        self._direct = threading.Lock()

    @property
    def name(self) -> str:
        """The journal's name, under which its frames count as applied."""
        return self.journal.name

    def mint(self) -> int:
        """An id nobody has had."""
        return self.journal.mint.new()

    def commit(self, meta: Meta) -> int:
        """Make a frame durable; returns its number. Raises JournalFull and JournalBroken."""
        if self.loop is None:
            with self._direct:
                return self.journal.commit_now(meta)
        return asyncio.run_coroutine_threadsafe(self.journal.commit(meta), self.loop).result()

    def note(self, event: Event) -> None:
        """Record what needs no durability of its own."""
        if self.loop is None:
            with self._direct:
                self.journal.note(event)
        else:
            self.loop.call_soon_threadsafe(self.journal.note, event)

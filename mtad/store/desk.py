"""What a box needs of a journal, callable from the threads its work is done in.

A journal belongs to one event loop's thread; boxes do their listing, renaming and indexing
elsewhere. Commits are made where they are asked for, and notes go before those that follow them.
"""

import asyncio

from mtad.journal.frame import Meta
from mtad.journal.writer import Journal
from tracing.events import Event


class Desk:
    """A journal as a box sees it."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.loop: asyncio.AbstractEventLoop | None = None

    @property
    def name(self) -> str:
        """The journal's name, under which its frames count as applied."""
        return self.journal.name

    def mint(self) -> int:
        """An id nobody has had."""
        return self.journal.mint.new()

    def commit(self, meta: Meta, body: bytes = b"") -> int:
        """Make a frame durable; returns its number. Raises JournalFull and JournalBroken."""
        return self.journal.commit_now(meta, body)

    def note(self, event: Event) -> None:
        """Record what needs no durability of its own."""
        if self.loop is None:
            self.journal.note(event)
        else:
            self.journal.keep(event)
            self.loop.call_soon_threadsafe(self.journal.time_notes)

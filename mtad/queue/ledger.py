"""Makes what became of queued recipients durable, with the reports that go with it.

One frame is the atom: a fact and the report about it, or neither. Whoever keeps the queue in
memory changes it afterwards, with ``apply``.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from mtad.delivery.framing import Envelope
from mtad.delivery.local import Barrier, Delivery
from mtad.journal.errors import JournalBroken, JournalFull
from mtad.journal.frame import Meta, raw
from mtad.queue.outcomes import Settled
from mtad.queue.reporting import Reporter
from mtad.reports.words import What
from tracing.events import Event

log = logging.getLogger("mtad.queue")

RETRY_SECONDS = 1.0
"""Between tries to make an outcome durable."""


class Ledger:
    """Writes through one process's journal."""

    def __init__(
        self,
        journal: Barrier,
        delivery: Delivery,
        reporter: Reporter,
        apply: Callable[[Sequence[Event]], None],
    ) -> None:
        self._journal = journal
        self._delivery = delivery
        self._reporter = reporter
        self._apply = apply

    async def finish(self, settled: Sequence[Settled], now: int) -> None:
        """Make what became of one message's recipients durable, then apply it.

        First what nobody is told of, for it is ready; then each kind of report with the
        recipients it is about. Raises JournalFull, JournalBroken or OSError: what is not
        applied by then does not count.
        """
        plain = [one for one in settled if one.what is None]
        if plain:
            await self.commit([event for one in plain for event in one.events])
        reports: dict[What, list[Settled]] = {}
        for one in settled:
            if one.what is not None:
                reports.setdefault(one.what, []).append(one)
        for what, told in reports.items():
            made = await self._reporter.make(what, told, now)
            if isinstance(made, tuple):
                await self.accept(*made)
            else:
                await self.commit(made)

    async def commit(self, events: Sequence[Event]) -> None:
        """Make events durable, then apply them. Raises JournalFull, JournalBroken."""
        await self._write(Meta(events=tuple(map(raw, events))))
        self._apply(events)

    async def _write(self, meta: Meta) -> None:
        await self._journal.commit(meta)

    async def accept(self, envelope: Envelope, octets: bytes) -> None:
        """Make a message and what led to it durable, then apply that. Raises as ``finish``."""
        await self._delivery.accept(envelope, [octets])
        self._apply(envelope.before)


class PatientLedger(Ledger):
    """For facts that nobody can take back: waits for the journal as long as it takes.

    No client waits for them, so they share the sync of what one does wait for.
    """

    async def commit(self, events: Sequence[Event]) -> None:
        """As in ``Ledger``, but never raises what a journal does."""
        while True:
            try:
                return await super().commit(events)
            except (JournalFull, JournalBroken) as error:
                await _wait(error)

    async def _write(self, meta: Meta) -> None:
        await self._journal.commit_soon(meta)

    async def accept(self, envelope: Envelope, octets: bytes) -> None:
        """As in ``Ledger``, but never raises what a journal or a disk does."""
        while True:
            try:
                return await super().accept(envelope, octets)
            except (JournalFull, JournalBroken, OSError) as error:
                await _wait(error)


async def _wait(error: Exception) -> None:
    log.warning("an outcome cannot be written down yet: %s", error)
    await asyncio.sleep(RETRY_SECONDS)

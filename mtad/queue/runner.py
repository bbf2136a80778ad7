"""The queue runner: tries what is due, and makes each outcome durable before it forgets it.

An attempt is one message and its recipients at one destination. Its outcomes become one frame
at once, in a group with whatever else is ready: until then a crash means that the attempt is
made once more, for nobody but the remote knows that it took the message (RFC 5321 4.5.4.1).
Outcomes that a sender hears of are in the same frame as the report. Only when that is durable
do entries change or go.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence

from mtad import clock
from mtad.delivery.framing import Envelope
from mtad.delivery.local import Barrier, Delivery
from mtad.errors import MtadError
from mtad.journal.errors import JournalBroken, JournalFull
from mtad.outbound.attempt import Courier, Mail, Outcome, Recipient
from mtad.outbound.stored import to_send
from mtad.queue.agenda import Agenda
from mtad.queue.bodies import Bodies, NotReadable
from mtad.queue.entries import Entries, Entry, Letter
from mtad.queue.ledger import PatientLedger
from mtad.queue.outcomes import settle
from mtad.queue.reporting import Reporter
from mtad.queue.schedule import Schedule
from tracing import ids
from tracing.events import Event
from tracing.sending import QueueAdd, QueueHold

log = logging.getLogger("mtad.queue")

LOOK_SECONDS = 1.0
"""How often it is looked whether a destination has room, or the journal, that had none."""


class Runner:
    """The queue of one process. All methods belong to its event loop.

    ``schedule``, ``courier``, ``max_attempts`` and ``max_recipients`` may change while it runs.
    """

    def __init__(
        self,
        journal: Barrier,
        delivery: Delivery,
        courier: Courier,
        bodies: Bodies,
        reporter: Reporter,
        *,
        schedule: Schedule,
        max_attempts: int = 100,
        max_recipients: int = 100,
        now: Callable[[], int] = clock.now_us,
    ) -> None:
        self.schedule = schedule
        self.max_attempts = max_attempts
        self.max_recipients = max_recipients
        self.courier = courier
        self.agenda = Agenda(lambda address: self.courier.destination_of(address))
        self.entries = Entries(self._due)
        self.bodies = bodies
        self._journal = journal
        self._ledger = PatientLedger(journal, delivery, reporter, self.apply)
        self._now = now
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._beginning: Counter[str] = Counter()
        """Attempts by destination that the courier does not know of yet."""
        self._is_stopping = False
        self.changed: set[tuple[int, int]] | None = None
        """While something is loaded: recipients that events were about meanwhile."""
        self.attempts = self.delivered = 0
        """Since the start."""

    # -------------------------------------------------------------- what is new

    def take(
        self,
        envelope: Envelope,
        queued: Sequence[QueueAdd | QueueHold],
        size: int,
        body: bytes | None,
    ) -> None:
        """A message that was made ours a moment ago (``Delivery.on_queued``)."""
        self.entries.open_letter(envelope.m, envelope.sender, size, envelope.at, envelope.rel)
        if body is not None:
            self.bodies.keep(envelope.m, body)
        self.apply(queued)

    def apply(self, events: Sequence[Event]) -> None:
        """Do to the queue what durable events say."""
        for event in events:
            entry = self.entries.apply(event)
            if entry is None:
                continue
            if self.changed is not None:
                self.changed.add((entry.letter.m, entry.n))
            if not entry.letter.entries:
                self.bodies.forget(entry.letter.m)

    def _due(self, entry: Entry) -> None:
        self.agenda.put(entry)
        self._wake.set()

    # ---------------------------------------------------------------- the loop

    async def run(self) -> None:
        """Try what is due until ``stop``."""
        while not self._is_stopping:
            self._wake.clear()
            try:
                self.turn()
            except MtadError as error:  # where mail goes cannot be read; it goes later
                log.warning("nothing can be sent: %s", error)
                await asyncio.sleep(LOOK_SECONDS)
            try:
                async with asyncio.timeout(self._pause()):
                    await self._wake.wait()
            except TimeoutError:
                self.agenda.look_again()

    def _pause(self) -> float:
        due = self.agenda.next_due()
        return min(LOOK_SECONDS, max(0.0, (due - self._now()) / 1e6)) if due else LOOK_SECONDS

    def turn(self) -> None:
        """Begin every attempt that is due and has room."""
        self.agenda.advance(self._now())
        try:
            self._journal.check_room()
        except (JournalFull, JournalBroken):
            return  # an outcome could not be written down
        while len(self._tasks) < self.max_attempts and not self._is_stopping:
            taken = self.agenda.take(self._room, self.max_recipients)
            if taken is None:
                return
            destination, batch = taken
            self._beginning[destination] += 1
            task = asyncio.get_running_loop().create_task(self._attempt(destination, batch))
            self._tasks.add(task)
            task.add_done_callback(self._finished)

    def _room(self, destination: str) -> int:
        return self.courier.room(destination) - self._beginning[destination]

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # Nobody knows how much of it is durable: a restart finds out, a second try may not.
            log.error("an outcome is lost by a mistake of ours", exc_info=error)

    @property
    def busy(self) -> int:
        """Attempts under way."""
        return len(self._tasks)

    async def idle(self) -> None:
        """Wait until no attempt is under way."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def stop(self, seconds: float) -> None:
        """Begin nothing more, and give what is under way so long; the rest is tried again."""
        self._is_stopping = True
        self._wake.set()
        tasks = set(self._tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # ---------------------------------------------------------------- attempts

    async def _attempt(self, destination: str, batch: Sequence[Entry]) -> None:
        self.attempts += 1
        began = self._now()
        letter = batch[0].letter
        try:
            try:
                mail = await self._mail(letter, batch[0].reverse_path)
            finally:
                # The courier counts this attempt from its first step on.
                self._beginning[destination] -= 1
                if not self._beginning[destination]:
                    del self._beginning[destination]
            batch = self._still_together(destination, batch)
            if not batch:
                self.agenda.freed(destination)
                return
            outcomes = await self.courier.deliver(
                mail, [_recipient(entry) for entry in batch], self._journal.note
            )
        except NotReadable as error:
            outcomes = _later(batch, f"the message cannot be read: {error}")
        except MtadError as error:
            outcomes = _later(batch, str(error))
        except Exception:
            log.exception("an attempt failed by a mistake of ours")
            outcomes = _later(batch, "a mistake of this server, see its log")
        self.agenda.freed(destination)
        now = self._now()
        settled = [
            settle(entry, outcome, began, now, self.schedule)
            for entry, outcome in zip(batch, outcomes, strict=True)
        ]
        self.delivered += sum(outcome.kind == "delivered" for outcome in outcomes)
        await self._ledger.finish(settled, now)

    def _still_together(self, destination: str, batch: Sequence[Entry]) -> Sequence[Entry]:
        """Those who still go that way: transports may change while someone stands in line."""
        stay = [e for e in batch if self.courier.destination_of(e.addr) == destination]
        for entry in batch:
            if entry not in stay:
                self.entries.set_due(entry, entry.next_try)
        return stay

    async def _mail(self, letter: Letter, sender: str) -> Mail:
        """The message for the courier. Raises NotReadable."""
        content = await self.bodies.get(letter.m)
        return Mail(
            letter.m,
            sender,
            letter.size,
            to_send(content) if isinstance(content, bytes) else content,
            letter.arrived,
            body=letter.body,
            smtputf8=letter.smtputf8,
            requiretls=letter.requiretls,
            ret=letter.ret,
            # Without one of the sender's, ours comes back in reports and names the message.
            envid=letter.envid or ids.text(letter.m),
        )


def _recipient(entry: Entry) -> Recipient:
    return Recipient(
        entry.n,
        entry.addr,
        entry.tries + 1,
        entry.notify,
        entry.orcpt,
        is_suspect=entry.last.code == 421,
    )


def _later(batch: Sequence[Entry], why: str) -> Sequence[Outcome]:
    return [Outcome(entry.n, "deferred", "policy", enh="4.3.0", why=why) for entry in batch]

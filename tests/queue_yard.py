"""A queue on a real journal with a log role beside it, a courier that obeys, a clock that waits."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mtad.delivery.framing import Envelope
from mtad.delivery.local import Delivery
from mtad.delivery.route import Accepted
from mtad.journal.writer import Journal
from mtad.materialise.worker import Worker
from mtad.outbound.attempt import Mail, Note, Outcome, Recipient
from mtad.queue.bodies import Bodies
from mtad.queue.entries import Entry
from mtad.queue.reporting import Reporter
from mtad.queue.runner import Runner
from mtad.queue.schedule import Schedule
from mtad.where import Places
from tests.dialog import Book, book
from tests.materialise_bench import messages
from tracing import sending
from tracing.events import Event
from tracing.queries import Log
from tracing.queries import Recipient as Row
from tracing.states import State

ALICE = "alice@local.test"
HOST = "mx.local.test"


@dataclass(frozen=True)
class Carried:
    """One attempt as the courier saw it."""

    at: int
    m: int
    sender: str
    addresses: tuple[str, ...]
    attempts: tuple[int, ...]
    content: bytes
    mail: Mail = field(compare=False, repr=False)
    suspects: tuple[str, ...] = field(compare=False, repr=False)


def later(recipient: Recipient, **more: Any) -> Outcome:
    """A temporary answer."""
    said = {"stage": "rcpt", "code": 450, "enh": "4.2.0", "reply": "450 4.2.0 later", "host": "mx"}
    return Outcome(recipient.n, "deferred", **{**said, **more})


def never(recipient: Recipient, **more: Any) -> Outcome:
    """A final no."""
    said = {"stage": "rcpt", "code": 550, "enh": "5.1.1", "reply": "550 5.1.1 who?", "host": "mx"}
    return Outcome(recipient.n, "failed", **{**said, **more})


def taken(recipient: Recipient, **more: Any) -> Outcome:
    """The remote took it."""
    said = {"code": 250, "reply": "250 ok queued as 4711", "rqid": "4711", "host": "mx"}
    return Outcome(recipient.n, "delivered", **{**said, **more})


Answer = Callable[[Recipient], Outcome]


class FakeCourier:
    """Answers as told, by domain or address; without a word everything is taken."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self.carried: list[Carried] = []
        self.answers: dict[str, Answer] = {}
        self.keys: dict[str, str] = {}
        """Destinations of domains that go another way than by themselves."""
        self.trouble: Exception | None = None
        self.rooms: dict[str, int] = {}
        self.running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.gate: asyncio.Event | None = None
        """Deliveries wait for it, where there is one."""

    def destination_of(self, address: str) -> str:
        if self.trouble is not None:
            raise self.trouble
        domain = address.rpartition("@")[2].lower()
        return self.keys.get(domain, domain)

    def room(self, destination: str) -> int:
        return self.rooms.get(destination, 5) - self.running[destination]

    async def deliver(
        self, mail: Mail, recipients: Sequence[Recipient], note: Note
    ) -> Sequence[Outcome]:
        destinations = {self.destination_of(one.address) for one in recipients}
        assert len(destinations) == 1, destinations
        destination = destinations.pop()
        self.running[destination] += 1
        self.most[destination] = max(self.most[destination], self.running[destination])
        try:
            content = mail.content if isinstance(mail.content, bytes) else mail.content.read_bytes()
            self.carried.append(
                Carried(
                    self._now(),
                    mail.m,
                    mail.sender,
                    tuple(one.address for one in recipients),
                    tuple(one.attempt for one in recipients),
                    content,
                    mail,
                    tuple(one.address for one in recipients if one.is_suspect),
                )
            )
            note(sending.OutTry(at=self._now(), trace=mail.m, host="mx", cn=mail.m))
            if self.gate is not None:
                await self.gate.wait()
            return [self._answer(one) for one in recipients]
        finally:
            self.running[destination] -= 1

    def _answer(self, recipient: Recipient) -> Outcome:
        by_domain = self.answers.get(recipient.address.rpartition("@")[2].lower(), taken)
        return self.answers.get(recipient.address, by_domain)(recipient)


class Yard:
    """Everything around a runner. Time stands still unless ``pass_until`` moves it."""

    def __init__(self, folder: Path, schedule: Schedule | None = None) -> None:
        self.places = Places(folder)
        self.journal = Journal.open(
            self.places.journal / "mta-0", node=1, segment_bytes=2**20, cap_bytes=16 * 2**20
        )
        self.worker = Worker(self.places)
        self.worker.start()
        self.book: Book = book()
        self.time = time.time_ns() // 1000
        self.courier = FakeCourier(self.now)
        self.delivery = Delivery(self.journal, self.places, HOST)
        self.schedule = schedule or Schedule()
        self.runner = self.new_runner()

    def now(self) -> int:
        return self.time

    def new_runner(self) -> Runner:
        """A runner that knows nothing yet, as after a start."""
        bodies = Bodies(self.places, patience_seconds=0)  # there is no log role to come back
        reporter = Reporter(self.book, bodies, self.journal.mint.new, HOST)
        self.runner = Runner(
            self.journal,
            self.delivery,
            self.courier,
            bodies,
            reporter,
            schedule=self.schedule,
            now=self.now,
        )
        self.delivery.on_queued = self.runner.take
        return self.runner

    async def send(
        self,
        *addresses: str,
        sender: str = ALICE,
        body: bytes = b"Subject: x\n\nbody\n",
        accepted: Sequence[Accepted] = (),
        **more: Any,
    ) -> int:
        """Take a message for recipients elsewhere; its id."""
        recipients = accepted or [
            Accepted(n, address, remotes=(address,)) for n, address in enumerate(addresses, 1)
        ]
        envelope = Envelope(
            m=self.journal.mint.new(),
            sender=sender,
            recipients=recipients,
            arrived_ns=self.time * 1000,
            started_us=self.time,
            reply="250 2.0.0 queued",
        )
        await self.delivery.accept(replace(envelope, **more), [body])
        return envelope.m

    async def settle(self) -> None:
        """Let everything that is due now be tried, and what comes of it."""
        while True:
            self.runner.turn()
            if not self.runner.busy:
                return
            await self.runner.idle()

    async def pass_until(self, end: int) -> None:
        """Let time go by from one thing that is due to the next, up to ``end``."""
        while True:
            await self.settle()
            due = self.runner.agenda.next_due()
            if not due or due > end:
                break
            self.time = max(self.time, due)
            if len(self.courier.carried) % 16 == 0:
                self.worker.turn()
        self.time = max(self.time, end)

    # ------------------------------------------------------------ what is there

    def turn(self) -> None:
        """Let the log role do its work."""
        assert self.worker.turn(), self.worker.standing.problem

    def rows(self, m: int) -> list[Row]:
        """A message's recipients in the log."""
        self.turn()
        with contextlib.closing(Log(self.places.log)) as log:
            return log.recipients(m)

    def states(self, m: int) -> list[State]:
        return [row.state for row in self.rows(m)]

    def events(self, kind: str = "") -> list[Any]:
        """Events in the log."""
        self.turn()
        with contextlib.closing(Log(self.places.log)) as log:
            found: list[Event] = [one.event for one in log.events_after({}, 1_000_000)]
        return [event for event in found if not kind or event.kind == kind]

    def mail_of(self, box: str = ALICE) -> list[bytes]:
        """What lies in a box."""
        self.turn()
        return list(messages(self.places, box).values())

    def entry(self, m: int, n: int = 1) -> Entry:
        found = self.runner.entries.find(m, n)
        assert found is not None
        return found

    async def close(self) -> None:
        await self.runner.stop(1)
        self.worker.close()
        await self.journal.close()


@contextlib.asynccontextmanager
async def yard(folder: Path, schedule: Schedule | None = None) -> AsyncIterator[Yard]:
    made = Yard(folder, schedule)
    try:
        yield made
    finally:
        await made.close()

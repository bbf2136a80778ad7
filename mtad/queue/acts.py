"""What an operator does to queued recipients: durable with who did it, then in force.

The same for the process that runs the queue and for a command while nobody runs it. A
recipient that is being tried at that moment is left alone: what it comes to is not known yet.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from mtad.address import domain, parse
from mtad.delivery.framing import Envelope
from mtad.delivery.route import Accepted
from mtad.errors import MtadError, UsageError
from mtad.headers import Block, message_id, text
from mtad.journal.errors import JournalBroken, JournalFull
from mtad.queue.bodies import Bodies, NotReadable
from mtad.queue.entries import Entries, Entry, Letter, Place
from mtad.queue.ledger import Ledger
from mtad.queue.outcomes import bounced
from mtad.queue.reporting import Directory
from tracing import sending
from tracing.events import Event

Act = Literal["retry", "hold", "release", "drop", "bounce", "redirect"]
ACTS: tuple[Act, ...] = get_args(Act)
AT_ONCE = 500
"""Recipients in one frame."""
REDIRECT = "redirect"
"""What ``rel`` says of a message that was redirected to a box of ours."""

Key = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done, by whom; ``to`` is the address of a redirection in normal form."""

    act: Act
    actor: str
    why: str = ""
    to: str = ""


@dataclass(slots=True)
class Done:
    """How many it was done to, and who was left alone: being tried, over, or not in that state."""

    done: int = 0
    busy: list[Key] = field(default_factory=list)
    gone: list[Key] = field(default_factory=list)
    unfit: list[Key] = field(default_factory=list)


class Acts:
    """Does it to ``entries``; ``new_id`` and ``ledger`` belong to the same journal."""

    def __init__(
        self,
        entries: Entries,
        ledger: Ledger,
        bodies: Bodies,
        directory: Directory,
        new_id: Callable[[], int],
        now: Callable[[], int],
    ) -> None:
        self._entries = entries
        self._ledger = ledger
        self._bodies = bodies
        self._directory = directory
        self._new_id = new_id
        self._now = now

    async def do(self, order: Order, keys: Iterable[Key]) -> Done:
        """Do it to recipients, given as message and number. Raises MtadError.

        When it raises, what was done before is done.
        """
        local = self._local(order.to) if order.act == "redirect" else None
        done = Done()
        letters: dict[Letter, list[Entry]] = {}
        for key in dict.fromkeys(keys):
            entry = self._entries.find(*key)
            if entry is None:
                done.gone.append(key)
            elif entry.place is Place.BUSY:
                done.busy.append(key)
            elif not _fits(order.act, entry):
                done.unfit.append(key)
            else:
                letters.setdefault(entry.letter, []).append(entry)
        try:
            if order.act == "bounce":
                for chosen in letters.values():
                    done.done += await self._bounce(order, chosen)
            elif local is not None:
                for letter, chosen in letters.items():
                    done.done += await self._bring(order, letter, chosen, local)
            else:
                every = [entry for chosen in letters.values() for entry in chosen]
                for first in range(0, len(every), AT_ONCE):
                    done.done += await self._tell(order, every[first : first + AT_ONCE])
        except (JournalFull, JournalBroken, OSError) as error:
            raise MtadError(f"the rest was left as it is: {error}") from error
        return done

    async def _tell(self, order: Order, chosen: Sequence[Entry]) -> int:
        events = [_event(order, entry, self._now()) for entry in chosen]
        with _Aside(self._entries, chosen):
            await self._ledger.commit(events)
        return len(chosen)

    async def _bounce(self, order: Order, chosen: Sequence[Entry]) -> int:
        at = self._now()
        settled = []
        for entry in chosen:
            event = _event(order, entry, at)
            assert isinstance(event, sending.QueueBounce)
            settled.append(bounced(entry, event))
        with _Aside(self._entries, chosen):
            await self._ledger.finish(settled, at)
        return len(chosen)

    async def _bring(
        self, order: Order, letter: Letter, chosen: Sequence[Entry], local: Accepted
    ) -> int:
        """Deliver to boxes of ours: a message of its own, for the old one has no place there."""
        at = self._now()
        with _Aside(self._entries, chosen):
            try:
                content = await self._bodies.octets(letter.m)
            except NotReadable as error:
                raise MtadError(f"the message cannot be read: {error}") from error
            head = Block(content)
            envelope = Envelope(
                m=self._new_id(),
                sender=letter.sender,
                recipients=(local,),
                arrived_ns=at * 1000,
                started_us=at,
                message_id=message_id(head.first(b"message-id")),
                subject=text(head.first(b"subject")),
                header_from=text(head.first(b"from")),
                actor=order.actor,
                body=letter.body,
                smtputf8=letter.smtputf8,
                rel=REDIRECT,
                parent=letter.m,
                before=[_event(order, entry, at, is_local=True) for entry in chosen],
            )
            await self._ledger.accept(envelope, content)
        return len(chosen)

    def _local(self, address: str) -> Accepted | None:
        """Where an address of ours leads; None for one elsewhere. Raises UsageError."""
        try:
            host = domain(address.rpartition("@")[2])
            if not address.rpartition("@")[0]:
                raise ValueError("there is nobody before the @")
            if not self._directory.is_local(host):
                return None
            targets = self._directory.resolve(parse(address))
        except ValueError as error:
            raise UsageError(f"{address!a} is no address: {error}") from error
        if not targets:
            raise UsageError(f"nobody receives mail for {address} here")
        return Accepted(
            1,
            address,
            tuple(target.box for target in targets if not target.remote),
            any(target.alias for target in targets),
            tuple(target.box for target in targets if target.remote),
            forward=any(target.forward for target in targets),
        )


class _Aside:
    """Keeps entries from being tried while their change is made durable."""

    def __init__(self, entries: Entries, chosen: Sequence[Entry]) -> None:
        self._entries = entries
        self._before = [(entry, entry.held, entry.next_try) for entry in chosen]

    def __enter__(self) -> None:
        for entry, _, _ in self._before:
            entry.place = Place.BUSY

    def __exit__(self, *_: object) -> None:
        for entry, held, next_try in self._before:
            if entry.place is Place.BUSY:  # nothing came of it
                if held:
                    self._entries.hold(entry, held)
                else:
                    self._entries.set_due(entry, next_try)


def _fits(act: Act, entry: Entry) -> bool:
    is_held = entry.place is Place.HELD
    return {"retry": not is_held, "hold": not is_held, "release": is_held}.get(act, True)


def _event(order: Order, entry: Entry, at: int, *, is_local: bool = False) -> Event:
    who = order.actor
    m, n, addr = entry.letter.m, entry.n, entry.addr
    match order.act:
        case "retry":
            return sending.QueueRetry(at=at, trace=m, n=n, addr=addr, actor=who, next_try=at)
        case "release":
            return sending.QueueRelease(at=at, trace=m, n=n, addr=addr, actor=who, next_try=at)
        case "hold":
            why = order.why or f"by {who}"
            return sending.QueueHold(at=at, trace=m, n=n, addr=addr, actor=who, why=why)
        case "drop":
            return sending.QueueDrop(at=at, trace=m, n=n, addr=addr, actor=who, why=order.why)
        case "bounce":
            return sending.QueueBounce(at=at, trace=m, n=n, addr=addr, actor=who, why=order.why)
        case "redirect":
            due = 0 if is_local else at
            return sending.QueueRedirect(
                at=at, trace=m, n=n, addr=order.to, actor=who, was=addr, next_try=due
            )

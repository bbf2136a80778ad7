"""What the tests of sending share: a courier over a resolver in a dictionary."""

import contextlib
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtad.config import Outbound
from mtad.directory.transports import Transport, Transports
from mtad.dns import Answer, DnsError, Mx, Resolver, Tlsa
from mtad.outbound.attempt import Mail, Outcome, Recipient
from mtad.outbound.courier import OutboundCourier
from mtad.outbound.delivery import Surroundings
from mtad.outbound.own import OwnAddresses
from mtad.outbound.security import Contexts
from mtad.outbound.sts_cache import StsCache
from tracing.event import Event

HOSTNAME = "mx.local.test"
MESSAGE = b"Subject: test\nFrom: a@local.test\n\nHello\n.\n..dots\n"


class Names(Resolver):
    """A resolver over a dictionary: ``(name, kind)`` to records, or to a DnsError."""

    def __init__(self, records: Mapping[tuple[str, str], Any], *, validates: bool = False) -> None:
        self.records = dict(records)
        self.insecure: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        self._validates = validates

    async def _look(self, name: str, kind: str) -> Answer[Any]:
        self.asked.append((name, kind))
        found = self.records.get((name, kind), ())
        if isinstance(found, DnsError):
            raise found
        exists = any(known == name for known, _ in self.records)
        secure = self._validates and name not in self.insecure
        return Answer(tuple(found), secure=secure, exists=exists, name=name)

    async def mx(self, name: str) -> Answer[Mx]:
        return await self._look(name, "MX")

    async def ipv4(self, name: str) -> Answer[str]:
        return await self._look(name, "A")

    async def ipv6(self, name: str) -> Answer[str]:
        return await self._look(name, "AAAA")

    async def txt(self, name: str) -> Answer[bytes]:
        return await self._look(name, "TXT")

    async def tlsa(self, name: str) -> Answer[Tlsa]:
        return await self._look(name, "TLSA")


@dataclass
class Sender:
    """A courier and what it noted."""

    courier: OutboundCourier
    names: Resolver
    transports: list[Transport]
    clock: list[float]
    events: list[Event] = field(default_factory=list)
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    async def send(
        self,
        *addresses: str,
        content: bytes | Path = MESSAGE,
        sender: str = "a@local.test",
        **more: Any,
    ) -> Sequence[Outcome]:
        """Deliver one message; options of ``Mail`` as keywords."""
        mail = Mail(
            next(self.numbers),
            sender,
            len(content) if isinstance(content, bytes) else 0,
            content,
            0,
            **more,
        )
        recipients = [Recipient(n, address) for n, address in enumerate(addresses, 1)]
        return await self.courier.deliver(mail, recipients, self.events.append)

    async def one(self, address: str = "b@remote.test", **more: Any) -> Outcome:
        """Deliver to one recipient."""
        (outcome,) = await self.send(address, **more)
        return outcome

    def all(self, kind: str) -> list[Any]:
        """The noted events of a kind."""
        return [event for event in self.events if event.kind == kind]


@contextlib.asynccontextmanager
async def sender(
    names: Resolver | Mapping[tuple[str, str], Any],
    *transports: Transport,
    ca_file: Path | None = None,
    listening: Sequence[str] = (),
    sts: StsCache | None = None,
    **settings: Any,
) -> AsyncIterator[Sender]:
    """A courier with these settings of ``[outbound]``; everything it opened is closed after."""
    resolver = names if isinstance(names, Resolver) else Names(names)
    clock = [1000.0]
    ids = itertools.count(1_000_000)
    table = list(transports)
    own = OwnAddresses(listening)
    around = Surroundings(HOSTNAME, Outbound(**settings), resolver, Contexts(ca_file), own, sts)
    courier = OutboundCourier(
        around, lambda: Transports(table), lambda: next(ids), monotonic=lambda: clock[0]
    )
    try:
        yield Sender(courier, resolver, table, clock)
    finally:
        courier.close()
        await courier.closed()

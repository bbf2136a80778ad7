"""Carrying mail to where it goes: the one door of this package for the queue.

``deliver`` finds the transport of the destination, takes a kept connection or tries one host
after the other, and returns one outcome per recipient. It waits for nothing but the network:
how many deliveries may run at a time is asked beforehand, with ``room``.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mtad.address import domain as normal_domain
from mtad.config import Loaded, Outbound
from mtad.directory.transports import Transport, Transports
from mtad.dns import Resolver
from mtad.outbound import security
from mtad.outbound.attempt import Mail, Note, Outcome, Recipient
from mtad.outbound.congestion import Pauses, Windows
from mtad.outbound.connection import Timeouts
from mtad.outbound.content import BLOCK, Scanner, Traits, traits_of
from mtad.outbound.delivery import Delivery, Means, Surroundings
from mtad.outbound.https import Https
from mtad.outbound.own import OwnAddresses
from mtad.outbound.policies import Policies
from mtad.outbound.pool import Pool
from mtad.outbound.security import Contexts
from mtad.outbound.session import Opener
from mtad.outbound.stored import open_to_send
from mtad.outbound.sts_cache import StsCache
from mtad.outbound.sts_fetch import StsFetcher
from mtad.outbound.transmission import Transmission

log = logging.getLogger("mtad.outbound")


def surroundings(loaded: Loaded) -> Surroundings:
    """A courier's surroundings as the settings say. Raises ConfigError.

    Reads the system's certification authorities, some 40 ms: not for an event loop.
    """
    config = loaded.config
    dns = config.dns
    ca_file = loaded.beside(config.outbound.ca_file) if config.outbound.ca_file else None
    contexts = Contexts(ca_file)
    contexts.load()
    resolver = Resolver(
        dns.nameservers,
        port=dns.port,
        timeout_seconds=dns.timeout_seconds,
        validates=dns.validates,
    )
    sts = None
    if config.outbound.mta_sts:
        https = Https(resolver, contexts.strict, config.outbound.ip_versions)
        sts = StsCache(loaded.places.cache, StsFetcher(https))
    own = OwnAddresses(config.listen.smtp)
    return Surroundings(config.hostname, config.outbound, resolver, contexts, own, sts)


class OutboundCourier:
    """``attempt.Courier`` for other servers. Belongs to one event loop."""

    def __init__(
        self,
        around: Surroundings,
        transports: Callable[[], Transports],
        new_id: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        settings = around.settings
        self._settings = settings
        self._transports = transports
        self._windows = Windows(settings.max_connections_per_destination)
        self._pool = Pool(
            settings.idle_seconds, settings.max_messages_per_connection, settings.max_connections
        )
        self._opener = Opener(around.hostname, timeouts(settings), around.contexts, new_id)
        policies = Policies(around.resolver, security.BY_NAME[settings.tls], around.sts)
        self._pauses = Pauses()
        self._means = Means(around, self._opener, self._pool, self._pauses, policies, monotonic)
        self._in_use = 0

    def destination_of(self, address: str) -> str:
        """The key that addresses share when one ``deliver`` may take them together."""
        domain = _domain_of(address)
        return _key(self._transports().find(domain), domain)

    def room(self, destination: str) -> int:
        """How many more ``deliver`` calls may run for a destination at this moment."""
        free = self._settings.max_connections - self._in_use
        return max(0, min(free, self._windows.room(destination)))

    async def deliver(
        self, mail: Mail, recipients: Sequence[Recipient], note: Note
    ) -> Sequence[Outcome]:
        """Try once; see ``attempt.Courier``."""
        domain = _domain_of(recipients[0].address)
        transport = self._transports().find(domain)
        key = _key(transport, domain)
        self._windows.begin(key)
        self._in_use += 1
        worked: bool | None = None
        try:
            traits = await _traits(mail.content)
            sending = Transmission(mail, recipients, traits, self._settings.max_recipients)
            delivery = Delivery(self._means, sending, transport, domain, key, note)
            worked = await delivery.run()
            return sending.outcomes()
        except OSError as error:
            why = f"the message cannot be read: {error.strerror or error}"
            return _everyone(recipients, why)
        except Exception:
            log.exception("a delivery to %s failed by a mistake of ours", key)
            return _everyone(recipients, "a mistake of this server, see its log")
        finally:
            self._in_use -= 1
            self._windows.end(key, worked=worked)

    def hurry(self) -> None:
        """Try hosts again that are left alone: someone asked for it."""
        self._pauses.forget()

    def close(self) -> None:
        """End the connections that are kept; what is being carried is carried to its end."""
        self._pool.close()

    async def closed(self) -> None:
        """Wait until no connection is open; the longest wait is for an answer to QUIT."""
        await asyncio.gather(*(connection.ended for connection in self._opener.everyone))


def timeouts(settings: Outbound) -> Timeouts:
    """Time limits as the settings say."""
    return Timeouts(
        connect=settings.connect_timeout_seconds,
        command=settings.command_timeout_seconds,
        data=settings.data_timeout_seconds,
        block=settings.block_timeout_seconds,
        dot=settings.dot_timeout_seconds,
    )


def _domain_of(address: str) -> str:
    """The domain of an address in normal form; a literal as it is."""
    domain = address.rpartition("@")[2]
    if domain.startswith("["):
        return domain.lower()
    try:
        return normal_domain(domain)
    except ValueError:
        return domain.lower()


def _key(transport: Transport, domain: str) -> str:
    if transport.kind == "mx":
        return domain
    if transport.kind in ("relay", "lmtp"):
        return f"{transport.kind} {transport.path or f'{transport.host}:{transport.port}'}"
    return f"{transport.kind} {transport.pattern}"


def _everyone(recipients: Sequence[Recipient], why: str) -> Sequence[Outcome]:
    return [Outcome(each.n, "deferred", enh="4.3.0", why=why) for each in recipients]


async def _traits(content: bytes | Path) -> Traits:
    """What is in a message; a file is read in a thread. Raises OSError."""
    if isinstance(content, bytes):
        return traits_of(content)
    return await asyncio.get_running_loop().run_in_executor(None, _file_traits, content)


def _file_traits(path: Path) -> Traits:
    scanner = Scanner()
    with open_to_send(path) as file:
        while block := file.read(BLOCK):
            scanner.feed(block)
    return scanner.traits()

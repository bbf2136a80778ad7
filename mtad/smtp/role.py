"""The ``mta`` role: everything that takes mail in, put together and run until told to stop."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from mtad import control, tls
from mtad.clock import now_us
from mtad.config import Loaded
from mtad.delivery.local import Delivery
from mtad.delivery.passing import Passing
from mtad.directory import authkey
from mtad.directory.lookup import Directory
from mtad.errors import ConfigError
from mtad.journal.writer import Journal
from mtad.queue.service import QueueService
from mtad.reload import InForce
from mtad.signals import Signals
from mtad.smtp.checks.standard import INBOUND
from mtad.smtp.listener import Listener
from mtad.smtp.service import Limits, Service
from tracing.events import SysStart, SysStop

log = logging.getLogger("mtad.smtp")

NAME = "mta"
JOURNAL = "mta-0"
NODE = 1


async def serve(
    loaded: Loaded, sockets: Mapping[str, Sequence[socket.socket]], signals: Signals
) -> None:
    """Serve SMTP on the sockets under ``smtp`` until ``signals.stop``; then drain.

    Raises MtadError when it cannot start: journal locked, database or certificate unusable.
    """
    config, places = loaded.config, loaded.places
    tls.bound_memory()
    context = certificate(loaded)
    directory = Directory(places.state_db)
    passing = Passing(directory, [authkey.load(places.auth_key).return_paths])
    directory.way_home = passing.home
    journal = Journal.open(
        places.journal / JOURNAL,
        node=NODE,
        doorbell=places.doorbell,
        segment_bytes=config.journal.segment_bytes,
        cap_bytes=config.journal.cap_bytes,
    )
    run = journal.mint.new()
    try:
        service = Service(
            hostname=config.hostname,
            limits=Limits(**config.smtp.model_dump()),
            journal=journal,
            directory=directory,
            delivery=Delivery(journal, places, config.hostname),
            policy=INBOUND,
            tls=context,
        )

        service.delivery.resend = passing.resend
        queue = QueueService(loaded, journal, service.delivery, directory)

        def use(now: Loaded) -> None:
            service.hostname = service.delivery.hostname = now.config.hostname
            service.limits = Limits(**now.config.smtp.model_dump())
            queue.use(now)
            try:
                service.tls = renewed(now, service.tls)
            except ConfigError as error:
                log.error("the certificate in use stays: %s", error)
                raise

        settings = InForce(loaded, use)

        async def status(_arguments: dict[str, Any]) -> dict[str, Any]:
            return service.status() | {"settings": settings.status(), "queue": queue.status()}

        signals.on_reload(settings.read_again)
        server = await control.serve(places.socket(NAME), {"status": status, **queue.verbs()})
        listener = Listener(service, {"smtp": sockets.get("smtp", ())})
        await listener.start()
        journal.note(SysStart(at=now_us(), trace=run, role=NAME, version=version("mtad")))
        signals.ready()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(queue.run())
                await signals.stop.wait()
                await asyncio.gather(listener.stop(), queue.stop())
        finally:
            server.close()
        journal.note(SysStop(at=now_us(), trace=run, role=NAME, why="told to stop"))
    finally:
        await journal.close()


def certificate(loaded: Loaded) -> ssl.SSLContext | None:
    """The TLS context of the settings' files; None where neither file is there."""
    settings = loaded.config.tls
    chain, key = loaded.beside(settings.certificate), loaded.beside(settings.key)
    if not chain.exists() and not key.exists():
        return None
    return tls.server_context(chain, key)


def renewed(loaded: Loaded, present: ssl.SSLContext | None) -> ssl.SSLContext | None:
    """The same for a server that runs: TLS that was offered does not go with its files."""
    context = certificate(loaded)
    if context is None and present is not None:
        chain = loaded.beside(loaded.config.tls.certificate)
        raise ConfigError(f"there is no file {chain}; TLS is switched off by a restart only")
    return context

"""The ``mta`` role: everything that takes mail in, put together and run until told to stop."""

import asyncio
import logging
import resource
import socket
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from mtad import control
from mtad.address import box_folder
from mtad.clock import now_us
from mtad.config import Loaded
from mtad.delivery.local import Delivery
from mtad.delivery.passing import Passing
from mtad.directory import authkey
from mtad.directory.certificate import certificate, renewed
from mtad.directory.logins import Logins
from mtad.directory.lookup import Directory
from mtad.errors import ConfigError
from mtad.journal.writer import Journal
from mtad.mailauth.signing import Signer
from mtad.queue.service import QueueService
from mtad.reload import InForce
from mtad.signals import Signals
from mtad.smtp.checks.standard import INBOUND
from mtad.smtp.limits import in_force
from mtad.smtp.listener import Listener
from mtad.smtp.service import Service
from mtad.smtp.submission import Submission
from mtad.smtp.usage import Usage
from mtad.sockets import places as places_of
from mtad.store.quota import held
from mtad.submit import drop
from mtad.submit.pickup import Pickup, asking
from tracing.events import SysStart, SysStop

log = logging.getLogger("mtad.smtp")

NAME = "mta"
JOURNAL = "mta-0"
NODE = 1


async def serve(
    loaded: Loaded, sockets: Mapping[str, Sequence[socket.socket]], signals: Signals
) -> None:
    """Serve SMTP and submission on their sockets until ``signals.stop``; then drain.

    Raises MtadError when it cannot start: journal locked, database or certificate unusable.
    """
    config, places = loaded.config, loaded.places
    context, end_point = certificate(loaded)
    directory = Directory(places.state_db)
    passing = Passing(directory, [authkey.load(places.auth_key).return_paths], places.log)
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
            limits=in_force(config, open_files()),
            journal=journal,
            directory=directory,
            delivery=Delivery(journal, places, config.hostname),
            policy=INBOUND,
            holds=lambda box: asyncio.to_thread(held, places.boxes / box_folder(box)),
            lmtp=config.lmtp,
            tls=context,
        )

        logins = Logins(places, config.auth, config.hostname, directory, journal.note)
        signer = Signer(loaded.path.resolve().parent, directory)
        submission = Submission(
            config.submission,
            logins,
            Usage(places.log),
            signer if config.dkim.sign else None,
            end_point,
        )
        service.submission = submission
        service.delivery.sign = signer.signed if config.dkim.sign else None
        service.delivery.resend = passing.resend
        service.way_home = passing.home
        queue = QueueService(loaded, journal, service.delivery, directory)

        def use(now: Loaded) -> None:
            service.hostname = service.delivery.hostname = now.config.hostname
            service.limits = in_force(now.config, open_files())
            service.lmtp = now.config.lmtp
            queue.use(now)
            logins.use(now.config.auth, now.config.hostname)
            submission.settings = now.config.submission
            signer.forget()
            submission.signer = signer if now.config.dkim.sign else None
            service.delivery.sign = signer.signed if now.config.dkim.sign else None
            try:
                service.tls, submission.end_point = renewed(now, service.tls)
            except ConfigError as error:
                log.error("the certificate in use stays: %s", error)
                raise

        settings = InForce(loaded, use)
        pickup = _pickup(loaded, service)
        listening = places_of(sockets)

        async def status(_arguments: dict[str, Any]) -> dict[str, Any]:
            return service.status() | {
                "picked_up": pickup.taken,
                "queue": queue.status(),
                "settings": settings.status(),
                "listening": listening,
            }

        signals.on_reload(settings.read_again)
        server = await control.serve(places.socket(NAME), {"status": status, **queue.verbs()})
        listener = Listener(service, sockets)
        await listener.start()
        journal.note(SysStart(at=now_us(), trace=run, role=NAME, version=version("mtad")))
        signals.ready()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(queue.run())
                picking = group.create_task(pickup.run())
                await signals.stop.wait()
                picking.cancel()
                await asyncio.gather(listener.stop(), queue.stop())
        finally:
            server.close()
        await logins.close()
        journal.note(SysStop(at=now_us(), trace=run, role=NAME, why="told to stop"))
    finally:
        await journal.close()


def _pickup(loaded: Loaded, service: Service) -> Pickup:
    """Who takes the mail of local programs; makes the drop. Raises OSError."""
    named = loaded.config.submission.drop_dir
    folder = loaded.beside(named) if named else loaded.places.drop
    drop.make(folder)
    return Pickup(
        folder,
        service.journal,
        service.directory,
        service.delivery,
        asking(loaded.places.socket("log")),
        service.hostname,
        service.limits.max_message_bytes,
    )


def open_files() -> int:
    """How many files this process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]

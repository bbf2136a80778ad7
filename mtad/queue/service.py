"""The queue of a process, put together: runner, courier, reports, and what can be asked of it."""

import asyncio
import contextlib
import logging
from functools import partial
from typing import Any

from mtad import clock
from mtad.config import Loaded
from mtad.control import Answer, Verb
from mtad.delivery import holds
from mtad.delivery.local import Delivery
from mtad.directory.lookup import Directory
from mtad.directory.transports import TransportTable
from mtad.errors import ConfigError, MtadError
from mtad.journal.writer import Journal
from mtad.outbound.courier import OutboundCourier, surroundings
from mtad.queue.acts import ACTS, Act, Acts, Order
from mtad.queue.bodies import Bodies
from mtad.queue.ledger import Ledger
from mtad.queue.loading import Loader
from mtad.queue.reporting import Reporter
from mtad.queue.runner import Runner
from mtad.queue.schedule import Schedule

log = logging.getLogger("mtad.queue")

STOP_SECONDS = 5.0
"""What attempts under way get when the process is told to stop."""
QUIT_SECONDS = 1.0
"""What other servers get to answer QUIT then."""


class QueueService:
    """One process's queue; ``delivery`` fills it. Raises ConfigError for settings it cannot obey.

    ``run`` until ``stop``.
    """

    def __init__(
        self, loaded: Loaded, journal: Journal, delivery: Delivery, directory: Directory
    ) -> None:
        self._loaded = loaded
        self._new_id = journal.mint.new
        self._transports = TransportTable(loaded.places.state_db)
        bodies = Bodies(loaded.places)
        self._reporter = Reporter(directory, bodies, self._new_id, loaded.config.hostname)
        self._courier = OutboundCourier(surroundings(loaded), self._transports, self._new_id)
        self._renewal: asyncio.Task[None] | None = None
        self._delivery = delivery
        self.runner = Runner(
            journal,
            delivery,
            self._courier,
            bodies,
            self._reporter,
            schedule=schedule(loaded),
        )
        self._loader = Loader(self.runner, loaded.places)
        self._acts = Acts(
            self.runner.entries,
            Ledger(journal, delivery, self._reporter, self.runner.apply),
            bodies,
            directory,
            self._new_id,
            clock.now_us,
        )
        delivery.on_queued = self.runner.take
        self._obey(loaded)

    def use(self, loaded: Loaded) -> None:
        """Go by these settings."""
        before, now = self._loaded.config, loaded.config
        if (before.outbound, before.dns, before.hostname) != (now.outbound, now.dns, now.hostname):
            self._renewal = asyncio.get_running_loop().create_task(self._renew(loaded))
        self._loaded = loaded
        self._obey(loaded)

    async def _renew(self, loaded: Loaded) -> None:
        """Take another courier; what the one before is carrying it carries to the end."""
        try:
            around = await asyncio.to_thread(surroundings, loaded)
        except ConfigError as error:
            log.error("mail goes out by the settings before: %s", error)
            return
        before = self._courier
        self._courier = OutboundCourier(around, self._transports, self._new_id)
        self.runner.courier = self._courier
        before.close()

    def _obey(self, loaded: Loaded) -> None:
        config = loaded.config
        self.runner.schedule = schedule(loaded)
        self.runner.max_attempts = config.outbound.max_connections
        self.runner.max_recipients = config.outbound.max_recipients
        self._delivery.hold = holds.rules(config.queue.hold) if config.queue.hold else None
        self._reporter.hostname = config.hostname
        self._reporter.language = config.queue.report_language

    async def run(self) -> None:
        """Fill the queue from the log, and try what is due until ``stop``."""
        async with asyncio.TaskGroup() as group:
            loading = group.create_task(self._loader.run())
            await self.runner.run()
            loading.cancel()

    async def stop(self) -> None:
        """Begin nothing more; what is under way has some seconds to end."""
        await self.runner.stop(STOP_SECONDS)
        self._courier.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(QUIT_SECONDS):
                await self._courier.closed()
        self._loader.close()

    def verbs(self) -> dict[str, Verb]:
        """What an operator may ask for: ``queue.hold`` and the like."""
        return {f"queue.{act}": partial(self._act, act) for act in ACTS}

    async def _act(self, act: Act, request: Answer) -> Answer:
        """``entries`` (message and number), ``actor``, and what the act takes: ``why``, ``to``."""
        if not self._loader.is_done.is_set():
            raise MtadError("the queue is still being loaded; ask again in a moment")
        order = Order(
            act,
            str(request.get("actor") or "admin:socket"),
            str(request.get("why") or ""),
            str(request.get("to") or ""),
        )
        keys = [(int(m), int(n)) for m, n in request["entries"]]
        if act in ("retry", "release"):
            self._courier.hurry()
        done = await self._acts.do(order, keys)
        return {"done": done.done, "busy": done.busy, "gone": done.gone, "unfit": done.unfit}

    def status(self) -> Answer:
        """How the queue stands."""
        runner = self.runner
        found: dict[str, Any] = {
            "loaded": self._loader.is_done.is_set(),
            "recipients": runner.entries.count,
            "trying": runner.busy,
            "attempts": runner.attempts,
            "delivered": runner.delivered,
        }
        return found


def schedule(loaded: Loaded) -> Schedule:
    """The schedule of the settings."""
    settings = loaded.config.queue
    return Schedule(settings.retry_minutes, settings.give_up_after_hours, settings.warn_after_hours)

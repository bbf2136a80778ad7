"""The access role: it owns the boxes, numbers new mail, and serves who reads it (IMAP, POP3)."""

import asyncio
import json
import logging
import socket
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from mtad import clock, control
from mtad.access.keeping import kept_verbs
from mtad.access.reading import Reading
from mtad.config import Loaded
from mtad.control import Answer
from mtad.journal.writer import Journal
from mtad.reload import InForce
from mtad.signals import Signals
from mtad.sockets import places as places_of
from mtad.store.allocator import keep_memory
from mtad.store.numbering import Numbering
from mtad.store.recovery import recover
from mtad.store.replay import Replay
from mtad.store.shelf import Shelf
from mtad.store.verbs import Verbs
from tracing.events import SysStart, SysStop

NAME = "access"
JOURNAL = "access-0"
NODE = 16
BELL = "access.bell"
"""The datagram socket in ``run/``: a JSON list of box addresses that got mail."""
STOP_SECONDS = 8.0
"""For acts under way once all sessions are over."""
RING_SECONDS = 0.01
"""How long the log waits for what was done to boxes; nobody waits for the log."""
_DATAGRAM = 65536

_log = logging.getLogger("mtad.access")


async def serve(
    loaded: Loaded, sockets: Mapping[str, Sequence[socket.socket]], signals: Signals
) -> None:
    """Own the boxes, and serve those who read them on their sockets, until told to stop.

    First of all every act is finished that a journal promises; only then is the role's own
    journal opened, which may use those frames' space again. Raises MtadError when it cannot
    start: journal locked, database or certificate unusable.
    """
    keep_memory()
    places, settings = loaded.places, loaded.config.journal
    replay = Replay(places.journal, log=places.log)
    replayed, problems = await asyncio.to_thread(recover, places, loaded.config.hostname, replay)
    for problem in problems:
        _log.error("an act could not be finished: %s", problem)
    replay.skip_own(JOURNAL)
    journal = await asyncio.to_thread(
        lambda: Journal.open(
            places.journal / JOURNAL,
            node=NODE,
            doorbell=places.doorbell,
            segment_bytes=settings.segment_bytes,
            cap_bytes=settings.cap_bytes,
            ring_seconds=RING_SECONDS,
        )
    )
    if replayed:
        _log.info("finished %d acts of an unclean stop", replayed)
    bell = control.bind(places.run / BELL, socket.SOCK_DGRAM)
    loop = asyncio.get_running_loop()
    try:
        shelf = Shelf(places, journal, loaded.config.hostname, replay)
        shelf.full_text = loaded.config.imap.full_text
        numbering = Numbering(shelf)
        resting = loop.create_task(shelf.rest())
        reading = Reading(loaded, journal, shelf) if sockets else None

        def use(now: Loaded) -> None:
            shelf.hostname = now.config.hostname
            shelf.full_text = now.config.imap.full_text
            if reading is not None:
                reading.use(now)

        in_force = InForce(loaded, use)
        listening = places_of(sockets)
        signals.on_reload(in_force.read_again)
        run = journal.mint.new()
        journal.note(SysStart(at=clock.now_us(), trace=run, role=NAME, version=version("mtad")))

        async def status(_: Answer) -> Answer:
            answer = {"open": len(shelf), "limit": shelf.limit, "settings": in_force.status()}
            answer["listening"] = listening
            return answer | (reading.status() if reading is not None else {})

        verbs = {"status": status, **Verbs(shelf).table()}
        verbs |= kept_verbs(shelf, places, lambda: in_force.loaded.config.pop3.keep_fetched_days)
        if reading is not None:
            verbs |= reading.verbs()
        server = await control.serve(places.socket(NAME), verbs)
        loop.add_reader(bell.fileno(), _listen, bell, numbering)
        if reading is not None:
            await reading.start(sockets)
        signals.ready()
        await signals.stop.wait()
        if reading is not None:
            await reading.stop()
        loop.remove_reader(bell.fileno())
        server.close()
        resting.cancel()
        await numbering.stop()
        await shelf.close(STOP_SECONDS)
        journal.note(SysStop(at=clock.now_us(), trace=run, role=NAME, why="told to stop"))
    finally:
        bell.close()
        replay.close()
        await journal.close()


def _listen(bell: socket.socket, numbering: Numbering) -> None:
    """Take what rang; anything that is no list of addresses is passed over."""
    while True:
        try:
            data = bell.recv(_DATAGRAM)
        except BlockingIOError:
            return
        try:
            boxes = json.loads(data)
        except ValueError:
            continue
        if isinstance(boxes, list):
            numbering.ring(boxes)

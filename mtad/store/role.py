"""The access role: it owns the boxes, numbers new mail, and does what it is asked to.

The log role rings a bell (a datagram with box addresses) when it has placed mail; a box is
then looked at once a second at most, so that a flood costs one listing and not thousands.
Everything else comes over the control socket, act by act.
"""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from importlib.metadata import version
from typing import Any, TypeVar

import msgspec

from mtad import clock, control
from mtad.config import Loaded
from mtad.control import Answer, Verb
from mtad.errors import Locked, MtadError, UsageError
from mtad.journal.writer import Journal
from mtad.reload import InForce
from mtad.signals import Signals
from mtad.store.recovery import recover
from mtad.store.replay import Replay
from mtad.store.shelf import Shelf
from mtad.store.values import Prepared
from tracing.events import SysStart, SysStop

NAME = "access"
JOURNAL = "access-0"
NODE = 16
BELL = "access.bell"
"""The datagram socket in ``run/``: a JSON list of box addresses that got mail."""
LOOK_SECONDS = 1.0
"""How long a box's new mail may wait for its numbers, and so what one look can cost."""
STOP_SECONDS = 15.0
PART = 1000
"""Messages in one line of an answer."""
_DATAGRAM = 65536

T = TypeVar("T")
_log = logging.getLogger("mtad.store")


class Numbering:
    """Looks at boxes that got mail, each at most once in ``LOOK_SECONDS``."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, asyncio.TimerHandle] = {}
        self._looking: set[asyncio.Task[None]] = set()
        self._stopped = False

    def ring(self, boxes: Sequence[object]) -> None:
        """Mail came to these boxes."""
        for box in boxes:
            if isinstance(box, str) and box not in self._waiting and not self._stopped:
                self._waiting[box] = self._loop.call_later(LOOK_SECONDS, self._look, box)

    def _look(self, box: str) -> None:
        self._waiting.pop(box, None)
        task = self._loop.create_task(self._sync(box))  # kept in a set until it is done
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    async def _sync(self, box: str) -> None:
        try:
            async with self._shelf.use(box) as opened:
                await opened.sync()
        except Locked:
            self.ring([box])
        except (MtadError, OSError) as error:
            _log.warning("new mail of %s waits for its numbers: %s", box, error)

    async def stop(self) -> None:
        """Start no further look and wait for those under way."""
        self._stopped = True
        for handle in self._waiting.values():
            handle.cancel()
        self._waiting.clear()
        await asyncio.gather(*self._looking)


class Verbs:
    """What the control socket is asked."""

    def __init__(self, shelf: Shelf, settings: InForce) -> None:
        self._shelf = shelf
        self._settings = settings

    def table(self) -> dict[str, Verb]:
        """Every request by its name."""
        return {
            "status": self.status,
            "box.sync": self.sync,
            "box.list": self.list,
            "box.flags": self.flags,
            "box.move": self.move,
            "box.expunge": self.expunge,
            "box.put": self.put,
            "box.create": self.create,
            "box.rename": self.rename,
            "box.delete": self.delete,
        }

    async def status(self, _: Answer) -> Answer:
        """How many boxes are open."""
        settings = self._settings.status()
        return {"open": len(self._shelf), "limit": self._shelf.limit, "settings": settings}

    async def sync(self, request: Answer) -> Answer:
        """Number what came; says how many."""
        async with self._shelf.use(_text(request, "box")) as box:
            return {"numbered": await box.sync()}

    async def list(self, request: Answer) -> AsyncIterator[Answer]:
        """Mailboxes in one line, then messages in as many as it takes."""
        mailbox = request.get("mailbox")
        async with self._shelf.use(_text(request, "box")) as box:
            await box.sync()
            mailboxes = await asyncio.to_thread(box.mailboxes)
            messages = await asyncio.to_thread(box.messages, mailbox)

        async def lines() -> AsyncIterator[Answer]:
            yield {"ok": True, "mailboxes": msgspec.to_builtins(mailboxes)}
            for start in range(0, len(messages), PART):
                yield {"messages": msgspec.to_builtins(messages[start : start + PART])}

        return lines()

    async def flags(self, request: Answer) -> Answer:
        """Add and remove flags; says how many messages changed."""
        async with self._shelf.use(_text(request, "box")) as box:
            changed = await box.flags(
                _text(request, "mailbox"),
                _list(request, "uids", int),
                _list(request, "add", str),
                _list(request, "remove", str),
                **_who(request),
            )
        return {"changed": changed}

    async def move(self, request: Answer) -> Answer:
        """Move messages; says their UIDs in the target."""
        async with self._shelf.use(_text(request, "box")) as box:
            uids = await box.move(
                _text(request, "mailbox"),
                _list(request, "uids", int),
                _text(request, "target"),
                **_who(request),
            )
        return {"uids": uids}

    async def expunge(self, request: Answer) -> Answer:
        """Delete messages; says how many."""
        async with self._shelf.use(_text(request, "box")) as box:
            count = await box.expunge(
                _text(request, "mailbox"), _list(request, "uids", int), **_who(request)
            )
        return {"count": count}

    async def put(self, request: Answer) -> Answer:
        """Take prepared files in; says their UIDs."""
        try:
            items = msgspec.convert(request["items"], list[Prepared])
        except msgspec.ValidationError as error:
            raise UsageError(f"malformed request: {error}") from error
        snapshot = request.get("snapshot")
        async with self._shelf.use(_text(request, "box"), make=True) as box:
            uids = await box.put(
                _text(request, "mailbox"),
                items,
                snapshot=None if snapshot is None else str(snapshot),
                **_who(request),
            )
        return {"uids": uids}

    async def create(self, request: Answer) -> Answer:
        """Make a mailbox, and its box's folder if need be; says whether it was not there."""
        async with self._shelf.use(_text(request, "box"), make=True) as box:
            actor = _text(request, "actor")
            return {"created": await box.create(_text(request, "mailbox"), actor=actor)}

    async def rename(self, request: Answer) -> Answer:
        """Rename a mailbox and those below it."""
        async with self._shelf.use(_text(request, "box")) as box:
            await box.rename(_text(request, "mailbox"), _text(request, "target"), **_who(request))
        return {}

    async def delete(self, request: Answer) -> Answer:
        """Delete a mailbox; says how many messages it had."""
        async with self._shelf.use(_text(request, "box")) as box:
            return {"count": await box.delete(_text(request, "mailbox"), **_who(request))}


def _text(request: Answer, name: str) -> str:
    value = request[name]
    if not isinstance(value, str):
        raise UsageError(f"malformed request: {name} is no text")
    return value


def _list(request: Answer, name: str, kind: type[T]) -> list[T]:
    value = request[name]
    if not isinstance(value, list) or not all(type(one) is kind for one in value):
        raise UsageError(f"malformed request: {name} is no list of {kind.__name__}")
    return value


def _who(request: Answer) -> dict[str, Any]:
    return {"actor": _text(request, "actor"), "client": str(request.get("client", ""))}


async def serve(loaded: Loaded, signals: Signals) -> None:
    """Own the boxes until told to stop.

    First of all every act is finished that a journal promises; only then is the role's own
    journal opened, which may use those frames' space again.
    """
    places, settings = loaded.places, loaded.config.journal
    replay = Replay(places.journal)
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
        )
    )
    if replayed:
        _log.info("finished %d acts of an unclean stop", replayed)
    bell = control.bind(places.run / BELL, socket.SOCK_DGRAM)
    loop = asyncio.get_running_loop()
    try:
        shelf = Shelf(places, journal, loaded.config.hostname, replay)
        numbering = Numbering(shelf)

        def use(now: Loaded) -> None:
            shelf.hostname = now.config.hostname

        in_force = InForce(loaded, use)
        signals.on_reload(in_force.read_again)
        run = journal.mint.new()
        journal.note(SysStart(at=clock.now_us(), trace=run, role=NAME, version=version("mtad")))
        server = await control.serve(places.socket(NAME), Verbs(shelf, in_force).table())
        loop.add_reader(bell.fileno(), _listen, bell, numbering)
        signals.ready()
        await signals.stop.wait()
        loop.remove_reader(bell.fileno())
        server.close()
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

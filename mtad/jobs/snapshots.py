"""Snapshots taken by the jobs role: one at a time, in a thread, with progress and events."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Any

from backup import ages, runs
from backup.catalog import Catalog
from backup.snapshot import Progress, Taken
from mtad import clock
from mtad.config import Loaded
from mtad.errors import Exit, MtadError
from mtad.journal.errors import JournalBroken, JournalFull
from mtad.journal.frame import Meta, raw
from mtad.journal.writer import Journal
from tracing import events

GRACE = timedelta(hours=23)
"""How late a missed daily snapshot is still taken."""
PROGRESS_SECONDS = 0.2


class Stopped(MtadError):
    """The role is told to stop; a snapshot under way ends without a trace."""

    exit_code = Exit.INTERRUPTED


class Tell:
    """Events of a thread, made durable in the role's journal."""

    def __init__(self, journal: Journal, loop: asyncio.AbstractEventLoop) -> None:
        self._journal, self._loop = journal, loop

    def new_id(self) -> int:
        """An id nobody has had."""

        async def new() -> int:
            return self._journal.mint.new()

        return asyncio.run_coroutine_threadsafe(new(), self._loop).result()

    def __call__(self, event: events.Event) -> None:
        """Make the event durable. Raises MtadError."""
        commit = self._journal.commit(Meta(events=(raw(event),)))
        try:
            asyncio.run_coroutine_threadsafe(commit, self._loop).result()
        except (JournalFull, JournalBroken) as error:
            raise MtadError(f"the journal takes no event: {error}") from error


class Snapshots:
    """Takes snapshots for one data directory."""

    def __init__(self, loaded: Loaded, journal: Journal, loop: asyncio.AbstractEventLoop) -> None:
        self.loaded = loaded
        self.running: dict[str, Any] | None = None
        self.last: dict[str, Any] | None = None
        self._loop = loop
        self._tell = Tell(journal, loop)
        self._one = asyncio.Lock()
        self._asked: set[asyncio.Task[Taken]] = set()
        self._stopping = False

    def stop(self) -> None:
        """Begin none any more; one under way ends at its next step."""
        self._stopping = True

    async def idle(self) -> None:
        """Wait for one under way."""
        async with self._one:
            return

    async def take(
        self,
        progress: Callable[[Progress], None] = lambda progress: None,
        *,
        box: str | None = None,
        domain: str | None = None,
        actor: str = "backup",
    ) -> Taken:
        """Take a snapshot in a thread, one at a time. Raises MtadError, Stopped."""

        def watch(state: Progress) -> None:
            if self._stopping:
                raise Stopped("the server is stopping")
            self.running = _fields(state)
            progress(state)

        async with self._one:
            if self._stopping:
                raise Stopped("the server is stopping")
            self.running = {"scope": runs.scope(box, domain)}
            began = clock.now_us()
            try:
                taken = await asyncio.to_thread(
                    runs.take,
                    self.loaded,
                    self._tell,
                    box=box,
                    domain=domain,
                    actor=actor,
                    progress=watch,
                )
            except MtadError as error:
                self.last = {"began_us": began, "ok": False, "error": str(error)}
                raise
            finally:
                self.running = None
            self.last = {"began_us": began, "ok": True, "snapshot": taken.name}
            return taken

    async def verb(self, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Take a snapshot: lines of progress, then one with ``done``."""
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        sent = 0.0

        def progress(state: Progress) -> None:
            nonlocal sent
            if time.monotonic() - sent > PROGRESS_SECONDS:
                sent = time.monotonic()
                self._loop.call_soon_threadsafe(queue.put_nowait, _fields(state))

        actor = str(request.get("actor") or "admin:socket")
        what = {name: request.get(name) for name in ("box", "domain")}
        task = self._loop.create_task(self.take(progress, actor=actor, **what))
        self._asked.add(task)

        def ended(task: asyncio.Task[Taken]) -> None:
            self._asked.discard(task)
            if not task.cancelled():
                task.exception()  # told as an event already, should nobody listen any more
            queue.put_nowait({})

        task.add_done_callback(ended)
        return self._stream(task, queue)

    async def _stream(
        self, task: asyncio.Task[Taken], queue: asyncio.Queue[dict[str, Any]]
    ) -> AsyncIterator[dict[str, Any]]:
        while line := await queue.get():
            yield line
        taken = await task
        commit = taken.commit
        yield {
            "done": True,
            "snapshot": taken.name,
            "boxes": len(commit.mail),
            "messages": sum(line.messages for line in commit.mail),
            "added": commit.added,
            "stored_bytes": commit.stored,
            "same_as": taken.same_as or None,
            "unread": list(commit.unread),
        }


def missed(loaded: Loaded, now: datetime) -> bool:
    """Whether no snapshot of all boxes was taken since the daily one was last due.

    Not before the repository was made; true where that cannot be told, for taking one says why.
    """
    hour, _, minute = loaded.config.backup.daily_at.partition(":")
    due = now.astimezone().replace(hour=int(hour), minute=int(minute), second=0, microsecond=0)
    if due > now:
        due -= timedelta(days=1)
    if now - due > GRACE:
        return False
    try:
        made = ages.made(loaded)
        with Catalog.open(loaded) as view:
            last = [one.at for one in view.snapshots() if one.scope == runs.scope(None, None)]
    except (OSError, MtadError):
        return True
    return max([made, *(at / 1_000_000 for at in last)]) < due.timestamp()


def _fields(state: Progress) -> dict[str, Any]:
    return {
        "boxes": state.boxes,
        "boxes_done": state.boxes_done,
        "messages": state.messages,
        "read": state.read,
        "read_bytes": state.read_bytes,
    }

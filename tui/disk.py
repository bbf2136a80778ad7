"""Reading a real server: month files, control sockets, file system, snapshot repository.

Each kind of question has a thread of its own with its own read-only connections, so that a
long search never keeps the visible rows waiting and the event loop never waits at all.
Whatever goes wrong below comes out as ``Trouble`` with one sentence. Packages that are slow to
load are imported in the thread that needs them, after the first screen is painted.
"""

import asyncio
import os
import shutil
import sqlite3
from array import array
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mtad import control
from mtad.errors import MtadError, Unreachable
from mtad.where import Places
from tracing import months, search
from tracing.queries import Log, Recipient, Row
from tui.data import (
    Around,
    Failure,
    Flow,
    Glance,
    Role,
    Saved,
    SavedBox,
    SavedMailbox,
    SavedMessage,
    Story,
)
from tui.saved import Saves
from tui.vtable import RowSource, Trouble

T = TypeVar("T")

ROLES = ("mta", "log", "access", "jobs")
"""The daemon's processes, each with a control socket of its name."""
ASK_SECONDS = 2
FAILURES = 12
_MINUTE = 60_000_000
_DAY = 24 * 60 * _MINUTE
_MINUTES = 60


def sentence(error: BaseException) -> str:
    """What went wrong, for the person at the screen."""
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        text = f"cannot read {where}{error.strerror or error}"
        if isinstance(error, PermissionError):
            text += "; run this as the mail server's own user"
        return text
    if isinstance(error, sqlite3.Error):
        return f"the event log cannot be read: {error}"
    if isinstance(error, MtadError | months.NewerVersion):
        return str(error)
    return f"a fault of mtad keeps this from being read: {error!r}"


class Lane:
    """One thread with its own view of the log; questions are answered one after the other."""

    def __init__(self, directory: Path) -> None:
        self._log = Log(directory)
        self._thread = ThreadPoolExecutor(1, "tui")

    async def run(self, read: Callable[[Log], T]) -> T:
        """An answer. Raises Trouble."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, read, self._log)
        except Exception as error:
            raise Trouble(sentence(error)) from error

    def after(self, do: Callable[[], None]) -> None:
        """Have something done in this thread after all that was asked."""
        self._thread.submit(do)

    def close(self) -> None:
        """Let the thread and its files go; what runs is not waited for."""
        self._thread.submit(self._log.close)
        self._thread.shutdown(wait=False)


@dataclass(frozen=True, slots=True)
class Messages:
    """The messages that fit a filter: a ``RowSource``."""

    query: search.Query
    searching: Lane
    fetching: Lane

    async def id_chunks(self) -> AsyncIterator["array[int]"]:
        """All ids, newest first; the first 200 at once."""
        chunks = await self.searching.run(lambda log: log.id_chunks(self.query))
        empty = array("q")
        while chunk := await self.searching.run(lambda _: next(chunks, empty)):
            yield chunk

    async def rows(self, wanted: Sequence[int]) -> Mapping[int, Row]:
        """Rows by id."""
        numbers = list(wanted)
        return await self.fetching.run(lambda log: log.rows(numbers))

    async def newer(self, after: int) -> "array[int]":
        """Ids above ``after``, newest first."""
        return await self.searching.run(lambda log: log.newer(self.query, after))


class Disk:
    """A ``Reading`` of the server whose data directory and settings these are."""

    def __init__(self, places: Places, settings: Path) -> None:
        self._places = places
        self._saves = Saves(settings)
        self._searching = Lane(places.log)
        self._fetching = Lane(places.log)
        self._figures = Lane(places.log)
        self._asking = Lane(places.log)
        self._browsing = Lane(places.log)

    def parse(self, text: str, now_us: int) -> search.Query:
        """A filter; times in it are in the machine's own zone."""
        return search.parse(text, now_us)

    def messages(self, query: search.Query) -> RowSource[Row]:
        """The messages that fit, newest first."""
        return Messages(query, self._searching, self._fetching)

    async def total(self) -> int:
        """How many messages there are without a filter."""
        return await self._figures.run(Log.total)

    async def recipients(self, m: int) -> Sequence[Recipient]:
        """A message's recipients and where their copies lie now."""
        return await self._fetching.run(lambda log: log.recipients(m))

    async def story(self, m: int) -> Story:
        """All of one message."""

        def read(log: Log) -> Story:
            return Story(log.rows([m]).get(m), log.recipients(m), log.timeline(m))

        return await self._fetching.run(read)

    async def glance(self, now_us: int) -> Glance:
        """The figures of log and disk."""
        return await self._figures.run(lambda log: self._glance(log, now_us))

    async def around(self) -> Around:
        """The processes and the last snapshot."""
        roles = await self._asking.run(lambda _: [_role(self._places, name) for name in ROLES])
        try:
            saved = await self._browsing.run(lambda _: self._saves.snapshots())
        except Trouble as trouble:
            return Around(roles=roles, trouble=str(trouble))
        return Around(roles, len(saved), saved[0] if saved else None)

    async def snapshots(self) -> Sequence[Saved]:
        """All snapshots, latest first."""
        return await self._browsing.run(lambda _: self._saves.snapshots())

    async def boxes(self, snapshot: str) -> Sequence[SavedBox]:
        """The boxes in a snapshot."""
        return await self._browsing.run(lambda _: self._saves.boxes(snapshot))

    async def mailboxes(self, snapshot: str, box: str) -> Sequence[SavedMailbox]:
        """The mailboxes of a box in a snapshot."""
        return await self._browsing.run(lambda _: self._saves.mailboxes(snapshot, box))

    async def saved(self, snapshot: str, box: str, mailbox: str) -> Sequence[SavedMessage]:
        """The messages of a mailbox in a snapshot, latest first."""
        return await self._browsing.run(lambda _: self._saves.messages(snapshot, box, mailbox))

    async def banner(self) -> str:
        """Whether there is a log, and whether the daemon that writes it runs."""
        return await self._asking.run(lambda _: self._banner())

    async def bell(self) -> AsyncIterator[None]:
        """Rings when the log role has written something; ends when it does not run."""
        try:
            async for _ in control.listen(self._places.socket("log"), "tail"):
                yield
        except Unreachable as error:
            raise Trouble(str(error)) from error

    async def close(self) -> None:
        """Let everything go."""
        self._browsing.after(self._saves.close)
        for lane in (
            self._searching, self._fetching, self._figures, self._asking, self._browsing
        ):  # fmt: skip
            lane.close()

    def _banner(self) -> str:
        log = self._places.log
        running = _role(self._places, "log").alive
        if not months.listing(log):
            if running:
                return ""
            return f"there is no event log in {log} yet; 'mtad serve' runs the server"
        return "" if running else "the server does not run: this is what its files say"

    def _glance(self, log: Log, now_us: int) -> Glance:
        disk = shutil.disk_usage(_existing(self._places.data))
        first = now_us // _MINUTE - _MINUTES + 1
        found = log.overview(now_us - _DAY, now_us + 1000, FAILURES, first * _MINUTE)
        if not months.listing(self._places.log):
            return Glance(
                boxes=_boxes(self._places.boxes), disk_total=disk.total, disk_free=disk.free
            )
        by_minute = {one.at // _MINUTE: one for one in found.flow}
        hour = [by_minute.get(first + index) for index in range(_MINUTES)]
        return Glance(
            flow=Flow(
                since=first * _MINUTE,
                accepted=tuple(one.received if one else 0 for one in hour),
                refused=tuple(one.refused if one else 0 for one in hour),
                delivered=tuple(one.delivered if one else 0 for one in hour),
            ),
            outcomes=found.counts,
            failures=[Failure(row, _why(log, row)) for row in found.failures],
            messages=found.messages,
            events=found.events,
            day_octets=found.bytes,
            log_octets=_octets(self._places.log),
            boxes=_boxes(self._places.boxes),
            disk_total=disk.total,
            disk_free=disk.free,
        )


def _why(log: Log, row: Row) -> str:
    """The reply that says why a message was not delivered, as far as one is kept."""
    for recipient in log.recipients(row.id):
        if recipient.reply and recipient.state == row.state:
            return recipient.reply
    for stored in reversed(log.timeline(row.id)):
        if stored.event.trace == row.id and stored.event.reply:
            return stored.event.reply
    return ""


def _role(places: Places, name: str) -> Role:
    """Whether a process answers on its socket, and how many seconds it has been up."""
    try:
        answer = control.ask(places.socket(name), "status", seconds=ASK_SECONDS)
    except Unreachable:
        return Role(name, False)
    except MtadError as error:
        return Role(name, True, str(error))
    return Role(name, True, ", ".join(_notes(answer)))


def _notes(answer: Mapping[str, object]) -> Sequence[str]:
    """What a process says of itself in single numbers and words, but for the answer's frame."""
    return [
        f"{name} {value}"
        for name, value in answer.items()
        if name not in ("ok", "pid", "role", "version") and isinstance(value, int | float | str)
    ][:3]


def _boxes(folder: Path) -> int | None:
    """How many boxes have a folder."""
    try:
        with os.scandir(folder) as domains:
            return sum(len(os.listdir(domain.path)) for domain in domains if domain.is_dir())
    except FileNotFoundError:
        return None


def _octets(folder: Path) -> int:
    with os.scandir(folder) as files:
        return sum(file.stat().st_size for file in files if file.is_file())


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder

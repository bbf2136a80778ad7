"""Reading a real server: month files, control sockets, file system, snapshot repository.

Each kind of question has a thread of its own with its own read-only connections, so that a
long search never keeps the visible rows waiting and the event loop never waits at all.
Whatever goes wrong below comes out as ``Trouble`` with one sentence. Packages that are slow to
load are imported in the thread that needs them, after the first screen is painted.
"""

import asyncio
import sqlite3
from array import array
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mtad import clock, control
from mtad.errors import Corrupt, MtadError, Unreachable
from mtad.setup.doctor.check import Check, in_thread
from mtad.where import Kept, Places
from tracing import months, saved, search
from tracing.queries import Log, Recipient, Row
from tracing.views import BUILT_IN
from tui import asked, figures, waits
from tui.data import Account, Around, Destination, Domain, Folder, Glance, Letter, Story, Waiting
from tui.saved import Saves
from tui.source import RowSource, Trouble

if TYPE_CHECKING:
    from backup.catalog import Message as SavedMessage
    from mtad.store.values import Message

T = TypeVar("T")

FIRST_ROWS = 100
"""Rows read together with the first ids."""


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

    def __init__(self, directory: Kept) -> None:
        self._log = Log(directory)
        self._thread = ThreadPoolExecutor(1, "tui")

    def ask(self, read: Callable[[Log], T]) -> "Future[T]":
        """Begin to read; needs no event loop."""
        return self._thread.submit(read, self._log)

    async def run(self, read: Callable[[Log], T]) -> T:
        """An answer. Raises Trouble."""
        return await answer(self.ask(read))

    def after(self, do: Callable[[], None]) -> None:
        """Have something done in this thread after all that was asked."""
        self._thread.submit(do)

    def close(self) -> None:
        """Let the thread and its files go; what runs is not waited for."""
        self._thread.submit(self._log.close)
        self._thread.shutdown(wait=False)


async def answer(asked: "Future[T]") -> T:
    """What was asked of a thread. Raises Trouble."""
    try:
        return await asyncio.wrap_future(asked)
    except Exception as error:
        raise Trouble(sentence(error)) from error


def _done(asked: "Future[T] | None") -> T | None:
    """What was asked, if it is here and well."""
    if asked is None or not asked.done() or asked.cancelled() or asked.exception():
        return None
    return asked.result()


class Messages:
    """The messages that fit a filter: a ``RowSource``. Made, it asks for the first of them."""

    def __init__(self, query: search.Query, searching: Lane, fetching: Lane) -> None:
        self.query = query
        self._searching = searching
        self._fetching = fetching
        self._rows: Mapping[int, Row] = {}
        self._asked = searching.ask(self._begin)

    def _begin(self, log: Log) -> "tuple[Iterator[array[int]], array[int], Mapping[int, Row]]":
        chunks = log.id_chunks(self.query)
        first = next(chunks, array("q"))
        return chunks, first, log.rows(list(first[:FIRST_ROWS]))

    def known(self) -> "tuple[array[int], Mapping[int, Row]] | None":
        """The first ids with their rows, if they have been read; never waits."""
        found = _done(self._asked)
        return found and found[1:]

    async def id_chunks(self) -> AsyncIterator["array[int]"]:
        """All ids, newest first; the first 200 at once."""
        chunks, chunk, self._rows = await answer(self._asked)
        while chunk:
            yield chunk
            chunk = await self._searching.run(lambda _: next(chunks, array("q")))

    async def rows(self, wanted: Sequence[int]) -> Mapping[int, Row]:
        """Rows by id; the first ones came with their ids."""
        known, self._rows = self._rows, {}
        numbers = list(wanted)
        if known.keys() >= set(numbers):
            return known
        return await self._fetching.run(lambda log: log.rows(numbers))

    async def newer(self, after: int) -> "array[int]":
        """Ids above ``after``, newest first."""
        return await self._searching.run(lambda log: log.newer(self.query, after))


class Disk:
    """What screens may ask of the server whose data directory and settings these are.

    Every method that is awaited may raise Trouble.
    """

    def __init__(self, places: Places, settings: Path) -> None:
        self._places = places
        self._settings = settings
        self._saves = Saves(settings)
        self._searching = Lane(places.log)
        self._fetching = Lane(places.log)
        self._figures = Lane(places.log)
        self._asking = Lane(places.log)
        self._browsing = Lane(places.log)
        self._keeping = Lane(places.log)
        self._first: Messages | None = None
        self._glanced: Future[Glance] | None = None

    def begin(self, screen: str, text: str) -> None:
        """Read what a screen shows first, while the program is still being loaded."""
        now = clock.now_us()
        if screen == "overview":
            self._glanced = self._figures.ask(lambda log: figures.glance(log, self._places, now))
        elif screen == "trace":
            with suppress(search.SearchError):
                self._first = Messages(
                    search.parse(text, now, views=self.views()), self._searching, self._fetching
                )

    def views(self) -> Mapping[str, str]:
        """The filters that have a name; those that are always there if the file is damaged."""
        with suppress(Corrupt, OSError):
            return saved.load(self._places.log)
        return BUILT_IN

    def messages(self, query: search.Query) -> RowSource[Row]:
        """The messages that fit, newest first."""
        first, self._first = self._first, None
        if first is not None and first.query.text == query.text:
            return first
        return Messages(query, self._searching, self._fetching)

    async def total(self) -> int:
        """How many messages there are without a filter."""
        return await self._figures.run(Log.total)

    async def recipients(self, m: int) -> Sequence[Recipient]:
        """A message's recipients and where their copies lie now."""
        return await self._fetching.run(lambda log: log.recipients(m))

    async def story(self, m: int) -> Story:
        """All of one message; who looked is written down."""
        self._asking.ask(lambda _: asked.look(self._places, m))

        def read(log: Log) -> Story:
            return Story(log.rows([m]).get(m), log.recipients(m), log.timeline(m))

        return await self._fetching.run(read)

    async def destinations(self) -> Sequence[Destination]:
        """The domains that mail waits for."""
        return await self._asking.run(lambda _: waits.destinations(self._places))

    async def waiting(self, domain: str) -> tuple[Sequence[Waiting], int]:
        """Who waits for a domain, all for an empty one, and how many are left out."""
        return await self._asking.run(lambda _: waits.recipients(self._places, domain))

    async def why(self, m: int) -> Sequence[str]:
        """Verdicts on a message with evidence and what to do, in the language in use."""
        return await self._asking.run(lambda _: asked.why(self._places, m))

    async def proof(self, m: int) -> Sequence[str]:
        """A sheet on a message for the other side's postmaster."""
        return await self._asking.run(lambda _: asked.proof(self._places, self._settings, m))

    async def export(self, m: int, path: Path) -> str:
        """Write a message's timeline into a file that is not there yet; says what was written."""
        return await self._asking.run(lambda _: asked.export(self._places, m, path))

    def known_glance(self) -> Glance | None:
        """The figures of log and disk that ``begin`` read, if they are here; never waits."""
        return _done(self._glanced)

    async def glance(self, now_us: int) -> Glance:
        """The figures of log and disk."""
        asked, self._glanced = self._glanced, None
        if asked is None:
            asked = self._figures.ask(lambda log: figures.glance(log, self._places, now_us))
        return await answer(asked)

    async def around(self) -> Around:
        """The processes and the last snapshot."""
        roles = await self._asking.run(lambda _: figures.roles(self._places))
        try:
            saved = await self._browsing.run(lambda _: self._saves.listing())
        except Trouble as trouble:
            return Around(roles=roles, trouble=str(trouble))
        return Around(roles, len(saved), saved[0] if saved else None)

    async def health(self) -> Sequence[Check]:
        """What the doctor finds; a few seconds, and more where name servers are silent."""

        def look() -> Sequence[Check]:
            from mtad import config  # noqa: PLC0415 - slow to load
            from mtad.setup.doctor.examine import examine  # noqa: PLC0415 - slow to load

            return asyncio.run(examine(config.load(self._settings)))

        try:
            return await in_thread(look)
        except Exception as error:
            raise Trouble(sentence(error)) from error

    async def held(self) -> tuple[Sequence[Waiting], int]:
        """Who is held, and how many are left out."""
        return await self._asking.run(lambda _: waits.held(self._places))

    async def queued(self, m: int, size: int) -> Sequence[str]:
        """A message that waits as a page of text, as ``letter``."""

        def read(_log: Log) -> Sequence[str]:
            from tui import preview  # noqa: PLC0415 - not needed for the first screen

            return preview.lines(waits.content(self._places, m, preview.MAX_OCTETS), size)

        return await self._keeping.run(read)

    async def domains(self) -> Sequence[Domain]:
        """The domains that mail is taken for."""
        return await self._keeping.run(lambda _: self._boxes().domains(self._places))

    async def accounts(self, domain: str) -> Sequence[Account]:
        """The boxes and aliases of a domain."""
        return await self._keeping.run(lambda _: self._boxes().accounts(self._places, domain))

    async def folders(self, box: str) -> Sequence[Folder]:
        """The mailboxes of a box."""
        return await self._keeping.run(lambda _: self._boxes().folders(self._places, box))

    async def letters(self, box: str, mailbox: str) -> tuple[Sequence[Letter], int]:
        """The latest messages of a mailbox, and how many more there are."""
        return await self._keeping.run(lambda _: self._boxes().letters(self._places, box, mailbox))

    async def letter(self, box: str, kept: "Message") -> Sequence[str]:
        """A message as a page of text; that someone reads it must be written down before."""

        def read(_log: Log) -> Sequence[str]:
            from tui import preview  # noqa: PLC0415 - not needed for the first screen

            return preview.lines(self._boxes().content(self._places, box, kept), kept.size)

        return await self._keeping.run(read)

    @staticmethod
    def _boxes() -> Any:
        from tui import boxes  # noqa: PLC0415 - slow to load, and not needed at first

        return boxes

    async def saved(self, *path: str) -> Sequence[Any]:
        """What there is at a path of snapshot, box and mailbox; without one all snapshots."""
        return await self._browsing.run(lambda _: self._saves.listing(*path))

    async def saved_text(self, message: "SavedMessage") -> Sequence[str]:
        """A message of a snapshot as a page of text, as ``letter``."""

        def read(_log: Log) -> Sequence[str]:
            from tui import preview  # noqa: PLC0415 - not needed for the first screen

            raw = self._saves.content(message)[: preview.MAX_OCTETS]
            return preview.lines(raw, message.entry.size)

        return await self._browsing.run(read)

    async def banner(self) -> str:
        """Whether there is a log, and whether the daemon that writes it runs."""
        return await self._asking.run(lambda _: self._banner())

    async def books(self) -> str:
        """That the books did not balance when they were audited last; empty where they did."""
        return await self._asking.run(lambda _: figures.books(self._places))

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
            self._searching, self._fetching, self._figures, self._asking, self._browsing,
            self._keeping,
        ):  # fmt: skip
            lane.close()

    def _banner(self) -> str:
        log = self._places.log
        running = figures.role(self._places, "log").alive
        if not months.listing(log):
            if running:
                return ""
            return f"there is no event log in {log} yet; 'mtad serve' runs the server"
        return "" if running else "the server does not run: this is what its files say"

"""The log role: one thread makes files and rows of frames, the event loop answers questions.

Whatever befalls the thread's work, a full disk for one, the control socket keeps answering
and says what is wrong.
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager, suppress

from mtad import control
from mtad.config import Loaded
from mtad.control import Answer, Verb
from mtad.errors import Corrupt, Locked, MtadError, Unreachable
from mtad.materialise.looks import Looks
from mtad.materialise.queue import QueueAnswers
from mtad.materialise.rows import Noted
from mtad.materialise.worker import Worker
from mtad.reload import InForce
from mtad.signals import Signals
from tracing import answers, log, months, own
from tracing.archive import swap
from tracing.queries import Log, Stored

MAX_LAG = 10_000
"""Events a subscriber may be behind; beyond it the stream ends and the subscriber catches up."""
POSITION_SECONDS = 600


class LogRole:
    """What the control socket answers; lives in the event loop."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._settings = InForce(loaded, self._use)
        self._loop = asyncio.get_running_loop()
        self._worker: Worker | None = None
        self._answered = 0
        self._round = asyncio.Condition()
        self._rounds: set[asyncio.Task[None]] = set()
        self._queue = QueueAnswers(loaded.places, self._catch_up)
        self._looks = Looks()
        self._tails: set[asyncio.Queue[Noted | None]] = set()
        self._up = asyncio.Event()
        self._stopping = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)

    def verbs(self) -> dict[str, Verb]:
        """The questions this role answers."""
        return {
            "status": self.status,
            "position": self.position,
            "trace": self.trace,
            "mine": self.mine,
            "timeline": self.timeline,
            "news": self.news,
            "tail": self.tail,
            **self._queue.verbs(),
            "month.replace": self.replace,
            "month.drop": self.drop,
            "forget": self.forget,
        }

    async def serve(self, signals: Signals) -> None:
        """Work until told to stop. Raises MtadError when the log cannot be written at all."""
        self._thread.start()
        signals.on_reload(self._settings.read_again)
        server = await control.serve(self._loaded.places.socket("log"), self.verbs())
        try:
            async with asyncio.TaskGroup() as group:
                stop = group.create_task(signals.stop.wait())
                up = group.create_task(self._up.wait())
                await asyncio.wait((stop, up), return_when=asyncio.FIRST_COMPLETED)
                if self._failure is None and self._up.is_set():
                    signals.ready()
                    self._up.clear()
                    ended = group.create_task(self._up.wait())
                    await asyncio.wait((stop, ended), return_when=asyncio.FIRST_COMPLETED)
                    ended.cancel()
                stop.cancel()
                up.cancel()
            self._stopping = True
            if self._worker is not None:
                self._worker.stop()
            await asyncio.to_thread(self._thread.join)
        finally:
            server.close()
            for tail in self._tails:
                tail.put_nowait(None)
        if self._failure is not None:
            raise _readable(self._failure) from self._failure

    def _use(self, loaded: Loaded) -> None:
        self._loaded = loaded
        if self._worker is not None:
            self._worker.keep(loaded.config.journal.keep_seconds)

    # -------------------------------------------------------------- the thread

    def _run(self) -> None:
        """Worker's thread: replay, then rounds; a failure is left for the loop."""
        settings = self._loaded.config.journal
        try:
            worker = self._worker = Worker(
                self._loaded.places,
                keep_seconds=settings.keep_seconds,
                cap_bytes=settings.cap_bytes,
                on_noted=self._noted,
                on_round=self._rounded,
            )
            try:
                if self._stopping:  # told before there was anyone to tell
                    worker.stop()
                worker.start()
                self._tell(self._up.set)
                worker.run()
            finally:
                worker.close()
        except BaseException as error:
            self._failure = error
        self._tell(self._up.set)

    def _tell(self, call: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop is gone
            self._loop.call_soon_threadsafe(call)

    def _noted(self, noted: Noted) -> None:
        if self._tails and noted:
            self._tell(lambda: self._publish(noted))

    def _rounded(self, number: int) -> None:
        if number > self._answered:
            self._tell(lambda: self._announce(number))

    # ---------------------------------------------------------------- the loop

    def _announce(self, number: int) -> None:
        self._answered = max(self._answered, number)
        task = self._loop.create_task(self._wake())  # kept in a set until it is done
        self._rounds.add(task)
        task.add_done_callback(self._rounds.discard)

    async def _wake(self) -> None:
        async with self._round:
            self._round.notify_all()

    def _publish(self, noted: Noted) -> None:
        for tail in list(self._tails):
            if tail.qsize() > MAX_LAG:
                self._tails.discard(tail)
                tail.put_nowait(None)
            else:
                tail.put_nowait(noted)

    def _working(self) -> Worker:
        if self._worker is None or not self._thread.is_alive():
            raise MtadError("the log is starting or stopping; ask again in a moment")
        return self._worker

    async def status(self, _: Answer) -> Answer:
        """How the work stands, with what stops it, if anything does."""
        standing = self._working().standing
        return {
            "role": "log",
            "frames": standing.frames,
            "problem": standing.problem,
            "problem_seconds": round(time.time() - standing.since) if standing.problem else 0,
            "applied": dict(standing.applied),
            "settings": self._settings.status(),
        }

    async def position(self, _: Answer) -> Answer:
        """Return once everything durable at this moment has been applied."""
        return {"applied": dict((await self._catch_up()).standing.applied)}

    async def _catch_up(self, content_of: int = 0) -> Worker:
        worker = self._working()
        number = worker.ask(content_of)
        try:
            async with asyncio.timeout(POSITION_SECONDS), self._round:
                await self._round.wait_for(lambda: self._answered >= number)
        except TimeoutError:
            problem = worker.standing.problem or "it is behind"
            raise MtadError(f"the log does not catch up: {problem}") from None
        return worker

    async def trace(self, request: Answer) -> Answer:
        """``query`` (and ``limit``): the list or the timeline that ``mtad trace`` prints."""
        query, limit = str(request.get("query", "")), int(request.get("limit", 50))
        found = await asyncio.to_thread(answers.answer, self._loaded.places.log, query, limit)
        if found.get("message") is not None:
            self._looks.note(self._working(), request, "", query, found)
        return found

    async def mine(self, request: Answer) -> Answer:
        """``address``, ``query``, ``limit``: a person's own messages, or one of them."""
        address, query = str(request["address"]), str(request.get("query", ""))
        limit, log = int(request.get("limit", 50)), self._loaded.places.log
        found = await asyncio.to_thread(own.answer, log, address, query, limit)
        self._looks.note(self._working(), request, address, query, found)
        return found

    async def timeline(self, request: Answer) -> Answer:
        """``trace`` (a number): everything known of one message or connection."""
        number = int(request["trace"])

        def look() -> Answer:
            places = self._loaded.places
            with answers.readable(places.log), closing(Log(places.log)) as log:
                return answers.timeline(log, number)

        return await asyncio.to_thread(look)

    async def replace(self, request: Answer) -> Answer:
        """``month``, ``draft``, ``position``: let a draft be the month, unless something came."""
        month, name = str(request["month"]), str(request["draft"])
        position = {str(k): bytes.fromhex(v) for k, v in request["position"].items()}
        draft = swap.drafted(self._loaded.places.log_folder, month, name)
        work = self._working().do(lambda log: log.replace(month, draft, position))
        return {"done": await asyncio.wrap_future(work)}

    async def drop(self, request: Answer) -> Answer:
        """``month``: let go of it."""
        month = months.checked(str(request["month"]))
        work = self._working().do(lambda log: log.drop(month))
        return {"done": await asyncio.wrap_future(work)}

    async def forget(self, _: Answer) -> Answer:
        """Names were changed in month files: read them again."""
        await asyncio.wrap_future(self._working().do(lambda log: log.forget()))
        return {}

    async def tail(self, _: Answer) -> AsyncIterator[Answer]:
        """Every event from now on as it is recorded, until the subscriber leaves or lags."""
        return self._events()

    async def _events(self) -> AsyncIterator[Answer]:
        with self._subscribed() as tail:
            while (noted := await tail.get()) is not None:
                for seq, event in noted:
                    yield answers.happened(Stored(log.month_of(event), seq, event))

    async def news(self, _: Answer) -> AsyncIterator[Answer]:
        """A line that names no event once nothing is missed, then each batch's last places."""
        return self._places()

    async def _places(self) -> AsyncIterator[Answer]:
        with self._subscribed() as tail:
            yield {}
            while (noted := await tail.get()) is not None:
                newest = {log.month_of(event): seq for seq, event in noted}
                for month, seq in newest.items():
                    yield {"month": month, "seq": seq}

    @contextmanager
    def _subscribed(self) -> Iterator["asyncio.Queue[Noted | None]"]:
        tail: asyncio.Queue[Noted | None] = asyncio.Queue()
        self._tails.add(tail)
        try:
            yield tail
        finally:
            self._tails.discard(tail)


def _readable(error: BaseException) -> BaseException:
    """A failure as the operator can act on it."""
    if isinstance(error, log.Busy):
        return Locked(str(error))
    if isinstance(error, sqlite3.OperationalError):
        return Unreachable(f"the log cannot be written: {error}")
    if isinstance(error, months.NewerVersion | sqlite3.DatabaseError):
        return Corrupt(f"the log cannot be written: {error}")
    return error


async def serve(loaded: Loaded, signals: Signals) -> None:
    """Be the log role until told to stop."""
    await LogRole(loaded).serve(signals)

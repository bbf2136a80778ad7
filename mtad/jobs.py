"""The jobs role: what is done by the clock and not by a message.

A snapshot and a summary of the day before at the settings' hours, the TLS reports about the day
before, hourly an audit of the books and the removal of deleted messages whose keep time is over,
on the disk and in boxes (POP3). A snapshot that was missed because the machine was off is taken
once it is on again. On ``run/jobs.sock``: ``snapshot`` takes one now and streams its progress,
``status`` says what runs, what ran last and what comes next.
"""

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from backup import runs
from backup.catalog import Catalog
from backup.keys import CONFIG
from backup.snapshot import Progress, Taken
from mtad import clock, control, ledger, metrics
from mtad.config import Loaded
from mtad.errors import Exit, MtadError, Unreachable
from mtad.journal.errors import JournalBroken, JournalFull
from mtad.journal.frame import Meta, raw
from mtad.journal.writer import Journal
from mtad.reload import InForce
from mtad.signals import Signals
from mtad.submit import daily, tls_reports
from mtad.where import Kept
from tracing import events, ids
from tracing.queries import Log

log = logging.getLogger("mtad.jobs")

NAME = "jobs"
NODE = 32
GRACE = timedelta(hours=23)
"""How late a missed daily snapshot is still taken."""
CATCH_UP_AFTER = timedelta(minutes=1)
"""How long after the start it is seen whether one was missed: mail in journals comes first."""
PURGE_EVERY = timedelta(hours=1)
PURGE_AFTER = timedelta(minutes=10)
"""How long after the start the first purge is, so that a server restarted often purges too."""
AUDIT_EVERY = timedelta(hours=1)
AUDIT_AFTER = timedelta(minutes=15)
"""How long after the start the first audit is."""
AUDIT_SPAN = "25h"
"""What an hourly audit looks at: a day, and the hour since the last one."""
WHOLE_AUDIT_EVERY = 24 * 3600 * 1_000_000
"""Microseconds after which everything is looked at again."""
MIN_KEEP_SECONDS = 3600
"""A content file younger than this is never removed: its links may be in the making."""
PROGRESS_SECONDS = 0.2
REPORTS_JITTER = 4 * 3600
"""Seconds within which the day's TLS reports go out, so that not all servers write at once."""
DAILY = "daily snapshot"
REPORT = "daily report"
MISSED = "missed snapshot"


class Stopped(MtadError):
    """The role is told to stop; a snapshot under way ends without a trace."""

    exit_code = Exit.INTERRUPTED


class _Tell:
    """Events of a thread, made durable in the role's journal."""

    def __init__(self, journal: Journal, loop: asyncio.AbstractEventLoop) -> None:
        self._journal, self._loop = journal, loop

    def new_id(self) -> int:
        async def new() -> int:
            return self._journal.mint.new()

        return asyncio.run_coroutine_threadsafe(new(), self._loop).result()

    def __call__(self, event: events.Event) -> None:
        commit = self._journal.commit(Meta(events=(raw(event),)))
        try:
            asyncio.run_coroutine_threadsafe(commit, self._loop).result()
        except (JournalFull, JournalBroken) as error:
            raise MtadError(f"the journal takes no event: {error}") from error


class Jobs:
    """The jobs of one data directory."""

    def __init__(self, loaded: Loaded, journal: Journal) -> None:
        self._loaded = loaded
        self.settings = InForce(loaded, self._use)
        self._journal = journal
        self._loop = asyncio.get_running_loop()
        self._tell = _Tell(journal, self._loop)
        self.figures = metrics.Figures(loaded)
        self._one = asyncio.Lock()
        self._asked: set[asyncio.Task[Taken]] = set()
        self._stopping = False
        self._auditing: asyncio.subprocess.Process | None = None
        self._running: dict[str, Any] | None = None
        self._last: dict[str, Any] | None = None
        self.scheduler = AsyncIOScheduler(event_loop=self._loop)

    def start(self) -> None:
        """Begin to keep time."""
        once = {"coalesce": True, "max_instances": 1}
        self.scheduler.add_job(
            self.daily,
            _at(self._loaded.config.backup.daily_at),
            id=DAILY,
            misfire_grace_time=int(GRACE.total_seconds()),
            **once,
        )
        self.scheduler.add_job(
            self.purge,
            IntervalTrigger(seconds=int(PURGE_EVERY.total_seconds())),
            id="purge",
            misfire_grace_time=600,
            next_run_time=clock.now() + PURGE_AFTER,
            **once,
        )
        self.scheduler.add_job(
            self.tls_reports,
            CronTrigger(hour=0, minute=15, timezone=UTC, jitter=REPORTS_JITTER),
            id="TLS reports",
            misfire_grace_time=int(GRACE.total_seconds()),
            **once,
        )
        self.scheduler.add_job(
            self.purge_fetched,
            IntervalTrigger(seconds=int(PURGE_EVERY.total_seconds())),
            id="purge of what POP3 deleted",
            misfire_grace_time=600,
            next_run_time=clock.now() + PURGE_AFTER,
            **once,
        )
        self.scheduler.add_job(
            self.report,
            _at(self._loaded.config.report.daily_at),
            id=REPORT,
            misfire_grace_time=int(GRACE.total_seconds()),
            **once,
        )
        self.scheduler.add_job(
            self.audit,
            IntervalTrigger(seconds=int(AUDIT_EVERY.total_seconds())),
            id="audit",
            misfire_grace_time=600,
            next_run_time=clock.now() + AUDIT_AFTER,
            **once,
        )
        self.scheduler.add_job(self.catch_up, DateTrigger(clock.now() + CATCH_UP_AFTER), id=MISSED)
        self.scheduler.add_listener(self._failed, EVENT_JOB_ERROR)
        self.scheduler.start()

    def stop(self) -> None:
        """Begin nothing more; what runs ends at its next step."""
        self._stopping = True
        if self._auditing is not None:
            self._auditing.terminate()
        self.scheduler.shutdown(wait=False)

    async def idle(self) -> None:
        """Wait for a snapshot under way."""
        async with self._one:
            return

    def _use(self, loaded: Loaded) -> None:
        """Go by these settings; the daily snapshot and report move to their hours."""
        self._loaded = loaded
        self.figures.use(loaded)
        self.scheduler.reschedule_job(DAILY, trigger=_at(loaded.config.backup.daily_at))
        self.scheduler.reschedule_job(REPORT, trigger=_at(loaded.config.report.daily_at))

    def _failed(self, event: JobExecutionEvent) -> None:
        """A job raised: said in the log, never in a traceback."""
        failed = events.BackupFail(
            at=clock.now_us(),
            trace=self._journal.mint.new(),
            actor="system",
            why=f"{event.job_id}: {event.exception}",
        )
        self._journal.note(failed)

    # ---------------------------------------------------------------- snapshots

    async def daily(self) -> None:
        """The daily snapshot; its failure is an event of its own."""
        with contextlib.suppress(MtadError):
            await self.snapshot(lambda progress: None)

    async def catch_up(self) -> None:
        """Take the daily snapshot now if the server was off when it was due."""
        if await asyncio.to_thread(missed, self._loaded, clock.now()):
            await self.daily()

    async def snapshot(
        self,
        progress: Callable[[Progress], None],
        *,
        box: str | None = None,
        domain: str | None = None,
        actor: str = "backup",
    ) -> Taken:
        """Take a snapshot in a thread, one at a time. Raises MtadError, Stopped."""

        def watch(state: Progress) -> None:
            if self._stopping:
                raise Stopped("the server is stopping")
            self._running = _fields(state)
            progress(state)

        async with self._one:
            if self._stopping:
                raise Stopped("the server is stopping")
            self._running = {"scope": runs.scope(box, domain)}
            began = clock.now_us()
            try:
                taken = await asyncio.to_thread(
                    runs.take,
                    self._loaded,
                    self._tell,
                    box=box,
                    domain=domain,
                    actor=actor,
                    progress=watch,
                )
            except MtadError as error:
                self._last = {"began_us": began, "ok": False, "error": str(error)}
                raise
            finally:
                self._running = None
            self._last = {"began_us": began, "ok": True, "snapshot": taken.name}
            return taken

    # ------------------------------------------------------------------ reports

    async def tls_reports(self) -> int:
        """Tell other domains of yesterday's TLS with their servers; how many reports were sent."""
        if not self._loaded.config.outbound.tls_reports:
            return 0
        return await tls_reports.send_daily(self._loaded, self._journal.mint.new, clock.now())

    async def report(self) -> int:
        """Send yesterday's summary to whom the settings name; to how many."""
        return await daily.send_daily(self._loaded, clock.now())

    # -------------------------------------------------------------------- audit

    async def audit(self) -> bool:
        """Whether the books balance: of the last day, or of always once a day.

        In a process of its own, at low priority: it reads much, and nothing here waits for it.
        Raises MtadError for one that cannot be made.
        """
        whole = ledger.read(self._loaded.places).whole
        words = ["audit", "--config", str(self._loaded.path)]
        if whole is not None and clock.now_us() - whole.at < WHOLE_AUDIT_EVERY:
            words += ["--since", AUDIT_SPAN]
        nice = ["nice", "-n", "10", sys.executable, "-m", "mtad", *words]
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*nice, stdin=quiet, stdout=quiet, stderr=-1)
        self._auditing = process
        try:
            _, said = await process.communicate()
        finally:
            self._auditing = None
            if process.returncode is None:
                process.kill()
        if process.returncode not in (Exit.OK, Exit.PROBLEMS) and not self._stopping:
            raise MtadError(said.decode("utf-8", "replace").strip()[:500])
        return process.returncode == Exit.OK

    # -------------------------------------------------------------------- purge

    async def purge(self) -> int:
        """Remove content files that nothing links to and whose keep time is over.

        Only once the log role has applied every frame that was durable when the candidates
        were listed: a message in a journal has its content file before it has a link. What a
        recipient of the queue waits for stays, however old. Returns how many were removed;
        none while the log role does not answer.
        """
        seconds = max(MIN_KEEP_SECONDS, self._loaded.config.store.keep_deleted_days * 86400)
        found = await asyncio.to_thread(unlinked, self._loaded.places.content, seconds)
        if not found:
            return 0
        try:
            await asyncio.to_thread(control.ask, self._loaded.places.socket("log"), "position")
        except Unreachable:
            return 0
        return await asyncio.to_thread(remove, found, seconds, self._loaded.places.log)

    async def purge_fetched(self) -> int:
        """Delete what POP3 clients deleted, once it was kept long enough; how many messages.

        The boxes' owner does it; while that does not answer there is another hour.
        """
        ask = partial(control.ask, seconds=PURGE_EVERY.total_seconds())
        socket = self._loaded.places.socket("access")
        try:
            return int((await asyncio.to_thread(ask, socket, "pop3.purge"))["count"])
        except Unreachable:
            return 0

    # ------------------------------------------------------------ control socket

    async def verb_snapshot(self, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
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
        task = self._loop.create_task(self.snapshot(progress, actor=actor, **what))
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
            "boxes": len(commit.boxes),
            "messages": sum(line.messages for line in commit.boxes),
            "added": commit.added,
            "stored_bytes": commit.stored,
            "same_as": taken.same_as or None,
            "unread": list(commit.unread),
        }

    async def verb_status(self, _: dict[str, Any]) -> dict[str, Any]:
        """What runs, what ran last, what comes next."""
        jobs = self.scheduler.get_jobs()
        idle = {MISSED} if self._loaded.config.report.mail_to else {MISSED, REPORT}
        following = {
            job.id: job.next_run_time.isoformat()
            for job in jobs
            if job.next_run_time is not None and job.id not in idle
        }
        return {
            "running": self._running,
            "last": self._last,
            "next": following,
            "settings": self.settings.status(),
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
        made = (loaded.repository / CONFIG).stat().st_mtime
        with Catalog.open(loaded) as view:
            last = [one.at for one in view.snapshots() if one.scope == runs.scope(None, None)]
    except (OSError, MtadError):
        return True
    return max([made, *(at / 1_000_000 for at in last)]) < due.timestamp()


def _at(time_of_day: str) -> CronTrigger:
    hour, _, minute = time_of_day.partition(":")
    return CronTrigger(hour=int(hour), minute=int(minute))


def _fields(state: Progress) -> dict[str, Any]:
    return {
        "boxes": state.boxes,
        "boxes_done": state.boxes_done,
        "messages": state.messages,
        "read": state.read,
        "read_bytes": state.read_bytes,
    }


def unlinked(content: Path, seconds: float) -> list[Path]:
    """Content files without another link that nobody has touched for ``seconds``."""
    return [
        Path(file.path)
        for month in sorted(content.glob("*"))
        if month.is_dir()
        for file in os.scandir(month)
        if _is_over(file.path, seconds)
    ]


def remove(paths: list[Path], seconds: float, log: Kept) -> int:
    """Remove those of the files that are still unlinked and not of the queue; how many were."""
    removed = 0
    with contextlib.closing(Log(log)) as view:
        awaited = {
            ids.text(m)
            for m in view.open_among(filter(None, (ids.parse(path.name) for path in paths)))
        }
    for path in paths:
        if path.name not in awaited and _is_over(path, seconds):
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _is_over(path: Path | str, seconds: float) -> bool:
    """By change time: the last unlink sets it, and nothing sets it back."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    return found.st_nlink == 1 and found.st_ctime < time.time() - seconds


async def _metrics(loaded: Loaded, figures: metrics.Figures) -> asyncio.Server | None:
    """Figures over HTTP, where they are wanted; a port that is taken stops nothing else."""
    host, _, port = loaded.config.metrics.listen.rpartition(":")
    if not host:
        return None
    try:
        return await metrics.Endpoint(figures).serve(host.strip("[]"), int(port))
    except OSError as error:
        log.warning("no figures on %s: %s", loaded.config.metrics.listen, error)
        return None


async def serve(loaded: Loaded, signals: Signals) -> None:
    """Keep time until told to stop."""
    places = loaded.places
    settings = loaded.config.journal
    journal = await asyncio.to_thread(
        lambda: Journal.open(
            places.journal / NAME,
            node=NODE,
            doorbell=places.doorbell,
            segment_bytes=settings.segment_bytes,
            cap_bytes=settings.cap_bytes,
        )
    )
    try:
        jobs = Jobs(loaded, journal)
        jobs.start()
        verbs: dict[str, control.Verb] = {
            "snapshot": jobs.verb_snapshot,
            "status": jobs.verb_status,
        }
        server = await control.serve(places.socket(NAME), verbs)
        endpoint = await _metrics(loaded, jobs.figures)
        run = journal.mint.new()
        start = events.SysStart(at=clock.now_us(), trace=run, role=NAME, version=version("mtad"))
        journal.note(start)
        signals.on_reload(jobs.settings.read_again)
        signals.ready()
        await signals.stop.wait()
        jobs.stop()
        server.close()
        if endpoint is not None:
            endpoint.close()
        await jobs.idle()
        journal.note(events.SysStop(at=clock.now_us(), trace=run, role=NAME, why="told to stop"))
    finally:
        await journal.close()

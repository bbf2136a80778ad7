"""The jobs role: what is done by the clock and not by a message.

Snapshots and a summary of the day before at the settings' hours, the TLS reports about the day
before, what the event log need not keep any longer, once a week whether its sealed months are
whole, each night the upkeep of the snapshot repository, once a month whether messages come back
out of it, hourly an audit of the books and the
removal of deleted messages whose keep time is over, on the disk and in boxes (POP3). A snapshot
that was missed because the machine was off is taken once it is on again. On ``run/jobs.sock``:
``snapshot`` takes one now and streams its progress, ``status`` says what runs, what ran last and
what comes next.
"""

import asyncio
import contextlib
import logging
import sys
from datetime import UTC, timedelta
from importlib.metadata import version
from typing import Any

from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from backup import upkeep
from mtad import clock, control, ledger, metrics
from mtad.config import Loaded
from mtad.errors import Exit, MtadError
from mtad.jobs import purging
from mtad.jobs.schedules import Schedules
from mtad.jobs.snapshots import GRACE, Snapshots
from mtad.journal.writer import Journal
from mtad.reload import InForce
from mtad.signals import Signals
from mtad.submit import daily, tls_reports
from tracing import events

log = logging.getLogger("mtad.jobs")

NAME = "jobs"
NODE = 32
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
REPORTS_JITTER = 4 * 3600
"""Seconds within which the day's TLS reports go out, so that not all servers write at once."""
REPORT = "daily report"
MISSED = "missed snapshot"


class Jobs:
    """The jobs of one data directory."""

    def __init__(self, loaded: Loaded, journal: Journal) -> None:
        self._loaded = loaded
        self.settings = InForce(loaded, self._use)
        self._journal = journal
        self._loop = asyncio.get_running_loop()
        self.snapshots = Snapshots(loaded, journal, self._loop)
        self.figures = metrics.Figures(loaded)
        self._stopping = False
        self._commands: set[asyncio.subprocess.Process] = set()
        self.scheduler = AsyncIOScheduler(event_loop=self._loop)
        self.schedules = Schedules(self.scheduler, self.snapshots, self.daily)

    def start(self) -> None:
        """Begin to keep time."""
        once = {"coalesce": True, "max_instances": 1}
        self.schedules.use(self._loaded)
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
        self.scheduler.add_job(
            self.retention,
            CronTrigger(hour=2, minute=20, jitter=1200),
            id="retention of the log",
            misfire_grace_time=int(GRACE.total_seconds()),
            **once,
        )
        self.scheduler.add_job(
            self.verify_log,
            CronTrigger(day_of_week="sun", hour=4, minute=40, jitter=1200),
            id="verification of the log",
            misfire_grace_time=int(GRACE.total_seconds()),
            **once,
        )
        self.scheduler.add_job(
            self.upkeep,
            CronTrigger(hour=5, minute=10, jitter=1200),
            id="upkeep of the repository",
            misfire_grace_time=int(GRACE.total_seconds()),
            **once,
        )
        self.scheduler.add_job(
            self.drill,
            CronTrigger(day=2, hour=5, minute=50, jitter=1200),
            id="restore drill",
            misfire_grace_time=int(GRACE.total_seconds()),
            **once,
        )
        self.scheduler.add_job(self.catch_up, DateTrigger(clock.now() + CATCH_UP_AFTER), id=MISSED)
        self.scheduler.add_listener(self._failed, EVENT_JOB_ERROR)
        self.scheduler.start()

    def stop(self) -> None:
        """Begin nothing more; what runs ends at its next step."""
        self._stopping = True
        self.snapshots.stop()
        for process in self._commands:
            process.terminate()
        self.scheduler.shutdown(wait=False)

    async def idle(self) -> None:
        """Wait for a snapshot under way."""
        await self.snapshots.idle()

    def _use(self, loaded: Loaded) -> None:
        """Go by these settings; snapshots and the daily report move to their hours."""
        self._loaded = self.snapshots.loaded = loaded
        self.figures.use(loaded)
        self.schedules.use(loaded)
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
            await self.snapshots.take()

    async def catch_up(self) -> None:
        """Take the snapshots now for which the server was off when they were due."""
        await self.schedules.catch_up(self._loaded)

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
        words = ["audit"]
        if whole is not None and clock.now_us() - whole.at < WHOLE_AUDIT_EVERY:
            words += ["--since", AUDIT_SPAN]
        return await self._command(words, Exit.OK, Exit.PROBLEMS) == Exit.OK

    async def retention(self) -> bool:
        """Seal months that are over, and let go of what the settings say; whether all was done."""
        if self._loaded.places.server:
            return True
        done = await self._command(["log", "retention", "--by-the-clock"], Exit.OK, Exit.PARTIAL)
        return done == Exit.OK

    async def verify_log(self) -> bool:
        """Whether the months that are over are as they were sealed; what is not is an event."""
        if self._loaded.places.server:
            return True
        return await self._command(["log", "verify", "--tell"], Exit.OK, Exit.PROBLEMS) == Exit.OK

    async def upkeep(self) -> bool:
        """Forget by the rules, give back room, read a part; whether nothing was found damaged.

        What others use meanwhile is left for the next day. Raises MtadError.
        """
        later = (Exit.OK, Exit.LOCKED, Exit.NOTHING_FOUND)
        if upkeep.forgets(self._loaded.config.backup):
            await self._command(["snapshot", "forget"], *later)
        if await self._command(["snapshot", "prune"], *later, Exit.PROBLEMS) == Exit.NOTHING_FOUND:
            return True
        read = ["snapshot", "verify", "--read-data", str(upkeep.SCRUB_PERCENT)]
        found = await self._command(read, *later, Exit.PROBLEMS, Exit.CORRUPT)
        return found not in (Exit.PROBLEMS, Exit.CORRUPT)

    async def drill(self) -> bool:
        """Whether messages drawn by lot come back as they were. Raises MtadError."""
        found = await self._command(
            ["snapshot", "drill"], Exit.OK, Exit.LOCKED, Exit.NOTHING_FOUND, Exit.PROBLEMS
        )
        return found != Exit.PROBLEMS

    async def _command(self, words: list[str], *good: Exit) -> int:
        """Run a command of ours at low priority; its status. Raises MtadError for no good one."""
        nice = ["nice", "-n", "10", sys.executable, "-m", "mtad", *words]
        nice += ["--config", str(self._loaded.path)]
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*nice, stdin=quiet, stdout=quiet, stderr=-1)
        self._commands.add(process)
        try:
            _, said = await process.communicate()
        finally:
            self._commands.discard(process)
            if process.returncode is None:
                process.kill()
        if process.returncode not in good and not self._stopping:
            raise MtadError(said.decode("utf-8", "replace").strip()[:500])
        return process.returncode or 0

    # -------------------------------------------------------------------- purge

    async def purge(self) -> int:
        """Remove content files that nobody can want back any more; how many."""
        return await purging.content(self._loaded)

    async def purge_fetched(self) -> int:
        """Delete what POP3 clients deleted, once it was kept long enough; how many messages."""
        return await purging.fetched(self._loaded)

    # ------------------------------------------------------------ control socket

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
            "running": self.snapshots.running,
            "last": self.snapshots.last,
            "next": following,
            "settings": self.settings.status(),
        }


def _at(time_of_day: str) -> CronTrigger:
    hour, _, minute = time_of_day.partition(":")
    return CronTrigger(hour=int(hour), minute=int(minute))


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
            "snapshot": jobs.snapshots.verb,
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

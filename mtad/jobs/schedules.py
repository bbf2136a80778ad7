"""When snapshots are taken by themselves: the daily one of the server, and those of the settings.

Each line of ``backup.schedule`` is a job of its own. Those that fall together come one after the
other. What was missed because the machine was off is taken once, soon after the start.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from backup import ages, runs
from backup.catalog import Catalog
from mtad import clock
from mtad.config import Loaded
from mtad.config_schedule import Planned, Schedule, parse_for
from mtad.errors import MtadError, NothingFound
from mtad.jobs.snapshots import GRACE, Snapshots, missed

DAILY = "daily snapshot"
START = datetime(2001, 1, 1)  # noqa: DTZ001 - local midnight, of a Monday
"""Where spans are counted from, so that a restart does not put them off."""
SPAN_GRACE = 0.5
"""How late, in parts of a span, a snapshot is still taken."""


def trigger(when: Schedule) -> BaseTrigger:
    """When the scheduler is to run something."""
    if when.seconds:
        return IntervalTrigger(seconds=when.seconds, start_date=START)
    minute, hour, day, month, day_of_week = when.cron
    return CronTrigger(minute=minute, hour=hour, day=day, month=month, day_of_week=day_of_week)


def name(planned: Planned) -> str:
    """What a line of the settings is called among the jobs."""
    return f"snapshot of {planned.whose} {planned.text}"


class Schedules:
    """The jobs that take snapshots, as the settings in force have them."""

    def __init__(
        self,
        scheduler: AsyncIOScheduler,
        snapshots: Snapshots,
        daily: Callable[[], Awaitable[None]],
    ) -> None:
        self._scheduler, self._snapshots, self._daily = scheduler, snapshots, daily
        self._names: set[str] = set()
        self._planned: list[Planned] = []

    def use(self, loaded: Loaded) -> None:
        """Go by these settings; what is as it was keeps its next time."""
        backup = loaded.config.backup
        self._planned = [parse_for(line) for line in backup.schedule]
        wanted = {name(one): one for one in self._planned}
        for gone in self._names - wanted.keys() - ({DAILY} if backup.daily_at else set()):
            self._scheduler.remove_job(gone)
        for job, one in wanted.items():
            if job not in self._names:
                grace = int(one.when.seconds * SPAN_GRACE) or int(GRACE.total_seconds())
                self._add(self._take, trigger(one.when), job, grace, one)
        if backup.daily_at:
            hour, _, minute = backup.daily_at.partition(":")
            at = CronTrigger(hour=int(hour), minute=int(minute))
            if DAILY in self._names:
                self._scheduler.reschedule_job(DAILY, trigger=at)
            else:
                self._add(self._daily, at, DAILY, int(GRACE.total_seconds()))
        self._names = {*wanted} | ({DAILY} if backup.daily_at else set())

    def _add(
        self,
        run: Callable[..., Awaitable[None]],
        at: BaseTrigger,
        job: str,
        grace: int,
        *arguments: Planned,
    ) -> None:
        self._scheduler.add_job(
            run,
            at,
            args=arguments,
            id=job,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=grace,
        )

    async def _take(self, planned: Planned) -> None:
        """Take one; its failure is an event of its own, what it cannot begin with is raised."""
        try:
            await self._snapshots.take(box=planned.box, domain=planned.domain)
        except NothingFound:
            raise
        except MtadError:
            return

    async def catch_up(self, loaded: Loaded) -> None:
        """Take what was due while the server was off."""
        if loaded.config.backup.daily_at:
            is_missed = await asyncio.to_thread(missed, loaded, clock.now())
            if is_missed:
                await self._daily()
        for planned in await asyncio.to_thread(overdue, loaded, self._planned, clock.now()):
            await self._take(planned)


def overdue(loaded: Loaded, every: list[Planned], now: datetime) -> list[Planned]:
    """Those of which no snapshot was taken since they were last due.

    None where that cannot be told: those come at their next time.
    """
    if not every:
        return []
    try:
        made = ages.made(loaded)
        with Catalog.open(loaded) as view:
            taken = {one.scope: one.at for one in reversed(view.snapshots())}
    except (OSError, MtadError):
        return []
    found = []
    for one in every:
        last = max(made, taken.get(runs.scope(one.box, one.domain), 0) / 1_000_000)
        due = trigger(one.when).get_next_fire_time(None, datetime.fromtimestamp(last, now.tzinfo))
        if due is not None and due <= now:
            found.append(one)
    return found

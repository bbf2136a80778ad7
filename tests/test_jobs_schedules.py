"""Schedules of snapshots: what the settings may say, when that is, and that it happens."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad import clock, config
from mtad.config import Loaded
from mtad.config_schedule import Planned, Schedule, parse, parse_for
from mtad.errors import ConfigError
from mtad.jobs import role as jobs
from mtad.jobs.schedules import DAILY, overdue, trigger
from mtad.journal.reader import Reader
from mtad.journal.writer import Journal
from tests import mails
from tests.backup_yard import ANNA, BORIS, Yard
from tracing.events import BackupDone, BackupFail, BackupStart

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("hourly", ["24 15:00", "24 16:00", "24 17:00"]),
        ("hourly at :20", ["24 14:20", "24 15:20", "24 16:20"]),
        ("daily", ["25 03:00", "26 03:00", "27 03:00"]),
        ("Daily  at 14:30", ["24 14:30", "25 14:30", "26 14:30"]),
        ("monday at 06:15", ["30 06:15", "07 06:15", "14 06:15"]),
        ("weekly on Wednesday at 6:15", ["25 06:15", "02 06:15", "09 06:15"]),
        ("every sunday", ["29 03:00", "06 03:00", "13 03:00"]),
        ("monthly on 25 at 01:02", ["25 01:02", "25 01:02", "25 01:02"]),
        ("monthly", ["01 03:00", "01 03:00", "01 03:00"]),
        ("every 15 minutes", ["24 14:15", "24 14:30", "24 14:45"]),
        ("every hour", ["24 15:00", "24 16:00", "24 17:00"]),
        ("every 2 days", ["26 00:00", "28 00:00", "30 00:00"]),
        ("*/20 8-15 * * mon-fri", ["24 14:20", "24 14:40", "24 15:00"]),
        ("cron 5 4 * * 0", ["29 04:05", "06 04:05", "13 04:05"]),
        ("5 4 * * 7", ["29 04:05", "06 04:05", "13 04:05"]),
        ("5 4 * * 5-7", ["27 04:05", "28 04:05", "29 04:05"]),
        ("0 0 1 jan *", ["01 00:00", "01 00:00", "01 00:00"]),
        ("0 12 * * */2", ["26 12:00", "28 12:00", "29 12:00"]),
    ],
)
def test_when_that_is(text: str, times: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    at = datetime(2026, 11, 24, 14, 2, tzinfo=BERLIN)  # a Tuesday
    monkeypatch.setattr("tzlocal.get_localzone", lambda: BERLIN)
    monkeypatch.setattr("apscheduler.triggers.cron.get_localzone", lambda: BERLIN)
    monkeypatch.setattr("apscheduler.triggers.interval.get_localzone", lambda: BERLIN)
    when, found = trigger(parse(text)), []
    last: datetime | None = None
    for _ in times:
        last = when.get_next_fire_time(last, at)
        assert last is not None
        found.append(f"{last:%d %H:%M}")
        at = last + timedelta(seconds=1)
    assert found == times


@pytest.mark.parametrize(
    "line",
    [
        "",
        "daily",
        "all:",
        "all: sometimes",
        "all: daily at 24:00",
        "two words: daily",
        "all: every 0 minutes",
        "all: every 9999 days",
        "all: monthly on 31",
        "all: 60 * * * *",
        "all: * 24 * * *",
        "all: * * 0 * *",
        "all: * * * 13 *",
        "all: * * * * 8",
        "all: * * * * mon-son",
        "all: */0 * * * *",
        "all: 5-1 * * * *",
        "all: * * * *",
        "all: 1,,2 * * * *",
        "all: \u0663 * * * *",
    ],
)
def test_what_is_none_is_said_so(line: str, tmp_path: Path) -> None:
    path = tmp_path / "mtad.toml"
    path.write_text(f'hostname = "h"\n[backup]\nschedule = ["{line}"]\n')
    with pytest.raises(ConfigError, match=r"backup\.schedule"):
        config.load(path)


@given(st.text(alphabet="0123456789*/,- monfrievyhuldwk:at", max_size=30))
def test_whatever_is_taken_can_be_scheduled(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert trigger(parse(text))


def test_whose_it_is() -> None:
    assert parse_for("all: hourly").whose == "all"
    box = parse_for("Anna@Alpha.example: every 5 minutes")
    assert box == Planned("anna@alpha.example", Schedule(300), "every 5 minutes")
    assert (box.box, box.domain) == ("anna@alpha.example", None)
    domain = parse_for("@alpha.example: hourly")
    assert (domain.box, domain.domain) == (None, "alpha.example")
    assert (parse_for("all: hourly").box, parse_for("all: hourly").domain) == (None, None)


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    lines = [f"{ANNA}: every 15 minutes", "beta.example: hourly", "gamma.example: hourly"]
    write(tmp_path, lines)
    loaded = config.load(tmp_path / "mtad.toml")
    yard = Yard(loaded.places.data)
    loaded.beside("repository.key").write_bytes(yard.key.read_bytes())
    for address in (ANNA, BORIS):
        yard.deliver(address, mails.plain())
    return loaded


def write(folder: Path, lines: list[str], daily: str = "") -> None:
    listed = ", ".join(f'"{line}"' for line in lines)
    (folder / "mtad.toml").write_text(
        f'hostname = "mail.alpha.example"\n[backup]\ndaily_at = "{daily}"\nschedule = [{listed}]\n'
    )


@contextlib.asynccontextmanager
async def role_of(loaded: Loaded) -> AsyncIterator[jobs.Jobs]:
    journal = Journal.open(loaded.places.journal / "jobs", node=jobs.NODE)
    try:
        yield jobs.Jobs(loaded, journal)
    finally:
        await journal.close()


async def test_they_follow_the_settings(loaded: Loaded, tmp_path: Path) -> None:
    async with role_of(loaded) as role:
        role.start()

        def taking() -> dict[str, timedelta]:
            every = role.scheduler.get_jobs()
            return {
                job.id: job.next_run_time - clock.now()
                for job in every
                if job.id.startswith("snapshot of") or job.id == DAILY
            }

        first = taking()
        anna = f"snapshot of {ANNA} every 15 minutes"
        assert first.keys() == {
            anna,
            "snapshot of beta.example hourly",
            "snapshot of gamma.example hourly",
        }
        assert first[anna] <= timedelta(minutes=15)
        before = role.scheduler.get_job(anna).next_run_time
        write(tmp_path, [f"{ANNA}: every 15 minutes", "all: daily at 05:00"], "04:30")
        role.settings.read_again()
        assert taking().keys() == {anna, "snapshot of all daily at 05:00", DAILY}
        assert role.scheduler.get_job(anna).next_run_time == before
        assert role.scheduler.get_job(anna).misfire_grace_time == 450
        write(tmp_path, [])
        role.settings.read_again()
        assert taking() == {}
        role.stop()


async def test_they_are_taken_and_told(loaded: Loaded) -> None:
    async with role_of(loaded) as role:
        role.start()
        for job in role.scheduler.get_jobs():
            if job.id.startswith("snapshot of"):
                with contextlib.suppress(Exception):
                    await job.func(*job.args)
        role.stop()
    frames = Reader(loaded.places.journal / "jobs").frames(0)
    told = [event for frame in frames for event in frame.events]
    scopes = {event.scope for event in told if isinstance(event, BackupStart)}
    assert scopes == {f"box {ANNA}", "domain beta.example"}
    assert len([event for event in told if isinstance(event, BackupDone)]) == 2


async def test_one_that_cannot_begin_is_told(loaded: Loaded) -> None:
    async with role_of(loaded) as role:
        role.start()
        name = "snapshot of gamma.example hourly"
        role.scheduler.modify_job(name, next_run_time=clock.now())
        for _ in range(500):
            await asyncio.sleep(0.01)
            if failures(loaded):
                break
        role.stop()
    (failed,) = failures(loaded)
    assert failed.why.startswith(f"{name}: gamma.example has no mail on this server")


def failures(loaded: Loaded) -> list[BackupFail]:
    frames = Reader(loaded.places.journal / "jobs").frames(0)
    return [e for frame in frames for e in frame.events if isinstance(e, BackupFail)]


async def test_what_was_due_while_off_is_taken_once(loaded: Loaded) -> None:
    lines = [f"{ANNA}: every 15 minutes", "beta.example: daily at 03:00"]
    every = [parse_for(line) for line in lines]
    now = clock.now().astimezone()
    assert overdue(loaded, every, now) == []
    assert overdue(loaded, every, now + timedelta(minutes=16)) == [every[0]] or now.hour == 2
    assert overdue(loaded, every, now + timedelta(days=1, minutes=1)) == every
    async with role_of(loaded) as role:
        await role.snapshots.take(box=ANNA)
        later = clock.now().astimezone() + timedelta(minutes=1)
        if later.minute % 15:
            assert overdue(loaded, every[:1], later) == []
    loaded.beside("repository.key").unlink()
    assert overdue(loaded, every, now + timedelta(days=3)) == []

"""The jobs role: the daily snapshot, the purge of deleted messages, its control socket."""

import asyncio
import contextlib
import json
import os
import shutil
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from backup.catalog import Catalog
from mtad import clock, config, control
from mtad.config import Loaded
from mtad.errors import Unreachable
from mtad.jobs import role as jobs
from mtad.jobs import schedules, snapshots
from mtad.journal.content import path_of, write_content
from mtad.journal.reader import Reader
from mtad.journal.writer import Journal
from mtad.signals import Signals
from tests import mails
from tests.backup_yard import ANNA, Yard
from tracing import events, ids, sending
from tracing.log import Applied, Recorder


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    (tmp_path / "mtad.toml").write_text(
        'hostname = "mail.alpha.example"\n[backup]\ndaily_at = "04:30"\n'
        "[store]\nkeep_deleted_days = 0\n"
    )
    loaded = config.load(tmp_path / "mtad.toml")
    yard = Yard(loaded.places.data)
    loaded.beside("repository.key").write_bytes(yard.key.read_bytes())
    for number in range(70):
        yard.deliver(ANNA, mails.plain(str(number)))
    return loaded


@contextlib.asynccontextmanager
async def serving(loaded: Loaded) -> AsyncIterator[Signals]:
    signals = Signals()
    ready = asyncio.Event()
    signals.ready = ready.set
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(jobs.serve(loaded, signals))
        await ready.wait()
        try:
            yield signals
        finally:
            signals.stop.set()


async def ask(loaded: Loaded, verb: str, **arguments: Any) -> list[dict[str, Any]]:
    path = loaded.places.socket("jobs")
    return await asyncio.to_thread(lambda: list(control.stream(path, verb, **arguments)))


def kinds(loaded: Loaded) -> list[str]:
    frames = Reader(loaded.places.journal / "jobs").frames(0)
    return [event.kind for frame in frames for event in frame.events]


async def test_a_snapshot_over_the_socket_streams_and_is_recorded(loaded: Loaded) -> None:
    async with serving(loaded):
        *lines, last = await ask(loaded, "snapshot", box=ANNA)
        assert all({"boxes", "read", "messages"} <= line.keys() for line in lines)
        assert (last["done"], last["boxes"], last["messages"], last["added"]) == (True, 1, 70, 70)
        (status,) = await asyncio.to_thread(
            lambda: [control.ask(loaded.places.socket("jobs"), "status")]
        )
        assert status["running"] is None
        assert status["last"]["snapshot"] == last["snapshot"]
        assert "T04:30:00" in status["next"][schedules.DAILY]
        with pytest.raises(control.Remote, match="nothing to snapshot"):
            await ask(loaded, "snapshot", box="nobody@alpha.example")
    seen = kinds(loaded)
    assert [kind for kind in seen if kind.startswith("backup.")] == ["backup.start", "backup.done"]
    assert (seen.count("sys.start"), seen.count("sys.stop")) == (1, 1)


async def test_a_stop_ends_a_snapshot_under_way_without_a_trace(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backup import snapshot  # noqa: PLC0415 - its reading is slowed down

    read = snapshot._Run._read

    def slow(*arguments: Any) -> bytes | None:
        time.sleep(0.02)
        return read(*arguments)

    monkeypatch.setattr(snapshot._Run, "_read", slow)
    async with serving(loaded) as signals:
        asking = asyncio.ensure_future(ask(loaded, "snapshot"))
        async with asyncio.timeout(30):
            while "backup.start" not in kinds(loaded):  # noqa: ASYNC110 - in a journal
                await asyncio.sleep(0.01)
        signals.stop.set()
        with pytest.raises((control.Remote, Unreachable)):
            await asking
    assert kinds(loaded).count("backup.fail") == 1
    assert not list((loaded.repository / "snapshots").iterdir())


async def test_the_daily_job_takes_a_snapshot_and_survives_a_failure(loaded: Loaded) -> None:
    async with serving(loaded):
        pass
    journal_name = loaded.places.journal / "jobs"
    journal = Journal.open(journal_name, node=jobs.NODE)
    try:
        role = jobs.Jobs(loaded, journal)
        await role.daily()
        assert role.snapshots.last is not None
        assert role.snapshots.last["ok"]
        loaded.beside("repository.key").unlink()
        await role.daily()
        assert not role.snapshots.last["ok"]
        assert "is missing" in role.snapshots.last["error"]
        assert kinds(loaded)[-2:] == ["backup.start", "backup.fail"]
    finally:
        await journal.close()


async def test_what_was_missed_while_the_server_was_off_is_taken_once(loaded: Loaded) -> None:
    made = clock.now()
    midnight = made.astimezone().replace(hour=0, minute=0, second=0, microsecond=0)

    def due(days: int, hour: int) -> bool:
        return snapshots.missed(loaded, midnight + timedelta(days=days, hours=hour))

    assert not due(0, 0)
    assert (due(2, 3), due(2, 4), due(2, 5)) == (True, False, True)
    async with role_of(loaded) as role:
        await role.catch_up()
        assert role.snapshots.last is None
        old = (made - timedelta(days=3)).timestamp()
        for path in loaded.repository.glob("config.json*"):
            os.utime(path, (old, old))
        if clock.now().astimezone().hour not in (3, 4):  # it may be about to be taken
            await role.catch_up()
            assert role.snapshots.last is not None
            taken = role.snapshots.last
            await role.catch_up()
            assert role.snapshots.last is taken
    loaded.beside("repository.key").unlink()
    assert due(2, 5)


async def test_the_daily_snapshot_keeps_its_hour(loaded: Loaded) -> None:
    journal = Journal.open(loaded.places.journal / "jobs", node=jobs.NODE)
    try:
        role = jobs.Jobs(loaded, journal)
        role.start()
        job = role.scheduler.get_job(schedules.DAILY)
        assert job.coalesce
        assert job.max_instances == 1
        assert job.misfire_grace_time == snapshots.GRACE.total_seconds()
        assert timedelta() < job.next_run_time - clock.now() <= timedelta(days=1)
        loaded.path.write_text(loaded.path.read_text().replace("04:30", "05:15"))
        role.settings.read_again()
        assert role.scheduler.get_job(schedules.DAILY).next_run_time.minute == 15
        loaded.path.write_text("not = toml = at all")
        role.settings.read_again()
        assert role.scheduler.get_job(schedules.DAILY).next_run_time.minute == 15
        role.stop()
    finally:
        await journal.close()


# -------------------------------------------------------------------- purge


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the present two hours later."""
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 7200)


def content(loaded: Loaded) -> tuple[Path, Path]:
    """A content file that nothing links to, and one that a box links to."""
    month = loaded.places.content / "2026-11"
    month.mkdir(parents=True)
    alone, linked = month / "0000000000001", month / "0000000000002"
    alone.write_bytes(b"expunged")
    linked.write_bytes(b"in a box")
    os.link(linked, loaded.places.data / "link")
    return alone, linked


@contextlib.asynccontextmanager
async def role_of(loaded: Loaded) -> AsyncIterator[jobs.Jobs]:
    journal = Journal.open(loaded.places.journal / "jobs", node=jobs.NODE)
    try:
        yield jobs.Jobs(loaded, journal)
    finally:
        await journal.close()


@pytest.mark.usefixtures("old")
async def test_only_unlinked_files_past_their_time_go_once_the_log_is_level(
    loaded: Loaded,
) -> None:
    alone, linked = content(loaded)
    asked: list[str] = []

    async def position(request: dict[str, Any]) -> dict[str, Any]:
        asked.append(json.dumps(request))
        assert alone.exists()
        return {}

    server = await control.serve(loaded.places.socket("log"), {"position": position})
    async with role_of(loaded) as role:
        assert await role.purge() == 1
    server.close()
    assert (alone.exists(), linked.exists(), len(asked)) == (False, True, 1)


@pytest.mark.usefixtures("old")
async def test_nothing_goes_while_the_log_role_does_not_answer(loaded: Loaded) -> None:
    alone, _ = content(loaded)
    async with role_of(loaded) as role:
        assert await role.purge() == 0
    assert alone.exists()


@pytest.mark.usefixtures("old")
async def test_what_gets_a_link_meanwhile_stays(loaded: Loaded) -> None:
    alone, _ = content(loaded)

    async def position(_: dict[str, Any]) -> dict[str, Any]:
        os.link(alone, loaded.places.data / "late link")
        return {}

    server = await control.serve(loaded.places.socket("log"), {"position": position})
    async with role_of(loaded) as role:
        assert await role.purge() == 0
    server.close()
    assert alone.exists()


@pytest.mark.usefixtures("old")
async def test_what_the_queue_waits_with_stays(loaded: Loaded) -> None:
    """However old its content is, and though no box links to it."""
    mint = ids.Mint(1)
    queued, ended = mint.new(), mint.new()
    recorder = Recorder(loaded.places.log)
    for seq, m in enumerate((queued, ended), 1):
        add = sending.QueueAdd(at=1, trace=m, n=1, addr="b@there.test")
        recorder.apply([Applied("mta-0", seq, 0, [add])])
    recorder.apply([Applied("mta-0", 3, 0, [sending.QueueDrop(at=2, trace=ended, n=1)])])
    recorder.close()
    for m in (queued, ended):
        write_content(loaded.places, m, b"x", 1)

    async def position(_: dict[str, Any]) -> dict[str, Any]:
        return {}

    server = await control.serve(loaded.places.socket("log"), {"position": position})
    async with role_of(loaded) as role:
        assert await role.purge() == 1
    server.close()
    assert path_of(loaded.places, queued).exists()
    assert not path_of(loaded.places, ended).exists()


async def test_a_fresh_file_is_never_removed(loaded: Loaded) -> None:
    alone, _ = content(loaded)
    async with role_of(loaded) as role:
        assert await role.purge() == 0
    assert alone.exists()


async def test_upkeep_forgets_prunes_and_reads_a_part(loaded: Loaded) -> None:
    async with role_of(loaded) as role:
        for _ in range(2):
            await role.snapshots.take()
        assert await role.upkeep()
        assert len(await asyncio.to_thread(names_of, loaded)) == 2  # nothing goes without a rule
        rules = loaded.path.read_text().replace("[backup]\n", '[backup]\nkeep = "last 1"\n')
        loaded.path.write_text(rules)
        role._loaded = config.load(loaded.path)
        before = await asyncio.to_thread(names_of, loaded)
        assert await role.upkeep()
        assert await asyncio.to_thread(names_of, loaded) == before[:1]
    told = [
        event
        for folder in loaded.places.journal.glob("cli-*")
        for frame in Reader(folder).frames(0)
        for event in frame.events
    ]
    assert "backup.forgot" in {event.kind for event in told}
    reads = [event for event in told if isinstance(event, events.BackupVerified)]
    assert [event.read_data and event.packs_read > 0 for event in reads] == [True, True]


async def test_a_drill_says_whether_messages_come_back(loaded: Loaded) -> None:
    async with role_of(loaded) as role:
        await role.snapshots.take()
        assert await role.drill()
        for path in loaded.places.boxes.rglob("new/*"):
            path.write_bytes(b"other octets")
        assert not await role.drill()


async def test_upkeep_without_a_repository_does_nothing(loaded: Loaded) -> None:
    shutil.rmtree(loaded.places.data / "repository")
    async with role_of(loaded) as role:
        assert await role.upkeep()


def names_of(loaded: Loaded) -> list[str]:
    with Catalog.open(loaded) as view:
        return [one.name for one in view.snapshots()]

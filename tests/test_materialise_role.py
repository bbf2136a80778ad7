"""The log role on its socket: it answers whatever happens to its work."""

import asyncio
import errno
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mtad import config, control
from mtad.control import Answer
from mtad.errors import Locked
from mtad.journal import disk, frame
from mtad.journal.writer import Journal
from mtad.materialise import role
from mtad.materialise.worker import Worker
from mtad.signals import Signals
from mtad.where import Places
from tests.materialise_bench import Bench
from tracing import events, ids
from tracing.log import Recorder

BODY = b"Subject: x\n\nbody\n"


class Role:
    """A log role in this loop and a journal that writes for it."""

    def __init__(self, folder: Path) -> None:
        self.places = Places(folder)
        self.loaded = config.Loaded(folder / "mtad.toml", config.Config(hostname="h"), self.places)
        self.signals = Signals()
        self.up = asyncio.Event()
        self.signals.ready = self.up.set
        self.journal = Journal.open(
            self.places.journal / "mta-0", node=1, doorbell=self.places.doorbell
        )

    async def ask(self, verb: str, **arguments: object) -> Answer:
        return await asyncio.to_thread(
            control.ask, self.places.socket("log"), verb, seconds=20, **arguments
        )

    async def accept(self) -> int:
        meta = Bench.plan(self, "a@one.test", body=BODY)  # type: ignore[arg-type]
        await self.journal.commit(meta, BODY)
        assert meta.content is not None
        return meta.content.m


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Role]:
    running = Role(tmp_path)
    async with asyncio.TaskGroup() as group:
        group.create_task(role.serve(running.loaded, running.signals))
        await asyncio.wait_for(running.up.wait(), 20)
        yield running
        await running.journal.close()
        running.signals.stop.set()


async def test_position_returns_when_all_is_applied_and_trace_finds_it(running: Role) -> None:
    m = await running.accept()
    answer = await running.ask("position")
    assert answer["applied"]["mta-0"] > 0
    found = await running.ask("trace", query=ids.text(m))
    assert "store.delivered" in [one["kind"] for one in found["events"]]
    same = await running.ask("timeline", trace=m)
    assert same["events"] == found["events"]
    listed = await running.ask("trace", query="to:a@one.test", limit=5)
    assert [one["id"] for one in listed["messages"]] == [ids.text(m)]
    await running.ask("position")  # nothing is going on: it returns all the same


async def test_a_wrong_question_is_answered(running: Role) -> None:
    with pytest.raises(control.Remote) as refused:
        await running.ask("trace", query="frm:a")
    assert refused.value.exit_code == 2
    with pytest.raises(control.Remote):
        await running.ask("timeline")


async def test_the_tail_streams_what_happens(running: Role) -> None:
    lines = control.listen(running.places.socket("log"), "tail")
    first = asyncio.ensure_future(anext(lines))
    seen: Answer | None = None
    for _ in range(100):
        m = await running.accept()
        done, _pending = await asyncio.wait((first,), timeout=0.1)
        if done:
            seen = first.result()
            break
    assert seen is not None
    assert seen["kind"] == "smtp.mail"
    kinds = [seen["kind"]]
    while "store.delivered" not in kinds:
        kinds.append((await asyncio.wait_for(anext(lines), 20))["kind"])
    assert kinds[:4] == ["smtp.mail", "smtp.rcpt", "smtp.accept", "store.delivered"]
    assert m
    await running.accept()  # a subscriber that has left is forgotten at the next event
    assert isinstance(lines, AsyncGenerator)
    await lines.aclose()


async def test_while_the_disk_is_full_it_answers_and_then_goes_on(
    running: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patch.setattr(disk, "link", full)
        m = await running.accept()
        for _ in range(400):
            status = await running.ask("status")
            if status["problem"]:
                break
            await asyncio.sleep(0.02)
        assert "No space" in status["problem"]
        found = await running.ask("timeline", trace=m)
        assert [one["kind"] for one in found["events"]] == ["store.failed"]
    await running.ask("position")
    assert not (await running.ask("status"))["problem"]
    assert (await running.ask("trace", query="state:delivered"))["messages"]


async def test_stopping_finishes_what_is_durable(tmp_path: Path) -> None:
    stopped = Role(tmp_path)
    running = asyncio.get_running_loop().create_task(role.serve(stopped.loaded, stopped.signals))
    await asyncio.wait_for(stopped.up.wait(), 20)
    await stopped.accept()
    stopped.signals.stop.set()
    await asyncio.wait_for(running, 20)
    recorder = Recorder(stopped.places.log)
    assert recorder.applied("mta-0") == stopped.journal._seq
    recorder.close()
    await stopped.journal.close()


async def test_a_log_that_is_taken_is_said_plainly(tmp_path: Path) -> None:
    taken = Role(tmp_path)
    recorder = Recorder(taken.places.log)
    with pytest.raises(Locked):
        await asyncio.wait_for(role.serve(taken.loaded, taken.signals), 20)
    assert not taken.up.is_set()
    recorder.close()
    await taken.journal.close()


def test_what_cannot_be_decoded_leaves_a_violation(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    whole = frame.raw(events.LogGap(at=1, trace=1, lost="x", count=1))
    bench.journal.commit_now(frame.Meta(events=(whole, msgspec.Raw(b"\x01"))))
    bench.worker.turn()
    assert bench.kinds()["audit.violation"] == 1
    bench.close()


async def test_told_to_stop_before_it_has_begun_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = threading.Event()

    def late(*given: Any, **named: Any) -> Worker:
        assert told.wait(20)
        return Worker(*given, **named)

    monkeypatch.setattr(role, "Worker", late)
    early = Role(tmp_path)
    early.signals.stop.set()
    try:
        serving = asyncio.ensure_future(role.serve(early.loaded, early.signals))
        await asyncio.sleep(0.1)
        told.set()
        await asyncio.wait_for(serving, 5)
    finally:
        await early.journal.close()

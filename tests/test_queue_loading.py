"""The queue survives: whatever was durable is loaded, nothing that ended comes back."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mtad import control
from mtad.control import Answer
from mtad.delivery import holds
from mtad.delivery.route import Accepted
from mtad.errors import MtadError
from mtad.journal.bell import Bell
from mtad.journal.command import command_journal
from mtad.journal.frame import Meta, raw
from mtad.materialise.queue import QueueAnswers
from mtad.queue import loading
from mtad.queue.entries import Entry
from mtad.queue.loading import Loader
from mtad.queue.schedule import HOUR, MINUTE
from tests.dialog import until
from tests.queue_yard import ALICE, Yard, later, never, yard
from tracing import sending
from tracing.events import Event
from tracing.states import State

THERE = "bob@there.test"


class LogRole:
    """The log role's answers, given by the yard's worker; ``hook`` runs before each."""

    def __init__(self, site: Yard) -> None:
        self.site = site
        self.asked = 0
        self.hook: Any = None

    async def catch_up(self, content_of: int) -> None:
        self.asked += 1
        self.site.worker.ask(content_of)
        self.site.turn()
        if self.hook is not None:
            await self.hook()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Yard]:
    async with yard(tmp_path) as made:
        yield made


@pytest.fixture
async def role(site: Yard) -> AsyncIterator[LogRole]:
    role = LogRole(site)
    answers = QueueAnswers(site.places, role.catch_up)
    verbs: dict[str, control.Verb] = {"queue.load": answers.load, "content": answers.content}
    server = await control.serve(site.places.socket("log"), verbs)
    yield role
    server.close()


def shape(entry: Entry) -> dict[str, Any]:
    """All that an entry knows."""
    letter = entry.letter
    own = {name: getattr(entry, name) for name in Entry.__slots__ if name not in ("letter", "turn")}
    return own | {name: getattr(letter, name) for name in letter.__slots__ if name != "entries"}


async def loaded(site: Yard) -> None:
    """The runner's process is killed and started."""
    site.new_runner()
    with contextlib.closing(Loader(site.runner, site.places)) as loader:
        await loader.load()


async def test_a_loaded_queue_is_the_one_that_was_there(site: Yard, role: LogRole) -> None:
    site.delivery.hold = holds.rules(["to:held@there.test"])
    site.courier.answers = {"there.test": later, "never.test": never}
    await site.send(
        accepted=[
            Accepted(1, "B@there.test", remotes=("B@There.test",), notify="DELAY", orcpt="x;y"),
            Accepted(2, "fw@local.test", remotes=("c@there.test",), resent_from="SRS0@local.test"),
            Accepted(3, "n@local.test", remotes=("d@there.test",), resent_from=""),
            Accepted(4, "alice@local.test", (ALICE,)),
        ],
        sender="Alice@Local.test",
        ret="HDRS",
        envid="e1",
        smtputf8=True,
        requiretls=True,
        priority=2,
    )
    await site.send("held@there.test", "x@never.test", sender="s@there.test")
    await site.pass_until(site.now() + 6 * HOUR)
    await site.send("fresh@there.test", sender="")
    before = {(one.letter.m, one.n): shape(one) for one in site.runner.entries}
    assert len(before) == 6, "the report to s@there.test waits too"
    await loaded(site)
    assert {(one.letter.m, one.n): shape(one) for one in site.runner.entries} == before
    assert site.runner.entries.count == 6


async def test_the_sender_of_what_is_passed_on_keeps_its_case(site: Yard, role: LogRole) -> None:
    """Senders of lists write capitals into the addresses that bounces come to."""
    accepted = [Accepted(1, "fw@local.test", remotes=(THERE,), resent_from="SRS0@local.test")]
    await site.send(accepted=accepted, sender="Bounce+AbC@sender.test")
    await loaded(site)
    site.courier.answers = {"there.test": never}
    await site.settle()
    assert [(one.sender, one.addresses) for one in site.courier.carried] == [
        ("SRS0@local.test", (THERE,)),
        ("", ("Bounce+AbC@sender.test",)),
    ]


async def test_what_was_durable_a_moment_before_counts(site: Yard, role: LogRole) -> None:
    """The process was killed right after the commit, before the log role saw any of it."""
    site.courier.answers = {"later.test": later}
    gone = await site.send(THERE)
    kept = await site.send("b@later.test")
    await site.settle()
    fresh = await site.send(THERE)
    assert role.asked == 0
    await loaded(site)
    assert role.asked == 1
    found = {one.letter.m: one.tries for one in site.runner.entries}
    assert found == {kept: 1, fresh: 0}
    await site.settle()
    assert [one.m for one in site.courier.carried].count(gone) == 1
    assert site.states(fresh) == [State.RELAYED]


async def test_an_attempt_without_a_durable_outcome_is_made_again(
    site: Yard, role: LogRole
) -> None:
    site.courier.gate = asyncio.Event()
    m = await site.send(THERE)
    site.runner.turn()
    await until(lambda: site.courier.carried)
    await site.runner.stop(0)
    site.courier.gate = None
    await loaded(site)
    await site.settle()
    assert [(one.m, one.attempts) for one in site.courier.carried] == [(m, (1,)), (m, (1,))]


async def test_what_happens_while_it_loads_counts_above_it(site: Yard, role: LogRole) -> None:
    """Rows were read before these outcomes were in them."""
    site.courier.answers = {"later.test": later}
    ends = await site.send(THERE)
    waits = await site.send("b@later.test")
    await site.settle()
    again = await site.send(THERE)

    async def meanwhile() -> None:
        await site.settle()

    site.turn()
    role.hook = meanwhile
    runner = site.runner
    with contextlib.closing(Loader(runner, site.places)) as loader:
        await loader.load()
    assert {one.letter.m for one in runner.entries} == {waits}
    await site.settle()
    tried = [one.m for one in site.courier.carried]
    assert tried.count(ends) == tried.count(again) == 1


async def test_new_mail_does_not_wait_for_the_load(site: Yard, role: LogRole) -> None:
    old = await site.send(THERE)
    site.new_runner()
    new = await site.send(THERE)
    await site.settle()
    assert [one.m for one in site.courier.carried] == [new]
    with contextlib.closing(Loader(site.runner, site.places)) as loader:
        await loader.load()
    await site.settle()
    assert [one.m for one in site.courier.carried] == [new, old]


async def test_it_insists_until_the_log_role_answers(
    site: Yard, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loading, "RETRY_SECONDS", 0.01)
    m = await site.send(THERE)
    site.new_runner()
    loader = Loader(site.runner, site.places)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        task = group.create_task(loader.run())
        await asyncio.sleep(0.05)
        assert not loader.is_done.is_set()
        answers = QueueAnswers(site.places, LogRole(site).catch_up)
        server = await control.serve(site.places.socket("log"), {"queue.load": answers.load})
        await loader.is_done.wait()
        task.cancel()
    loader.close()
    server.close()
    assert [one.letter.m for one in site.runner.entries] == [m]
    assert len(caplog.records) == 1, "said once"


async def test_a_load_that_breaks_off_is_no_load(site: Yard) -> None:
    async def broken(_: Answer) -> Answer | AsyncIterator[Answer]:
        async def lines() -> AsyncIterator[Answer]:
            yield {"messages": [], "entries": []}

        return lines()

    server = await control.serve(site.places.socket("log"), {"queue.load": broken})
    with contextlib.closing(Loader(site.runner, site.places)) as loader:
        with pytest.raises(MtadError, match="midst"):
            await loader.load()
        assert site.runner.changed is None
    server.close()


# ------------------------------------------------------- what others put there


def tell(site: Yard, *events: Event) -> None:
    """A command's journal."""
    with command_journal(site.places) as journal:
        journal.commit_now(Meta(events=tuple(map(raw, events))))


@contextlib.asynccontextmanager
async def listening(site: Yard, role: LogRole) -> AsyncIterator[None]:
    """A loader that hears the bell; the log role hears of every frame."""
    loader = Loader(site.runner, site.places)
    try:
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            task = group.create_task(loader.run())
            await loader.is_done.wait()
            yield
            task.cancel()
    finally:
        loader.close()


async def test_a_command_is_heard_of(site: Yard, role: LogRole) -> None:
    site.courier.answers = {"there.test": later}
    m = await site.send("a@there.test", "b@there.test", "c@there.test", "d@there.test")
    other = await site.send("e@there.test")
    await site.settle()
    site.turn()

    def what(n: int) -> dict[str, Any]:
        return {"at": site.now(), "trace": m, "n": n, "actor": "admin:x"}

    async with listening(site, role):
        tell(
            site,
            sending.QueueDrop(**what(1)),
            sending.QueueHold(**what(2), why="x"),
            sending.QueueRedirect(**what(3), addr="n@new.test", was="c@there.test", next_try=9),
        )
        site.turn()
        await until(lambda: site.runner.entries.count == 4)
    assert site.entry(m, 2).held == "x"
    assert site.entry(m, 3).addr == "n@new.test"
    assert site.entry(m, 4).tries == site.entry(other).tries == 1
    site.courier.answers = {}
    await site.settle()
    assert site.states(m) == [State.CANCELLED, State.HELD, State.RELAYED, State.DEFERRED]


async def test_what_another_process_queues_is_tried(site: Yard, role: LogRole) -> None:
    async with listening(site, role):
        m = await site.send(THERE)  # with its content, so that there is one
        site.runner.entries.remove(site.entry(m))
        tell(site, sending.QueueRetry(at=site.now(), trace=m, n=1, next_try=site.now()))
        site.turn()
        await until(lambda: site.runner.entries.count)
    await site.settle()
    assert site.states(m) == [State.RELAYED]


@pytest.mark.parametrize("said", [b"", b"{", b'["x"]', b"[1e99]", b"7", b"[123456789]"])
async def test_what_the_bell_says_is_checked(site: Yard, role: LogRole, said: bytes) -> None:
    bell = Bell(site.places.run / loading.BELL)
    async with listening(site, role):
        assert bell.ring(said)
        m = await site.send(THERE)
        site.runner.entries.remove(site.entry(m))
        bell.ring(json.dumps([m]).encode())
        await until(lambda: site.runner.entries.count)
    bell.close()


async def test_the_content_of_a_message_is_made_when_it_is_asked_for(
    site: Yard, role: LogRole
) -> None:
    m = await site.send(THERE)
    await loaded(site)
    await site.settle()
    assert site.courier.carried[0].content == b"Subject: x\n\nbody\n"
    with pytest.raises(MtadError, match="no content"):
        await asyncio.to_thread(control.ask, site.places.socket("log"), "content", m=m)


async def test_a_long_queue_comes_in_parts(site: Yard, role: LogRole) -> None:
    wanted: dict[tuple[int, int], str] = {}
    for number in range(400):
        addresses = [f"b{n}@there{number % 7}.test" for n in range(1 + number % 4)]
        m = await site.send(*addresses)
        wanted |= {(m, n): address for n, address in enumerate(addresses, 1)}
    await loaded(site)
    assert {(one.letter.m, one.n): one.addr for one in site.runner.entries} == wanted
    assert all(one.next_try for one in site.runner.entries)
    await site.pass_until(site.now() + MINUTE)
    assert site.runner.entries.count == 0

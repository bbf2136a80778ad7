"""The queue runner: what is due is tried, what became of it is durable, nothing is forgotten."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mtad.delivery import holds
from mtad.delivery.route import Accepted
from mtad.errors import MtadError
from mtad.journal.errors import JournalFull
from mtad.journal.frame import MAX_BODY
from mtad.queue import ledger
from mtad.queue import runner as running
from mtad.queue.entries import Place
from mtad.queue.schedule import HOUR, MINUTE
from tests.dialog import until
from tests.queue_yard import ALICE, Yard, later, never, yard
from tracing import ids
from tracing.states import State


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Yard]:
    async with yard(tmp_path) as made:
        yield made


async def test_what_is_queued_is_tried_at_once(site: Yard) -> None:
    m = await site.send("Bob@there.test", sender="Alice@local.test")
    await site.settle()
    (one,) = site.courier.carried
    assert (one.m, one.sender, one.addresses, one.attempts) == (
        m,
        "Alice@local.test",
        ("Bob@there.test",),
        (1,),
    )
    assert one.content == b"Subject: x\n\nbody\n"
    assert site.states(m) == [State.RELAYED]
    assert site.runner.entries.count == 0
    (delivered,) = site.events("out.delivered")
    assert (delivered.rqid, delivered.attempt, delivered.host) == ("4711", 1, "mx")


async def test_what_was_said_with_a_message_goes_along(site: Yard) -> None:
    recipients = [
        Accepted(1, "b@there.test", remotes=("b@there.test",), notify="NEVER", orcpt="rfc822;b"),
        Accepted(2, "c@there.test", remotes=("c@there.test",)),
    ]
    await site.send(
        accepted=recipients,
        ret="HDRS",
        envid="e+41",
        body=b"Return-Path: <alice@local.test>\nReceived: x\n\nhi\n",
        smtputf8=True,
        requiretls=True,
    )
    await site.settle()
    (one,) = site.courier.carried
    assert one.addresses == ("b@there.test", "c@there.test")
    assert one.content == b"Received: x\n\nhi\n", "our Return-Path stays here (RFC 5321 4.4)"
    mail = one.mail
    assert (mail.ret, mail.envid, mail.smtputf8, mail.requiretls) == ("HDRS", "e+41", True, True)


async def test_a_message_without_an_envelope_id_has_its_own(site: Yard) -> None:
    m = await site.send("b@there.test")
    await site.settle()
    (one,) = site.courier.carried
    assert one.mail.envid == ids.text(m)


async def test_recipients_are_tried_by_destination_and_reverse_path(site: Yard) -> None:
    recipients = [
        Accepted(1, "a@one.test", remotes=("a@one.test",)),
        Accepted(2, "b@two.test", remotes=("b@two.test",)),
        Accepted(3, "c@one.test", remotes=("c@one.test",)),
        Accepted(4, "fw@local.test", remotes=("d@one.test",), resent_from="SRS0=x@local.test"),
        Accepted(5, "null@local.test", remotes=("e@one.test",), resent_from=""),
    ]
    await site.send(accepted=recipients)
    await site.settle()
    assert sorted((one.sender, one.addresses) for one in site.courier.carried) == [
        ("", ("e@one.test",)),
        ("SRS0=x@local.test", ("d@one.test",)),
        (ALICE, ("a@one.test", "c@one.test")),
        (ALICE, ("b@two.test",)),
    ]


async def test_each_recipient_has_its_own_outcome(site: Yard) -> None:
    site.courier.answers = {"b@there.test": later, "c@there.test": never}
    m = await site.send("a@there.test", "b@there.test", "c@there.test")
    await site.settle()
    assert site.states(m) == [State.RELAYED, State.DEFERRED, State.BOUNCED]
    assert [one.n for one in site.runner.entries] == [2]
    site.courier.answers = {}
    await site.pass_until(site.now() + 6 * MINUTE)
    assert [one.addresses for one in site.courier.carried[1:]] == [("b@there.test",)]
    assert site.courier.carried[-1].attempts == (2,)
    assert site.states(m) == [State.RELAYED, State.RELAYED, State.BOUNCED]


async def test_a_deferred_recipient_is_due_as_the_schedule_says(site: Yard) -> None:
    site.courier.answers = {"there.test": later}
    began = site.now()
    m = await site.send("b@there.test")
    await site.settle()
    (row,) = site.rows(m)
    due = site.schedule.next_try(m, began, 1, began, warns=True)
    assert (row.tries, row.next_try, row.reply) == (1, due, "450 4.2.0 later")
    await site.pass_until(due - 1)
    assert len(site.courier.carried) == 1
    await site.pass_until(due)
    assert [one.at for one in site.courier.carried] == [began, due]


async def test_one_way_takes_many_domains_together(site: Yard) -> None:
    site.courier.keys = {"one.test": "relay", "two.test": "relay"}
    await site.send("a@one.test", "b@two.test", "c@three.test")
    await site.settle()
    assert sorted(one.addresses for one in site.courier.carried) == [
        ("a@one.test", "b@two.test"),
        ("c@three.test",),
    ]


async def test_who_has_another_way_meanwhile_does_not_go_along(
    site: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one domain's server would be asked to relay for another, and refuse for good."""
    site.courier.keys = {"one.test": "relay", "two.test": "relay"}
    get = site.runner.bodies.get

    async def slow(m: int) -> Any:
        site.courier.keys = {}
        return await get(m)

    monkeypatch.setattr(site.runner.bodies, "get", slow)
    m = await site.send("a@one.test", "b@two.test")
    await site.settle()
    assert sorted(one.addresses for one in site.courier.carried) == [
        ("a@one.test",),
        ("b@two.test",),
    ]
    assert site.states(m) == [State.RELAYED] * 2


async def test_while_nobody_knows_where_mail_goes_it_stays(
    site: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "LOOK_SECONDS", 0.01)
    site.courier.trouble = MtadError("the database cannot be read")
    m = await site.send("a@one.test", "b@two.test")
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(site.runner.run())
        await asyncio.sleep(0.1)
        assert site.courier.carried == []
        site.courier.trouble = None
        await until(lambda: not site.runner.entries.count)
        await site.runner.stop(1)
    assert site.states(m) == [State.RELAYED] * 2


async def test_a_destination_gets_no_more_than_it_has_room_for(site: Yard) -> None:
    site.courier.rooms = {"there.test": 2}
    site.courier.gate = asyncio.Event()
    for number in range(9):
        await site.send(f"b{number}@there.test")
        await site.send(f"b{number}@other.test")
    site.runner.turn()
    for _ in range(20):
        await asyncio.sleep(0.001)
        site.runner.turn()
    assert site.runner.busy == 7
    site.courier.gate.set()
    await site.settle()
    assert site.courier.most == {"there.test": 2, "other.test": 5}
    assert site.runner.entries.count == 0


async def test_attempts_are_bounded_in_all(site: Yard) -> None:
    site.runner.max_attempts = 3
    for number in range(10):
        await site.send(f"b@there{number}.test")
    site.runner.turn()
    assert site.runner.busy == 3
    await site.settle()
    assert len(site.courier.carried) == 10


async def test_a_mailing_to_one_destination_keeps_nobody_waiting(site: Yard) -> None:
    site.runner.max_attempts = 1
    for number in range(20):
        await site.send(f"b{number}@bulk.test")
    await site.send("one@fine.test")
    await site.settle()
    assert [one.addresses[0] for one in site.courier.carried].index("one@fine.test") == 1


async def test_the_higher_priority_goes_first(site: Yard) -> None:
    site.runner.max_attempts = 1
    for number in range(5):
        await site.send(f"b{number}@there.test")
    await site.send("now@there.test", priority=2)
    await site.send("soon@other.test", priority=1)
    await site.settle()
    first = [one.addresses[0] for one in site.courier.carried[:3]]
    assert first == ["now@there.test", "soon@other.test", "b0@there.test"]


async def test_many_recipients_are_several_attempts(site: Yard) -> None:
    site.runner.max_recipients = 100
    m = await site.send(*(f"b{number}@there.test" for number in range(250)))
    await site.settle()
    assert sorted(len(one.addresses) for one in site.courier.carried) == [50, 100, 100]
    assert site.states(m) == [State.RELAYED] * 250


async def test_what_a_rule_holds_is_not_tried(site: Yard) -> None:
    site.delivery.hold = holds.rules(["to:@slow.test"])
    m = await site.send("a@slow.test", "b@fine.test")
    await site.pass_until(site.now() + 200 * HOUR)
    assert [one.addresses for one in site.courier.carried] == [("b@fine.test",)]
    assert site.states(m) == [State.HELD, State.RELAYED]
    assert site.entry(m).held == "the rule to:@slow.test"


async def test_an_outcome_is_durable_before_the_entry_goes(
    site: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, Place]] = []
    commit = site.journal.commit

    async def watch(meta: Any, body: bytes = b"") -> int:
        if not meta.content:
            entry = site.entry(m)
            seen.append((site.runner.entries.count, entry.place))
        return await commit(meta, body)

    monkeypatch.setattr(site.journal, "commit_soon", watch)
    m = await site.send("b@there.test")
    await site.settle()
    assert seen == [(1, Place.BUSY)]
    assert site.runner.entries.count == 0


async def test_a_full_journal_delays_and_loses_nothing(
    site: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "RETRY_SECONDS", 0.001)
    commit, tries = site.journal.commit, list[int]()

    async def full(meta: Any, body: bytes = b"") -> int:
        if not meta.content and len(tries) < 3:
            tries.append(1)
            raise JournalFull("no room")
        return await commit(meta, body)

    m = await site.send("b@there.test")
    monkeypatch.setattr(site.journal, "commit_soon", full)
    await site.settle()
    assert len(tries) == 3
    assert len(site.courier.carried) == 1
    assert site.states(m) == [State.RELAYED]


async def test_nothing_is_tried_whose_outcome_has_no_room(
    site: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise JournalFull("no room")

    m = await site.send("b@there.test")
    with monkeypatch.context() as patch:
        patch.setattr(site.journal, "check_room", full)
        await site.settle()
        assert site.courier.carried == []
    await site.settle()
    assert site.states(m) == [State.RELAYED]


@pytest.mark.parametrize("size", [100, MAX_BODY + 1])
async def test_a_message_is_read_from_its_file_when_it_is_old(site: Yard, size: int) -> None:
    body = b"Subject: x\n\n" + b"x" * size
    site.courier.answers = {"there.test": later}
    m = await site.send("b@there.test", body=body)
    await site.settle()
    site.worker.ask(content_of=m)
    site.turn()
    site.runner.bodies.forget(m)
    await site.pass_until(site.now() + 6 * MINUTE)
    assert [one.content for one in site.courier.carried] == [body, body]


async def test_a_message_that_cannot_be_read_waits(site: Yard) -> None:
    m = await site.send("b@there.test")
    site.runner.bodies.forget(m)
    await site.settle()
    (row,) = site.rows(m)
    assert row.state is State.DEFERRED
    assert row.reply.startswith("the message cannot be read: the daemon does not answer")
    site.worker.ask(content_of=m)
    site.turn()
    await site.pass_until(site.now() + 6 * MINUTE)
    assert site.states(m) == [State.RELAYED]


async def test_a_mistake_of_the_courier_is_an_outcome(
    site: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    m = await site.send("b@there.test")
    with monkeypatch.context() as patch:
        patch.setattr(site.courier, "deliver", broken)
        await site.settle()
    assert site.rows(m)[0].reply == "a mistake of this server, see its log"
    await site.pass_until(site.now() + 6 * MINUTE)
    assert site.states(m) == [State.RELAYED]


async def test_the_loop_wakes_for_what_is_new_and_for_what_is_due(site: Yard) -> None:
    site.courier.answers = {"later.test": later}
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(site.runner.run())
        await asyncio.sleep(0)
        first = await site.send("b@there.test")
        second = await site.send("b@later.test")
        await until(lambda: len(site.courier.carried) == 2 and not site.runner.busy)
        site.courier.answers = {}
        site.time = site.entry(second).next_try
        await until(lambda: not site.runner.entries.count)
        await site.runner.stop(1)
    assert site.states(first) == site.states(second) == [State.RELAYED]


async def test_a_stop_leaves_what_is_under_way_for_the_next_start(site: Yard) -> None:
    site.courier.gate = asyncio.Event()
    m = await site.send("b@there.test")
    site.runner.turn()
    await until(lambda: site.courier.carried)
    await site.runner.stop(0.01)
    assert not site.runner.busy
    assert site.states(m) == [State.QUEUED]
    site.runner.turn()
    assert not site.runner.busy


async def test_equal_answers_are_kept_once(site: Yard) -> None:
    site.courier.answers = {"there.test": later}
    for _ in range(3):
        await site.send("b@there.test")
    await site.settle()
    assert len({id(one.last) for one in site.runner.entries}) == 1


async def test_who_was_answered_by_421_is_suspect_at_the_next_try(site: Yard) -> None:
    site.courier.answers = {
        "a@there.test": partial(later, code=421),
        "b@there.test": later,
    }
    await site.send("a@there.test", "b@there.test")
    await site.pass_until(site.now() + 10 * MINUTE)
    assert [one.suspects for one in site.courier.carried] == [(), ("a@there.test",)]

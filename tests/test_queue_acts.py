"""What operators do to the queue: to whom they mean, durable, in force at once, and named."""

import asyncio
from collections.abc import AsyncIterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from mtad.delivery.route import Accepted
from mtad.errors import MtadError, UsageError
from mtad.journal.content import path_of
from mtad.journal.errors import JournalFull
from mtad.queue.acts import Acts, Done, Order
from mtad.queue.entries import Place
from mtad.queue.ledger import Ledger
from mtad.queue.reporting import Reporter
from mtad.queue.schedule import HOUR, MINUTE
from tests.dialog import until
from tests.queue_yard import ALICE, HOST, Yard, later, yard
from tracing.states import State

THERE = "bob@there.test"
WHO = "admin:root"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Yard]:
    async with yard(tmp_path) as made:
        yield made


async def act(site: Yard, what: Any, *keys: tuple[int, int], **more: str) -> Done:
    runner = site.runner
    reporter = Reporter(site.book, runner.bodies, site.journal.mint.new, HOST)
    acts = Acts(
        runner.entries,
        Ledger(site.journal, site.delivery, reporter, runner.apply),
        runner.bodies,
        site.book,
        site.journal.mint.new,
        site.now,
    )
    return await acts.do(Order(what, WHO, **more), keys)


async def waiting(site: Yard, *addresses: str, **more: Any) -> int:
    """A message that was tried once and waits."""
    site.courier.answers = {"there.test": later}
    m = await site.send(*(addresses or (THERE,)), **more)
    await site.settle()
    site.courier.answers = {}
    return m


def one(site: Yard, kind: str) -> Any:
    (event,) = site.events(kind)
    assert event.actor == WHO
    return event


async def test_retry_does_not_wait_for_the_schedule(site: Yard) -> None:
    m = await waiting(site)
    assert await act(site, "retry", (m, 1)) == Done(1)
    one(site, "queue.retry")
    await site.settle()
    assert site.courier.carried[-1].attempts == (2,)
    assert site.states(m) == [State.RELAYED]


async def test_hold_and_release(site: Yard) -> None:
    m = await waiting(site, THERE, "c@there.test")
    assert await act(site, "hold", (m, 1), why="looks odd") == Done(1)
    assert one(site, "queue.hold").why == "looks odd"
    await site.pass_until(site.now() + 300 * HOUR)
    assert site.states(m) == [State.HELD, State.RELAYED]
    assert await act(site, "hold", (m, 1)) == Done(unfit=[(m, 1)])
    assert await act(site, "retry", (m, 1)) == Done(unfit=[(m, 1)])
    assert await act(site, "release", (m, 1)) == Done(1)
    assert await act(site, "release", (m, 1)) == Done(unfit=[(m, 1)])
    await site.settle()
    assert site.states(m) == [State.RELAYED] * 2


async def test_what_is_released_late_has_one_more_try(site: Yard) -> None:
    m = await waiting(site)
    await act(site, "hold", (m, 1))
    await site.pass_until(site.now() + 300 * HOUR)
    site.courier.answers = {"there.test": later}
    await act(site, "release", (m, 1))
    await site.settle()
    assert len(site.courier.carried) == 2
    assert site.states(m) == [State.EXPIRED]


async def test_drop_tells_nobody(site: Yard) -> None:
    m = await waiting(site)
    assert await act(site, "drop", (m, 1), why="spam") == Done(1)
    assert one(site, "queue.drop").why == "spam"
    assert site.states(m) == [State.CANCELLED]
    assert site.mail_of() == []
    assert site.runner.entries.count == 0
    await site.pass_until(site.now() + HOUR)
    assert len(site.courier.carried) == 1


async def test_bounce_tells_the_sender(site: Yard) -> None:
    m = await waiting(site, THERE, "c@there.test", "d@there.test")
    assert await act(site, "bounce", (m, 1), (m, 2), why="we do not write to them") == Done(2)
    assert {event.actor for event in site.events("queue.bounce")} == {WHO}
    assert site.states(m) == [State.BOUNCED, State.BOUNCED, State.DEFERRED]
    (report,) = site.mail_of()
    parsed: Any = message_from_bytes(report)
    groups = [dict(group.items()) for group in parsed.get_payload(1).get_payload()]
    assert [group.get("Final-Recipient") for group in groups[1:]] == [
        "rfc822; bob@there.test",
        "rfc822; c@there.test",
    ]
    assert groups[1]["Action"] == "failed"
    assert "we do not write to them" in parsed.get_payload(0).get_payload()


async def test_bounce_obeys_what_the_sender_wanted(site: Yard) -> None:
    never = Accepted(1, THERE, remotes=(THERE,), notify="NEVER")
    m = await waiting(site, accepted=[never])
    assert await act(site, "bounce", (m, 1)) == Done(1)
    assert site.states(m) == [State.BOUNCED]
    assert site.mail_of() == []


async def test_redirect_goes_on_to_another_address(site: Yard) -> None:
    m = await waiting(site)
    assert await act(site, "redirect", (m, 1), to="Carol@fine.test") == Done(1)
    event = one(site, "queue.redirect")
    assert (event.was, event.addr) == (THERE, "Carol@fine.test")
    await site.settle()
    assert site.courier.carried[-1].addresses == ("Carol@fine.test",)
    (row,) = site.rows(m)
    assert (row.state, row.addr) == (State.RELAYED, "carol@fine.test")


async def test_redirect_to_a_box_of_ours_delivers_there(site: Yard) -> None:
    body = b"Subject: typo\n\n" + b"long line\n" * 40_000
    m = await waiting(site, THERE, "c@there.test", body=body, sender="s@far.test")
    site.worker.ask(content_of=m)
    site.turn()
    assert await act(site, "redirect", (m, 1), (m, 2), to=ALICE) == Done(2)
    assert site.mail_of() == [body]
    assert site.states(m) == [State.REPLACED] * 2
    (made,) = site.events("mail.made")
    assert (made.rel, made.parent, made.addr, made.subject) == ("redirect", m, "s@far.test", "typo")
    assert made.actor == WHO
    assert site.runner.entries.count == 0
    assert not path_of(site.places, m).exists()
    assert path_of(site.places, made.trace).exists()


@pytest.mark.parametrize("to", ["", "nobody", "@there.test", "x@b d", "gone@local.test"])
async def test_redirect_to_nowhere_is_refused(site: Yard, to: str) -> None:
    m = await waiting(site)
    with pytest.raises(UsageError):
        await act(site, "redirect", (m, 1), to=to)
    assert site.states(m) == [State.DEFERRED]


async def test_what_is_being_tried_is_left_alone(site: Yard) -> None:
    site.courier.gate = asyncio.Event()
    busy = await site.send(THERE)
    site.runner.turn()
    await until(lambda: site.courier.carried)
    gone = (busy, 7)
    for what in ("retry", "hold", "drop", "bounce"):
        assert await act(site, what, (busy, 1), gone) == Done(busy=[(busy, 1)], gone=[gone])
    site.courier.gate.set()
    await site.runner.idle()
    assert site.states(busy) == [State.RELAYED]


async def test_nothing_is_tried_while_its_change_is_made_durable(
    site: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    m = await waiting(site)
    commit = site.journal.commit

    async def slow(meta: Any, body: bytes = b"") -> int:
        assert site.entry(m).place is Place.BUSY
        site.time += HOUR
        site.runner.turn()
        assert not site.runner.busy
        return await commit(meta, body)

    monkeypatch.setattr(site.journal, "commit", slow)
    assert await act(site, "drop", (m, 1)) == Done(1)
    assert len(site.courier.carried) == 1


@pytest.mark.parametrize("what", ["retry", "hold", "drop", "bounce", "redirect"])
async def test_what_cannot_be_written_down_does_not_count(
    site: Yard, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    m = await waiting(site)
    due = site.entry(m).next_try

    async def full(meta: Any, body: bytes = b"") -> int:
        raise JournalFull("no room")

    with monkeypatch.context() as patch:
        patch.setattr(site.journal, "commit", full)
        with pytest.raises(MtadError, match="no room"):
            await act(site, what, (m, 1), to="x@fine.test")
    assert (site.entry(m).place, site.entry(m).next_try) == (Place.WAITING, due)
    await site.pass_until(site.now() + 6 * MINUTE)
    assert site.states(m) == [State.RELAYED]


async def test_many_at_once(site: Yard) -> None:
    site.courier.answers = {"there.test": later}
    keys = []
    for _ in range(12):
        m = await site.send(*(f"b{n}@there.test" for n in range(100)))
        keys += [(m, n) for n in range(1, 101)]
    await site.settle()
    assert await act(site, "hold", *keys, *keys[:5]) == Done(1200)
    assert {entry.place for entry in site.runner.entries} == {Place.HELD}
    assert len(site.events("queue.hold")) == 1200

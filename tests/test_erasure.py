"""``mtad erase``, as an operator meets it, beside a server's log role."""

import asyncio
import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from mtad import books, cli, clock
from mtad.config import Loaded
from mtad.errors import Exit
from mtad.materialise.role import LogRole
from mtad.signals import Signals
from tests.tracing_events import Mail, mint
from tracing import search
from tracing.events import LogErased
from tracing.log import Applied, Recorder
from tracing.queries import Log

DAY = 86_400_000_000
ANNA = "anna@example.net"


@pytest.fixture
def told(site: Loaded) -> Loaded:
    """Anna wrote this month and 45 days ago; the older month is sealed."""
    now = clock.now_us()
    with closing(Recorder(site.places.log)) as recorder:
        for seq, age in enumerate((45, 0), 1):
            mail = Mail(mint(now - age * DAY), at=now - age * DAY, sender=ANNA, subject="secret")
            recorder.apply([Applied("mta-9", seq, mail.m, mail.whole())])
    return site


def run(
    site: Loaded, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, dict[str, Any], str]:
    """Status, document, and what was said beside it."""
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, "--config", str(site.path)])
    said = capsys.readouterr()
    status = ended.value.code
    return int(status or 0), json.loads(said.out) if said.out.startswith("{") else {}, said.err


def beside(site: Loaded, work: Callable[[], None]) -> None:
    """Do something while the log role runs."""

    async def both() -> None:
        ready = asyncio.Event()
        signals = Signals(ready=ready.set)
        async with asyncio.TaskGroup() as group:
            group.create_task(LogRole(site).serve(signals))
            try:
                async with asyncio.timeout(20):
                    await ready.wait()
                await asyncio.to_thread(work)
            finally:
                signals.stop.set()

    asyncio.run(both())


def test_a_person_is_erased(told: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run does nothing; then it is asked, done, told, and verified."""
    status, answer, _ = run(told, capsys, "erase", ANNA, "--dry-run", "--json")
    assert (status, answer["done"], answer["alias"]) == (Exit.OK, False, None)
    assert [one["messages"] for one in answer["months"]] == [1, 1]
    assert senders(told) == {ANNA}
    status, _, said = run(told, capsys, "erase", ANNA)
    assert (status, "--yes" in said) == (Exit.USAGE, True)
    assert senders(told) == {ANNA}
    assert run(told, capsys, "log", "retention", "--yes")[0] == Exit.OK
    before = {str(one) for one in books.violations(told)}

    def work() -> None:
        status, answer, said = run(told, capsys, "erase", "Anna@Example.NET", "--yes", "--json")
        assert (status, answer["done"]) == (Exit.OK, True), said
        assert senders(told) == {answer["alias"]}
        assert answer["alias"].endswith("@example.net")
        assert run(told, capsys, "erase", ANNA, "--yes")[0] == Exit.NOTHING_FOUND
        assert run(told, capsys, "log", "verify")[0] == Exit.OK

    beside(told, work)
    with closing(Log(told.places.log)) as log:
        [event] = log.of_kind(LogErased, 0, clock.now_us() + DAY)
    assert {event.alias} == senders(told)
    assert (len(event.months), event.messages) == (2, 2)
    assert event.actor.startswith("admin:")
    after = {str(one) for one in books.violations(told)}
    assert after == before, "the books are what they were"


def senders(site: Loaded) -> set[str]:
    """Who sent the messages of the log."""
    with closing(Log(site.places.log)) as log:
        return {row.sender for row in log.rows(log.ids(search.EVERYTHING, 10)).values()}


def test_what_cannot_be_erased(told: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, said = run(told, capsys, "erase", "alice@example.org", "--yes")
    assert (status, "mtad box remove alice@example.org" in said) == (Exit.LOCKED, True)
    for odd in ("anna", "@example.net", "an na@example.net", "erased-00@example.net"):
        assert run(told, capsys, "erase", odd, "--yes")[0] == Exit.USAGE
    assert run(told, capsys, "erase", "nobody@example.net")[0] == Exit.NOTHING_FOUND
    status, _, said = run(told, capsys, "erase", ANNA, "--yes")
    assert status == Exit.UNREACHABLE, said
    assert senders(told) == {ANNA}

"""``mtad log retention``, ``seal``, ``months`` and ``verify``, as an operator meets them."""

import asyncio
import json
from contextlib import closing
from typing import Any

import pytest

from mtad import cli, clock
from mtad.config import Loaded
from mtad.errors import Exit
from mtad.journal.reader import Reader
from mtad.materialise.role import LogRole
from mtad.signals import Signals
from tests.archive import expunge
from tests.tracing_events import Mail, mint
from tracing import ids, months
from tracing.events import AuditViolation, LogSealed
from tracing.log import Applied, Recorder
from tracing.queries import Log

DAY = 86_400_000_000
AGES = (0, 45, 500, 800)
"""Days ago from which there is a message each."""


@pytest.fixture
def kept(site: Loaded) -> Loaded:
    """A log with months of these ages, of which the eldest is to go."""
    settings, shown = site.path.read_text(), "# keep_summaries_days = 1095"
    assert shown in settings
    site.path.write_text(settings.replace(shown, "keep_summaries_days = 700"))
    now = clock.now_us()
    with closing(Recorder(site.places.log)) as recorder:
        for seq, age in enumerate(sorted(AGES, reverse=True), 1):
            at = now - age * DAY
            mail = Mail(mint(at), at=at)
            told = mail.whole()
            if age:
                told.append(expunge(mail, at + 5))
            recorder.apply([Applied("mta-9", seq, mail.m, told)])
    return site


def forms(site: Loaded) -> list[str]:
    """The months' forms, oldest first."""
    log = site.places.log_folder
    return [months.path(log, month).suffix for month in reversed(months.listing(log))]


def run(
    site: Loaded, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, dict[str, Any], str]:
    """Status, document, and what was said beside it."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["log", *words, "--config", str(site.path)])
    said = capsys.readouterr()
    status = ended.value.code
    return int(status or 0), json.loads(said.out) if said.out.startswith("{") else {}, said.err


@pytest.mark.parametrize("served", [False, True])
def test_retention(kept: Loaded, capsys: pytest.CaptureFixture[str], served: bool) -> None:
    """A dry run does nothing; then what is due is done, told, and not done again."""
    status, answer, _ = run(kept, capsys, "retention", "--dry-run", "--json")
    acts = ["drop", "seal", "summarise", "seal"]
    assert (status, [one["act"] for one in answer["due"]]) == (Exit.OK, acts)
    assert forms(kept) == [".db"] * 4
    status, answer, said = run(kept, capsys, "retention", "--json")
    assert (status, "--yes" in said) == (Exit.USAGE, True)
    assert forms(kept) == [".db"] * 4
    if served:
        asyncio.run(beside_a_role(kept, capsys))
    else:
        status, answer, _ = run(kept, capsys, "retention", "--yes", "--json")
        assert (status, {one["done"] for one in answer["due"]}) == (Exit.OK, {True})
    assert forms(kept) == [".summary", ".sealed", ".db"]
    status, answer, _ = run(kept, capsys, "retention", "--yes", "--json")
    assert (status, answer["due"]) == (Exit.OK, [])
    status, answer, _ = run(kept, capsys, "verify", "--json")
    assert (status, answer["whole"], answer["months"]) == (Exit.OK, True, 3)
    told = [event.what for event in journal_events(kept, LogSealed)]
    assert told == ["dropped", "sealed", "summarised", "sealed"]
    assert journal_events(kept, LogSealed)[-1].head == answer["head"]


async def beside_a_role(kept: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    """The log role has the log; it lets the command have the months."""
    ready = asyncio.Event()
    signals = Signals(ready=ready.set)
    async with asyncio.TaskGroup() as group:
        group.create_task(LogRole(kept).serve(signals))
        async with asyncio.timeout(20):
            await ready.wait()
        done = await asyncio.to_thread(run, kept, capsys, "retention", "--yes", "--json")
        assert (done[0], {one["done"] for one in done[1]["due"]}) == (Exit.OK, {True}), done
        signals.stop.set()


def journal_events(site: Loaded, kind: type[Any]) -> list[Any]:
    """Events of a kind that commands made, from their journals and the log."""
    found = []
    for folder in site.places.journal.glob("cli-*"):
        with closing(Reader(folder, finished=False)) as reader:
            for one in reader.frames(0):
                found += [event for event in one.events if isinstance(event, kind)]
    return found


def test_a_month_by_name(kept: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    """One that is over, not the one that is written, not one that is not there."""
    now, over = ids.month_at(clock.now_us()), ids.month_at(clock.now_us() - 45 * DAY)
    assert run(kept, capsys, "seal", now)[0] == Exit.USAGE
    assert run(kept, capsys, "seal", "2001-01")[0] == Exit.NOTHING_FOUND
    assert run(kept, capsys, "seal", over)[0] == Exit.OK
    assert ".sealed" in forms(kept)
    assert run(kept, capsys, "seal", over)[0] == Exit.USAGE
    with closing(Log(kept.places.log)) as log:
        assert log.total() == len(AGES)


def test_what_was_altered_is_told_and_logged(
    kept: Loaded, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status says so, and with --tell an event does."""
    run(kept, capsys, "retention", "--yes", "--json")
    file = months.path(kept.places.log_folder, ids.month_at(clock.now_us() - 45 * DAY))
    file.unlink()
    status, answer, _ = run(kept, capsys, "verify", "--json", "--tell")
    assert (status, [one["fault"] for one in answer["found"]]) == (Exit.PROBLEMS, ["missing"])
    [told] = journal_events(kept, AuditViolation)
    assert file.stem in told.what


def test_months_are_listed(kept: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    """With what is due about them."""
    listed = run(kept, capsys, "months", "--json")[1]["months"]
    assert [one["due"] for one in listed] == [None, "seal", "summarise", "drop"]

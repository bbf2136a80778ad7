"""What is counted while it is written is what one finds by counting message by message."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtad import db
from mtad.where import Kept
from tests.postgresql import IN_FILES
from tests.tracing_events import DECEMBER, Mail, mint
from tracing import events, ids, months, search
from tracing.log import Applied, Recorder
from tracing.queries import Log, Row
from tracing.states import State

MINUTE = 60_000_000
HOUR = 60 * MINUTE
BEGIN = DECEMBER - 5 * HOUR
SPAN = 10 * HOUR
PLAIN = "SELECT id/?, status, count(*), coalesce(sum(size), 0) FROM msg GROUP BY 1, 2"


def lives(count: int) -> list[list[events.Event]]:
    """Messages of ten hours about the end of November, each passing through several states."""
    pick = random.Random(8)
    found: list[list[events.Event]] = []
    for number in range(count):
        at = BEGIN + number * SPAN // count
        mail = Mail(mint(at), at=at, to=[f"box{n}@example.org" for n in range(pick.choice((1, 3)))])
        told = mail.begin()
        match number % 5:
            case 0:
                told.append(events.SmtpTempfail(at=at, trace=mail.m, code=451, stage="dot"))
            case 1:
                told.append(events.SmtpAbort(at=at, trace=mail.m, stage="data", why="lost"))
            case 2:
                told += mail.accept()
                told.append(
                    events.StoreFailed(at=at, trace=mail.m, n=1, addr=mail.to[0], why="disk full")
                )
                told += mail.deliver()
            case 3:
                told += [*mail.accept(), *mail.deliver()[1:]]
            case _:
                told += [*mail.accept(), *mail.deliver()]
        found.append(told)
    return found


def assert_counted(directory: Path) -> None:
    for month in months.listing(directory):
        link = months.reading(directory, month)
        counted = link.execute("SELECT h, status, n, bytes FROM stat_hour ORDER BY 1, 2").fetchall()
        assert counted == link.execute(f"{PLAIN} ORDER BY 1, 2", (ids.HOUR,)).fetchall()
        link.close()


@pytest.mark.parametrize("size", [2, 7, 50])
def test_hours_are_right_after_every_batch(tmp_path: Path, size: int) -> None:
    """However the events are split over batches, and when one of these fails and comes again."""
    told = [event for one in zip_longest(*lives(50)) for event in one if event is not None]
    recorder = Recorder(tmp_path)
    for number, start in enumerate(range(0, len(told), size), 1):
        batch = told[start : start + size]
        with pytest.raises(KeyError):
            recorder.apply([Applied("mta-0", number, 0, [*batch, None])])  # type: ignore[list-item]
        recorder.apply([Applied("mta-0", number, 0, batch)])
        assert_counted(tmp_path)
    recorder.close()


@pytest.fixture(scope="module")
def directory(new_log: Callable[[], Kept]) -> Kept:
    """Both months, each message recorded whole."""
    directory = new_log()
    recorder = Recorder(directory)
    for number, told in enumerate(lives(250), 1):
        recorder.apply([Applied("mta-0", number, 0, told)])
    recorder.close()
    return directory


@pytest.fixture(scope="module")
def known(directory: Kept) -> Iterator[tuple[Log, list[Row]]]:
    log = Log(directory)
    yield log, list(log.rows(log.ids(search.EVERYTHING, 1000)).values())
    log.close()


def check(log: Log, rows: list[Row], since: int, until: int, flow_since: int | None) -> None:
    """An overview is what a look at each message says."""
    shown = log.overview(since, until, 3, flow_since)
    seen = [row for row in rows if ids.lowest(since) <= row.id < ids.lowest(until)]
    assert shown.counts == Counter(row.state for row in seen)
    assert shown.bytes == sum(row.size for row in seen)
    first = since if flow_since is None else max(since, flow_since)
    late = [row for row in seen if row.id >= ids.lowest(first)]
    assert [one.at for one in shown.flow] == sorted({row.at // MINUTE * MINUTE for row in late})
    accepted = [row for row in late if row.state < State.REFUSED]
    assert sum(one.received for one in shown.flow) == len(accepted)
    assert sum(one.delivered for one in shown.flow) == sum(r.state is State.STORED for r in late)
    assert sum(one.refused for one in shown.flow) == len(late) - len(accepted)
    assert shown.messages == log.total() == len(rows)


def test_an_overview_is_exact(known: tuple[Log, list[Row]]) -> None:
    log, rows = known
    assert {row.state for row in rows} == {
        State.STORED, State.TEMPFAILED, State.ABORTED, State.QUEUED
    }  # fmt: skip
    moments = st.integers(BEGIN - HOUR, BEGIN + SPAN + HOUR) | st.integers(-1, 11).map(
        lambda hour: BEGIN + hour * HOUR
    )

    @settings(max_examples=150, deadline=None)
    @given(moments, moments, st.none() | moments)
    def exact(since: int, until: int, flow_since: int | None) -> None:
        check(log, rows, since, until, flow_since)

    exact()


@IN_FILES
def test_a_month_that_counted_events_is_counted_anew(
    directory: Path, known: tuple[Log, list[Row]], tmp_path: Path
) -> None:
    """Of an earlier version: read as it is, and the same once it is brought up to date."""
    _, rows = known
    for month in months.listing(directory):
        file = months.path(tmp_path, month)
        file.write_bytes(months.path(directory, month).read_bytes())
        db.downgrade(file, db.LOG, "log_0002")
    for brought_up_to_date in (False, True):
        if brought_up_to_date:
            Recorder(tmp_path).close()
        assert_counted(tmp_path)
        log = Log(tmp_path)
        check(log, rows, BEGIN + HOUR // 3, BEGIN + SPAN, BEGIN + 8 * HOUR)
        log.close()

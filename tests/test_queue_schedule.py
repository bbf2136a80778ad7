"""The schedule of tries: grows, stays within its bounds, and comes to its end."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.queue.schedule import HOUR, MINUTE, SPREAD, Schedule

DEFAULT = Schedule()
AT = 1_795_000_000_000_000

schedules = st.builds(
    Schedule,
    retry_minutes=st.lists(st.floats(0.05, 1000), min_size=1, max_size=8).map(tuple),
    give_up_after_hours=st.floats(0.1, 400),
    warn_after_hours=st.one_of(st.just(0), st.floats(0.01, 100)),
)
ids = st.integers(1, (1 << 63) - 1)


def tries(schedule: Schedule, m: int, *, warns: bool = True) -> list[int]:
    """Every try of a recipient that is never delivered, as time after its arrival."""
    found = [0]
    warned = not warns
    while True:
        now = AT + found[-1]
        due = schedule.next_try(m, AT, len(found), now, warns=not warned)
        warned = warned or now >= schedule.warns_at(AT) > 0
        if not due:
            return found
        found.append(due - AT)


def test_the_default() -> None:
    found = tries(DEFAULT, 7, warns=False)
    between = [(b - a) / MINUTE for a, b in itertools.pairwise(found)]
    for minutes, wanted in zip(between, (5, 10, 20, 40, 60, 120, 240, 240, 240), strict=False):
        assert wanted * (1 - SPREAD) <= minutes <= wanted * (1 + SPREAD)
    assert max(between) <= 240 * (1 + SPREAD)
    assert found[-1] == 120 * HOUR
    assert 30 <= len(found) <= 45


def test_a_try_falls_on_the_warning() -> None:
    assert 4 * HOUR in tries(DEFAULT, 7)
    assert 4 * HOUR not in tries(DEFAULT, 7, warns=False)
    assert 4 * HOUR not in tries(Schedule(warn_after_hours=0), 7)


def test_messages_are_spread() -> None:
    due = {DEFAULT.next_try(m << 16, AT, 1, AT, warns=True) for m in range(1000)}
    assert len(due) > 990
    early = sum(one - AT < 5 * MINUTE for one in due)
    assert 400 < early < 600


@pytest.mark.parametrize("late", [0, 1, HOUR])
def test_the_end(late: int) -> None:
    end = DEFAULT.gives_up_at(AT)
    assert DEFAULT.next_try(1, AT, 40, end + late, warns=True) == 0
    assert DEFAULT.next_try(1, AT, 40, end - 1, warns=True) == end


@given(schedules, ids, st.integers(0, 100), st.integers(0, 500 * HOUR), st.booleans())
def test_due_later_and_not_after_the_end(
    schedule: Schedule, m: int, count: int, age: int, warns: bool
) -> None:
    now = AT + age
    due = schedule.next_try(m, AT, count, now, warns=warns)
    assert due == schedule.next_try(m, AT, count, now, warns=warns)
    end = schedule.gives_up_at(AT)
    assert (due == 0) is (now >= end)
    if due:
        assert now < due <= end
        longest = max(schedule.retry_minutes) * MINUTE * (1 + SPREAD) + 1
        assert due - now <= longest
        shortest = min(schedule.retry_minutes) * MINUTE * (1 - SPREAD) - 1
        assert due - now >= shortest or due in (end, schedule.warns_at(AT))


@given(
    schedules.filter(lambda one: one.give_up_after_hours * 60 < 3000 * min(one.retry_minutes)),
    ids,
)
def test_every_recipient_has_its_last_try_at_the_end(schedule: Schedule, m: int) -> None:
    found = tries(schedule, m)
    assert found == sorted(set(found))
    assert found[-1] == schedule.gives_up_at(AT) - AT
    warning = schedule.warns_at(AT)
    if 0 < warning < schedule.gives_up_at(AT):
        assert warning - AT in found

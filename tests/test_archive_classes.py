"""What is due, by age and form; nothing that is still needed ever is."""

from typing import Any

import pytest

from tracing.archive.classes import DAY_US, Month, Rules, due

NOW = 2_000 * DAY_US
RULES = Rules(seal=7, details=100, summaries=300)


def month(days: float, form: Any = "hot", **more: Any) -> Month:
    """A month that ended so many days ago."""
    return Month("2026-01", form, NOW - round(days * DAY_US), **more)


CASES: tuple[tuple[Month, list[str]], ...] = (
    (month(-3), []),
    (month(6.9), []),
    (month(7), ["seal"]),
    (month(7, waiting=2), ["!seal"]),
    (month(8, "sealed"), []),
    (month(8, "sealed", late=True), ["reseal"]),
    (month(101, "sealed"), ["summarise"]),
    (month(101, "hot"), ["seal", "summarise"]),
    (month(101, "hot", waiting=1), ["!seal"]),
    (month(101, "summary"), []),
    (month(301, "summary"), ["drop"]),
    (month(301, "summary", copies=3), ["reduce"]),
    (month(301, "copies", copies=3), []),
    (month(301, "copies"), ["drop"]),
    (month(301, "hot"), ["drop"]),
    (month(301, "hot", waiting=1), ["!drop"]),
)


@pytest.mark.parametrize(("one", "wanted"), CASES)
def test_due(one: Month, wanted: list[str]) -> None:
    newest = Month("2026-02", "hot", NOW)
    found = due([newest, one], RULES, NOW)
    assert ["!" * bool(act.blocked) + act.act for act in found] == wanted


def test_for_ever_is_for_ever() -> None:
    rules = Rules(seal=7, details=0, summaries=0)
    assert not due([month(100_000, "sealed"), Month("2026-02", "hot", NOW)], rules, NOW)


def test_the_newest_month_is_never_due() -> None:
    assert not due([month(5_000)], RULES, NOW)

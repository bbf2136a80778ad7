"""Connections per destination, and hosts that are left alone."""

import pytest

from mtad.outbound import congestion
from mtad.outbound.congestion import FIRST_PAUSE, LONGEST_PAUSE, Pauses, Windows


def use(windows: Windows, key: str, *, worked: bool | None) -> None:
    windows.begin(key)
    windows.end(key, worked=worked)


def test_success_earns_more_and_trouble_halves() -> None:
    windows = Windows(20)
    assert windows.room("a") == 5
    for _ in range(100):
        use(windows, "a", worked=True)
    assert windows.room("a") == 20
    use(windows, "a", worked=False)
    assert windows.room("a") == 10
    use(windows, "a", worked=None)
    assert windows.room("a") == 10
    for _ in range(10):
        use(windows, "a", worked=False)
    assert windows.room("a") == 1, "never none: the next try must be possible"
    assert windows.room("b") == 5


def test_what_is_in_use_counts() -> None:
    windows = Windows(3)
    for room in (2, 1, 0):
        windows.begin("a")
        assert windows.room("a") == room
    windows.end("a", worked=False)
    assert windows.room("a") == 0
    windows.end("a", worked=None)
    windows.end("a", worked=None)
    assert windows.room("a") == 1


def test_pauses_double_up_to_a_limit() -> None:
    pauses, now = Pauses(), 0.0
    lengths = []
    for _ in range(8):
        pauses.failed("a", "refused", now)
        begun = now
        while pauses.why("a", now):
            now += 1
        lengths.append(now - begun)
    assert lengths == [FIRST_PAUSE * 2**n for n in range(5)] + [LONGEST_PAUSE] * 3
    pauses.worked("a")
    pauses.failed("a", "refused", now)
    assert not pauses.why("a", now + FIRST_PAUSE)


def test_failures_at_a_time_are_one() -> None:
    pauses = Pauses()
    for _ in range(20):
        pauses.failed("a", "refused", 0)
    assert pauses.why("a", FIRST_PAUSE - 1) == "refused"
    assert not pauses.why("a", FIRST_PAUSE)
    assert not pauses.why("b", 0)


def test_someone_in_a_hurry() -> None:
    pauses = Pauses()
    pauses.failed("a", "refused", 0)
    pauses.forget()
    assert not pauses.why("a", 1)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(congestion, "MAX_REMEMBERED", 10)
    windows, pauses = Windows(20), Pauses()
    windows.begin("kept")
    for number in range(100):
        use(windows, str(number), worked=False)
        pauses.failed(str(number), "refused", 0)
    assert len(windows._windows) <= 10
    assert windows.room("kept") == 4
    assert len(pauses._pauses) == 10
    assert pauses.why("99", 1)

"""Counting clients: estimates near the truth, memory bounded, networks told apart."""

import random
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtad.clients import rates
from mtad.clients.rates import Clients, Rate, Share, keys
from mtad.config import Config, Smtp
from mtad.smtp import limits

KEYS = {
    "192.0.2.7": ("192.0.2.7", "192.0.2."),
    "192.0.20.7": ("192.0.20.7", "192.0.20."),
    "2001:db8:1:2::7": ("2001:db8:1:2::/64", "2001:db8:1::/48"),
    "2001:db8:1:2:ffff::": ("2001:db8:1:2::/64", "2001:db8:1::/48"),
    "2001:db8:1:3::7": ("2001:db8:1:3::/64", "2001:db8:1::/48"),
    "::1": ("::/64", "::/48"),
}


@pytest.mark.parametrize("ip", KEYS)
def test_the_client_and_its_network(ip: str) -> None:
    assert keys(ip) == KEYS[ip]


def test_a_rate_forgets() -> None:
    rate = Rate(60)
    for at in range(0, 60, 6):
        rate.add("a", 600 + at)
    assert rate.of("b", 659) == 0
    assert rate.of("a", 659) == rate.of("a", 660) == 10
    assert rate.of("a", 690) == 5
    assert rate.of("a", 720) == 0
    rate.add("a", 5000)
    assert rate.of("a", 5000) == 1


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 40), st.sampled_from("ab")), max_size=200))
def test_an_estimate_is_between_one_window_and_two(steps: list[tuple[float, str]]) -> None:
    """Never less than what happened in the present window, never more than in two."""
    rate, at = Rate(60), 0.0
    happened: list[tuple[float, str]] = []
    for step, key in steps:
        at += step
        rate.add(key, at)
        happened.append((at, key))
        told = rate.of(key, at)
        assert 1 <= told <= sum(1 for when, who in happened if who == key and at - when < 120)


def test_a_steady_rate_is_told_as_it_is() -> None:
    rng = random.Random(7)
    rate, recent, at = Rate(3600), deque[float](), 0.0
    for number in range(20_000):
        at += rng.expovariate(1.0)
        rate.add("a", at)
        recent.append(at)
        while recent[0] <= at - 3600:
            recent.popleft()
        if number > 8000:
            assert rate.of("a", at) == pytest.approx(len(recent), rel=0.1)


def test_memory_is_bounded_and_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MAX_KEYS", 100)
    rate = Rate(60)
    for number in range(1000):
        rate.add(str(number), 1.0)
    assert len(rate._counts) == 100
    assert rate.of("0", 1.0) == 0
    assert rate.of("999", 1.0) == 1


def test_a_flood_of_addresses_of_one_machine_is_one_client() -> None:
    clients = Clients()
    for number in range(1000):
        clients.enter(f"2001:db8::{number:x}", 1.0)
    assert len(clients.here) == 2
    assert clients.connections.of("2001:db8::/64", 1.0) == 1000
    for number in range(1000):
        clients.leave(f"2001:db8::{number:x}")
    assert not clients.here


def test_a_share_is_used_up_and_comes_back() -> None:
    now = [1000.0]
    clients = Clients()
    one = Share(clients, "192.0.2.7", lambda: now[0], max_messages=2, max_recipients=0)
    other = Share(clients, "192.0.2.7", lambda: now[0], max_messages=2, max_recipients=0)
    stranger = Share(clients, "192.0.2.8", lambda: now[0], max_messages=2, max_recipients=0)
    one.add_message()
    assert one.has_messages
    other.add_message()
    assert not one.has_messages
    assert not other.has_messages
    assert stranger.has_messages
    for _ in range(9):
        one.add_recipient()
    assert one.has_recipients
    now[0] += 7200
    assert one.has_messages


def test_delays_double_up_to_the_longest() -> None:
    some = Smtp(tarpit_after_errors=2, tarpit_max_seconds=3)
    told = [limits.delay(some, errors) for errors in (0, 1, 2, 3, 4, 5, 6, 100, 10**9)]
    assert told == [0, 0, 0, 0.5, 1, 2, 3, 3, 3]
    assert limits.delay(Smtp(tarpit_max_seconds=0), 50) == 0


def test_there_are_no_more_connections_than_files(caplog: pytest.LogCaptureFixture) -> None:
    config = Config(hostname="mx.local.test")
    assert limits.in_force(config, 20_000) is config.smtp
    assert not caplog.records
    few = limits.in_force(config, 1024)
    assert few.max_connections == 1024 - limits.FILES_ASIDE - config.outbound.max_connections
    assert few.max_recipients == config.smtp.max_recipients
    assert "LimitNOFILE" in caplog.text
    assert limits.in_force(config, 10).max_connections == 1

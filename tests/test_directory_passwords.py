"""Passwords: what is stored, what is refused, what people can copy by hand."""

import statistics
import time

import argon2
import pytest
from argon2.low_level import Type

from mtad.directory import passwords
from mtad.errors import UsageError


def test_a_password_is_verified_against_its_hash() -> None:
    stored = passwords.hashed("correct horse")
    assert stored.startswith("$argon2id$")
    assert "correct" not in stored
    assert passwords.verify(stored, "correct horse")
    assert not passwords.verify(stored, "correct horsE")
    assert not passwords.verify(stored, "")


def test_two_hashes_of_one_password_differ() -> None:
    assert passwords.hashed("same") != passwords.hashed("same")


@pytest.mark.parametrize("password", ["", "x" * 1025, "a\nb", "a\x00b", "a\x85b", "\udc80"])
def test_what_no_client_could_send_is_refused(password: str) -> None:
    with pytest.raises(UsageError):
        passwords.hashed(password)


@pytest.mark.parametrize("password", ["пароль с пробелом", "x" * 1024, "🙂"])
def test_any_text_is_a_password(password: str) -> None:
    assert passwords.verify(passwords.hashed(password), password)


@pytest.mark.parametrize("stored", [None, "", "plain", "$argon2id$v=19$broken", "$1$md5$x"])
@pytest.mark.parametrize("password", ["x", "\udc80", "y" * 5000])
def test_what_is_no_hash_matches_nothing(stored: str | None, password: str) -> None:
    assert not passwords.verify(stored, password)


def test_an_unknown_box_takes_as_long_as_a_wrong_password() -> None:
    stored = passwords.hashed("right")

    def seconds(against: str | None) -> float:
        began = time.perf_counter()
        passwords.verify(against, "wrong")
        return time.perf_counter() - began

    pairs = [(seconds(stored), seconds(None)) for _ in range(15)]
    known, unknown = (statistics.median(column) for column in zip(*pairs, strict=True))
    assert 0.4 < unknown / known < 2.5


def test_a_hash_made_with_other_costs_is_outdated() -> None:
    cheap = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("x")
    assert passwords.is_outdated(cheap)
    assert passwords.verify(cheap, "x")
    now = passwords.hashed("x")
    assert not passwords.is_outdated(now)
    cost = argon2.extract_parameters(now)
    assert (cost.type, cost.memory_cost) == (Type.ID, passwords.MEMORY_KIB)


def test_three_hashes_at_once_fit_64_mib() -> None:
    assert 3 * passwords.MEMORY_KIB <= 64 * 1024


def test_made_passwords_are_readable_and_differ() -> None:
    made = {passwords.generate() for _ in range(200)}
    assert len(made) == 200
    for password in made:
        groups = password.split("-")
        assert [len(group) for group in groups] == [4, 4, 4, 4]
        assert set("".join(groups)) <= set(passwords.ALPHABET)
    assert not set("0o1il") & set(passwords.ALPHABET)

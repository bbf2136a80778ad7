"""Patterns of LIST against a slow and obvious matcher, and in linear time."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.imap.patterns import matcher, parents


def slowly(pattern: str, name: str) -> bool:
    if name == "INBOX":
        pattern = pattern.upper()
    spelled = "".join(
        ".*" if char == "*" else "[^/]*" if char == "%" else re.escape(char) for char in pattern
    )
    return re.fullmatch(spelled, name, re.DOTALL) is not None


@pytest.mark.parametrize(
    ("pattern", "name", "whether"),
    [
        ("*", "a/b", True),
        ("%", "a/b", False),
        ("%", "a", True),
        ("%/%", "a/b", True),
        ("a%", "a", True),
        ("a/%", "a/", True),
        ("inbox", "INBOX", True),
        ("Inb*", "INBOX", True),
        ("sent", "Sent", False),
        ("%*", "a/b/c", True),
        ("*%", "a/b/c", True),
        ("", "", True),
        ("", "a", False),
        ("П*", "Папка/б", True),
    ],
)
def test_patterns(pattern: str, name: str, whether: bool) -> None:
    assert matcher(pattern)(name) is whether


@given(
    st.text("ab/%*", max_size=12),
    st.text("ab/", max_size=12) | st.just("INBOX"),
)
def test_like_the_slow_way(pattern: str, name: str) -> None:
    assert matcher(pattern)(name) is slowly(pattern, name)


def test_no_pattern_takes_long() -> None:
    match = matcher("*a%" * 2000)
    assert not match("a" * 250 + "b" * 2)


def test_parents() -> None:
    assert parents("a/b/c") == ["a", "a/b"]
    assert parents("a") == []

"""Addresses in header fields: the grammar, and what tries to look like another address."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.address_list import MAX_FIELD, parse

GOOD = {
    "you@example.org": ["you@example.org"],
    " You <you@example.org> ": ["you@example.org"],
    '"You, the one" <you@example.org>': ["you@example.org"],
    "Dr. You <you@example.org>": ["you@example.org"],
    "<you@example.org>": ["you@example.org"],
    "a@x.test, B <b@x.test>,\n\t c@x.test": ["a@x.test", "b@x.test", "c@x.test"],
    "a@x.test,, b@x.test,": ["a@x.test", "b@x.test"],
    "Team: a@x.test, b@x.test; , c@x.test": ["a@x.test", "b@x.test", "c@x.test"],
    "undisclosed-recipients:;": [],
    "": [],
    "(all) a (b (c) \\) d) @ (e) x.test (f)": ["a@x.test"],
    '"a b"@x.test': ["a b@x.test"],
    r'"a\"b"@x.test': ['a"b@x.test'],
    '"a".b@x.test': ["a.b@x.test"],
    "a@[192.0.2.1]": ["a@[192.0.2.1]"],
    "Аня <аня@почта.test>": ["аня@почта.test"],
    "=?utf-8?b?0JDQvdGP?= <a@x.test>": ["a@x.test"],
    '"<boss@x.test>" <a@x.test>': ["a@x.test"],
    "(boss@x.test) a@x.test": ["a@x.test"],
}


@pytest.mark.parametrize("text", GOOD)
def test_addresses(text: str) -> None:
    assert parse(text.encode()) == GOOD[text]


@pytest.mark.parametrize(
    "text",
    [
        "you",
        "@x.test",
        "a@",
        "a@b@x.test",
        "a b@x.test",
        "a..b@x.test",
        ".a@x.test",
        "a@x..test",
        "a@x.test.",
        "a@x.test b@x.test",
        "<a@x.test> <b@x.test>",
        "<a@x.test> b@x.test",
        "<a@x.test>b",
        "a@x.test <b@x.test>",
        "<@r.test:a@x.test>",
        "<@r.test,@s.test:a@x.test>",
        "<a@x.test",
        "a@x.test>",
        "<<a@x.test>>",
        "<>",
        "(a@x.test",
        "a@x.test)",
        '"a@x.test',
        "a\\@x.test",
        "a@x.test\0",
        "a@x.test;",
        "G: a@x.test",
        "G: H: a@x.test;;",
        "a@x.test: b@x.test;",
        "a@[x y]",
        "a@[x",
        "a@x.test(\\",
        'a@"x.test"',
    ],
)
def test_what_is_not_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse(text.encode())


def test_octets_that_are_no_text_and_endless_fields_are_refused() -> None:
    with pytest.raises(ValueError, match="UTF-8"):
        parse(b"\xff@x.test")
    with pytest.raises(ValueError, match="too long"):
        parse(b"a" * (MAX_FIELD + 1))


@pytest.mark.parametrize("hostile", ["(" * 8000, "(\\" * 4000, '"\\' * 4000, "a@b," * 2000])
def test_hostile_fields_are_read_in_no_time(hostile: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse(hostile.encode())


def quoted(address: str) -> str:
    local, _, domain = address.rpartition("@")
    return '"' + re.sub(r'(["\\\\])', r"\\\1", local) + f'"@{domain}'


@given(st.text('ab@.<>(),;:"\\[] \t\n', max_size=40))
def test_whatever_is_found_can_be_written_and_read_again(text: str) -> None:
    try:
        found = parse(text.encode())
    except ValueError:
        return
    assert parse(", ".join(map(quoted, found)).encode()) == found

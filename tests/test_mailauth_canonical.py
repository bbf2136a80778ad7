"""Canonical forms: the RFC's examples, and any body fed in any pieces."""

import hashlib
import re
from typing import cast
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.mailauth import canonical
from mtad.mailauth.canonical import BodyHash, Canonicalization, header


@pytest.mark.parametrize(
    ("field", "simple", "relaxed"),
    [  # RFC 6376 3.4.5
        (b"A: X\n", b"A: X\r\n", b"a:X\r\n"),
        (b"B : Y\t\n\tZ  \n", b"B : Y\t\r\n\tZ  \r\n", b"b:Y Z\r\n"),
        (b"C:\n", b"C:\r\n", b"c:\r\n"),
        (b"D: a:b\n  c", b"D: a:b\r\n  c", b"d:a:b c\r\n"),
        (b"E:\xd0\xb0 \x0b b\n", b"E:\xd0\xb0 \x0b b\r\n", b"e:\xd0\xb0 \x0b b\r\n"),
    ],
)
def test_fields(field: bytes, simple: bytes, relaxed: bytes) -> None:
    assert header(field, "simple") == simple
    assert header(field, "relaxed") == relaxed


BODIES = {
    b"": (b"\r\n", b""),
    b"\n\n\n": (b"\r\n", b""),
    b" \n\t\n": (b" \r\n\t\r\n", b""),
    b" C \nD \t E\n\n\n": (b" C \r\nD \t E\r\n", b" C\r\nD E\r\n"),  # RFC 6376 3.4.5
    b"x": (b"x\r\n", b"x\r\n"),
    b"x  ": (b"x  \r\n", b"x\r\n"),
    b"\n\nx\n": (b"\r\n\r\nx\r\n", b"\r\n\r\nx\r\n"),
    b"a\n\n\nb": (b"a\r\n\r\n\r\nb\r\n", b"a\r\n\r\n\r\nb\r\n"),
}


def reference(body: bytes, form: str) -> bytes:
    """RFC 6376 3.4.3 and 3.4.4, word by word."""
    lines = body.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    if form == "relaxed":
        lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in lines]
    while lines and lines[-1] == b"":
        lines.pop()
    text = b"".join(line + b"\r\n" for line in lines)
    return text or (b"\r\n" if form == "simple" else b"")


def hashed(body: bytes, form: str, size: int, limit: int | None = None) -> bytes:
    one = BodyHash(cast(Canonicalization, form), limit)
    for start in range(0, len(body), size):
        one.update(body[start : start + size])
    return one.digest()


@pytest.mark.parametrize("body", BODIES)
def test_bodies(body: bytes) -> None:
    for form, expected in zip(("simple", "relaxed"), BODIES[body], strict=True):
        assert reference(body, form) == expected
        for size in (1, 2, 1000):
            assert hashed(body, form, size) == hashlib.sha256(expected).digest(), (form, size)


@given(
    st.text("a \t\n", max_size=80).map(str.encode),
    st.integers(1, 20),
    st.integers(1, 20),
    st.none() | st.integers(0, 90),
)
def test_any_body_in_any_pieces(body: bytes, size: int, block: int, limit: int | None) -> None:
    """The hash does not tell where the body was cut, nor how long its lines are."""
    with mock.patch.object(canonical, "BLOCK", block):
        for form in ("simple", "relaxed"):
            expected = hashlib.sha256(reference(body, form)[:limit]).digest()
            assert hashed(body, form, size, limit) == expected


def test_the_size_is_that_of_the_canonical_body() -> None:
    one = BodyHash("relaxed", 3)
    one.update(b"a  b \n\n\n")
    assert one.digest() == one.digest() == hashlib.sha256(b"a b").digest()
    assert one.size == 5


def test_endless_lines_of_spaces_take_no_time() -> None:
    one = BodyHash("relaxed")
    for _ in range(200):
        one.update(b" " * 100_000)
    assert one.digest() == hashlib.sha256(b"").digest()

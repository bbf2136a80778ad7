"""The message on the wire: what DATA sends, and what is noticed about it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.outbound.content import BareReturn, Scanner, Stuffer, Traits, traits_of
from mtad.smtp.data import DataReader

text = st.binary(max_size=300).map(lambda octets: octets.replace(b"\r", b""))
lines = st.lists(st.sampled_from([b"", b".", b"..", b"x", b".x", b"\n", b"QUIT"]), max_size=20)
content = st.one_of(text, lines.map(b"\n".join))


def stuffed(octets: bytes, size: int) -> bytes:
    stuffer = Stuffer()
    pieces = [stuffer.feed(octets[at : at + size]) for at in range(0, len(octets), size)]
    return b"".join(pieces) + stuffer.end()


@given(content, st.integers(1, 50))
def test_a_message_ends_once_and_comes_back(octets: bytes, size: int) -> None:
    wire = stuffed(octets, size)
    assert wire == stuffed(octets, len(octets) or 1)
    reader = DataReader(10**6)
    assert reader.feed(wire + b"QUIT\r\n")
    assert reader.rest == b"QUIT\r\n", "nothing of it may be taken for a command"
    assert not reader.is_bare
    whole = octets if octets.endswith(b"\n") or not octets else octets + b"\n"
    assert b"".join(reader.parts) == whole
    assert traits_of(octets).size == reader.size


@pytest.mark.parametrize("octets", [b"a\rb", b"\r", b"a\r\n", b"\r\n.\r\nQUIT\r\n", b"x\n\r"])
def test_a_carriage_return_is_never_sent(octets: bytes) -> None:
    with pytest.raises(BareReturn):
        stuffed(octets, 100)
    with pytest.raises(BareReturn):
        stuffed(octets, 1)


CASES = [
    (b"", Traits(0, False, False, False, False, False)),
    (b"a: b\n\nc\n", Traits(11, False, False, False, False, False)),
    (b"a: b\n\nc", Traits(11, False, False, False, False, False)),
    (b"a: b\n\n\xc3\xa9\n", Traits(12, True, False, False, False, False)),
    ("a: é\n\nc\n".encode(), Traits(12, True, True, False, False, False)),
    (b"\n\xc3\xa9\n", Traits(6, True, False, False, False, False)),
    (b"a: b\n\nc\rd\n", Traits(13, False, False, False, True, False)),
    (b"a: b\n\n" + b"x" * 998 + b"\n", Traits(1008, False, False, False, False, False)),
    (b"a: b\n\n" + b"x" * 999 + b"\n", Traits(1009, False, False, True, False, False)),
    (b"x" * 999, Traits(1001, False, False, True, False, False)),
    (b"a: b\ntls-required: NO\n\nc\n", Traits(29, False, False, False, False, True)),
    (b"a: b\n\nTLS-Required: No\n", Traits(26, False, False, False, False, False)),
    (b"a: TLS-Required: No\n\n", Traits(23, False, False, False, False, False)),
]


@pytest.mark.parametrize(("octets", "expected"), CASES, ids=range(len(CASES)))
def test_traits(octets: bytes, expected: Traits) -> None:
    assert traits_of(octets) == expected
    scanner = Scanner()
    for at in range(len(octets)):
        scanner.feed(octets[at : at + 1])
    assert scanner.traits() == expected


@given(st.lists(st.integers(990, 1005), max_size=8), st.integers(1, 1500))
def test_long_lines_are_found_however_the_message_is_cut(lengths: list[int], size: int) -> None:
    octets = b"".join(b"x" * length + b"\n" for length in lengths)
    scanner = Scanner()
    for at in range(0, len(octets), size):
        scanner.feed(octets[at : at + size])
    assert scanner.traits().has_long_lines == any(length > 998 for length in lengths)
    assert traits_of(octets) == scanner.traits()

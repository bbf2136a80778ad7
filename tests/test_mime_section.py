"""Sections, decoded and not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.mime.message import parse
from mtad.mime.section import UnknownEncoding, binary, find, header_fields

INNER = (
    b"Subject: inner\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n"
    b"--y\r\nX: 1\r\n\r\nfirst\r\n--y\r\n\r\nsecond\r\n--y--\r\n"
)
DATA = (
    b"Subject: outer\r\nFrom: a@x\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
    b"--x\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n"
    b"--x\r\nContent-Type: message/rfc822\r\n\r\n" + INNER + b"--x\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\na=\r\nb=D0\r\n"
    b"--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: plain\r\n\r\ntext\r\n"
    b"--x\r\nContent-Transfer-Encoding: x-odd\r\n\r\n?\r\n--x--\r\n"
)
SECTIONS: list[tuple[tuple[int, ...], str, bytes | None]] = [
    ((), "", DATA),
    ((), "HEADER", DATA[: DATA.index(b"--x")]),
    ((), "TEXT", DATA[DATA.index(b"--x") :]),
    ((), "MIME", DATA[: DATA.index(b"--x")]),
    ((1,), "", b"AAEC"),
    ((1,), "MIME", b"Content-Transfer-Encoding: base64\r\n\r\n"),
    ((1,), "HEADER", None),
    ((1,), "TEXT", None),
    ((1, 1), "", None),
    ((2,), "", INNER),
    ((2,), "MIME", b"Content-Type: message/rfc822\r\n\r\n"),
    ((2,), "HEADER", INNER[: INNER.index(b"--y")]),
    ((2,), "TEXT", INNER[INNER.index(b"--y") :]),
    ((2, 1), "", b"first"),
    ((2, 1), "MIME", b"X: 1\r\n\r\n"),
    ((2, 2), "", b"second"),
    ((2, 3), "", None),
    ((2, 0), "", None),
    ((4, 1), "", b"text"),
    ((4, 1), "MIME", b"Subject: plain\r\n\r\n"),
    ((4, 2), "", None),
    ((4, 1, 1), "", None),
    ((6,), "", None),
]


@pytest.mark.parametrize(("numbers", "what", "expected"), SECTIONS)
def test_sections(numbers: tuple[int, ...], what: str, expected: bytes | None) -> None:
    assert find(DATA, parse(DATA), numbers, what) == expected


def test_part_1_of_what_has_no_parts() -> None:
    data = b"Subject: x\r\n\r\ntext"
    assert find(data, parse(data), (1,)) == b"text"
    assert find(data, parse(data), (1,), "MIME") == b"Subject: x\r\n\r\n"
    assert find(data, parse(data), (2,)) is None
    assert find(data, parse(data), (1, 1)) is None


def test_a_message_that_is_a_message() -> None:
    inner = b"Subject: in\r\n\r\ntext"
    data = b"Content-Type: message/rfc822\r\n\r\n" + inner
    assert find(data, parse(data), (1,)) == inner
    assert find(data, parse(data), (1,), "HEADER") == b"Subject: in\r\n\r\n"
    assert find(data, parse(data), (1, 1)) == b"text"


def test_no_literal_has_a_nul() -> None:
    data = b"X: \0\r\n\r\na\0b"
    assert find(data, parse(data), ()) == b"X: \x80\r\n\r\na\x80b"
    assert find(data, parse(data), (1,)) == b"a\x80b"
    assert binary(data, parse(data), (1,)) == b"a\0b"


HEADER = b"To: a\r\nX-To: b\r\nno colon\r\nSubject: c\r\n d\r\nTO : e\r\n\r\n"
FIELDS = {
    (b"to",): b"To: a\r\nTO : e\r\n\r\n",
    (b"SUBJECT", b"x-to"): b"X-To: b\r\nSubject: c\r\n d\r\n\r\n",
    (b"none",): b"\r\n",
    (b"no colon",): b"\r\n",
    (b"t.", b"(", b"", b"*"): b"\r\n",
}


@pytest.mark.parametrize(("names", "expected"), FIELDS.items())
def test_header_fields(names: tuple[bytes, ...], expected: bytes) -> None:
    assert header_fields(HEADER, names) == expected
    without = header_fields(HEADER, names, without=True)
    assert sorted(without.split(b"\r\n") + expected.split(b"\r\n")) == sorted(
        [*HEADER.split(b"\r\n"), b"", b""]
    )


def test_a_header_without_an_end() -> None:
    assert header_fields(b"To: a\r\nSubject: b", [b"subject"]) == b"Subject: b\r\n\r\n"
    assert header_fields(b"", [b"subject"]) == b"\r\n"


BINARY = {(1,): b"\0\1\2", (3,): b"ab\xd0", (2, 1): b"first", (2,): INNER, (): DATA, (9,): None}


@pytest.mark.parametrize(("numbers", "expected"), BINARY.items())
def test_binary(numbers: tuple[int, ...], expected: bytes | None) -> None:
    assert binary(DATA, parse(DATA), numbers) == expected


def test_an_encoding_nobody_knows() -> None:
    with pytest.raises(UnknownEncoding):
        binary(DATA, parse(DATA), (5,))


BASE64 = {
    b"aGVsbG8=": b"hello",
    b"aGVs\r\nbG8=\r\n": b"hello",
    b"aGVsbG8": b"hello",
    b"aGVs!bG8=": b"hello",
    b"aGVsb": b"hel",
    b"": b"",
    b"====": b"",
}


@pytest.mark.parametrize(("written", "expected"), BASE64.items())
def test_damaged_base64_gives_what_can_be_read(written: bytes, expected: bytes) -> None:
    data = b"Content-Transfer-Encoding: BASE64\r\n\r\n" + written
    assert binary(data, parse(data), (1,)) == expected


UUENCODED = {
    b"begin 644 x\r\n%:&5L;&\\\r\n`\r\nend\r\n": b"hello",
    b"words before\r\n\r\nbegin 644 x\r\n%:&5L;&\\\r\n \r\nend\r\nand behind\r\n": b"hello",
    b"begin 644 x\r\n%:&5L;&\\ X\r\nend": b"hello",
    b"begin 644 x\r\n%:&5L;&\\\r\n\xff\xff\r\n%:&5L;&\\\r\nend": b"hellohello",
    b"begin 644 x": b"",
    b"no beginning": b"",
}


@pytest.mark.parametrize("name", [b"x-uuencode", b"X-UUE", b"uuencode"])
@pytest.mark.parametrize(("written", "expected"), UUENCODED.items())
def test_what_was_uuencoded(name: bytes, written: bytes, expected: bytes) -> None:
    data = b"Content-Transfer-Encoding: " + name + b"\r\n\r\n" + written
    assert binary(data, parse(data), (1,)) == expected


ENCODINGS = (b"base64", b"quoted-printable", b"8bit", b"x-uuencode")


@given(st.binary(max_size=200), st.sampled_from(ENCODINGS))
def test_nothing_fails_to_be_decoded(content: bytes, encoding: bytes) -> None:
    data = b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n" + content
    assert binary(data, parse(data), (1,)) is not None


@given(
    st.lists(st.sampled_from((b"To: a\r\n", b"Cc: b\r\n", b" folded\r\n", b"odd\r\n")), max_size=9),
)
def test_with_and_without_are_the_whole(lines: list[bytes]) -> None:
    header = b"".join([b"Subject: s\r\n", *lines, b"\r\n"])
    some = header_fields(header, [b"to"])
    others = header_fields(header, [b"to"], without=True)
    assert len(some) + len(others) == len(header) + 2

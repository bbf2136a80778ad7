"""POP3's octets, whole and drop by drop: lines, stuffed messages, their beginnings."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.pop3.command import Bad, Command, err, number, numbers, ok, parse
from mtad.pop3.wire import Cut, Lines, Stuffer, TooLong

PIECES = st.lists(st.binary(max_size=40), max_size=8)
TEXTS = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"..", b"a", b" b", b"\0"])).map(
    b"".join
)


def lines_of(pieces: list[bytes], max_line: int = 50) -> list[bytes | None]:
    """The lines of octets that come in pieces; None for one that is too long."""
    lines, found = Lines(max_line), list[bytes | None]()
    for piece in pieces:
        lines.feed(piece)
        while True:
            try:
                line = lines.next()
            except TooLong:
                found.append(None)
                continue
            if line is None:
                break
            found.append(line)
        assert len(lines._input) - lines._at <= max_line
    return found


@pytest.mark.parametrize(
    ("octets", "lines"),
    [
        (b"STAT\r\nLIST 1\r\n", [b"STAT", b"LIST 1"]),
        (b"STAT\nQUIT\n", [b"STAT", b"QUIT"]),
        (b"\r\n", [b""]),
        (b"PASS  a b \r\n", [b"PASS  a b "]),
        (b"a\rb\r\n", [b"a\rb"]),
        (b"x" * 48 + b"\r\n", [b"x" * 48]),
        (b"x" * 50 + b"\r\nNOOP\r\n", [None, b"NOOP"]),
        (b"x" * 500 + b"\r\nNOOP\r\n", [None, b"NOOP"]),
        (b"rest", []),
    ],
)
def test_lines_come_whole_and_in_drops(octets: bytes, lines: list[bytes | None]) -> None:
    assert lines_of([octets]) == lines
    assert lines_of([octets[at : at + 1] for at in range(len(octets))]) == lines


@given(PIECES)
def test_lines_do_not_depend_on_pieces(pieces: list[bytes]) -> None:
    assert lines_of(pieces) == lines_of([b"".join(pieces)])


def test_what_was_forgotten_is_gone() -> None:
    lines = Lines(50)
    lines.feed(b"STLS\r\nUSER injected\r\n")
    assert lines.next() == b"STLS"
    lines.forget()
    assert lines.next() is None


def stuffed(pieces: list[bytes]) -> bytes:
    stuffer = Stuffer()
    return b"".join([stuffer.feed(piece) for piece in pieces]) + stuffer.end()


def fetched(response: bytes) -> bytes:
    """What a client makes of a multi-line response."""
    assert response == b".\r\n" or response.endswith(b"\r\n.\r\n")
    lines = response.removesuffix(b".\r\n").split(b"\r\n")
    assert lines.pop() == b""
    assert b"." not in lines
    return b"".join(line.removeprefix(b".") + b"\r\n" for line in lines)


@given(TEXTS, st.data())
def test_a_message_arrives_as_it_is(text: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(text)))
    response = stuffed([text])
    assert response == stuffed([text[:cut], text[cut:]])
    assert response == stuffed([text[at : at + 1] for at in range(len(text))])
    wire = re.sub(rb"(?<!\r)\n", b"\r\n", text)
    whole = wire if not wire or wire.endswith(b"\r\n") else wire + b"\r\n"
    assert fetched(response) == whole


@given(TEXTS, st.integers(0, 4), st.data())
def test_the_beginning_of_a_message(text: bytes, count: int, data: st.DataObject) -> None:
    message = b"A: b\r\nC: d\r\n\r\n" + text
    lines = re.findall(rb"[^\n]*\n|[^\n]+\Z", text)
    wanted = b"A: b\r\nC: d\r\n\r\n" + b"".join(lines[:count])
    for size in (1, data.draw(st.integers(1, 20)), len(message)):
        cut, got = Cut(count), b""
        for at in range(0, len(message), size):
            if not cut.is_done:
                got += cut.feed(message[at : at + size])
        assert got == wanted


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"quit", Command("QUIT", b"")),
        (b"Retr 12", Command("RETR", b"12")),
        (b"PASS  two spaces", Command("PASS", b" two spaces")),
        (b"USER ", Command("USER", b"")),
    ],
)
def test_commands(line: bytes, command: Command) -> None:
    assert parse(line) == command


@pytest.mark.parametrize("line", [b"", b" STAT", b"ST\0AT", b"\xffSTAT", b"A-B"])
def test_what_is_no_command(line: bytes) -> None:
    with pytest.raises(Bad):
        parse(line)


def test_numbers() -> None:
    assert number(b"") is None
    assert number(b" 12 ") == 12
    assert numbers(b"1 0") == [1, 0]
    for wrong in (b"-1", b"1.5", b"x", b"1 x", b"9" * 10, "１".encode()):
        with pytest.raises(Bad):
            numbers(wrong)
    with pytest.raises(Bad):
        number(b"1 2")


@given(st.text(), st.binary(max_size=600))
def test_nothing_ends_a_line_early(text: str, line: bytes) -> None:
    for made in (ok(text), err(text, "SYS/TEMP")):
        assert made.endswith(b"\r\n")
        assert made.count(b"\n") == made.count(b"\r") == 1
        assert len(made) <= 512
    with contextlib.suppress(Bad):
        assert parse(line).name.isalnum()

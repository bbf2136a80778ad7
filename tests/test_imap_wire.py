"""The reader of lines and literals: whole, octet by octet, beyond its limits."""

import itertools
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.imap.answer import Bad, No
from mtad.imap.wire import Event, Line, Reader, Rejected, Request, Wanted

LINE = 200
LITERAL = 100
MESSAGE = 200_000


class File:
    """A sink that keeps what it was given."""

    def __init__(self) -> None:
        self.data = b""

    @property
    def size(self) -> int:
        return len(self.data)

    def path(self) -> str:
        return "a file"

    def write(self, data: bytes) -> None:
        self.data += data


def reader() -> Reader:
    return Reader(
        max_line=LINE, max_literal=LITERAL, max_message=MESSAGE, max_passed_over=MESSAGE * 2
    )


def run(one: Reader, pieces: list[bytes]) -> list[Event]:
    """All events; every literal that is asked about is accepted."""
    events: list[Event] = []
    for piece in pieces:
        one.feed(piece)
        while (event := one.next()) is not None:
            events.append(event)
            if isinstance(event, Wanted):
                one.accept(File() if event.spool else None)
    return events


def shown(event: Event) -> object:
    """An event as a table writes it."""
    match event:
        case Request(line, literals):
            return line, *(part.data if isinstance(part, File) else part for part in literals)
        case Wanted(_, size, waits, spool):
            return "wanted", size, waits, spool
        case Line(text):
            return "line", text
        case Rejected(error, close):
            return type(error), error.tag, error.code, close


def octets(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


BIG = b"m" * 70_000
CASES: dict[bytes, list[object]] = {
    b"": [],
    b"a NOOP": [],
    b"a NOOP\r\n": [(b"a NOOP",)],
    b"a NOOP\n": [(b"a NOOP",)],
    b"\r\n": [(b"",)],
    b"a NOOP\r\nb IDLE\r\nc": [(b"a NOOP",), (b"b IDLE",)],
    b"a NOOP\r\r\n": [(b"a NOOP\r",)],
    b"a NO\0OP\r\n": [(b"a NO\0OP",)],
    b"a LOGIN {3}\r\njoe {2}\r\npw\r\n": [
        ("wanted", 3, True, False),
        ("wanted", 2, True, False),
        (b"a LOGIN {3}\r\n {2}\r\n", b"joe", b"pw"),
    ],
    b"a LOGIN {3+}\r\njoe {2+}\npw\nb NOOP\r\n": [
        (b"a LOGIN {3+}\r\n {2+}\r\n", b"joe", b"pw"),
        (b"b NOOP",),
    ],
    b"a X {0}\r\n {0+}\r\n\r\n": [("wanted", 0, True, False), (b"a X {0}\r\n {0+}\r\n", b"", b"")],
    b"a X {12+}\r\nb LOGOUT\r\n{}\r\n": [(b"a X {12+}\r\n", b"b LOGOUT\r\n{}")],
    b'a X "{3+}"\r\n': [(b'a X "{3+}"',)],
    b"a X {3+} \r\n": [(b"a X {3+} ",)],
    b"a X {}\r\na X {3-}\r\na X {+3}\r\n": [(b"a X {}",), (b"a X {3-}",), (b"a X {+3}",)],
    b"a X {" + b"9" * 21 + b"}\r\n": [(b"a X {" + b"9" * 21 + b"}",)],
    b"a X ~{3+}\r\n\0\1\2\r\n": [(b"a X ~{3+}\r\n", b"\0\1\2")],
    b"a X {3+}\r\n\0\1\2 {2+}\r\nzz\r\nb NOOP\r\n": [(Bad, "a", b"", False), (b"b NOOP",)],
    # Too long, also where a literal hides at the end of it.
    b"a X " + b"x" * LINE + b"\r\nb NOOP\r\n": [(Bad, "a", b"", False), (b"b NOOP",)],
    b"a X " + b"x" * LINE + b" {8+}\r\nc NOOP\r\n\r\nb NOOP\r\n": [
        (Bad, "a", b"", False),
        (b"b NOOP",),
    ],
    b"a X " + b"x" * LINE + b" {8}\r\nb NOOP\r\n": [(Bad, "a", b"", False), (b"b NOOP",)],
    b"x" * LINE * 2 + b"\r\nb NOOP\r\n": [(Bad, "*", b"", False), (b"b NOOP",)],
    b"a X" + b" {1+}\r\nx" * 50 + b"\r\nb NOOP\r\n": [(Bad, "a", b"", False), (b"b NOOP",)],
    # Too big.
    b"a X {101}\r\nb NOOP\r\n": [(No, "a", b"LIMIT", False), (b"b NOOP",)],
    b"a X {101+}\r\n" + b"c NOOP\r\n" * 12 + b"12345\r\nb NOOP\r\n": [
        (No, "a", b"LIMIT", False),
        (b"b NOOP",),
    ],
    b"a X {60+}\r\n" + b"x" * 60 + b" {60}\r\nb NOOP\r\n": [
        (No, "a", b"LIMIT", False),
        (b"b NOOP",),
    ],
    b"a X {400001+}\r\nb NOOP\r\n": [(No, "a", b"LIMIT", True)],
    # Messages.
    b"a APPEND x {3}\r\nabc\r\n": [("wanted", 3, True, False), (b"a APPEND x {3}\r\n", b"abc")],
    b"a append {1+}\r\nx {3+}\r\nabc\r\n": [(b"a append {1+}\r\n {3+}\r\n", b"x", b"abc")],
    b"a APPEND x {101+}\r\n" + b"m" * 101 + b"\r\n": [
        ("wanted", 101, False, True),
        (b"a APPEND x {101+}\r\n", b"m" * 101),
    ],
    b"a APPEND x {70000}\r\n" + BIG + b" (\\Seen) ~{3+}\r\n\0bc\r\n": [
        ("wanted", 70_000, True, True),
        (b"a APPEND x {70000}\r\n (\\Seen) ~{3+}\r\n", BIG, b"\0bc"),
    ],
    b"a UID REPLACE 4 x {70000+}\r\n" + BIG + b"\r\n": [
        ("wanted", 70_000, False, True),
        (b"a UID REPLACE 4 x {70000+}\r\n", BIG),
    ],
    b"a APPEND {101}\r\nb NOOP\r\n": [(No, "a", b"LIMIT", False), (b"b NOOP",)],
    b"a REPLACE 4 {101}\r\nb NOOP\r\n": [(No, "a", b"LIMIT", False), (b"b NOOP",)],
    b"a APPEND x {200001}\r\nb NOOP\r\n": [(No, "a", b"TOOBIG", False), (b"b NOOP",)],
    b"a APPEND x {200001+}\r\n" + b"\n" * 200_001 + b"\r\nb NOOP\r\n": [
        (No, "a", b"TOOBIG", False),
        (b"b NOOP",),
    ],
    b"a APPEND x {70000+}\r\n\0" + BIG[1:] + b"\r\nb NOOP\r\n": [
        ("wanted", 70_000, False, True),
        (Bad, "a", b"", False),
        (b"b NOOP",),
    ],
    b"a APPENDED x {101}\r\nb NOOP\r\n": [(No, "a", b"LIMIT", False), (b"b NOOP",)],
}


@pytest.mark.parametrize("data", CASES, ids=lambda data: repr(data[:40]))
def test_events_whole_and_octet_by_octet(data: bytes) -> None:
    expected = CASES[data]
    assert [shown(event) for event in run(reader(), [data])] == expected
    assert [shown(event) for event in run(reader(), octets(data))] == expected
    sevens = [data[at : at + 7] for at in range(0, len(data), 7)]
    assert [shown(event) for event in run(reader(), sevens)] == expected


def test_what_is_asked_tells_the_command_so_far() -> None:
    one = reader()
    one.feed(b"a APPEND {1+}\r\nx (\\Seen) {5}\r\n")
    assert one.next() == Wanted(b"a APPEND {1+}\r\n (\\Seen) {5}\r\n", 5, True, False)


def test_a_refused_literal_is_not_waited_for() -> None:
    one = reader()
    one.feed(b"a APPEND x {5}\r\nb NOOP\r\n")
    assert isinstance(one.next(), Wanted)
    one.refuse(No("there is no such mailbox", b"TRYCREATE"))
    assert shown(one.next() or Line(b"")) == (No, "a", b"TRYCREATE", False)
    assert one.next() == Request(b"b NOOP")
    assert one.next() is None


def test_a_refused_literal_that_comes_anyway_is_passed_over() -> None:
    one = reader()
    one.feed(b"a APPEND x {101+}\r\n")
    assert isinstance(one.next(), Wanted)
    one.refuse(No("there is no such mailbox", b"TRYCREATE"))
    events = run(one, octets(b"c NOOP\r\n" * 12 + b"12345 {3+}\r\nabc\r\nb NOOP\r\n"))
    assert [shown(event) for event in events] == [
        (No, "a", b"TRYCREATE", False),
        (b"b NOOP",),
    ]


def test_after_what_cannot_be_passed_over_nothing_is_understood() -> None:
    one = reader()
    assert len(run(one, [b"a X {999999+}\r\n", b"b NOOP\r\n"])) == 1
    assert not one.take()


def test_raw_lines_are_not_commands() -> None:
    one = reader()
    one.raw = True
    one.feed(b"PASS {3}\r\n*\r\nDONE\na NOOP\r\n")
    assert [one.next() for _ in range(3)] == [Line(b"PASS {3}"), Line(b"*"), Line(b"DONE")]
    one.raw = False
    assert one.next() == Request(b"a NOOP")


@pytest.mark.parametrize("size", [LINE + 1, LINE * 10])
def test_a_raw_line_has_a_limit(size: int) -> None:
    for pieces in ([b"x" * size + b"\r\n"], octets(b"x" * size + b"\r\n")):
        one = reader()
        one.raw = True
        assert [shown(event) for event in run(one, pieces)] == [(Bad, "*", b"", False)]
        assert run(one, [b"DONE\r\n"]) == [Line(b"DONE")]


def test_what_came_in_clear_can_be_taken_away() -> None:
    one = reader()
    one.feed(b"a STARTTLS\r\nb LOGIN mallory x\r\nc SEL")
    assert one.next() == Request(b"a STARTTLS")
    assert one.take() == b"b LOGIN mallory x\r\nc SEL"
    assert run(one, [b"ECT\r\n"]) == [Request(b"ECT")]


def test_what_is_passed_over_is_not_kept() -> None:
    one = Reader()
    tracemalloc.start()
    try:
        for octets in (b"x" * 1000, b"{40000000+}\r\n", b"y" * 40_000):
            for _ in range(1 if octets.startswith(b"{") else 1000):
                one.feed(octets)
                assert one.next() is None
        assert tracemalloc.get_traced_memory()[1] < 300_000
    finally:
        tracemalloc.stop()
    assert [shown(event) for event in run(one, [b"\r\n"])] == [(Bad, "*", b"", False)]


PIECES = [b"a ", b"APPEND x ", b"{3}\r\n", b"{3+}\r\n", b"~{2+}\r\n", b"{300+}\r\n", b"\r\n", b"\0"]


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=5))), st.data())
def test_how_octets_arrive_changes_nothing(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=10)))
    edges = [0, *cuts, len(whole)]
    pieces = [whole[a:b] for a, b in itertools.pairwise(edges)]
    expected = [shown(event) for event in run(reader(), [whole])]
    assert [shown(event) for event in run(reader(), pieces)] == expected
    assert [shown(event) for event in run(reader(), octets(whole))] == expected

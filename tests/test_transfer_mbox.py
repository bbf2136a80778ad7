"""Mboxes of every kind, read octet by octet and at once."""

import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.transfer import mbox
from mtad.transfer.mbox import Mbox, NoMbox

FROM = b"From anna@mail.example Tue Nov 24 10:00:00 2026\n"
SHORT = b"Subject: a\n\nbody\n"


class Drip(io.RawIOBase):
    """Gives so many octets at most, whatever it is asked for."""

    def __init__(self, data: bytes, most: int) -> None:
        self._file = io.BytesIO(data)
        self._most = most

    def read(self, size: int = -1) -> bytes:
        return self._file.read(min(self._most, size) if size >= 0 else self._most)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def read(
    data: bytes, form: str = "auto", most: int = 2**20, size: int | None = None
) -> list[bytes]:
    letters = Mbox(Drip(data, most), form, len(data) if size is None else size)  # type: ignore[arg-type]
    return [b"".join(letter.chunks) for letter in letters]


CASES: dict[str, tuple[bytes, list[bytes]]] = {
    "empty": (b"", []),
    "blank": (b"\n\n\r\n", []),
    "one": (FROM + SHORT + b"\n", [SHORT]),
    "no empty line at the end": (FROM + SHORT, [SHORT]),
    "no final line end": (FROM + SHORT[:-1], [SHORT[:-1]]),
    "two": (FROM + SHORT + b"\n" + FROM + SHORT + b"\n", [SHORT, SHORT]),
    "empty lines before": (b"\n\r\n" + FROM + SHORT, [SHORT]),
    "CRLF": (
        (FROM + SHORT + b"\n" + FROM + SHORT + b"\n").replace(b"\n", b"\r\n"),
        [SHORT.replace(b"\n", b"\r\n")] * 2,
    ),
    "no empty line between": (FROM + SHORT + FROM + SHORT, [SHORT, SHORT]),
    "body ends with empty lines": (FROM + SHORT + b"\n\n\n" + FROM + b"x", [SHORT + b"\n\n", b"x"]),
    "header only": (FROM + b"A: b\n\n\n" + FROM + b"C: d\n\n\n", [b"A: b\n\n", b"C: d\n\n"]),
    "nothing in it": (FROM + b"\n" + FROM + SHORT, [b"", SHORT]),
    "a sentence in a body": (
        FROM + b"A: b\n\nx\n\nFrom here to there.\n\n" + FROM + SHORT,
        [b"A: b\n\nx\n\nFrom here to there.\n", SHORT],
    ),
    "bare CR, NUL and 8-bit": (FROM + b"A: b\n\n\r\0\xff\rFrom \n", [b"A: b\n\n\r\0\xff\rFrom \n"]),
    "Google's date": (
        b"From 18@xxx Mon Jan 01 00:00:00 +0000 2024\r\n" + SHORT + b"\n" + FROM + SHORT,
        [SHORT, SHORT],
    ),
    "Mozilla's sender": (b"From - Mon Jan  1 00:00:00 2024\n" + SHORT, [SHORT]),
    "a writer that says no date": (
        b"From anna\nA: b\n\nx\nFrom here\n\nFrom boris\nC: d\n",
        [b"A: b\n\nx\nFrom here\n", b"C: d\n"],
    ),
    "a Content-Length that holds": (
        FROM + b"Content-Length: 60\n\n" + FROM + b"From a b\n\n>\n" + b"\n" + FROM + SHORT,
        [b"Content-Length: 60\n\n" + FROM + b"From a b\n\n>\n", SHORT],
    ),
    "a Content-Length that does not": (
        FROM + b"Content-Length: 3\n\nabcdef\n\n" + FROM + SHORT,
        [b"Content-Length: 3\n\nabcdef\n", SHORT],
    ),
    "a Content-Length beyond the end": (
        FROM + b"Content-Length: 99999\n\nabcdef\n\n" + FROM + SHORT,
        [b"Content-Length: 99999\n\nabcdef\n", SHORT],
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("most", [1, 7, 2**20])
def test_each_kind(name: str, most: int) -> None:
    data, expected = CASES[name]
    assert read(data, most=most) == expected


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("auto", b"From a\n>From b\nc >From d\n"),
        ("mboxrd", b"From a\n>From b\nc >From d\n"),
        ("mboxo", b"From a\n>>From b\nc >From d\n"),
        ("mboxcl2", b">From a\n>>From b\nc >From d\n"),
    ],
)
def test_quotes_are_taken_off_as_the_format_has_them(form: str, expected: bytes) -> None:
    data = FROM + b"A: b\n\n>From a\n>>From b\nc >From d\n\n"
    assert read(data, form) == [b"A: b\n\n" + expected]


def test_a_length_is_checked_further_on_or_believed_where_one_says_so() -> None:
    body = b"x" * 600_000 + b"\n\n" + FROM + b"y\n"
    whole = b"Content-Length: %d\n\n%b" % (len(body), body)
    data = FROM + whole + b"\n" + FROM + SHORT
    assert read(data) == [whole, SHORT]
    assert read(data, "mboxcl2", size=0) == [whole, SHORT]
    assert len(read(data, size=0)) == 3


def test_what_is_no_mbox_says_so() -> None:
    for data in (b"Subject: a\n\nb\n", b"\0" * 600_000, b"\n\n>From a\n"):
        with pytest.raises(NoMbox):
            read(data)


def test_the_time_of_a_from_line() -> None:
    lines = {
        b"From a Mon Jan  1 00:00:00 2024": 1_704_067_200,
        b"From a@b Mon Jan 01 02:00:00 +0200 2024": 1_704_067_200,
        b"From a@b Mon Jan  1 00:00 2024": 1_704_067_200,
        b"From a@b Mon, 1 Jan 2024 03:00:00 +0300": 1_704_067_200,
        b"From a@b": 0,
        b"From a@b Mon Foo 99 77:88:99 2024": 0,
    }
    for line, expected in lines.items():
        letter = mbox.Letter(0, line + b"\n", iter(()))
        assert letter.at_ns == expected * 1_000_000_000, line


LINE = st.sampled_from(
    [
        b"\n",
        b"\r\n",
        b"x\n",
        b"From \n",
        b"From a\n",
        b">From a\n",
        b">>From a\n",
        b"\r",
        b"\0\n",
        b"y",
    ]
)
BODY = st.lists(LINE, max_size=8).map(b"".join)


@given(bodies=st.lists(BODY, max_size=4), most=st.integers(1, 50))
def test_what_is_written_as_mboxrd_comes_back(bodies: list[bytes], most: int) -> None:
    written = b""
    expected = []
    for body in bodies:
        raw = b"A: b\n\n" + body
        if not raw.endswith(b"\n"):
            raw += b"\n"
        expected.append(raw)
        written += FROM + re.sub(rb"^(>*From )", rb">\1", raw, flags=re.MULTILINE) + b"\n"
    assert read(written, most=most) == expected


@given(data=st.lists(st.one_of(LINE, st.just(FROM)), max_size=30).map(b"".join))
def test_nothing_is_lost_of_any_octets(data: bytes) -> None:
    """Whatever is in it, reading ends, and gives the same in any portions."""
    try:
        whole = read(FROM + data, "mboxcl2")
    except NoMbox:
        return
    assert sum(map(len, whole)) <= len(data)
    assert read(FROM + data, "mboxcl2", most=1) == whole


def test_a_long_line_is_read_in_pieces(tmp_path: Path) -> None:
    long = b"A: b\n\n" + b"z" * (3 * mbox.BLOCK) + b"\nFrom the end\n"
    data = (FROM + long + b"\n") * 3
    chunks = [len(c) for letter in Mbox(io.BytesIO(data)) for c in letter.chunks]
    assert max(chunks) <= 2 * mbox.BLOCK
    assert read(data) == [long] * 3


def test_a_message_that_is_not_read_is_passed_by() -> None:
    data = (FROM + SHORT + b"\n") * 5
    assert [letter.offset for letter in Mbox(io.BytesIO(data))] == [
        number * (len(FROM + SHORT) + 1) for number in range(5)
    ]

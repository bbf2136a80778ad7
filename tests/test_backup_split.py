"""A message survives being cut apart, whatever octets it is made of."""

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup import split
from backup.format import Damaged
from tests.corpus import Mail


class Bodies(dict[bytes, bytes]):
    """Keeps bodies under short made-up ids."""

    def keep(self, body: bytes) -> bytes:
        key = len(self).to_bytes(32, "big")
        self[key] = body
        return key


def round_trip(raw: bytes) -> Bodies:
    bodies = Bodies()
    record = split.record(raw, bodies.keep)
    assert sorted(split.wanted(record)) == sorted(bodies)
    assert split.compose(record, bodies) == raw
    return bodies


def encoded(body: bytes, width: int = 76, eol: bytes = b"\n", tail: bytes = b"\n") -> bytes:
    text = base64.b64encode(body)
    lines = [text[i : i + width] for i in range(0, len(text), width)]
    return eol.join(lines) + tail


def part(text: bytes, eol: bytes = b"\n", word: bytes = b"base64") -> bytes:
    head = b"Content-Type: application/pdf" + eol + b"Content-Transfer-Encoding: " + word
    return b"--edge" + eol + head + eol + eol + text + b"--edge--" + eol


BIG = bytes(range(256)) * 64
SMALL = bytes(range(256))


@given(st.binary(max_size=3000))
def test_any_octets_come_back(raw: bytes) -> None:
    round_trip(raw)


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(
                [b"base64", b"BASE64", b"\n\n", b"\r\n\r\n", b"\n--x", b"\n-", b"=", b"====\n"]
            ),
            st.builds(
                encoded,
                st.binary(min_size=150, max_size=400),
                st.integers(1, 100),
                st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n", b" \n"]),
                st.sampled_from([b"", b"\n", b"\r\n", b"\n\n", b" "]),
            ),
        ),
        max_size=12,
    )
)
def test_anything_that_looks_like_base64_comes_back(pieces: list[bytes]) -> None:
    round_trip(b"".join(pieces))


@given(
    st.integers(200, 20_000),
    st.integers(1, 200),
    st.sampled_from([b"\n", b"\r\n"]),
    st.sampled_from([b"", b"\n", b"\r\n", b"\n\n\n"]),
)
def test_any_line_width_and_line_end_is_cut(size: int, width: int, eol: bytes, tail: bytes) -> None:
    body = (BIG * 2)[:size]
    raw = b"Subject: x" + eol + part(encoded(body, width, eol, tail or eol), eol)
    found = split.bodies(raw)
    assert [each[2] for each in found] == [body]
    round_trip(raw)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(encoded(BIG)[:-6] + b"\n", id="cut off"),
        pytest.param(encoded(BIG).replace(b"\n", b" \n", 1), id="space at a line's end"),
        pytest.param(encoded(BIG).replace(b"\n", b"\r\n", 3), id="mixed line ends"),
        pytest.param(encoded(BIG)[:400] + b"\x00" + encoded(BIG)[400:], id="a NUL in it"),
        pytest.param(encoded(BIG)[:400] + b"\r" + encoded(BIG)[400:], id="a bare CR in it"),
        pytest.param(encoded(SMALL * 3 + b"ab").replace(b"I=", b"J=") + b"\n", id="loose bits"),
        pytest.param(b"A" * 300 + b"\n" + b"A" * 299 + b"\n" + b"A" * 300, id="uneven lines"),
        pytest.param(b"=" * 400 + b"\n", id="padding only"),
    ],
)
def test_what_is_not_exactly_base64_stays_whole(text: bytes) -> None:
    raw = b"Subject: x\n" + part(text)
    assert split.bodies(raw) == []
    round_trip(raw)


@pytest.mark.parametrize("word", [b"base64", b"BASE64", b"Base64"])
def test_the_encoding_is_found_in_the_usual_spellings(word: bytes) -> None:
    assert len(split.bodies(part(encoded(BIG), word=word))) == 1


def test_long_bodies_become_objects_and_short_ones_stay() -> None:
    assert list(round_trip(part(encoded(BIG))).values()) == [BIG]
    assert round_trip(part(encoded(SMALL))) == {}


def test_several_parts_and_no_final_newline() -> None:
    raw = part(encoded(BIG)) + part(encoded(SMALL * 9)) + part(encoded(BIG + b"x"))
    assert [each[2] for each in split.bodies(raw)] == [BIG, SMALL * 9, BIG + b"x"]
    round_trip(raw)
    alone = b"Content-Transfer-Encoding: base64\n\n" + encoded(BIG, tail=b"")
    assert [each[2] for each in split.bodies(alone)] == [BIG]
    round_trip(alone)


def test_text_after_a_body_is_no_part_of_it() -> None:
    raw = b"Content-Transfer-Encoding: base64\n\n" + encoded(BIG) + b"\n____\nthe list's footer\n"
    assert [each[2] for each in split.bodies(raw)] == [BIG]
    round_trip(raw)


MONSTERS = {
    "empty": b"",
    "one octet": b"\n",
    "bare CR": b"Subject: a\r\rb\r\n\r" * 50,
    "NUL": b"Subject: \x00\n\n" + b"\x00" * 5000,
    "8-bit": b"Subject: \xff\xfe\n\n" + bytes(range(256)) * 20,
    "header only": b"Subject: no body, no newline",
    "twenty megabytes": b"Subject: big\n\n" + b"line of text\n" * (20 * 2**20 // 13),
    "twenty megabytes encoded": part(encoded(BIG * 900)),
}


@pytest.mark.parametrize("name", MONSTERS)
def test_monsters(name: str) -> None:
    round_trip(MONSTERS[name])


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"base64" * 300_000, id="only the word"),
        pytest.param((b"base64" * 1360 + b"\n\n") * 200, id="words before blank lines"),
        pytest.param(b"base64\n\nA" * 100_000, id="a blank line after each"),
        pytest.param(b"base64\n" + b"A" * 2_000_000, id="one line without end"),
        pytest.param(b"base64\n\n" + b"\n-" * 500_000, id="boundaries"),
    ],
)
def test_time_is_linear_in_hostile_mail(raw: bytes) -> None:
    began = time.process_time()
    split.record(raw, lambda body: b"\x00" * 32)
    once = time.process_time() - began
    began = time.process_time()
    split.record(raw * 4, lambda body: b"\x00" * 32)
    assert time.process_time() - began < 12 * once + 0.2


def test_real_mail(corpus: tuple[Mail, ...]) -> None:
    for mail in corpus:
        round_trip(mail.data)
        round_trip(mail.data.replace(b"\r\n", b"\n"))


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x01", id="cut off"),
        pytest.param(b"\xff\xff\xff\x7fabc", id="recipe beyond the end"),
        pytest.param(b"\x02\x00\x00\x00\xc1\xc1text", id="no recipe"),
    ],
)
def test_damaged_records_say_so(record: bytes) -> None:
    with pytest.raises(Damaged):
        split.compose(record, {})


def test_a_recipe_may_not_point_outside() -> None:
    record = split.record(part(encoded(SMALL)), lambda body: b"")
    with pytest.raises(Damaged):
        split.compose(record[:60], {})

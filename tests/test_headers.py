"""Header fields: real oddities decoded, hostile input bounded, line ends of either kind."""

from collections.abc import Sequence
from email.header import Header

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backup import heads
from mtad import headers
from mtad.headers import MAX_FIELD, Block, guess
from mtad.smtp.headers import scan
from mtad.store import subject
from tests.corpus import Mail

WORDS = {
    b"plain": "plain",
    b" spaces \t": "spaces",
    b"=?utf-8?B?0J/RgNC40LLQtdGC?=": "Привет",
    b"=?UTF-8?q?=D0=9F=D1=80?= =?utf-8?Q?=D0=B8?=": "При",
    b"=?utf-8?B?0J/RgNC4?=\n =?utf-8?B?0LLQtdGC?=": "Привет",
    b"=?utf-8?B?0J/RgNC4?=   and =?us-ascii?q?more_words?=": "При and more words",
    b"=?utf-8?Q?=D0?= =?utf-8?Q?=9F?=": "П",
    b"=?koi8-r?B?8NLJ18XU?=": "Привет",
    b"=?windows-1251?Q?=CF=F0=E8=E2=E5=F2?=": "Привет",
    b"=?x-cp1251?Q?=CF=F0=E8=E2=E5=F2?=": "Привет",
    b"=?iso-8859-1*en?Q?caf=E9?=": "café",
    b"=?ISO-8859-1?Q?Parhelia=99?=": "Parhelia™",
    b"=?nonsense?Q?abc?=": "abc",
    b"=?idna?Q?abc?=": "abc",
    b"=?zlib?B?eJw=?=": "xœ",
    b"=?utf-8?B?0J/RgNC40LLQtdG?=": "Приве\ufffd",
    b"=?utf-8?B?!!!?=": "",
    b"=?utf-8?X?abc?=": "=?utf-8?X?abc?=",
    b"=?utf-8?Q?a=1Bb?=": "a b",
    b"folded\n\tline": "folded line",
    "сырой utf-8".encode(): "сырой utf-8",
    "Отчёт за ноябрь".encode("cp1251"): "Отчёт за ноябрь",
    "Отчёт за ноябрь".encode("koi8-r"): "Отчёт за ноябрь",
    "Счёт №5 на оплату".encode("cp1251"): "Счёт №5 на оплату",
    "Re: Встреча".encode("cp1251"): "Re: Встреча",
    "Re: Встреча".encode("koi8-r"): "Re: Встреча",
    "naïve café".encode("cp1252"): "naïve café",
    "Grüße aus Köln".encode("latin-1"): "Grüße aus Köln",
    "Re: Invoice number 2026-11 for the company Ромашка".encode("cp1251"): (
        "Re: Invoice number 2026-11 for the company Ромашка"
    ),
    "Fwd: FAQ и ещё кое-что".encode("koi8-r"): "Fwd: FAQ и ещё кое-что",
}


@pytest.mark.parametrize("value", WORDS)
def test_text(value: bytes) -> None:
    assert headers.text(value) == WORDS[value]


@settings(max_examples=100, deadline=None)
@given(
    st.text(st.sampled_from("abc ёжикПривет=?_-é漢"), min_size=1, max_size=60).map(str.strip),
    st.sampled_from(["utf-8", "koi8-r", "cp1251"]),
)
def test_what_the_standard_library_encodes_reads_back(text: str, charset: str) -> None:
    kept = text.encode(charset, "ignore").decode(charset).strip()
    coded = Header(kept, charset, maxlinelen=70).encode()
    assert headers.text(coded.encode()) == " ".join(kept.split())


def test_fields_are_found_by_name_with_either_line_end() -> None:
    lf = b"To: a\n b\nX-To: c\nTO: d\n\nTo: body\n"
    for message in (lf, lf.replace(b"\n", b"\r\n")):
        block = Block(message)
        assert block.first(b"to") == b" a\n b"
        assert block.every(b"to", 9) == [b" a\n b", b" d"]
        assert block.every(b"to", 1) == [b" a\n b"]
        assert block.count(b"to") == 2
        assert block.first(b"cc") == b""
        assert message[block.end :].strip() == b"To: body"


@pytest.mark.parametrize(
    ("message", "raw", "end"),
    [
        (b"", b"", 0),
        (b"\nTo: a\n", b"", 0),
        (b"\r\nTo: a\n", b"", 0),
        (b"To: a", b"To: a", 5),
        (b"To: a\r\n\r\nb\n\nc", b"To: a", 6),
        (b"To: a\n\nb\r\n\r\nc", b"To: a", 5),
        (b"To: a\r\nCc: b\n\nc", b"To: a\nCc: b", 12),
    ],
)
def test_where_a_header_ends(message: bytes, raw: bytes, end: int) -> None:
    block = Block(message)
    assert (block.raw, block.end) == (b"\n" + raw, end)


def test_a_block_is_bounded() -> None:
    assert Block(b"X: " + b"a" * 10_000, 100).raw == b"\nX: " + b"a" * 97
    assert len(Block(b"X: " + b"a" * 10**5).first(b"x")) == MAX_FIELD


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200).map(lambda octets: octets.replace(b"\x00", b"\r\n")))
def test_no_octets_break_a_block(message: bytes) -> None:
    for octets in (message, b"A: b\r\n" + message):
        block = Block(octets)
        assert b"\n\n" not in block.raw[1:]
        assert 0 <= block.end <= len(octets)
        assert isinstance(guess(octets), str)


def test_a_message_is_called_the_same_everywhere(corpus: Sequence[Mail]) -> None:
    """When it is taken in, when it is deleted, and when it is looked for in a snapshot."""
    for mail in corpus:
        taken, kept = scan(mail.data), heads.head(mail.data)
        assert kept.subject == taken.subject
        assert kept.sender == taken.header_from
        assert kept.message_id == taken.message_id
        assert subject.of_header(mail.data) == taken.subject[: subject.MAX_SUBJECT]


@pytest.mark.parametrize(
    ("date", "at"),
    [
        (b"Thu, 1 Jan 1970 00:00:01 +0000", 1_000_000),
        (b"=?utf-8?q?Thu,_1_Jan_1970_00:00:01_+0000?=", 1_000_000),
        (b"Thu, 1 Jan 1969 00:00:01 +0000", 0),
        (b"yesterday", 0),
        (b"Thu, 99 Jan 1970 00:00:01 +0000", 0),
        (b"", 0),
    ],
)
def test_the_date_of_a_head(date: bytes, at: int) -> None:
    assert heads.head(b"Date: " + date + b"\n\n").at == at


@pytest.mark.parametrize("first", [b"Re: ", b"RE[2]: Fwd: ", b"AW: sv: ", b""])
def test_answers_sort_beside_what_they_answer(first: bytes) -> None:
    raw = b"From: A <a@X.test>\r\nSubject: " + first + b"Lunch\r\n\r\n"
    assert heads.sort_key(raw) == (b"x.test", b"Lunch")

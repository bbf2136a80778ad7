"""The DATA reader: every chunking gives the same message, and the same as aiosmtpd's reader."""

import asyncio
import itertools
import re
from collections.abc import Iterable
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP
from hypothesis import given, settings
from hypothesis import strategies as st

from mtad.smtp import data
from mtad.smtp.data import DataReader
from tests.dialog import wire

LIMIT = 10**6

CASES = {
    "empty": (b".\r\n", b"", False),
    "one line": (b"a\r\n.\r\n", b"a\n", False),
    "blank line first": (b"\r\n.\r\n", b"\n", False),
    "blank lines": (b"\r\n\r\n.\r\n", b"\n\n", False),
    "dot on the first line": (b"..a\r\n.\r\n", b".a\n", False),
    "dot and text": (b".a\r\n.\r\n", b"a\n", False),
    "dots": (b"a\r\n..\r\n...\r\n.\r\n", b"a\n.\n..\n", False),
    "dot within a line": (b"a.\r\nb.b\r\n.\r\n", b"a.\nb.b\n", False),
    "NUL and 8 bit": (b"a\0b\xff\r\n.\r\n", b"a\0b\xff\n", False),
    "long line": (b"x" * 5000 + b"\r\n.\r\n", b"x" * 5000 + b"\n", False),
    "bare LF": (b"a\nb\r\n.\r\n", None, True),
    "bare CR": (b"a\rb\r\n.\r\n", None, True),
    "LF first": (b"\na\r\n.\r\n", None, True),
    "CR CR LF": (b"a\r\r\n.\r\n", None, True),
    "CR CR LF dot": (b"a\r\r\n.b\r\n.\r\n", None, True),
    "CR CR LF dot LF": (b"\r\r\n.\n\r\n.\r\n", None, True),
    "LF dot LF": (b"a\n.\nMAIL FROM:<x@y>\r\n.\r\n", None, True),
    "LF dot CRLF": (b"a\n.\r\nb\r\n.\r\n", None, True),
    "CRLF dot LF": (b"a\r\n.\nb\r\n.\r\n", None, True),
    "CR dot CR": (b"a\r.\rb\r\n.\r\n", None, True),
    "CRLF dot CR": (b"a\r\n.\rb\r\n.\r\n", None, True),
    "CRLF dot CR CRLF": (b"a\r\n.\r\r\nb\r\n.\r\n", None, True),
    "NUL in the terminator": (b"a\r\n.\0\r\nb\r\n.\r\n", b"a\n\0\nb\n", False),
}


def read(chunks: Iterable[bytes], limit: int = LIMIT) -> DataReader:
    reader = DataReader(limit)
    left = b""
    for chunk in chunks:
        if reader.done:
            left += chunk
        else:
            reader.feed(chunk)
    reader.rest += left
    return reader


def drip(octets: bytes, size: int) -> list[bytes]:
    return [octets[at : at + size] for at in range(0, len(octets), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 10**6])
@pytest.mark.parametrize("name", CASES)
def test_case(name: str, size: int) -> None:
    octets, expected, bare = CASES[name]
    reader = read(drip(octets + b"QUIT\r\n.\r\n", size))
    assert reader.done
    assert reader.rest == b"QUIT\r\n.\r\n"
    assert reader.is_bare is bare
    assert reader.received == len(octets)
    if expected is not None:
        assert b"".join(reader.parts) == expected
        assert reader.size == len(expected) + expected.count(b"\n")
    else:
        assert not reader.parts


@pytest.mark.parametrize(
    "octets", [b"a", b"a\r\n", b"a\r\n.", b"a\r\n.\r", b".\r", b"a\n.\n", b"."]
)
def test_unfinished(octets: bytes) -> None:
    assert not read([octets]).done
    assert not read(drip(octets, 1)).done


def test_blocks_are_the_same_as_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    message = b"".join(
        b"." * (i % 3) + b"line %d " % i + b"y" * (i % 90) + b"\n" for i in range(999)
    )
    whole = read([wire(message)])
    assert b"".join(whole.parts) == message
    assert len(whole.parts) == 1
    monkeypatch.setattr(data, "BLOCK", 300)
    for size in (1, 17, 299, 300, 301, 5000):
        reader = read(drip(wire(message), size))
        assert b"".join(reader.parts) == message
        assert not reader.is_bare
        assert reader.size == whole.size
        assert len(reader.parts) > 1 or size == 5000 * 99


@pytest.mark.parametrize("bad", [b"\n", b"\r", b"\n.\r\n", b"\r\r\n"])
def test_bare_is_seen_across_blocks(bad: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "BLOCK", 64)
    for at in range(50, 140):
        octets = b"x" * at + bad + b"y" * 80 + b"\r\n.\r\n"
        for size in (1, 63, 64, 65, 999):
            assert read(drip(octets, size)).is_bare, (at, size)


def test_too_large_is_read_to_the_end_without_memory() -> None:
    reader = DataReader(100_000)
    most = 0
    for _ in range(400):
        assert not reader.feed(b"x" * 10_000 + b"\r\n")
        most = max(most, reader.held)
    assert reader.feed(b".\r\nRSET\r\n")
    assert reader.is_too_large
    assert reader.size == 400 * 10_002
    assert reader.rest == b"RSET\r\n"
    assert not reader.parts
    assert most <= data.BLOCK + 10_002 + 100_000


def test_size_counts_neither_dots_of_transparency_nor_the_terminator() -> None:
    """RFC 1870 4: exactly the limit passes, one octet more does not."""
    text = b".ab\n" * 10
    exact = len(text) + 10
    assert not read([wire(text)], exact).is_too_large
    assert read([wire(text)], exact - 1).is_too_large


def test_drop_gives_the_memory_back() -> None:
    reader = DataReader(LIMIT)
    reader.feed((b"x" * 998 + b"\r\n") * 600)
    assert reader.held >= 600_000
    reader.drop()
    assert reader.held < data.BLOCK
    reader.feed(b"a\r\n.\r\n")
    assert reader.done
    assert reader.dropped
    assert not reader.parts


# -------------------------------------------------- the stock reader as the oracle


class Stock(SMTP):
    """aiosmtpd's own DATA reader, driven without a socket."""

    line_length_limit = 10**7

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(object(), loop=loop, hostname="x", data_size_limit=None)
        self._reader = asyncio.StreamReader(limit=10**7, loop=loop)
        self.transport = asyncio.Transport()
        self.envelope = self._create_envelope()
        self.envelope.rcpt_tos.append("x@y")
        self.replies: list[str] = []
        self.content: bytes = b""

    async def check_helo_needed(self, helo: str = "HELO") -> bool:
        return False

    async def check_auth_needed(self, caller_method: str) -> bool:
        return False

    async def push(self, status: Any) -> None:
        self.replies.append(status)

    def _set_post_data_state(self) -> None:
        if self.envelope is not None and self.envelope.original_content is not None:
            self.content = self.envelope.original_content
        super()._set_post_data_state()  # type: ignore[no-untyped-call]


def stock(octets: bytes) -> tuple[bytes, bytes]:
    """Content (CRLF as it came) and what was left of the input."""

    async def run() -> tuple[bytes, bytes]:
        smtp = Stock(asyncio.get_running_loop())
        smtp._reader.feed_data(octets)
        await smtp.smtp_DATA("")
        assert smtp.replies[-1].startswith("250")
        smtp._reader.feed_eof()
        return smtp.content, await smtp._reader.read()

    return asyncio.run(run())


PIECES = st.sampled_from(
    [b"\r\n", b"\n", b"\r", b".", b"..", b"\r\n.", b"\r\n..", b"a", b"\0", b"x" * 70]
)
TEXTS = st.lists(PIECES, max_size=14).map(b"".join)


@settings(max_examples=1000, deadline=None)
@given(TEXTS, TEXTS, st.data())
def test_as_the_stock_reader_in_any_chunking(
    text: bytes, after: bytes, cuts: st.DataObject
) -> None:
    octets = text + b"\r\n.\r\n" + after
    content, rest = stock(octets)
    lone = re.search(rb"(?<!\r)\n|\r(?!\n)", octets[: len(octets) - len(rest)]) is not None
    places = sorted(cuts.draw(st.sets(st.integers(0, len(octets)), max_size=6)))
    chunks = [octets[a:b] for a, b in zip([0, *places], [*places, len(octets)], strict=True)]
    block = cuts.draw(st.sampled_from([4, 8, 30, data.BLOCK]))
    before, data.BLOCK = data.BLOCK, block
    try:
        reader = read(chunks)
    finally:
        data.BLOCK = before
    assert reader.done
    assert reader.rest == rest
    assert reader.is_bare is lone
    if not lone:
        assert b"".join(reader.parts) == content.replace(b"\r\n", b"\n")
        assert reader.size == len(content)


@pytest.mark.parametrize("block", [4, data.BLOCK])
def test_every_short_text(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All texts of up to seven octets that matter, against the definition."""
    monkeypatch.setattr(data, "BLOCK", block)
    lone = re.compile(rb"(?<!\r)\n|\r(?!\n)")
    for length in range(8):
        for octets in itertools.product(b"\r\n.a", repeat=length):
            text = bytes(octets) + b"\r\n.\r\n"
            reader = read([text[:3], text[3:]])
            end = (b"\r\n" + text).index(b"\r\n.\r\n")
            message = text[:end]
            assert reader.rest == text[end + 3 :]
            assert reader.is_bare is (lone.search(message) is not None), text
            if not reader.is_bare:
                plain = re.sub(rb"(?m)^\.", b"", message.replace(b"\r\n", b"\n"))
                assert b"".join(reader.parts) == plain, text

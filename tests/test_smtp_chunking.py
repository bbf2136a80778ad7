"""BDAT: chunks in any sizes give what DATA gives, and never a command."""

import asyncio
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtad.journal.frame import MAX_BODY
from mtad.smtp import data
from mtad.smtp.data import ChunkReader, DataReader
from tests.dialog import connect, server, until, wire
from tests.test_smtp_fuzz import balanced, hold
from tests.test_smtp_hazards import DATA, MAIL, READY, SMUGGLED

LIMIT = 10**6

CASES = {
    "empty": (b"", b"", False),
    "a line": (b"a\r\n", b"a\n", False),
    "a line without an end": (b"a", b"a\n", False),
    "blank lines": (b"\r\n\r\n", b"\n\n", False),
    "a dot": (b".\r\n", b".\n", False),
    "dots": (b".a\r\n..\r\n.\r\nb", b".a\n..\n.\nb\n", False),
    "only a dot": (b".", b".\n", False),
    "NUL and 8 bit": (b"a\0b\xff\r\n", b"a\0b\xff\n", False),
    "bare LF": (b"a\nb\r\n", None, True),
    "bare CR": (b"a\rb\r\n", None, True),
    "LF first": (b"\na\r\n", None, True),
    "LF last": (b"a\n", None, True),
    "CR last": (b"a\r", None, True),
    "CR alone": (b"\r", None, True),
    "LF alone": (b"\n", None, True),
    "CR CR LF": (b"a\r\r\n", None, True),
    "LF dot LF": (b"a\n.\nMAIL", None, True),
    "LF dot CRLF": (b"a\n.\r\nb\r\n", None, True),
    "CRLF dot CR": (b"a\r\n.\rb\r\n", None, True),
}


def read(chunks: Iterable[bytes], limit: int = LIMIT, piece: int = 10**6) -> ChunkReader:
    """A message in chunks, each in pieces of the wire."""
    reader = ChunkReader(limit)
    for chunk in chunks:
        reader.begin(len(chunk))
        for at in range(0, len(chunk), piece):
            rest = reader.feed(chunk[at : at + piece])
            assert rest == (b"" if at + piece >= len(chunk) else None)
    reader.end()
    return reader


def drip(octets: bytes, size: int) -> list[bytes]:
    return [octets[at : at + size] for at in range(0, len(octets), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 10**6])
@pytest.mark.parametrize("name", CASES)
def test_case(name: str, size: int) -> None:
    octets, expected, bare = CASES[name]
    reader = read(drip(octets, size))
    assert reader.is_bare is bare
    assert reader.received == len(octets)
    assert not reader.is_too_large
    if expected is None:
        assert not reader.parts
    else:
        assert b"".join(reader.parts) == expected
        assert reader.size == reader.held + 0 == len(expected) + expected.count(b"\n")


def test_what_is_behind_a_chunk_is_handed_back() -> None:
    reader = ChunkReader(LIMIT)
    reader.begin(5)
    assert reader.feed(b"abc") is None
    assert reader.feed(b"\r\nRSET\r\n") == b"RSET\r\n"
    reader.begin(2)
    assert reader.feed(b".\rBDAT") == b"BDAT"
    assert reader.received == 7


PIECES = st.sampled_from([b"\r\n", b"\n", b"\r", b".", b"\r\n.\r\n", b"a", b"\0", b"x" * 70])
TEXTS = st.lists(PIECES, max_size=14).map(b"".join)


@settings(max_examples=1000, deadline=None)
@given(TEXTS, st.data())
def test_the_same_as_data_in_any_chunks(text: bytes, cuts: st.DataObject) -> None:
    """Differential: the dots of transparency aside, both readers keep the same octets."""
    places = sorted(cuts.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    chunks = [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
    piece = cuts.draw(st.integers(1, 9))
    block = cuts.draw(st.sampled_from([4, 8, 30, data.BLOCK]))
    lone = re.search(rb"(?<!\r)\n|\r(?!\n)", text) is not None
    before, data.BLOCK = data.BLOCK, block
    try:
        reader = read(chunks, piece=piece)
        other = DataReader(LIMIT)
        stuffed = re.sub(rb"(\r\n|\A)\.", rb"\1..", text)
        ended = not text or stuffed.endswith(b"\r\n")
        assert other.feed(stuffed + (b".\r\n" if ended else b"\r\n.\r\n"))
    finally:
        data.BLOCK = before
    assert reader.is_bare is lone
    assert other.is_bare is lone
    if not lone:
        assert b"".join(reader.parts) == b"".join(other.parts)
        assert reader.size == other.size


def test_blocks_are_the_same_as_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    message = b"".join(b"." * (i % 3) + b"%d " % i + b"y" * (i % 90) + b"\n" for i in range(999))
    octets = message.replace(b"\n", b"\r\n")
    monkeypatch.setattr(data, "BLOCK", 300)
    for size in (1, 17, 299, 300, 301, 5000):
        reader = read(drip(octets, size))
        assert b"".join(reader.parts) == message
        assert len(reader.parts) > 1
        assert reader.size == len(octets)


def test_too_large_is_known_before_it_is_read() -> None:
    reader = ChunkReader(10)
    reader.begin(10)
    assert reader.feed(b"x" * 8 + b"\r\n") == b""
    assert not reader.is_too_large
    reader.begin(1)
    assert reader.is_too_large
    assert reader.dropped
    assert not reader.parts
    assert reader.feed(b"yRSET") == b"RSET"


def test_a_dropped_chunk_takes_no_memory() -> None:
    reader = ChunkReader(1000)
    reader.begin(10**9)
    for _ in range(100):
        assert reader.feed(b"x" * 65_536) is None
        assert reader.held <= data.BLOCK + 65_536
    assert not reader.parts


# --------------------------------------------------------------------- dialogs


def bdat(message: bytes, *sizes: int) -> bytes:
    """A message in chunks of these sizes and a last one, line ends CRLF."""
    octets = re.sub(rb"(?<!\r)\n", b"\r\n", message)
    said = b""
    for size in sizes:
        said += b"BDAT %d\r\n" % size + octets[:size]
        octets = octets[size:]
    return said + b"BDAT %d LAST\r\n" % len(octets) + octets


MESSAGE = b"Subject: chunks\n\n.\n..two\n" + b"line of text\n" * 500 + b"."


async def test_the_same_message_by_both_ways(tmp_path: Path) -> None:
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.talk(READY + DATA)
        await client.send(wire(MESSAGE))
        await client.talk("S: 250 2\\.0\\.0 queued as .*")
        kinds = list(running.journal.kinds)
        for sizes in ((), (1,), (5, 0, 700), tuple([9] * 300)):
            await client.talk(MAIL)
            await client.send(bdat(MESSAGE, *sizes))
            await client.talk("S: 250 2\\.0\\.0 [0-9]+ octets received\n" * len(sizes))
            await client.talk("S: 250 2\\.0\\.0 queued as .*")
            assert running.journal.kinds[-3:] == kinds[-3:]
        await client.talk("C: QUIT\nS: 221 .*\nEOF")
        bodies = {body[body.index(b"Subject") :] for _, body in running.journal.frames}
        assert bodies == {MESSAGE + b"\n"}
        assert len(running.journal.frames) == 5


async def test_everything_in_one_write(tmp_path: Path) -> None:
    """RFC 3030 4.2: commands and chunks in one group."""
    group = (
        b"MAIL FROM:<a@x.test> BODY=BINARYMIME\r\nRCPT TO:<bob@local.test>\r\n"
        + bdat(MESSAGE, 100)
        + b"MAIL FROM:<>\r\nRCPT TO:<bob@local.test>\r\nBDAT 0 LAST\r\nQUIT\r\n"
    )
    for size in (len(group), 1, 7):
        async with server(tmp_path) as running, connect(running.port) as client:
            await client.talk(READY)
            for at in range(0, len(group), size):
                await client.send(group[at : at + size])
            codes = [(await client.reply())[:9] for _ in range(8)]
            assert codes == [
                *("250 2.1.0", "250 2.1.5", "250 2.0.0", "250 2.0.0"),
                *("250 2.1.0", "250 2.1.5", "250 2.0.0", "221 2.0.0"),
            ]
            await running.closed()
            first, second = (body for _, body in running.journal.frames)
            assert first.endswith(MESSAGE + b"\n")
            assert second.endswith(b"+0000\n")


REFUSED = {
    "no transaction": ("", "503 5.5.1"),
    "no recipients": ("C: MAIL FROM:<a@x.test>\nS: 250 .*\n", "554 5.5.1"),
    "unknown recipient": (
        "C: MAIL FROM:<a@x.test>\nS: 250 .*\nC: RCPT TO:<no@local.test>\nS: 550 .*\n",
        "554 5.5.1",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_octets_of_a_refused_chunk_are_not_run(name: str, tmp_path: Path) -> None:
    said, code = REFUSED[name]
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.talk(READY + said)
        for last in (b"", b" LAST"):
            await client.send(b"BDAT %d%s\r\n" % (len(SMUGGLED), last) + SMUGGLED)
            assert (await client.line()).startswith(code)
        await client.talk("C: NOOP\nS: 250 2\\.0\\.0 ok\nC: QUIT\nS: 221 .*\nEOF")
        await running.closed()
        assert "evil" not in str(running.journal.log)
        assert not running.journal.frames


async def test_only_chunks_follow_a_chunk(tmp_path: Path) -> None:
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.talk(READY + MAIL + "C! BDAT 2\\r\\nhi\nS: 250 2\\.0\\.0 2 octets received")
        await client.talk(
            """
            C: DATA
            S: 503 5\\.5\\.1 .*BDAT
            C: RCPT TO:<alice@local.test>
            S: 503 5\\.5\\.1 .*
            C: MAIL FROM:<b@x.test>
            S: 503 5\\.5\\.1 .*
            C: NOOP
            S: 250 .*
            C: BDAT 0 LAST
            S: 250 2\\.0\\.0 queued as .*
            C: BDAT 0 LAST
            S: 503 5\\.5\\.1 .*
            C: QUIT
            S: 221 .*
            """
        )
        ((_, body),) = running.journal.frames
        assert body.endswith(b"+0000\nhi\n")
        assert running.journal.all("smtp.protocol")[0].stage == "data"


@pytest.mark.parametrize(
    ("said", "why"), [("RSET", "reset"), ("EHLO c", "reset"), ("QUIT", "quit")]
)
async def test_a_message_may_be_given_up_between_chunks(
    said: str, why: str, tmp_path: Path
) -> None:
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.talk(READY + MAIL + "C! BDAT 5\\r\\nhello\nS: 250 .*")
        assert running.service.held == 7
        await client.talk(f"C: {said}\nS*")
        assert running.service.held == 0
        abort = running.journal.one("smtp.abort")
        assert (abort.stage, abort.why, abort.received) == ("data", why, 5)
        if why == "reset":
            await client.talk("C! BDAT 4 LAST\\r\\nQUIT\nS: 503 .*\nC: QUIT\nS: 221 .*\nEOF")


async def test_hanging_up_within_and_between_chunks_is_an_abort(tmp_path: Path) -> None:
    async with server(tmp_path) as running:
        await running.talk(READY + MAIL + "C! BDAT 5\\r\\nhello\nS: 250 .*")
        await running.talk(READY + MAIL + "C! BDAT 500 LAST\\r\\nhello")
        await running.closed(2)
        aborts = running.journal.all("smtp.abort")
        assert {(e.stage, e.why, e.received) for e in aborts} == {("data", "lost", 5)}
        assert not running.journal.frames


async def test_a_chunk_beyond_the_limit_is_read_and_refused(tmp_path: Path) -> None:
    async with (
        server(tmp_path, limits={"max_message_bytes": 70_000}) as running,
        connect(running.port) as client,
    ):
        await client.talk(READY + MAIL)
        await client.send(b"BDAT 60000\r\n" + (b"x" * 998 + b"\r\n") * 60)
        await client.talk("S: 250 .*")
        await client.send(b"BDAT 10001\r\n" + b"y" * 10_001 + b"BDAT 99 LAST\r\n" + b"z" * 99)
        await client.talk("S: 552 5\\.3\\.4 .*\nS: 503 .*\nC: NOOP\nS: 250 2\\.0\\.0 ok")
        assert running.service.held == 0
        reject = running.journal.one("smtp.reject")
        assert (reject.stage, reject.check) == ("dot", "too_large")


@pytest.mark.parametrize("last", [b"", b" LAST"])
async def test_bare_line_ends_are_refused_and_close(last: bytes, tmp_path: Path) -> None:
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.talk(READY + MAIL)
        body = b"a\nb" + b"x" * data.BLOCK
        await client.send(b"BDAT %d%s\r\n" % (len(body), last) + body + SMUGGLED)
        await client.talk("S: 550 5\\.6\\.11 .*\nEOF")
        await running.closed()
        assert running.journal.one("smtp.reject").check == "bare_newline"
        assert not running.journal.frames
        assert len(running.journal.all("smtp.mail")) == 1


async def test_memory_is_bounded_as_with_data(tmp_path: Path) -> None:
    async with server(tmp_path, max_held=2 * MAX_BODY) as running:
        async with connect(running.port) as first, connect(running.port) as second:
            for client in (first, second):
                await client.talk(READY + MAIL)
            await first.send(b"BDAT 400000\r\n" + b"x" * 400_000)
            await first.talk("S: 250 .*")
            assert running.service.held >= 400_000
            await second.send(b"BDAT 2000000 LAST\r\n")
            for _ in range(20):
                await second.send(b"x" * 100_000)
                assert running.service.held < 2 * MAX_BODY + 600_000
            await second.talk("S: 452 4\\.3\\.1 .*\nC: QUIT\nS: 221 .*")
            await first.talk("C: BDAT 0 LAST\nS: 250 .*\nC: QUIT\nS: 221 .*")
        await running.closed(2)
        assert running.journal.one("smtp.tempfail").check == "memory"


async def test_empty_chunks_do_not_go_on_for_ever(tmp_path: Path) -> None:
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.talk(READY + MAIL)
        await client.send(b"BDAT 0\r\n" * 120)
        await client.talk("S: 250 .*\n" * 100 + "S: 450 4\\.7\\.0 .*\n" * 20 + "S: 421 .*\nEOF")
        await running.closed()
        assert "smtp.accept" not in running.journal.kinds


async def test_silence_within_a_chunk_is_a_timeout(tmp_path: Path) -> None:
    async with server(tmp_path, limits={"data_timeout_seconds": 0.2}) as running:
        await running.talk(READY + MAIL + "C! BDAT 9\\r\\nhalf\nS: 421 4\\.4\\.2 .*\nEOF")
        await running.closed()
        abort = running.journal.one("smtp.abort")
        assert (abort.stage, abort.why, abort.received) == ("data", "timeout", 4)


async def test_a_refused_message_by_chunks(tmp_path: Path) -> None:
    """The same checks, the same events: a loop is refused with the last chunk."""
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.talk(READY + MAIL)
        await client.send(bdat(b"Received: from x by y\n" * 51 + b"\n", 30))
        await client.talk("S: 250 .*\nS: 554 5\\.4\\.6 .*")
        reject = running.journal.one("smtp.reject")
        assert (reject.stage, reject.check) == ("dot", "mail_loop")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"", b"", b" LAST", b" last"]),
            st.one_of(st.just(SMUGGLED), TEXTS, st.binary(max_size=40)),
        ),
        max_size=6,
    ),
    st.sampled_from([b"", b"MAIL FROM:<a@x.test>\r\n"]),
    st.data(),
)
def test_no_chunk_is_ever_a_command(
    chunks: list[tuple[bytes, bytes]], before: bytes, draw: st.DataObject
) -> None:
    octets = b"EHLO c\r\n" + before + b"RCPT TO:<bob@local.test>\r\n" * bool(before)
    for last, body in chunks:
        octets += b"BDAT %d%s\r\n" % (len(body), last) + body
    octets += b"QUIT\r\n"
    places = sorted(draw.draw(st.sets(st.integers(0, len(octets)), max_size=8)))
    pieces = [octets[a:b] for a, b in zip([0, *places], [*places, len(octets)], strict=True)]
    journal, plug = asyncio.run(
        hold(Path("unused"), [p for p in pieces if p], quick=draw.draw(st.booleans()))
    )
    balanced(journal)
    mails = journal.all("smtp.mail")
    assert all(mail.addr == "a@x.test" for mail in mails)
    assert len(mails) <= bool(before)
    assert plug.written.count(b"\r\n") <= 14 + len(chunks)


async def test_a_session_that_ends_gives_its_chunks_back(tmp_path: Path) -> None:
    async with server(tmp_path, limits={"command_timeout_seconds": 0.2}) as running:
        async with connect(running.port) as client:
            await client.talk(READY + MAIL + "C! BDAT 5\\r\\nhello\nS: 250 .*\nS: 421 .*\nEOF")
        await until(lambda: not running.service.sessions)
        assert running.service.held == 0

"""APPEND with MULTIAPPEND, CATENATE, UTF8 and BINARY (RFC 9051 6.3.12, RFC 3502, 4469, 3516)."""

import re
from pathlib import Path

import pytest

from mtad.imap import urls
from mtad.imap.commands import Section
from mtad.imap.wire import TOGETHER
from tests.imap import Running, serving
from tests.imap_acts import events

MESSAGE = "Subject: one\r\n\r\nbody\r\n"


def drafts(running: Running) -> list[str]:
    return [path.name for path in (running.folder() / "Maildir" / "tmp").iterdir()]


async def test_flags_date_and_octets(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("SELECT INBOX") as client:
        lines = await client.command(
            r'APPEND INBOX (\Seen $Label1 \Draft) " 1-Feb-1994 21:52:25 -0800" {}', MESSAGE
        )
        assert re.fullmatch(r"t\d+ OK \[APPENDUID \d+ 1\] Stored", lines[-1])
        assert "* 1 EXISTS" in lines
        (said,) = await client.ok("FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])")
        assert said == (
            r"* 1 FETCH (FLAGS (\Draft \Seen $Label1 \Recent) "
            r'INTERNALDATE " 2-Feb-1994 05:52:25 +0000" RFC822.SIZE 22 BODY[] {22}'
            f"\r\n{MESSAGE})"
        )
        (file,) = (running.folder() / "Maildir" / "cur").iterdir()
        assert file.read_bytes() == b"Subject: one\n\nbody\n"
        assert drafts(running) == []
        (event,) = events(running, "box.append")
        assert event.actor == "user:alice@local.test"


@pytest.mark.parametrize(
    ("sent", "stored", "shown"),
    [
        (b"A: b\r\n\r\nx", b"A: b\n\nx", b"A: b\r\n\r\nx"),
        (b"A: b\n\nx\n", b"A: b\n\nx\n", b"A: b\r\n\r\nx\r\n"),
        (b"A: b\r\n\r\nx\r\r\ny", b"A: b\r\n\r\nx\r\r\ny", b"A: b\r\n\r\nx\r\r\ny"),
        (b"A: b\r\n\r\nx\ry\r", b"A: b\n\nx\ry\r", b"A: b\r\n\r\nx\ry\r"),
        (b"\r\n", b"\n", b"\r\n"),
        (
            b"\xff\xfe: \x80\r\n\r\n\xd0\x00"[:-1],
            b"\xff\xfe: \x80\n\n\xd0",
            b"\xff\xfe: \x80\r\n\r\n\xd0",
        ),
    ],
)
async def test_line_ends(sent: bytes, stored: bytes, shown: bytes, tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("SELECT INBOX") as client:
        await client.send(b"a APPEND INBOX {%d+}\r\n%b\r\n" % (len(sent), sent))
        assert " OK [APPENDUID " in (await client.answer("a"))[-1]
        (file,) = (running.folder() / "Maildir" / "cur").iterdir()
        assert file.read_bytes() == stored
        (said,) = await client.ok("FETCH 1 (RFC822.SIZE BODY.PEEK[])")
        text = shown.decode("utf-8", "surrogateescape")
        size = len(shown)
        assert said == f"* 1 FETCH (RFC822.SIZE {size} BODY[] {{{size}}}\r\n{text})"


async def test_a_large_message_by_way_of_a_file(tmp_path: Path) -> None:
    message = MESSAGE + "0123456789abcdef" * 4 + "\r\n"
    message += "".join(f"{number:070}\r\n" for number in range(40_000))
    async with serving(tmp_path) as running, running.client("SELECT INBOX") as client:
        await client.ok("APPEND INBOX {}", message)
        (said,) = await client.ok("FETCH 1 (RFC822.SIZE BODY.PEEK[])")
        assert said.endswith(f"\r\n{message})")
        assert f"RFC822.SIZE {len(message)} " in said
        assert drafts(running) == []


async def test_a_client_that_waits_is_asked(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        await client.talk(
            r"""
            C: a APPEND INBOX {22}
            S: \+ .*
            C! Subject: one\r\n\r\nbody\r\n
            C:
            S: a OK \[APPENDUID \d+ 1\] Stored
            """
        )


async def test_several_messages_or_none(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("SELECT INBOX") as client:
        lines = await client.command(r"APPEND INBOX (\Seen) {} {}", MESSAGE, MESSAGE)
        assert re.search(r"\[APPENDUID \d+ 1:2\]", lines[-1])
        refused = await client.no("APPEND INBOX {} {}", MESSAGE, "A: \0\r\n\r\n")
        assert refused.startswith("BAD ")
        assert await client.ok("UID SEARCH ALL") == ["* SEARCH 1 2"]
        assert drafts(running) == []


async def test_messages_that_cannot_be_stored(tmp_path: Path) -> None:
    async with serving(tmp_path, max_message_bytes=65536) as running, running.client() as client:
        assert (await client.no("APPEND Nowhere {}", MESSAGE)).startswith("NO [TRYCREATE] ")
        assert (await client.no("APPEND INBOX {}", "")).startswith("NO ")
        assert (await client.no("APPEND INBOX {}", "A: \0\r\n\r\n")).startswith("BAD ")
        assert (await client.no("APPEND INBOX {}", "x" * 70_000)).startswith("NO [TOOBIG] ")
        assert (await client.no(r"APPEND INBOX (\Recent) {}", MESSAGE)).startswith("BAD ")
        assert (await client.no('APPEND INBOX "1-Feb-1994" {}', MESSAGE)).startswith("BAD ")
        halves = "x" * 40_000
        refused = await client.no("APPEND INBOX CATENATE (TEXT {} TEXT {})", halves, halves)
        assert refused.startswith("NO [TOOBIG] ")
        assert await client.ok("STATUS INBOX (MESSAGES)") == ['* STATUS "INBOX" (MESSAGES 0)']
        assert drafts(running) == []


async def test_binary(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("SELECT INBOX") as client:
        message = b"Content-Transfer-Encoding: binary\r\n\r\na\0b\r\n"
        await client.send(b"a APPEND INBOX ~{%d+}\r\n%b\r\n" % (len(message), message))
        assert " OK " in (await client.answer("a"))[-1]
        await client.send(b"b FETCH 1 BINARY.PEEK[1]\r\n")
        assert await client.line() == "* 1 FETCH (BINARY[1] ~{5}"
        assert await client.reader.readexactly(6) == b"a\0b\r\n)"


async def test_utf8(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        message = "Subject: Привет\r\n\r\n".encode()
        command = b"a APPEND INBOX UTF8 (~{%d+}\r\n%b)\r\n" % (len(message), message)
        async with running.client() as client:
            await client.send(command)
            assert " BAD " in (await client.answer("a"))[-1]
        async with running.client("ENABLE UTF8=ACCEPT") as client:
            await client.send(command)
            assert " OK " in (await client.answer("a"))[-1]


async def test_catenate(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(b"Subject: old\n\nfirst\n")
        async with running.client("SELECT INBOX") as client:
            (validity,) = re.findall(
                r"UIDVALIDITY (\d+)", (await client.ok("STATUS INBOX (UIDVALIDITY)"))[0]
            )
            for url in (
                f"/INBOX;UIDVALIDITY={validity}/;UID=1/;SECTION=TEXT",
                "/inbox/;UID=1/;section=TEXT",
                ";UID=1/;SECTION=TEXT",
                "/INBOX/;UID=1/;SECTION=TEXT/;PARTIAL=0.7",
            ):
                await client.ok(
                    f'APPEND INBOX CATENATE (TEXT {{}} URL "{url}" TEXT {{}})',
                    "Subject: made\r\n\r\n",
                    "last\r\n",
                )
                (said,) = await client.ok("FETCH * BODY.PEEK[]")
                assert said.endswith("\r\nSubject: made\r\n\r\nfirst\r\nlast\r\n)")
            for url in (
                f"/INBOX;UIDVALIDITY={int(validity) + 1}/;UID=1",
                "/INBOX/;UID=99",
                "/INBOX/;UID=1/;SECTION=3",
                "/INBOX/;UID=1/;SECTION=NONSENSE",
                "/Nowhere/;UID=1",
                "imap://elsewhere.example/INBOX/;UID=1",
            ):
                refused = await client.no(f'APPEND INBOX CATENATE (URL "{url}")')
                assert refused.startswith(f'NO [BADURL "{url}"] ')
        assert drafts(running) == []


@pytest.mark.parametrize(
    ("url", "found"),
    [
        (";UID=5", urls.MessageUrl("", None, 5, Section(), 0, None)),
        ("/;UID=5", urls.MessageUrl("", None, 5, Section(), 0, None)),
        (
            "/A/B%20C;UIDVALIDITY=3/;UID=20/;SECTION=2.MIME/;PARTIAL=7.1",
            urls.MessageUrl("A/B C", 3, 20, Section((2,), "MIME"), 7, 1),
        ),
        (
            "/%D0%AF/;uid=20/;section=HEADER.FIELDS%20(To)",
            urls.MessageUrl("Я", None, 20, Section((), "HEADER.FIELDS", (b"To",)), 0, None),
        ),
    ],
)
def test_urls(url: str, found: urls.MessageUrl) -> None:
    assert urls.parse(url) == found


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/",
        "/A",
        "/A/;UID=0",
        "/A/;UID=x",
        "http://a/",
        "/%FF/;UID=1",
        "/A;UID=1",
        ";UID=1" + "/" * 5000,
    ],
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        urls.parse(url)


async def test_messages_of_one_command_have_a_limit_together(tmp_path: Path) -> None:
    async with serving(tmp_path, max_message_bytes=65536) as running, running.client() as client:
        message = "Subject: x\r\n\r\n" + "x" * 60_000
        assert TOGETHER == 5
        await client.ok("APPEND INBOX {} {} {} {} {}", *[message] * 5)
        refused = await client.no("APPEND INBOX {} {} {} {} {} {}", *[message] * 6)
        assert refused.startswith("NO [LIMIT] ")
        url = 'CATENATE (URL "/INBOX/;UID=1")'
        await client.ok("APPEND INBOX" + f" {url}" * 5)
        assert (await client.no("APPEND INBOX" + f" {url}" * 6)).startswith("NO [LIMIT] ")
        twice = 'CATENATE (URL "/INBOX/;UID=1" URL "/INBOX/;UID=1")'
        assert (await client.no(f"APPEND INBOX {twice}")).startswith("NO [TOOBIG] ")
        assert await client.ok("STATUS INBOX (MESSAGES)") == ['* STATUS "INBOX" (MESSAGES 10)']
        assert drafts(running) == []

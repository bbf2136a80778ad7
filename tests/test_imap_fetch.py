r"""FETCH and UID FETCH (RFC 9051 6.4.5 and 7.5.2, RFC 3516, 7162, 8474, 8514, 8970, 9394, 9586)."""

import re
from pathlib import Path

import pytest

from mtad import stream
from mtad.imap import write
from mtad.imap.handlers import fetch
from tests.imap import serving
from tests.imap_acts import events
from tracing.stored import BoxFlags

NESTED = b"""\
From: Ann <ann@example.net>
To: alice@local.test
Subject: nested
Message-ID: <n1@example.net>
Date: Mon, 2 Mar 2026 10:00:00 +0300
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b1

--b1
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

=D0=9F=D1=80=D0=B8=D0=B2=D0=B5=D1=82
--b1
Content-Type: message/rfc822

Subject: inner
Content-Type: multipart/alternative; boundary=b2

--b2
Content-Type: text/plain

one
--b2
Content-Type: application/octet-stream
Content-Transfer-Encoding: base64

AAEC
--b2--
--b1
Content-Type: application/x-odd
Content-Transfer-Encoding: x-strange

odd
--b1--
"""
"""Line ends LF, as a box keeps them."""
PLAIN = b"Subject: plain\nX-A: 1\n\nbody\n"


def on_wire(data: bytes) -> str:
    return data.replace(b"\n", b"\r\n").decode()


@pytest.mark.parametrize(
    ("item", "value"),
    [
        ("UID", "UID 1"),
        ("RFC822.SIZE", f"RFC822.SIZE {len(on_wire(NESTED))}"),
        ("BODY.PEEK[1]", "BODY[1] {36}\r\n=D0=9F=D1=80=D0=B8=D0=B2=D0=B5=D1=82"),
        ("BODY.PEEK[1]<3.2>", "BODY[1]<3> {2}\r\n=9"),
        ("BODY.PEEK[1]<30.99>", "BODY[1]<30> {6}\r\n=D1=82"),
        ("BODY.PEEK[1]<99.1>", "BODY[1]<99> {0}\r\n"),
        ("BODY.PEEK[2.HEADER.FIELDS (subject)]",
         "BODY[2.HEADER.FIELDS (subject)] {18}\r\nSubject: inner\r\n\r\n"),
        ("BODY.PEEK[2.1]", "BODY[2.1] {3}\r\none"),
        ("BODY.PEEK[2.1.MIME]", "BODY[2.1.MIME] {28}\r\nContent-Type: text/plain\r\n\r\n"),
        ("BODY.PEEK[2.2]", "BODY[2.2] {4}\r\nAAEC"),
        ("BODY.PEEK[HEADER.FIELDS (SUBJECT X-None)]",
         "BODY[HEADER.FIELDS (SUBJECT X-None)] {19}\r\nSubject: nested\r\n\r\n"),
        ('BODY.PEEK[HEADER.FIELDS ("100%d (x)")]', 'BODY[HEADER.FIELDS ("100%d (x)")] {2}\r\n\r\n'),
        ("BODY.PEEK[9]", "BODY[9] NIL"),
        ("BODY.PEEK[1.1]", "BODY[1.1] NIL"),
        ("BODY.PEEK[1.TEXT]", "BODY[1.TEXT] NIL"),
        ("BINARY.PEEK[1]", "BINARY[1] {12}\r\nПривет"),
        ("BINARY.PEEK[2.2]", "BINARY[2.2] ~{3}\r\n\x00\x01\x02"),
        ("BINARY.PEEK[2.2]<1.1>", "BINARY[2.2]<1> {1}\r\n\x01"),
        ("BINARY.SIZE[2.2]", "BINARY.SIZE[2.2] 3"),
        ("BINARY.PEEK[9]", "BINARY[9] NIL"),
        ("PREVIEW", 'PREVIEW {12}\r\nПривет'),
        ("PREVIEW (LAZY)", 'PREVIEW {12}\r\nПривет'),
    ],
)  # fmt: skip
async def test_an_item(item: str, value: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(NESTED)
        async with running.client("SELECT INBOX") as client:
            (said,) = await client.ok(f"FETCH 1 {item}")
            assert said == f"* 1 FETCH ({value})"
            assert await client.ok("FETCH 1 FLAGS") == [r"* 1 FETCH (FLAGS (\Recent))"]


async def test_whole_messages(tmp_path: Path) -> None:
    whole = on_wire(NESTED)
    header, _, text = whole.partition("\r\n\r\n")
    header += "\r\n\r\n"
    async with serving(tmp_path) as running:
        await running.deliver(NESTED)
        async with running.client("EXAMINE INBOX") as client:
            (said,) = await client.ok("FETCH 1 (BODY[] BODY[HEADER] BODY[TEXT])")
            assert said == (
                f"* 1 FETCH (BODY[] {{{len(whole)}}}\r\n{whole} "
                f"BODY[HEADER] {{{len(header)}}}\r\n{header} "
                f"BODY[TEXT] {{{len(text)}}}\r\n{text})"
            )
            (said,) = await client.ok("FETCH 1 (RFC822 RFC822.HEADER RFC822.TEXT)")
            assert said == (
                f"* 1 FETCH (RFC822 {{{len(whole)}}}\r\n{whole} "
                f"RFC822.HEADER {{{len(header)}}}\r\n{header} "
                f"RFC822.TEXT {{{len(text)}}}\r\n{text})"
            )
            (said,) = await client.ok("FETCH 1 BODY[HEADER.FIELDS.NOT (To From)]")
            fields = [line for line in header.split("\r\n") if not line.startswith(("To", "From"))]
            assert said.endswith("\r\n" + "\r\n".join(fields) + ")")


async def test_what_is_made_of_a_message(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(PLAIN, NESTED)
        async with running.client("SELECT INBOX") as client:
            (said,) = await client.ok("FETCH 2 ENVELOPE")
            assert said == (
                '* 2 FETCH (ENVELOPE ("Mon, 2 Mar 2026 10:00:00 +0300" "nested" '
                '(("Ann" NIL "ann" "example.net")) (("Ann" NIL "ann" "example.net")) '
                '(("Ann" NIL "ann" "example.net")) ((NIL NIL "alice" "local.test")) '
                'NIL NIL NIL "<n1@example.net>"))'
            )
            (said,) = await client.ok("FETCH 1 (BODY BODYSTRUCTURE)")
            body = '"text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 6 1'
            assert (
                said.lower()
                == (f"* 1 fetch (body ({body}) bodystructure ({body} nil nil nil nil))").lower()
            )
            said = (await client.ok("FETCH 1 (INTERNALDATE SAVEDATE EMAILID THREADID MODSEQ)"))[-1]
            date = r'"[ \d]\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d:\d\d \+0000"'
            assert re.fullmatch(
                rf"\* 1 FETCH \(INTERNALDATE {date} SAVEDATE {date} EMAILID \([A-Za-z0-9_-]+\) "
                r"THREADID NIL MODSEQ \(\d+\)\)",
                said,
            )


async def test_the_thread_of_a_message_is_that_of_its_first_reference(tmp_path: Path) -> None:
    answer = b"Message-ID: <n3@x>\nReferences: <n1@example.net> <n2@x>\nSubject: b\n\n"
    other = b"Message-ID: <n3@x>\nIn-Reply-To: <n1@example.net>\n\n"
    async with serving(tmp_path) as running:
        await running.deliver(NESTED, answer, other)
        async with running.client("SELECT INBOX") as client:
            said = await client.ok("FETCH 1:3 THREADID")
            threads = {re.sub(r"\* \d FETCH ", "", line) for line in said}
            (thread,) = threads
            found = re.fullmatch(r"\(THREADID \((T[0-9a-f]+)\)\)", thread)
            assert found is not None
            assert await client.ok(f"SEARCH THREADID {found[1]}") == ["* SEARCH 1 2 3"]


@pytest.mark.parametrize(
    ("macro", "names"),
    [
        ("FAST", ["FLAGS", "INTERNALDATE", "RFC822.SIZE"]),
        ("ALL", ["FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"]),
        ("FULL", ["FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY"]),
    ],
)
async def test_macros(macro: str, names: list[str], tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(PLAIN)
        async with running.client("SELECT INBOX") as client:
            (said,) = await client.ok(f"FETCH 1 {macro}")
            assert re.findall(r"(?<=[( ])([A-Z][A-Z0-9.]{3,}) (?=[(\d\"])", said)[1:] == names


@pytest.mark.parametrize("item", ["BODY[]", "BODY[TEXT]", "RFC822", "RFC822.TEXT", "BINARY[1]"])
async def test_reading_is_seeing(item: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(PLAIN, PLAIN, PLAIN)
        async with (
            running.client("SELECT INBOX") as client,
            running.client("SELECT INBOX") as other,
        ):
            for line in await client.ok(f"FETCH 1:2 {item}"):
                assert line.endswith(r" FLAGS (\Seen \Recent))")
            assert all("FLAGS" not in line for line in await client.ok(f"FETCH 1:2 {item}"))
            assert await client.ok("SEARCH UNSEEN") == ["* SEARCH 3"]
            assert await client.ok("NOOP") == []
            assert len(await other.ok("NOOP")) == 2
        (seen,) = events(running, "box.flags")
        assert isinstance(seen, BoxFlags)
        assert (len(seen.items), seen.added) == (2, ("\\Seen",))


@pytest.mark.parametrize("item", ["BODY.PEEK[]", "RFC822.HEADER", "BINARY.SIZE[1]", "BODY"])
async def test_peeping_is_not(item: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(PLAIN)
        async with running.client("SELECT INBOX") as client:
            await client.ok(f"FETCH 1 {item}")
            assert await client.ok("SEARCH UNSEEN") == ["* SEARCH 1"]


async def test_seen_comes_with_a_modseq_to_who_wants_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(PLAIN)
        async with running.client("ENABLE CONDSTORE", "SELECT INBOX") as client:
            (said,) = await client.ok("FETCH 1 BODY[TEXT]")
            assert re.search(r" FLAGS \(\\Seen \\Recent\) MODSEQ \(\d+\)\)$", said)


async def test_numbers(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=5)
        async with running.client("SELECT INBOX") as client:
            await client.ok(r"STORE 2 +FLAGS.SILENT (\Deleted)")
            await client.ok("EXPUNGE")
            every = [f"* {n} FETCH (UID {u})" for n, u in ((1, 1), (2, 3), (3, 4), (4, 5))]
            assert await client.ok("FETCH 1:* UID") == every
            assert await client.ok("FETCH 4:1 UID") == every
            assert await client.ok("FETCH 2:3,3,* (UID)") == every[1:]
            assert await client.ok("UID FETCH 2:4 UID") == every[1:3]
            assert await client.ok("UID FETCH 2 FLAGS") == []
            assert await client.ok("UID FETCH 99:* (UID)") == every[3:]
            for command in ("FETCH 5 UID", "FETCH 0 UID", "FETCH 1:9 UID", "FETCH a UID"):
                assert (await client.no(command)).startswith("BAD ")


async def test_an_empty_mailbox(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("SELECT INBOX") as client:
        assert await client.ok("UID FETCH 1:* FLAGS") == []
        assert (await client.no("FETCH 1:* FLAGS")).startswith("BAD ")


async def test_unknown_encodings(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(NESTED, PLAIN)
        async with running.client("SELECT INBOX") as client:
            lines = await client.command("FETCH 1:2 (UID BINARY.PEEK[3])")
            assert lines[:2] == [
                "* 1 FETCH (UID 1 BINARY[3] NIL)",
                "* 2 FETCH (UID 2 BINARY[3] NIL)",
            ]
            assert " NO [UNKNOWN-CTE] " in lines[2]


async def test_what_changed_and_what_vanished(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=6)
        async with running.client("SELECT INBOX") as client:
            _, line = await client.ok("UID FETCH 6 MODSEQ")
            since = re.findall(r"MODSEQ \((\d+)\)", line)[0]
            await client.ok(r"STORE 3 +FLAGS.SILENT (\Flagged)")
            await client.ok(r"STORE 5:6 +FLAGS.SILENT (\Deleted)")
            await client.ok("EXPUNGE")
            (said,) = await client.ok(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {since})")
            assert re.fullmatch(
                r"\* 3 FETCH \(UID 3 FLAGS \(\\Flagged \\Recent\) MODSEQ \(\d+\)\)", said
            )
            asked = f"UID FETCH 1:9 (FLAGS) (CHANGEDSINCE {since} VANISHED)"
            assert (await client.no(asked)).startswith("BAD ")
            await client.ok("ENABLE QRESYNC")
            vanished, changed = await client.ok(asked)
            assert vanished == "* VANISHED (EARLIER) 5:6"
            assert changed == said
            asked = f"UID FETCH 1:5 (FLAGS) (CHANGEDSINCE {since} VANISHED)"
            assert (await client.ok(asked))[0] == "* VANISHED (EARLIER) 5"


async def test_pages(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=6)
        async with running.client("SELECT INBOX") as client:
            for asked, uids in (
                ("1:2", [1, 2]),
                ("5:9", [5, 6]),
                ("7:9", []),
                ("-1:-2", [5, 6]),
                ("-5:-99", [1, 2]),
                ("-7:-9", []),
            ):
                said = await client.ok(f"UID FETCH 1:* (UID) (PARTIAL {asked})")
                assert said == [f"* {uid} FETCH (UID {uid})" for uid in uids]


async def test_messages_that_are_gone(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=3)
        async with running.client("SELECT INBOX") as client:
            async with running.client("SELECT INBOX") as other:
                await other.ok(r"STORE 2 +FLAGS.SILENT (\Deleted)")
                await other.ok("EXPUNGE")
            for items in ("FLAGS", "ENVELOPE", "BODY.PEEK[]"):
                lines = await client.command(f"FETCH 1:3 ({items})")
                assert [line[:4] for line in lines[:2]] == ["* 1 ", "* 3 "]
                assert re.match(r"t\d+ NO \[EXPUNGEISSUED\] ", lines[2])
            (before,) = [one for one in await client.ok("UID FETCH 2:3 (UID)") if "FETCH" in one]
            assert before == "* 3 FETCH (UID 3)"
            assert await client.ok("UID FETCH 2:3 (UID)") == ["* 2 FETCH (UID 3)"]


async def test_files_that_other_programs_took_or_renamed(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=3)
        async with running.client("SELECT INBOX") as client:
            first, second, _ = sorted((running.folder() / "Maildir" / "new").iterdir())
            first.unlink()
            second.rename(second.parent.parent / "cur" / f"{second.name}:2,F")
            lines = await client.command("FETCH 1:3 (UID BODY.PEEK[TEXT])")
            assert [line[:4] for line in lines[:-1]] == ["* 2 ", "* 3 "]
            assert " NO [EXPUNGEISSUED] " in lines[-1]


async def test_uids_only(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=2)
        async with running.client("ENABLE UIDONLY", "SELECT INBOX") as client:
            assert (await client.no("FETCH 1 FLAGS")).startswith("BAD [UIDREQUIRED] ")
            said = await client.ok("UID FETCH 1:* FLAGS")
            assert said == [f"* {n} UIDFETCH (FLAGS (\\Recent))" for n in (1, 2)]
            said = await client.ok("UID FETCH 2 (UID BODY[TEXT])")
            assert said == [
                "* 2 UIDFETCH (UID 2 BODY[TEXT] {7}\r\nhello\r\n FLAGS (\\Seen \\Recent))"
            ]


async def test_nul_is_no_part_of_a_literal(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(b"A: b\n\nx\0y\n")
        async with running.client("SELECT INBOX") as client:
            await client.send(b"a FETCH 1 (RFC822.SIZE BODY.PEEK[] BODY.PEEK[TEXT])\r\n")
            heard = await client.reader.readuntil(b"a OK")
            assert heard.startswith(
                b"* 1 FETCH (RFC822.SIZE 13 BODY[] {13}\r\nA: b\r\n\r\nx\x80y\r\n "
                b"BODY[TEXT] {5}\r\nx\x80y\r\n)"
            )


async def test_many_messages_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MAX_READ", 1000)
    monkeypatch.setattr(fetch, "PIECE", 100)
    async with serving(tmp_path) as running:
        await running.deliver(count=600)
        async with running.client("SELECT INBOX") as client:
            said = await client.ok("FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
            assert len(said) == 600
            said = await client.ok("FETCH 1:* (UID BODY.PEEK[])")
            numbers = [
                re.findall(r"FETCH \(UID (\d+) .*?number (\d+)", one, re.S)[0] for one in said
            ]
            assert numbers == [(f"{n}", f"{n - 1}") for n in range(1, 601)]


@pytest.mark.parametrize("size", [write.MIN_LONG - 1, write.MIN_LONG, 3 * stream.MIN_APART])
async def test_long_messages_are_whole(size: int, tmp_path: Path) -> None:
    texts = [chr(ord("a") + number) * (size + number) for number in range(3)]
    async with serving(tmp_path) as running:
        for text in texts:
            await running.deliver(f"Subject: long\n\n{text}".encode())
        async with running.client("EXAMINE INBOX") as client:
            said = await client.ok("FETCH 1:* (UID BODY[TEXT] FLAGS RFC822.HEADER BODY[TEXT]<1.2>)")
            header = "Subject: long\r\n\r\n"
            assert said == [
                f"* {number} FETCH (UID {number} BODY[TEXT] {{{len(text)}}}\r\n{text} "
                f"FLAGS (\\Recent) RFC822.HEADER {{{len(header)}}}\r\n{header} "
                f"BODY[TEXT]<1> {{2}}\r\n{text[1:3]})"
                for number, text in enumerate(texts, 1)
            ]


async def test_who_read_what_is_written_down(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=3)
        async with running.client("SELECT INBOX") as client:
            await client.ok("FETCH 1:2 (FLAGS BODY.PEEK[HEADER] ENVELOPE)")
            assert running.journal.all("box.read") == []
            await client.ok("FETCH 1:2 BODY[]")
            await client.ok("UID FETCH 3 BODY.PEEK[TEXT]")
            running.service.log_reading = False
            await client.ok("FETCH 1:3 RFC822")
        first, second = running.journal.all("box.read")
        assert [item.uid for item in first.items] == [1, 2]
        assert [item.uid for item in second.items] == [3]
        assert (first.addr, first.mailbox, first.ip) == ("alice@local.test", "INBOX", "127.0.0.1")
        assert first.actor == "user:alice@local.test"

"""SEARCH and UID SEARCH (RFC 9051 6.4.4, RFC 4731, 5032, 5182, 7162, 8474, 8514, 9394, 9586)."""

import os
import re
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.imap import results, scanner, scanning
from mtad.imap.commands import When
from mtad.imap.searching import span
from tests.imap import Running, serving

MAILS = (
    b"From: Ann <ann@example.net>\nTo: alice@local.test\nSubject: Invoice 7\n"
    b"Date: Tue, 3 Mar 2026 23:30:00 -0500\nX-Mark: yes\n\nPlease pay.\n",
    b"From: =?utf-8?B?0JHQvtGA0LjRgQ==?= <boris@example.net>\nCc: carol@example.net\n"
    b"Subject: =?koi8-r?B?8NLJ18XU?= =?utf-8?Q?_=D0=BC=D0=B8=D1=80?=\n"
    b"Date: Wed, 4 Mar 2026 08:00:00 +0300\nContent-Type: text/plain; charset=windows-1251\n"
    b"Content-Transfer-Encoding: base64\n\n"
    b"xO7j7uLu8CDv7uTv6PHg7S4=\n",
    b"From: dave@example.net\nBcc: hidden@example.net\nSubject: re: invoice\nX-Mark:\n\n"
    b"Invoice as agreed\nsplit =E2=82=AC\n" + b"x" * 3000 + b"\n",
    b"Subject: bare\nDate: nonsense\nContent-Type: text/html\n\n<p>bold <b>wo</b>rds</p>\n",
)
"""Cyrillic: from Boris, "Привет мир" in two charsets, "Договор подписан." in windows-1251."""
ARRIVED = ("2026-03-03", "2026-03-04", "2026-03-05", "2026-03-06")


async def filled(running: Running) -> None:
    """A box of these mails, each with its day of arrival."""
    for mail, day in zip(MAILS, ARRIVED, strict=True):
        await running.deliver(mail, sync=False)
        folder = running.folder() / "Maildir" / "new"
        newest = max(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        at = datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp()
        os.utime(newest, (at, at))
        async with running.box() as box:
            await box.sync()


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ("ALL", "1 2 3 4"),
        ("SEEN", "1"),
        ("UNSEEN", "2 3 4"),
        ("FLAGGED UNSEEN", "2"),
        ("NOT FLAGGED", "3 4"),
        ("KEYWORD $label1", "4"),
        ("UNKEYWORD $Label1", "1 2 3"),
        ("OR SEEN KEYWORD $Label1", "1 4"),
        ("RECENT", "1 2 3 4"),
        ("OLD", ""),
        ("NEW", "2 3 4"),
        ("2:3", "2 3"),
        ("*", "4"),
        ("UID 2,4:99", "2 4"),
        ("NOT 2 NOT UID 3", "1 4"),
        ("LARGER 3000", "3"),
        ("SMALLER 3000 NOT SMALLER 120", "1 2"),
        ("SINCE 5-Mar-2026", "3 4"),
        ("BEFORE 4-mar-2026", "1"),
        ("ON 4-Mar-2026", "2"),
        ("SENTON 3-Mar-2026", "1"),
        ("SENTSINCE 4-Mar-2026", "2 3 4"),
        ("SENTBEFORE 4-Mar-2026", "1"),
        ("SAVEDSINCE 1-Jan-2020", "1 2 3 4"),
        ("SAVEDBEFORE 1-Jan-2020", ""),
        ("SAVEDATESUPPORTED", "1 2 3 4"),
        ("YOUNGER 31536000 YOUNGER 1", ""),
        ("OLDER 1", "1 2 3 4"),
        ("FROM ann", "1"),
        ("FROM BORIS@", "2"),
        ("TO alice", "1"),
        ("CC Carol", "2"),
        ("BCC hidden", "3"),
        ("SUBJECT invoice", "1 3"),
        ('SUBJECT ""', "1 2 3 4"),
        ('HEADER X-Mark ""', "1 3"),
        ("HEADER x-mark YES", "1"),
        ("HEADER Content-Type 1251", "2"),
        ("HEADER Text yes", ""),
        ("BODY agreed", "3"),
        ("BODY invoice", "3"),
        ("TEXT invoice", "1 3"),
        ("TEXT X-Mark", "1 3"),
        ('BODY "bold words"', "4"),
        ("NOT TEXT invoice", "2 4"),
        ("OR BODY agreed FROM ann", "1 3"),
        ("NOT OR SUBJECT invoice FLAGGED", "4"),
        ("(SEEN) (OR (FLAGGED) (UNSEEN))", "1"),
        ("EMAILID nonsense", ""),
        ("THREADID T00", ""),
    ],
)
async def test_a_key(keys: str, found: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await filled(running)
        async with running.client("SELECT INBOX") as client:
            await client.ok(r"STORE 1 +FLAGS.SILENT (\Seen \Flagged)")
            await client.ok(r"STORE 2 +FLAGS.SILENT (\Flagged)")
            await client.ok("STORE 4 +FLAGS.SILENT ($Label1)")
            said = await client.ok(f"SEARCH {keys}")
            assert said == [f"* SEARCH {found}".rstrip()]


@pytest.mark.parametrize(
    ("keys", "text", "found"),
    [
        ("FROM", "борис", "2"),
        ("SUBJECT", "ПРИВЕТ МИР", "2"),
        ("BODY", "договор", "2"),
        ("TEXT", "Подписан", "2"),
        ("TEXT", "приветмир", ""),
    ],
)
async def test_cyrillic_in_whatever_charset(
    keys: str, text: str, found: str, tmp_path: Path
) -> None:
    async with serving(tmp_path) as running:
        await filled(running)
        async with running.client("SELECT INBOX") as client:
            said = await client.ok(f"SEARCH CHARSET UTF-8 {keys} {{}}", text)
            assert said == [f"* SEARCH {found}".rstrip()]
            octets = text.encode("koi8-r")
            line = f"k SEARCH CHARSET KOI8-R {keys} {{{len(octets)}+}}\r\n".encode()
            await client.send(line + octets + b"\r\n")
            assert (await client.answer("k"))[0] == f"* SEARCH {found}".rstrip()


async def test_searches_that_cannot_be(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await filled(running)
        async with running.client("SELECT INBOX") as client:
            refused = await client.no("SEARCH CHARSET X-KLINGON ALL")
            assert refused.startswith("NO [BADCHARSET (")
            for keys in ("", "FROM", "5", "1:5", "ON yesterday", "FROBNICATE", "(ALL", "YOUNGER 0"):
                assert (await client.no(f"SEARCH {keys}")).startswith("BAD ")


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("SEARCH RETURN () UNSEEN", "ALL 2:4"),
        ("SEARCH RETURN (ALL) UNSEEN", "ALL 2:4"),
        ("SEARCH RETURN (MIN) ALL", "MIN 1"),
        ("SEARCH RETURN (MIN MAX) ALL", "MIN 1 MAX 4"),
        ("SEARCH RETURN (COUNT) SEEN", "COUNT 1"),
        ("SEARCH RETURN (MIN MAX ALL COUNT) DELETED", "COUNT 0"),
        ("SEARCH RETURN (MIN) DELETED", ""),
        ("UID SEARCH RETURN (COUNT ALL) SEEN", "UID ALL 1 COUNT 1"),
        ("UID SEARCH RETURN (PARTIAL 1:2) ALL", "UID PARTIAL (1:2 1:2)"),
        ("UID SEARCH RETURN (PARTIAL -1:-3) ALL", "UID PARTIAL (-1:-3 2:4)"),
        ("UID SEARCH RETURN (PARTIAL 9:12 COUNT) ALL", "UID PARTIAL (9:12 NIL) COUNT 4"),
        ("SEARCH RETURN (COUNT) BODY invoice", "COUNT 1"),
    ],
)
async def test_esearch(command: str, answer: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await filled(running)
        async with running.client("SELECT INBOX") as client:
            await client.ok(r"STORE 1 +FLAGS.SILENT (\Seen)")
            (said,) = await client.ok(command)
            assert re.sub(r'\(TAG "t\d+"\)', "T", said) == f"* ESEARCH T {answer}".rstrip()


async def test_with_rev2_every_answer_is_an_esearch(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await filled(running)
        async with running.client("ENABLE IMAP4rev2", "SELECT INBOX") as client:
            (said,) = await client.ok("UID SEARCH ALL")
            assert re.fullmatch(r'\* ESEARCH \(TAG "t\d+"\) UID ALL 1:4', said)
            (said,) = await client.ok("SEARCH DELETED")
            assert re.fullmatch(r'\* ESEARCH \(TAG "t\d+"\)', said)


def broken(worker: scanning.Worker, request: scanner.Request) -> bytes:
    raise OSError("no process can be started")


async def test_results_are_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path) as running:
        await filled(running)
        async with running.client("SELECT INBOX") as client:
            assert await client.ok("SEARCH $") == ["* SEARCH"]
            assert await client.ok("SEARCH RETURN (SAVE) 2:4") == []
            assert await client.ok("FETCH $ UID") == [f"* {n} FETCH (UID {n})" for n in (2, 3, 4)]
            assert await client.ok("UID SEARCH $ SUBJECT invoice") == ["* SEARCH 3"]
            (said,) = await client.ok("SEARCH RETURN (SAVE MIN) UID $")
            assert said.endswith(" MIN 2")
            assert await client.ok("SEARCH $") == ["* SEARCH 2"]
            (said,) = await client.ok("UID SEARCH RETURN (SAVE COUNT MAX) ALL")
            assert said.endswith(" MAX 4 COUNT 4")
            await client.ok(r"STORE $ +FLAGS.SILENT (\Deleted)")
            await client.ok("UID EXPUNGE 2:3")
            assert await client.ok("SEARCH $") == ["* SEARCH 1 2"]
            monkeypatch.setattr(scanning.Worker, "ask", broken)
            refused = await client.no("SEARCH RETURN (SAVE) BODY agreed")
            assert refused.startswith("NO [UNAVAILABLE] ")
            assert await client.ok("SEARCH $") == ["* SEARCH"]


async def test_modseqs_are_told(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await filled(running)
        async with running.client("SELECT INBOX") as client:
            await client.ok(r"STORE 2 +FLAGS.SILENT (\Seen)")
            highest, line = await client.ok("FETCH 2 MODSEQ")
            assert highest.startswith("* OK [HIGHESTMODSEQ ")
            modseq = int(re.findall(r"MODSEQ \((\d+)\)", line)[0])
            assert await client.ok(f"SEARCH MODSEQ {modseq}") == [f"* SEARCH 2 (MODSEQ {modseq})"]
            asked = f'SEARCH MODSEQ "/flags/\\\\Seen" all {modseq}'
            assert await client.ok(asked) == [f"* SEARCH 2 (MODSEQ {modseq})"]
            assert await client.ok(f"SEARCH MODSEQ {modseq + 1}") == ["* SEARCH"]
            (said,) = await client.ok("SEARCH RETURN (MIN MAX) MODSEQ 1")
            found = re.fullmatch(r"\* ESEARCH \(TAG \"t\d+\"\) MIN 1 MAX 4 MODSEQ (\d+)", said)
            assert found is not None
            assert int(found[1]) < modseq
            (said,) = await client.ok("SEARCH RETURN (ALL) MODSEQ 1")
            assert said.endswith(f" ALL 1:4 MODSEQ {modseq}")


async def test_numbers_are_those_the_client_knows(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await filled(running)
        async with running.client("SELECT INBOX") as client:
            async with running.client("SELECT INBOX") as other:
                await other.ok(r"STORE 2 +FLAGS.SILENT (\Deleted)")
                await other.ok("EXPUNGE")
                await running.deliver(count=1)
            assert await client.ok("SEARCH ALL") == ["* SEARCH 1 3 4"]
            assert await client.ok("SEARCH TEXT invoice") == ["* SEARCH 1 3"]
            assert "* 2 EXPUNGE" in await client.ok("NOOP")
            assert await client.ok("SEARCH ALL") == ["* SEARCH 1 2 3 4"]


async def test_uids_only(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await filled(running)
        async with running.client("ENABLE UIDONLY", "SELECT INBOX") as client:
            assert (await client.no("SEARCH ALL")).startswith("BAD [UIDREQUIRED] ")
            assert (await client.no("UID SEARCH 1:2")).startswith("BAD [UIDREQUIRED] ")
            assert await client.ok("UID SEARCH UID 1:2") == ["* SEARCH 1 2"]


async def test_files_that_were_renamed_or_taken_meanwhile(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await filled(running)
        async with running.client("SELECT INBOX") as client:
            for path in (running.folder() / "Maildir" / "new").iterdir():
                data = path.read_bytes()
                if b"Please" in data:
                    path.rename(path.parent.parent / "cur" / f"{path.name}:2,S")
                elif b"bare" in data:
                    path.unlink()
            assert await client.ok("SEARCH OR BODY pay BODY bold") == ["* SEARCH 1"]


async def test_names_that_are_no_text(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        odd = running.folder() / "Maildir" / "new" / os.fsdecode(b"1.\xff.foreign")
        odd.write_bytes(MAILS[0])
        async with running.client("SELECT INBOX") as client:
            assert await client.ok("SEARCH BODY pay SUBJECT invoice") == ["* SEARCH 1"]
            assert len(await client.ok("FETCH 1 (ENVELOPE BODY.PEEK[])")) == 1


async def test_others_are_served_during_a_long_search(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=2000)
        async with running.client("SELECT INBOX") as client, running.client() as other:
            await client.send(b"s SEARCH TEXT nowhere\r\n")
            for _ in range(5):
                await other.ok("NOOP")
            assert (await client.answer("s"))[0] == "* SEARCH"


async def test_a_process_that_dies_is_replaced(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await filled(running)
        async with running.client("SELECT INBOX") as client:
            assert await client.ok("SEARCH BODY agreed") == ["* SEARCH 3"]
            for worker in scanning.workers:
                if worker.process is not None:
                    worker.process.kill()
                    worker.process.wait()
            assert await client.ok("SEARCH BODY agreed") == ["* SEARCH 3"]


@given(st.lists(st.integers(1, 99), unique=True), st.integers(1, 120), st.integers(1, 120))
def test_pages_count_from_either_end(found: list[int], one: int, other: int) -> None:
    first, last = sorted((one, other))
    assert results.page(found, (first, last)) == found[first - 1 : last]
    turned = found[::-1][first - 1 : last][::-1]
    assert results.page(found, (-first, -last)) == turned


@given(st.dates(date(1971, 1, 1), date(2100, 1, 1)))
def test_days_follow_each_other(day: date) -> None:
    before, on, since = (span(When("INTERNAL", how, day)) for how in ("BEFORE", "ON", "SINCE"))
    assert before[1] == on[0] == since[0]
    assert span(When("INTERNAL", "BEFORE", day + timedelta(1)))[1] == on[1]
    assert on[0] == datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    assert since[1] > time.time()


async def test_the_end_of_a_set_is_the_last_message(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=3)
        async with running.client("SELECT INBOX") as client:
            for numbers in ("4:*", "*:9", "*", "UID 9:*", "UID *:9"):
                assert await client.ok(f"SEARCH {numbers}") == ["* SEARCH 3"]
            assert await client.ok("SEARCH NOT 4:*") == ["* SEARCH 1 2"]
            assert await client.ok("SEARCH *:2") == ["* SEARCH 2 3"]
            # Other numbers that nobody has are against the protocol (RFC 9051 9, seq-number).
            for numbers in ("4", "2:4", "FETCH"):
                assert (await client.no(f"SEARCH {numbers}")).startswith("BAD ")
            assert (await client.no("FETCH 4:* FLAGS")).startswith("BAD ")
            await client.ok("CREATE empty")
            await client.ok("SELECT empty")
            assert (await client.no("SEARCH *")).startswith("BAD ")
            assert await client.ok("SEARCH UID *") == ["* SEARCH"]


async def test_a_search_that_fails_empties_what_was_saved(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=3)
        async with running.client("SELECT INBOX") as client:
            for failing in (
                "SEARCH RETURN (SAVE) CHARSET X-NONE ALL",
                "UID SEARCH RETURN (COUNT SAVE) CHARSET X-NONE SUBJECT x",
                "SORT RETURN (SAVE) (DATE) X-NONE ALL",
            ):
                await client.ok("SEARCH RETURN (SAVE) 1:2")
                assert (await client.no(failing)).startswith("NO [BADCHARSET (US-ASCII UTF-8 ")
                assert await client.ok("FETCH $ UID") == []
            await client.ok("SEARCH RETURN (SAVE) 1:2")
            # Without SAVE, and where it was BAD, nothing changes (RFC 5182 2.1).
            assert (await client.no("SEARCH CHARSET X-NONE ALL")).startswith("NO ")
            assert (await client.no("SEARCH RETURN (SAVE) CHARSET X-NONE 99")).startswith("NO ")
            assert (await client.no("SEARCH RETURN (SAVE) 99")).startswith("BAD ")
            assert await client.ok("FETCH $ UID") == []


async def test_no_charset_where_strings_are_utf8(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        await client.ok("ENABLE UTF8=ACCEPT")
        await client.ok("SELECT INBOX")
        assert (await client.no("SEARCH CHARSET UTF-8 ALL")).startswith("BAD ")
        assert (await client.no("UID SEARCH CHARSET UTF-8 ALL")).startswith("BAD ")
        assert await client.ok("SORT (DATE) UTF-8 ALL") == ["* SORT"]
        assert await client.ok('SEARCH SUBJECT "ж"') == ["* SEARCH"]

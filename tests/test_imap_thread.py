"""THREAD and UID THREAD (RFC 5256)."""

from pathlib import Path

import pytest

from tests.imap import Running, serving

MAILS = (
    b"Message-ID: <1@x>\nSubject: one\nDate: Mon, 2 Mar 2026 10:00:00 +0000\n\n",
    b"Message-ID: <2@x>\nIn-Reply-To: <1@x>\nSubject: Re: one\n"
    b"Date: Mon, 2 Mar 2026 11:00:00 +0000\n\n",
    b"Message-ID: <3@x>\nReferences: <1@x> <2@x>\nSubject: changed\n"
    b"Date: Mon, 2 Mar 2026 12:00:00 +0000\n\n",
    b"Message-ID: <4@x>\nReferences: <1@x>\nSubject: Re: one\n"
    b"Date: Mon, 2 Mar 2026 13:00:00 +0000\n\n",
    b"Message-ID: <5@x>\nSubject: alone\nDate: Sun, 1 Mar 2026 10:00:00 +0000\n\n",
)


async def filled(running: Running) -> None:
    for mail in MAILS:
        await running.deliver(mail)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("THREAD REFERENCES UTF-8 ALL", "(5)(1 (2 3)(4))"),
        ("THREAD ORDEREDSUBJECT UTF-8 ALL", "(5)(1 (2)(4))(3)"),
        ("UID THREAD REFERENCES US-ASCII 1:3", "(1 2 3)"),
        ("THREAD REFERENCES UTF-8 SUBJECT alone", "(5)"),
        ("THREAD REFERENCES UTF-8 DELETED", ""),
    ],
)
async def test_threads(command: str, said: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await filled(running)
        async with running.client("SELECT INBOX") as client:
            assert await client.ok(command) == [f"* THREAD {said}".rstrip()]


async def test_numbers_and_uids_differ(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await filled(running)
        async with running.client("SELECT INBOX") as client:
            await client.ok(r"STORE 1 +FLAGS.SILENT (\Deleted)")
            await client.ok("EXPUNGE")
            assert await client.ok("THREAD REFERENCES UTF-8 1:3") == ["* THREAD ((1 2)(3))"]
            assert await client.ok("UID THREAD REFERENCES UTF-8 1:3") == ["* THREAD ((2 3)(4))"]


async def test_threads_that_cannot_be(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("SELECT INBOX") as client:
        assert (await client.no("THREAD GUESSES UTF-8 ALL")).startswith("BAD ")
        assert (await client.no("THREAD REFERENCES X-NONE ALL")).startswith("NO [BADCHARSET ")
        assert await client.ok("THREAD REFERENCES UTF-8 ALL") == ["* THREAD"]

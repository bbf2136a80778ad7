"""REPLACE and UID REPLACE (RFC 8508)."""

import re
from pathlib import Path

from tests.imap import serving

MESSAGE = "Subject: another\r\n\r\n"


async def test_one_comes_and_one_goes(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=3)
        async with running.client("SELECT INBOX") as client:
            lines = await client.command(r"REPLACE 2 INBOX (\Seen \Draft) {}", MESSAGE)
            assert re.fullmatch(r"\* OK \[APPENDUID \d+ 4\] .*", lines[0])
            assert lines[1:3] == ["* 2 EXPUNGE", "* 3 EXISTS"]
            assert re.fullmatch(r"t\d+ OK REPLACE completed", lines[-1])
            assert await client.ok("UID SEARCH ALL") == ["* SEARCH 1 3 4"]
            assert await client.ok("UID FETCH 4 FLAGS") == [
                r"* 3 FETCH (UID 4 FLAGS (\Draft \Seen \Recent))"
            ]


async def test_the_uid_form_and_another_mailbox(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=1)
        async with running.client("CREATE Drafts", "SELECT INBOX") as client:
            lines = await client.command("UID REPLACE 1 Drafts {}", MESSAGE)
            assert "* 1 EXPUNGE" in lines
            assert await client.ok("STATUS Drafts (MESSAGES)") == ['* STATUS "Drafts" (MESSAGES 1)']


async def test_nothing_goes_where_nothing_can_come(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=1)
        async with running.client("SELECT INBOX") as client:
            assert (await client.no("REPLACE 1 Nowhere {}", MESSAGE)).startswith("NO [TRYCREATE] ")
            assert (await client.no("REPLACE 9 INBOX {}", MESSAGE)).startswith("BAD ")
            assert (await client.no("UID REPLACE 9 INBOX {}", MESSAGE)).startswith("NO ")
            assert (await client.no("REPLACE 1 INBOX {}", "")).startswith("NO ")
            assert await client.ok("UID SEARCH ALL") == ["* SEARCH 1"]

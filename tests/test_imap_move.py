"""MOVE and UID MOVE (RFC 9051 6.4.8, RFC 6851)."""

import re
from pathlib import Path

from tests.imap import serving
from tests.imap_acts import events
from tracing.stored import BoxMove


async def test_numbers_come_before_what_went(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=4)
        async with running.client("CREATE Arch", "SELECT INBOX") as client:
            lines = await client.command("MOVE 1,3 Arch")
            assert re.fullmatch(r"\* OK \[COPYUID \d+ 1,3 1:2\] Moved", lines[0])
            assert lines[1:-1] == ["* 3 EXPUNGE", "* 1 EXPUNGE"]
            assert re.fullmatch(r"t\d+ OK MOVE completed", lines[-1])
            assert await client.ok("UID SEARCH ALL") == ["* SEARCH 2 4"]
            await client.ok("SELECT Arch")
            assert await client.ok("UID SEARCH ALL") == ["* SEARCH 1 2"]
        (moved,) = events(running, "box.move")
        assert isinstance(moved, BoxMove)
        assert (moved.mailbox, moved.target) == ("INBOX", "Arch")


async def test_others_are_told(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=2)
        async with (
            running.client("CREATE Arch", "SELECT INBOX") as client,
            running.client("SELECT Arch") as target,
            running.client("ENABLE QRESYNC", "SELECT INBOX") as source,
        ):
            assert "* 2 EXPUNGE" in await client.command("UID MOVE 2 Arch")
            assert "* 1 EXISTS" in await target.ok("NOOP")
            assert await source.ok("NOOP") == ["* VANISHED 2"]


async def test_with_qresync(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=2)
        async with running.client("CREATE Arch", "ENABLE QRESYNC", "SELECT INBOX") as client:
            lines = await client.command("UID MOVE 1:2 Arch")
            assert lines[1] == "* VANISHED 1:2"
            assert re.search(r" OK \[HIGHESTMODSEQ \d+\] ", lines[-1])


async def test_moves_that_cannot_be(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=2)
        async with running.client("SELECT INBOX") as client:
            assert (await client.no("MOVE 1 Nowhere")).startswith("NO [TRYCREATE] ")
            assert (await client.no("MOVE 1 INBOX")).startswith("NO [CANNOT] ")
            assert (await client.no("MOVE 3 INBOX")).startswith("BAD ")
            assert (await client.command("UID MOVE 77 INBOX"))[-1].endswith("no such messages")
            await client.ok("EXAMINE INBOX")
            assert (await client.no("MOVE 1 INBOX")).startswith("NO [READ-ONLY] ")
            assert await client.ok("UID SEARCH ALL") == ["* SEARCH 1 2"]

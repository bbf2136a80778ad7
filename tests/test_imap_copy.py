"""COPY and UID COPY (RFC 9051 6.4.7, RFC 4315)."""

import re
from pathlib import Path

from mtad.store.quota import Limits
from tests.imap import serving
from tests.imap_acts import events
from tracing.stored import BoxCopy


async def test_copies_keep_flags_date_and_octets(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=3)
        async with running.client("CREATE Arch", "SELECT INBOX") as client:
            await client.ok(r"STORE 2 +FLAGS.SILENT (\Flagged $Label1)")
            (before,) = await client.ok("FETCH 2 (INTERNALDATE RFC822.SIZE EMAILID BODY.PEEK[])")
            done = (await client.command("COPY 2:3 Arch"))[-1]
            assert re.fullmatch(r"t\d+ OK \[COPYUID \d+ 2:3 1:2\] Copied", done)
            await client.ok("SELECT Arch")
            (after,) = await client.ok("FETCH 1 (INTERNALDATE RFC822.SIZE EMAILID BODY.PEEK[])")
            assert after.partition("(")[2] == before.partition("(")[2]
            (flags,) = await client.ok("FETCH 1 FLAGS")
            assert flags == r"* 1 FETCH (FLAGS (\Flagged $Label1 \Recent))"
        (copied,) = events(running, "box.copy")
        assert isinstance(copied, BoxCopy)
        assert (copied.target, copied.uids) == ("Arch", (2, 3))
        assert copied.actor == "user:alice@local.test"


async def test_a_copy_into_the_same_mailbox(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=2)
        async with running.client("SELECT INBOX") as client:
            lines = await client.command("UID COPY 2:* INBOX")
            assert re.fullmatch(r"t\d+ OK \[COPYUID \d+ 2 3\] Copied", lines[-1])
            assert "* 3 EXISTS" in lines


async def test_copies_that_cannot_be(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=1)
        async with running.client("SELECT INBOX") as client:
            assert (await client.no("COPY 1 Nowhere")).startswith("NO [TRYCREATE] ")
            assert (await client.no("UID COPY 99 Nowhere")).startswith("NO [TRYCREATE] ")
            assert (await client.no("COPY 1:9 INBOX")).startswith("BAD ")
            done = (await client.command("UID COPY 99 INBOX"))[-1]
            assert re.fullmatch(r"t\d+ OK There are no such messages", done)
            assert await client.ok("NOOP") == []


async def test_all_or_none(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=3)
        async with running.client("CREATE Arch", "SELECT INBOX") as client:
            async with running.client("SELECT INBOX") as other:
                await other.ok(r"STORE 2 +FLAGS.SILENT (\Deleted)")
                await other.ok("EXPUNGE")
            assert (await client.no("COPY 1:3 Arch")).startswith("NO [EXPUNGEISSUED] ")
            assert await client.ok("STATUS Arch (MESSAGES)") == ['* STATUS "Arch" (MESSAGES 0)']
            done = (await client.command("UID COPY 1:3 Arch"))[-1]
            assert re.fullmatch(r"t\d+ OK \[COPYUID \d+ 1,3 1:2\] Copied", done)


async def test_a_full_box(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=2)
        running.shelf.limits = lambda _: Limits(messages=3)
        async with running.client("CREATE Arch", "SELECT INBOX") as client:
            assert (await client.no("COPY 1:2 Arch")).startswith("NO [OVERQUOTA] ")
            await client.ok("COPY 1 Arch")
            refused = await client.no("APPEND INBOX {}", "A: b\r\n\r\n")
            assert refused.startswith("NO [OVERQUOTA] ")
            await client.ok("MOVE 2 Arch")
            assert await client.ok("STATUS Arch (MESSAGES)") == ['* STATUS "Arch" (MESSAGES 2)']
        assert list((running.folder() / "Maildir" / "tmp").iterdir()) == []


async def test_numbers_are_no_good_with_uids_only(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=1)
        async with running.client("ENABLE UIDONLY", "SELECT INBOX") as client:
            for command in ("COPY 1 INBOX", "MOVE 1 INBOX"):
                assert (await client.no(command)).startswith("BAD [UIDREQUIRED] ")
            await client.ok("UID COPY 1 INBOX")

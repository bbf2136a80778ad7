"""EXPUNGE, UID EXPUNGE and CLOSE (RFC 9051 6.4.1-6.4.3, RFC 4315, RFC 7162)."""

import re
from pathlib import Path

from tests.imap import serving
from tests.imap_acts import events
from tracing.stored import BoxExpunge


async def test_what_is_deleted_goes(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=5)
        async with running.client("SELECT INBOX") as client:
            assert await client.ok("EXPUNGE") == []
            await client.ok(r"STORE 2,3,5 +FLAGS.SILENT (\Deleted)")
            assert await client.ok("EXPUNGE") == ["* 5 EXPUNGE", "* 3 EXPUNGE", "* 2 EXPUNGE"]
            assert await client.ok("FETCH 1:* (UID)") == ["* 1 FETCH (UID 1)", "* 2 FETCH (UID 4)"]
        (gone,) = events(running, "box.expunge")
        assert isinstance(gone, BoxExpunge)
        assert gone.subjects == ("number 1", "number 2", "number 4")


async def test_the_uid_form_spares_what_it_does_not_name(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=4)
        async with running.client("SELECT INBOX") as client:
            await client.ok(r"STORE 1:3 +FLAGS.SILENT (\Deleted)")
            assert await client.ok("UID EXPUNGE 2,4:99") == ["* 2 EXPUNGE"]
            assert await client.ok("UID SEARCH DELETED") == ["* SEARCH 1 3"]


async def test_with_qresync_it_is_vanished(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=4)
        async with running.client("ENABLE QRESYNC", "SELECT INBOX") as client:
            await client.ok(r"UID STORE 2:3 +FLAGS.SILENT (\Deleted)")
            lines = await client.command("EXPUNGE")
            assert lines[0] == "* VANISHED 2:3"
            assert re.search(r" OK \[HIGHESTMODSEQ \d+\] ", lines[-1])


async def test_with_uids_only_it_is_vanished(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=2)
        async with running.client("ENABLE UIDONLY", "SELECT INBOX") as client:
            await client.ok(r"UID STORE 1 +FLAGS.SILENT (\Deleted)")
            assert await client.ok("UID EXPUNGE 1:*") == ["* VANISHED 1"]


async def test_an_examined_mailbox_keeps_all(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=1)
        async with running.client("SELECT INBOX") as client:
            await client.ok(r"STORE 1 +FLAGS.SILENT (\Deleted)")
            await client.ok("EXAMINE INBOX")
            assert (await client.no("EXPUNGE")).startswith("NO [READ-ONLY] ")
            assert await client.ok("CLOSE") == []
            assert await client.ok("STATUS INBOX (MESSAGES)") == ['* STATUS "INBOX" (MESSAGES 1)']
            await client.ok("SELECT INBOX")
            assert await client.ok("CLOSE") == []
            assert await client.ok("STATUS INBOX (MESSAGES)") == ['* STATUS "INBOX" (MESSAGES 0)']

"""STATUS with all of its items."""

import re
from pathlib import Path

from tests.imap import serving


async def test_all_items(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        await running.deliver(count=3)
        async with running.box() as box:
            await box.flags("INBOX", [1], ["\\Seen", "\\Deleted"], actor="test")
        (line,) = await client.ok(
            "STATUS inbox (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE HIGHESTMODSEQ "
            "MAILBOXID APPENDLIMIT)"
        )
        found = re.fullmatch(
            r'\* STATUS "INBOX" \(MESSAGES 3 RECENT \d UIDNEXT 4 UIDVALIDITY (\d+) UNSEEN 2 '
            r"DELETED 1 SIZE (\d+) HIGHESTMODSEQ (\d+) MAILBOXID \(([a-z0-9]{13})\) "
            r"APPENDLIMIT 52428800\)",
            line,
        )
        assert found, line
        (line,) = await client.ok("STATUS INBOX (DELETED-STORAGE)")
        assert line == f'* STATUS "INBOX" (DELETED-STORAGE {int(found[2]) // 3})'
        (line,) = await client.ok("STATUS INBOX (MAILBOXID)")
        assert line == f'* STATUS "INBOX" (MAILBOXID ({found[4]}))'


async def test_no_mailbox_no_status(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("CREATE a/b") as client:
        for name in ("nothing", "a"):
            said = await client.no(f"STATUS {name} (MESSAGES)")
            assert said == "NO [NONEXISTENT] There is no such mailbox"
        assert (await client.no("STATUS INBOX (FROBS)")).startswith("BAD ")


async def test_asking_for_modseqs_enables_them(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver()
        async with running.client("SELECT INBOX", "STATUS INBOX (HIGHESTMODSEQ)") as client:
            async with running.box() as box:
                await box.flags("INBOX", [1], ["\\Seen"], actor="test")
            (line,) = await client.ok("NOOP")
            assert re.fullmatch(r"\* 1 FETCH \(UID 1 FLAGS \(.*\) MODSEQ \(\d+\)\)", line)


async def test_the_first_word_of_mod_sequences_tells_the_present_one(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=1)
        for first in (
            "STATUS INBOX (HIGHESTMODSEQ)",
            'LIST "" INBOX RETURN (STATUS (HIGHESTMODSEQ))',
            "FETCH 1 MODSEQ",
            "FETCH 1 FLAGS (CHANGEDSINCE 1)",
            r"STORE 1 (UNCHANGEDSINCE 1) +FLAGS (\Seen)",
            "SEARCH MODSEQ 1",
            "SORT (DATE) UTF-8 MODSEQ 1",
        ):
            async with running.client("SELECT INBOX") as client:
                lines = await client.ok(first)
                assert any(line.startswith("* OK [HIGHESTMODSEQ ") for line in lines), first
                lines = await client.ok(first)
                assert not any(line.startswith("* OK [HIGHESTMODSEQ ") for line in lines), first

"""CREATE, DELETE, RENAME."""

import re
from pathlib import Path

from mtad.journal.reader import Reader
from tests.imap import serving
from tracing.events import BoxMailbox


async def test_create(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        lines = await client.command("CREATE Work/Bills/")
        assert re.fullmatch(r"t\d+ OK \[MAILBOXID \([a-z0-9]{13}\)\] CREATE completed", lines[-1])
        said = await client.no("CREATE Work/Bills")
        assert said == "NO [ALREADYEXISTS] There is such a mailbox already"
        await client.ok("CREATE Work")
        for name in ("inbox", "INBOX"):
            assert (await client.no(f"CREATE {name}")).startswith("NO [ALREADYEXISTS] ")
        for name in ('""', '"a//b"', '"/a"', '"a%"', '"a*"', '"' + "x" * 300 + '"'):
            assert (await client.no(f"CREATE {name}")).startswith(("NO [CANNOT] ", "BAD ")), name


async def test_create_with_a_use(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        await client.ok("CREATE Outgoing (USE (\\Sent))")
        assert await client.ok('LIST (SPECIAL-USE) "" *') == [
            '* LIST (\\HasNoChildren \\Sent) "/" "Outgoing"'
        ]
        assert (await client.no("CREATE All (USE (\\All))")).startswith("NO [USEATTR] ")


async def test_delete(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("CREATE a", "CREATE a/b") as client:
        await client.ok("DELETE a")
        assert await client.ok('LIST "" a*') == [
            '* LIST (\\Noselect \\HasChildren) "/" "a"',
            '* LIST (\\HasNoChildren) "/" "a/b"',
        ]
        assert (await client.no("DELETE a")).startswith("NO [HASCHILDREN] ")
        assert (await client.no("DELETE none")).startswith("NO [NONEXISTENT] ")
        assert (await client.no("DELETE inbox")).startswith("NO [CANNOT] ")
        assert (await client.no("SELECT a")).startswith("NO [NONEXISTENT] ")


async def test_the_selected_mailbox_can_be_deleted(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("CREATE a", "SELECT a") as client:
        (line,) = await client.ok("DELETE a")
        assert line.startswith("* OK [CLOSED] ")
        assert (await client.no("CHECK")).startswith("BAD ")


async def test_a_mailbox_that_another_session_deletes(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("CREATE a") as first:
        await running.deliver(mailbox="a", count=2)
        async with running.client("SELECT a") as second:
            await first.ok("DELETE a")
            assert await second.ok("NOOP") == ["* 2 EXPUNGE", "* 1 EXPUNGE"]
            assert await second.ok("NOOP") == []
            assert (await second.no("SELECT a")).startswith("NO [NONEXISTENT] ")


async def test_rename_takes_inferiors_along(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("CREATE a", "CREATE a/b") as client:
        await running.deliver(mailbox="a/b")
        (before,) = await client.ok("STATUS a/b (UIDVALIDITY MAILBOXID MESSAGES)")
        await client.ok("RENAME a x/y")
        (after,) = await client.ok("STATUS x/y/b (UIDVALIDITY MAILBOXID MESSAGES)")
        assert after.partition("(")[2] == before.partition("(")[2]
        assert (await client.no("SELECT a")).startswith("NO [NONEXISTENT] ")


async def test_rename_of_inbox_moves_what_is_in_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        await running.deliver(count=3)
        await client.ok("RENAME INBOX old")
        assert await client.ok("STATUS old (MESSAGES)") == ['* STATUS "old" (MESSAGES 3)']
        assert await client.ok("STATUS INBOX (MESSAGES)") == ['* STATUS "INBOX" (MESSAGES 0)']


async def test_rename_that_cannot_be(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("CREATE a", "CREATE b") as client:
        assert (await client.no("RENAME none c")).startswith("NO [NONEXISTENT] ")
        assert (await client.no("RENAME a b")).startswith("NO [ALREADYEXISTS] ")
        assert (await client.no("RENAME a inbox")).startswith("NO [ALREADYEXISTS] ")
        assert (await client.no("RENAME a a/c")).startswith("NO [CANNOT] ")
        assert (await client.no('RENAME a "x//y"')).startswith(("NO [CANNOT] ", "BAD "))


async def test_mailboxes_are_in_the_log_with_the_client(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client('ID ("name" "mutt")') as client:
        await client.ok("CREATE a")
        await client.ok("RENAME a b")
        await client.ok("DELETE b")
    reader = Reader(running.places.journal / "access-0")
    try:
        read = list(reader.frames(0))
    finally:
        reader.close()
    events = [event for one in read for event in one.events if isinstance(event, BoxMailbox)]
    assert [event.what for event in events][-3:] == ["created", "renamed", "deleted"]
    assert {event.actor for event in events[-3:]} == {"user:alice@local.test"}

"""SELECT, EXAMINE, CLOSE, UNSELECT, CHECK, and coming back with QRESYNC."""

import re
from pathlib import Path

import pytest

from mtad.store.box import Box
from tests.imap import Client, Running, serving


async def test_select_tells_the_mailbox(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        await running.deliver(count=3)
        async with running.box() as box:
            await box.flags("INBOX", [1], ["\\Seen", "$Label1"], actor="test")
        await client.talk(
            r"""
            C: d SELECT inbox
            S: \* FLAGS \(\\Answered \\Flagged \\Deleted \\Seen \\Draft \$Forwarded \$Label1\)
            S: \* OK \[PERMANENTFLAGS \(\\Answered .* \\Draft \$Forwarded \$Label1 \\\*\)\] .*
            S: \* 3 EXISTS
            S: \* \d RECENT
            S: \* OK \[UNSEEN 2\] .*
            S: \* OK \[UIDVALIDITY \d+\] .*
            S: \* OK \[UIDNEXT 4\] .*
            S: \* OK \[HIGHESTMODSEQ \d+\] .*
            S: \* OK \[MAILBOXID \([a-z0-9]{13}\)\] .*
            S: d OK \[READ-WRITE\] SELECT completed
            """
        )


async def test_rev2_tells_the_name_instead(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("ENABLE IMAP4rev2") as client:
        await running.deliver()
        lines = "\n".join(await client.ok("SELECT INBOX"))
        assert "RECENT" not in lines
        assert "[UNSEEN" not in lines
        assert '* LIST () "/" "INBOX"' in lines


async def test_examine_changes_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        await running.deliver()
        lines = await client.command("EXAMINE INBOX")
        assert "* OK [PERMANENTFLAGS ()] No flags can be changed" in lines
        assert lines[-1].endswith("OK [READ-ONLY] EXAMINE completed")
        async with running.box() as box:
            await box.flags("INBOX", [1], ["\\Deleted"], actor="test")
        await client.ok("CLOSE")
        assert await client.ok("STATUS INBOX (MESSAGES)") == ['* STATUS "INBOX" (MESSAGES 1)']


async def test_recent_is_for_one_session(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=2)
        async with running.client() as peek, running.client() as one, running.client() as two:
            assert "* 2 RECENT" in await peek.ok("EXAMINE INBOX")
            assert "* 2 RECENT" in await one.ok("SELECT INBOX")
            assert "* 0 RECENT" in await two.ok("SELECT INBOX")


async def test_another_select_closes_the_former(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("CREATE a") as client:
        first, *_ = await client.ok("SELECT INBOX")
        assert "CLOSED" not in first
        first, *_ = await client.ok("SELECT a")
        assert first == "* OK [CLOSED] The former mailbox is closed"
        lines = await client.command("SELECT nothing")
        assert lines[0].startswith("* OK [CLOSED] ")
        assert " NO [NONEXISTENT] " in lines[-1]
        assert (await client.no("CHECK")).startswith("BAD ")


async def test_close_expunges_and_unselect_does_not(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("SELECT INBOX") as client:
        await running.deliver(count=3)
        async with running.box() as box:
            await box.flags("INBOX", [1, 3], ["\\Deleted"], actor="test")
        await client.ok("UNSELECT")
        assert await client.ok("STATUS INBOX (MESSAGES)") == ['* STATUS "INBOX" (MESSAGES 3)']
        await client.ok("SELECT INBOX")
        await client.ok("CHECK")
        assert await client.ok("CLOSE") == []
        assert await client.ok("STATUS INBOX (MESSAGES)") == ['* STATUS "INBOX" (MESSAGES 1)']
        assert (await client.no("CLOSE")).startswith("BAD ")


async def facts(client: Client) -> tuple[int, int]:
    (line,) = await client.ok("STATUS INBOX (UIDVALIDITY HIGHESTMODSEQ)")
    found = re.search(r"UIDVALIDITY (\d+) HIGHESTMODSEQ (\d+)", line)
    assert found
    return int(found[1]), int(found[2])


async def changed(running: Running) -> None:
    """Of ten messages: 2 is flagged, 3, 4 and 9 go, 11 comes."""
    async with running.box() as box:
        await box.flags("INBOX", [2], ["\\Flagged"], actor="test")
        await box.expunge("INBOX", [3, 4, 9], actor="test")
    await running.deliver()


@pytest.mark.parametrize(
    ("parameters", "vanished", "fetched"),
    [
        ("", "3:4,9", [2, 11]),
        (" 1:3", "3", [2]),
        (" 1:10", "3:4,9", [2]),
        (" 5:20 (1,5 1,6)", "9", [11]),
        (" 1:10 (1:3 1:3)", "3:4,9", [2]),
    ],
)
async def test_qresync(parameters: str, vanished: str, fetched: list[int], tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=10)
        async with running.client() as client:
            uidvalidity, modseq = await facts(client)
        await changed(running)
        async with running.client("ENABLE QRESYNC") as client:
            lines = await client.ok(f"SELECT INBOX (QRESYNC ({uidvalidity} {modseq}{parameters}))")
            assert "* 8 EXISTS" in lines
            assert f"* VANISHED (EARLIER) {vanished}" in lines
            found = [re.search(r"FETCH \(UID (\d+) FLAGS .* MODSEQ", line) for line in lines]
            assert [int(one[1]) for one in found if one] == fetched


async def test_qresync_for_another_uidvalidity_tells_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=10)
        async with running.client() as client:
            uidvalidity, modseq = await facts(client)
        await changed(running)
        async with running.client("ENABLE QRESYNC") as client:
            lines = await client.ok(f"SELECT INBOX (QRESYNC ({uidvalidity + 1} {modseq}))")
            assert not any("VANISHED" in line or "FETCH" in line for line in lines)
            lines = await client.ok(f"SELECT INBOX (QRESYNC ({uidvalidity} 99999))")
            assert not any("VANISHED" in line or "FETCH" in line for line in lines)


async def test_qresync_must_be_enabled(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        assert (await client.no("SELECT INBOX (QRESYNC (1 1))")).startswith("BAD ")
        await client.ok("SELECT INBOX (CONDSTORE)")


async def test_what_comes_while_coming_back_is_told_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=10)
        async with running.client() as client:
            uidvalidity, modseq = await facts(client)
        await changed(running)
        vanished = Box.vanished

        async def meanwhile(box: Box, mailbox: str, since: int) -> list[int]:
            await running.deliver()
            await box.expunge("INBOX", [5], actor="test")
            return await vanished(box, mailbox, since)

        monkeypatch.setattr(Box, "vanished", meanwhile)
        async with running.client("ENABLE QRESYNC") as client:
            lines = await client.ok(f"SELECT INBOX (QRESYNC ({uidvalidity} {modseq}))")
            assert "* 8 EXISTS" in lines
            assert "* VANISHED (EARLIER) 3:4,9" in lines
            assert not any(line.startswith("* 0 FETCH") or "UID 12 " in line for line in lines)
            assert await client.ok("NOOP") == ["* VANISHED 5", "* 8 EXISTS", "* 8 RECENT"]


async def test_without_numbers_none_are_compared(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        await client.ok("ENABLE UIDONLY QRESYNC")
        await client.ok("SELECT INBOX")
        for command in ("SELECT", "EXAMINE"):
            asked = f"{command} INBOX (QRESYNC (1 1 1:5 (1,3 1,5)))"
            assert (await client.no(asked)).startswith("BAD [UIDREQUIRED] ")
        await client.ok("UID SEARCH ALL")
        await client.ok("SELECT INBOX (QRESYNC (1 1 1:5))")


async def test_close_tells_no_mod_sequence(tmp_path: Path) -> None:
    """What was expunged was not told, so the client must not go on from there (RFC 7162 3.2.8)."""
    async with serving(tmp_path) as running:
        await running.deliver(count=2)
        async with running.client("ENABLE QRESYNC", "SELECT INBOX") as client:
            await client.ok(r"STORE 1 +FLAGS (\Deleted)")
            (line,) = await client.command("CLOSE")
            assert " OK CLOSE completed" in line
            _, *lines = await client.command("SELECT INBOX")
            assert "* 1 EXISTS" in lines


async def test_nothing_is_recent_in_rev2(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=1)
        async with running.client("ENABLE IMAP4rev2", "SELECT INBOX") as client:
            assert await client.ok("FETCH 1 FLAGS") == ["* 1 FETCH (FLAGS ())"]
            await running.deliver(count=1)
            assert await client.ok("NOOP") == ["* 2 EXISTS"]
            assert await client.ok("FETCH 2 FLAGS") == ["* 2 FETCH (FLAGS ())"]
        async with running.client("SELECT INBOX") as client:
            assert await client.ok("FETCH 2 FLAGS") == [r"* 2 FETCH (FLAGS (\Recent))"]

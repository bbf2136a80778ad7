"""STORE and UID STORE (RFC 9051 6.4.6, RFC 7162 3.1.3, RFC 9586)."""

import re
from pathlib import Path

import pytest

from mtad.imap.handlers import store
from tests.imap import serving
from tests.imap_acts import events
from tracing.events import BoxFlags


async def test_flags_are_added_taken_away_and_replaced(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=3)
        async with running.client("SELECT INBOX") as client:
            await client.ok("NOOP")
            said = await client.ok(r"STORE 2:3 +FLAGS (\Seen \Flagged)")
            assert said == [
                r"* 2 FETCH (FLAGS (\Flagged \Seen \Recent))",
                r"* 3 FETCH (FLAGS (\Flagged \Seen \Recent))",
            ]
            said = await client.ok(r"STORE 2 -FLAGS \Flagged \Answered")
            assert said == [r"* 2 FETCH (FLAGS (\Seen \Recent))"]
            said = await client.ok(r"STORE 3 FLAGS (\Deleted)")
            assert said == [r"* 3 FETCH (FLAGS (\Deleted \Recent))"]
            said = await client.ok("STORE 3 FLAGS ()")
            assert said == [r"* 3 FETCH (FLAGS (\Recent))"]
            said = await client.ok(r"UID STORE 1,2,77 +FLAGS (\Seen)")
            assert said == [
                r"* 1 FETCH (UID 1 FLAGS (\Seen \Recent))",
                r"* 2 FETCH (UID 2 FLAGS (\Seen \Recent))",
            ]
            assert await client.ok(r"UID STORE 99 +FLAGS (\Seen)") == []


async def test_silence(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=2)
        async with running.client("SELECT INBOX") as client:
            assert await client.ok(r"STORE 1:2 +FLAGS.SILENT (\Seen)") == []
            assert await client.ok("NOOP") == []
            fetched = await client.ok("FETCH 1 FLAGS")
            assert fetched == [r"* 1 FETCH (FLAGS (\Seen \Recent))"]


async def test_keywords_are_announced_before_they_are_used(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=1)
        async with running.client("SELECT INBOX") as client:
            flags, permanent, fetched = await client.ok("STORE 1 +FLAGS ($Label1 NonJunk)")
            assert flags.startswith("* FLAGS (")
            assert "$Label1" in flags
            assert "NonJunk" in permanent
            assert fetched == r"* 1 FETCH (FLAGS ($Label1 NonJunk \Recent))"
            assert await client.ok("STORE 1 +FLAGS (nonjunk)") == [
                r"* 1 FETCH (FLAGS ($Label1 NonJunk \Recent))"
            ]
            assert await client.ok("STORE 1 -FLAGS ($label1)") == [
                r"* 1 FETCH (FLAGS (NonJunk \Recent))"
            ]
            assert await client.ok("STORE 1 FLAGS ($Forwarded)") == [
                r"* 1 FETCH (FLAGS ($Forwarded \Recent))"
            ]
            assert await client.ok("SEARCH KEYWORD $FORWARDED") == ["* SEARCH 1"]


@pytest.mark.parametrize(
    "command",
    [
        r"STORE 1 +FLAGS (\Recent)",
        r"STORE 1 +FLAGS (\Unheard)",
        r"STORE 1 +FLAGS (\*)",
        "STORE 1 +FLAGS",
        r"STORE 9 +FLAGS (\Seen)",
        r"STORE 0 +FLAGS (\Seen)",
        "STORE 1 +LABELS (a)",
        "STORE 1 +FLAGS (a]b)",
    ],
)
async def test_what_cannot_be_stored(command: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=1)
        async with running.client("SELECT INBOX") as client:
            assert (await client.no(command)).startswith("BAD ")
            assert await client.ok("FETCH 1 FLAGS") == [r"* 1 FETCH (FLAGS (\Recent))"]


async def test_keywords_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_KEYWORDS", 3)
    async with serving(tmp_path) as running:
        await running.deliver(count=1)
        async with running.client("SELECT INBOX") as client:
            await client.ok("STORE 1 +FLAGS (a b c)")
            assert (await client.no("STORE 1 +FLAGS (d)")).startswith("NO [LIMIT] ")
            await client.ok("STORE 1 +FLAGS (a)")
            await client.ok("STORE 1 -FLAGS (z)")


async def test_examined_mailboxes_are_not_changed(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=1)
        async with running.client("EXAMINE INBOX") as client:
            assert (await client.no(r"STORE 1 +FLAGS (\Seen)")).startswith("NO [READ-ONLY] ")


async def test_unchanged_since(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=3)
        async with (
            running.client("SELECT INBOX") as client,
            running.client("SELECT INBOX") as other,
        ):
            highest, first = await client.ok("FETCH 1 (MODSEQ)")
            assert highest.startswith("* OK [HIGHESTMODSEQ ")
            found = re.fullmatch(r"\* 1 FETCH \(MODSEQ \((\d+)\)\)", first)
            assert found is not None
            await other.ok(r"STORE 2 +FLAGS (\Flagged)")
            lines = await client.command(
                rf"UID STORE 1:3 (UNCHANGEDSINCE {found[1]}) +FLAGS.SILENT (\Seen)"
            )
            assert re.match(r"t\d+ OK \[MODIFIED 2\] ", lines[-1])
            told = [line for line in lines[:-1] if "FLAGS" not in line]
            assert [re.sub(r"\d+\)\)$", "N))", line) for line in told] == [
                "* 1 FETCH (UID 1 MODSEQ (N))",
                "* 3 FETCH (UID 3 MODSEQ (N))",
            ]
            assert any(r"* 2 FETCH (UID 2 FLAGS (\Flagged" in line for line in lines)
            refused = await client.command(r"STORE 1:3 (UNCHANGEDSINCE 0) +FLAGS (\Draft)")
            assert "OK [MODIFIED 1:3]" in refused[-1]
            # Also of what was so already the mod-sequence is told (RFC 7162 3.1.3).
            (again,) = await client.ok(rf"STORE 1 (UNCHANGEDSINCE {2**40}) +FLAGS.SILENT (\Seen)")
            assert re.fullmatch(r"\* 1 FETCH \(MODSEQ \(\d+\)\)", again)


async def test_another_sessions_flags_are_told(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=1)
        async with (
            running.client("SELECT INBOX") as client,
            running.client("SELECT INBOX") as other,
        ):
            await other.ok(r"STORE 1 +FLAGS (\Answered)")
            (told,) = await client.ok("NOOP")
            assert told == r"* 1 FETCH (UID 1 FLAGS (\Answered \Recent))"


async def test_a_message_that_is_gone(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=2)
        async with (
            running.client("SELECT INBOX") as client,
            running.client("SELECT INBOX") as other,
        ):
            await other.ok(r"STORE 1 +FLAGS.SILENT (\Deleted)")
            await other.ok("EXPUNGE")
            lines = await client.command(r"STORE 1:2 +FLAGS (\Seen)")
            assert lines[0].startswith(r"* 2 FETCH (FLAGS (\Seen")
            assert not any("EXPUNGE" in line for line in lines[:-1])
            assert " NO [EXPUNGEISSUED] " in lines[-1]
            assert await client.ok("NOOP") == ["* 1 EXPUNGE"]
            assert (await client.ok(r"UID STORE 1:2 +FLAGS.SILENT (\Draft)")) == []


async def test_uids_only(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=1)
        async with running.client("ENABLE UIDONLY", "SELECT INBOX") as client:
            refused = await client.no(r"STORE 1 +FLAGS (\Seen)")
            assert refused.startswith("BAD [UIDREQUIRED] ")
            said = await client.ok(r"UID STORE 1 +FLAGS (\Seen)")
            assert said == [r"* 1 UIDFETCH (FLAGS (\Seen \Recent))"]


async def test_the_event_names_who_and_with_what(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=3)
        identity = 'ID ("name" "Thunderbird" "version" "128")'
        async with running.client(identity, "SELECT INBOX") as client:
            await client.ok(r"STORE 1:2 +FLAGS (\Seen)")
        (flags,) = events(running, "box.flags")
        assert isinstance(flags, BoxFlags)
        assert (flags.actor, flags.added) == ("user:alice@local.test", ("\\Seen",))
        assert flags.client == "imap Thunderbird 128 from 127.0.0.1"
        assert [item.uid for item in flags.items] == [1, 2]


async def test_forwarded_that_another_program_keeps_as_a_keyword(tmp_path: Path) -> None:
    """Dovecot gives $Forwarded a letter of its own instead of Maildir's P."""
    async with serving(tmp_path) as running:
        await running.deliver(count=2, sync=False)
        folder = running.folder() / "Maildir"
        (folder / "dovecot-keywords").write_text("0 $Forwarded\n1 Junk\n")
        for path in (folder / "new").iterdir():
            path.rename(folder / "cur" / f"{path.name}:2,ab")
        async with running.client() as client:
            flags, permanent, *_ = await client.ok("SELECT INBOX")
            assert flags.count("$Forwarded") == permanent.count("$Forwarded") == 1
            said = await client.ok("FETCH 1 FLAGS")
            assert said == [r"* 1 FETCH (FLAGS ($Forwarded Junk \Recent))"]
            await client.ok("STORE 1 +FLAGS ($forwarded)")
            assert await client.ok("FETCH 1 FLAGS") == said
            assert await client.ok("SEARCH KEYWORD $Forwarded") == ["* SEARCH 1 2"]
            assert await client.ok("STORE 1 -FLAGS ($Forwarded)") == [
                r"* 1 FETCH (FLAGS (Junk \Recent))"
            ]
            assert await client.ok("SEARCH KEYWORD $Forwarded") == ["* SEARCH 2"]

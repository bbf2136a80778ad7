"""What is told unasked, when, and how it is spelled."""

from pathlib import Path

import pytest

from mtad.imap.handlers import table
from mtad.imap.session import Session, State
from tests.imap import serving


async def nothing(session: Session, command: object) -> None:
    """A command that changes nothing."""


@pytest.fixture
def numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    """CHECK is answered as FETCH is: no expunge before its end."""
    entry = table.Entry(nothing, State.SELECTED, numbered=True)
    monkeypatch.setitem(table.TABLE, "CHECK", entry)


@pytest.mark.usefixtures("numbered")
async def test_numbers_stay_while_they_are_used(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=5)
        async with running.client("SELECT INBOX") as client, running.box() as box:
            await box.expunge("INBOX", [2, 4], actor="test")
            await running.deliver()
            await box.flags("INBOX", [5], ["\\Seen"], actor="test")
            (line,) = await client.ok("CHECK")
            assert line.startswith("* 5 FETCH (UID 5 FLAGS (\\Seen")
            lines = await client.ok("NOOP")
            assert lines[:3] == ["* 4 EXPUNGE", "* 2 EXPUNGE", "* 4 EXISTS"]


async def test_with_qresync_expunges_are_uids(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=5)
        async with (
            running.client("ENABLE QRESYNC", "SELECT INBOX") as client,
            running.box() as box,
        ):
            await box.expunge("INBOX", [2, 3, 5], actor="test")
            await box.flags("INBOX", [4], ["\\Flagged"], actor="test")
            lines = await client.ok("NOOP")
            assert lines[0] == "* VANISHED 2:3,5"
            assert lines[-1].startswith("* 2 FETCH (UID 4 FLAGS (\\Flagged")
            assert " MODSEQ (" in lines[-1]


async def test_no_vanished_line_is_long(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=3000)
        async with running.client("ENABLE QRESYNC") as client:
            lines = await client.ok("SELECT INBOX")
            uidvalidity = next(line for line in lines if "UIDVALIDITY" in line).split()[3][:-1]
            async with running.box() as box:
                await box.expunge("INBOX", list(range(1, 3000, 2)), actor="test")
            told = await client.ok("NOOP")
            assert max(map(len, told)) < 4200
            earlier = await client.ok(f"SELECT INBOX (QRESYNC ({uidvalidity} 1))")
            assert sum(line.startswith("* VANISHED (EARLIER) ") for line in earlier) == len(told)
            uids = [number for line in told for number in line.split()[-1].split(",")]
            assert uids == [str(uid) for uid in range(1, 3000, 2)]


async def test_with_uidonly_everything_is_a_uid(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=3)
        async with (
            running.client("ENABLE UIDONLY", "SELECT INBOX") as client,
            running.box() as box,
        ):
            await box.expunge("INBOX", [1], actor="test")
            await box.flags("INBOX", [3], ["\\Flagged"], actor="test")
            lines = await client.ok("NOOP")
            assert lines[0] == "* VANISHED 1"
            assert lines[-1].startswith("* 3 UIDFETCH (FLAGS (\\Flagged")


async def test_a_keyword_that_nobody_had_is_announced_first(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver()
        async with running.client("SELECT INBOX") as client, running.box() as box:
            await box.flags("INBOX", [1], ["Work"], actor="test")
            lines = await client.ok("NOOP")
            assert lines[0].startswith("* FLAGS (\\Answered ")
            assert lines[0].endswith(" \\Draft $Forwarded Work)")
            assert lines[1].startswith("* OK [PERMANENTFLAGS (")
            assert lines[2].startswith("* 1 FETCH (UID 1 FLAGS (Work")


async def test_arrivals_and_expunges_of_the_same_moment(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("SELECT INBOX") as client:
        await running.deliver(count=2)
        async with running.box() as box:
            await box.expunge("INBOX", [1], actor="test")
        lines = await client.ok("NOOP")
        assert lines[0] == "* 1 EXISTS"
        assert not any("EXPUNGE" in line for line in lines)

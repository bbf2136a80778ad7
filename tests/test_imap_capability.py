"""CAPABILITY, NOOP and ID, and that nothing is announced that is not there."""

from pathlib import Path

from mtad.imap.capabilities import CAPABILITIES
from mtad.imap.handlers.table import TABLE
from tests.imap import serving

COMMANDS = {
    "COMPRESS=DEFLATE": {"COMPRESS"},
    "ENABLE": {"ENABLE"},
    "ID": {"ID"},
    "IDLE": {"IDLE"},
    "METADATA": {"GETMETADATA", "SETMETADATA"},
    "NAMESPACE": {"NAMESPACE"},
    "NOTIFY": {"NOTIFY"},
    "QUOTA": {"GETQUOTA", "GETQUOTAROOT"},
    "UNSELECT": {"UNSELECT"},
    "MOVE": {"MOVE"},
    "UIDPLUS": {"EXPUNGE", "APPEND", "COPY"},
    "SORT": {"SORT"},
    "THREAD=REFERENCES": {"THREAD"},
    "REPLACE": {"REPLACE"},
    "ACL": {"SETACL", "DELETEACL", "LISTRIGHTS", "GETACL", "MYRIGHTS"},
}


def test_what_is_announced_can_be_asked() -> None:
    names = [one.name for one in CAPABILITIES]
    assert len(set(names)) == len(names)
    for name in names:
        assert COMMANDS.get(name, set()) <= TABLE.keys(), name


async def test_capabilities_change_with_the_state(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, max_message_bytes=100_000) as running,
        running.connect() as client,
    ):
        greeting = await client.line()
        (before,) = await client.ok("CAPABILITY")
        assert f"[{before.removeprefix('* ')}]" in greeting
        assert {"IMAP4rev1", "IMAP4rev2", "LITERAL+", "SASL-IR"} <= set(before.split())
        assert "QRESYNC" not in before
        lines = await client.command('LOGIN alice@local.test "correct horse"')
        (after,) = await client.ok("CAPABILITY")
        assert f"[{after.removeprefix('* ')}]" in lines[-1]
        assert "APPENDLIMIT=100000" in after.split()
        assert "AUTH=" not in after
        assert len(set(after.split())) == len(after.split())


async def test_noop_notices_what_other_programs_did(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("SELECT INBOX") as client:
        assert await client.ok("NOOP") == []
        await running.deliver(sync=False)
        assert await client.ok("NOOP") == ["* 1 EXISTS", "* 1 RECENT"]


async def test_id_names_the_client_in_events(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        (said,) = await client.ok('ID ("name" "K-9 Mail" "Version" "6.8" "os" NIL)')
        assert said.startswith('* ID ("name" "mtad" "version" "')
        (dialog,) = running.service.sessions
        assert dialog.session.client == "imap K-9 Mail 6.8 from 127.0.0.1"
        await client.ok("ID NIL")
        assert dialog.session.client == "imap from 127.0.0.1"
        await client.ok('ID ("name" {})', "x" * 500)
        assert len(dialog.session.client) < 120

"""A mailbox of many messages, and one of many octets, through IMAP: answers are right.

The figures of 500,000 messages are ``benchmarks/big_mailbox.py``'s.
"""

import os
import re
from pathlib import Path

import pytest

from mtad.store import cache_filling, maildir
from tests.imap import ALICE, Running, serving

COUNT = 3000
SIZE = 50 * 2**20
TEXT = b"Subject: one of many\n\nhello\n"


def links(running: Running) -> None:
    """Hard links of one file; every third is unseen."""
    folder = running.folder(ALICE) / "Maildir"
    source = folder / "tmp" / "source"
    source.write_bytes(TEXT)
    for number in range(COUNT):
        name = f"{number:06}.many,S={len(TEXT)},W={len(TEXT) + 3}:2,{'S' * (number % 3 > 0)}"
        os.link(source, folder / "cur" / name)


async def test_what_clients_do_with_all_of_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        links(running)
        async with running.client() as client:
            assert f"* {COUNT} EXISTS" in await client.ok("SELECT INBOX")
            flags = await client.ok("FETCH 1:* (FLAGS)")
            assert len(flags) == COUNT
            assert sum("\\Seen" in line for line in flags) == COUNT - (COUNT + 2) // 3
            (found,) = await client.ok("UID SEARCH UNSEEN")
            assert len(found.split()) - 2 == (COUNT + 2) // 3
            sizes = await client.ok("FETCH 1:* (RFC822.SIZE)")
            assert {re.sub(r"\* \d+ ", "", line) for line in sizes} == {
                f"FETCH (RFC822.SIZE {len(TEXT) + 3})"
            }
            await client.ok("STORE 1:* +FLAGS.SILENT (\\Flagged)")
            (found,) = await client.ok("UID SEARCH RETURN (COUNT) FLAGGED")
            assert found.endswith(f"COUNT {COUNT}")
            await client.ok("STORE 17 -FLAGS (\\Flagged)")
            assert f"* {COUNT} EXISTS" in await client.ok("SELECT INBOX")
            await running.deliver()
            assert f"* {COUNT + 1} EXISTS" in await client.ok("NOOP")
        names = os.listdir(running.folder(ALICE) / "Maildir" / "cur")
        assert sum("F" in name.rpartition(":2,")[2] for name in names) == COUNT - 1


async def test_fifty_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In sparse files: sizes, listing and quota read none of it."""
    monkeypatch.setattr(cache_filling, "SOON_SECONDS", 3600)
    monkeypatch.setattr(maildir, "wire_size", None)
    count = 50 * 2**30 // SIZE
    async with serving(tmp_path) as running:
        cur = running.folder(ALICE) / "Maildir" / "cur"
        for number in range(count):
            path = cur / f"{number:06}.big,S={SIZE},W={SIZE + 3}:2,S"
            path.write_bytes(TEXT)
            os.truncate(path, SIZE)
        async with running.client("SELECT INBOX") as client:
            sizes = await client.ok("FETCH 1:* (RFC822.SIZE)")
            assert len(sizes) == count
            assert sizes[-1] == f"* {count} FETCH (RFC822.SIZE {SIZE + 3})"
            (said,) = await client.ok("STATUS INBOX (SIZE)")
            assert int(re.sub(r"\D", "", said)) == count * (SIZE + 3)
            async with running.box() as box:
                assert (await box.quota()).bytes == count * SIZE
            (found,) = await client.ok(f"UID SEARCH LARGER {SIZE}")
            assert len(found.split()) - 2 == count

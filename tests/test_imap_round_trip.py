"""What is stored comes back as it is: every message of the corpus and our own odd ones."""

import asyncio
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from mtad.mime.message import wire
from tests import mails
from tests.corpus import Mail
from tests.imap import Client, Running, serving

SOAK = bool(os.environ.get("MTAD_SOAK"))
EACH = 1 if SOAK else 25
"""Every how many-th message goes in by APPEND; by delivery it is all of them."""
_FETCHED = re.compile(rb"\* (\d+) FETCH \(UID (\d+) RFC822\.SIZE (\d+) BODY\[\] \{(\d+)\}\r\n")


@pytest.fixture(scope="module")
def messages(corpus: Sequence[Mail]) -> list[bytes]:
    every = {mail.path: mail.data for mail in (*mails.ours(), *corpus)}
    return [data for data in every.values() if data]


def shown(data: bytes) -> bytes:
    """A message as clients see it: CRLF, and octet 128 for NUL, which no literal may have."""
    return wire(data).replace(b"\0", b"\x80")


async def fetched(client: Client) -> list[bytes]:
    """All messages of the selected mailbox, octet for octet, in order."""
    await client.send(b"f UID FETCH 1:* (RFC822.SIZE BODY.PEEK[])\r\n")
    found: list[bytes] = []
    while True:
        line = await asyncio.wait_for(client.reader.readline(), 30)
        if not line.startswith(b"* "):
            assert line.startswith(b"f OK"), line
            return found
        said = _FETCHED.fullmatch(line)
        assert said is not None, line
        assert int(said[1]) == len(found) + 1
        assert said[3] == said[4], f"RFC822.SIZE of message {said[2].decode()}"
        found.append(await client.reader.readexactly(int(said[4])))
        assert await client.reader.readline() == b")\r\n"


def compare(found: Sequence[bytes], expected: Sequence[bytes]) -> None:
    assert len(found) == len(expected)
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert one == other, f"message {number}"


async def test_delivered_messages(tmp_path: Path, messages: list[bytes]) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(*messages)
        async with running.client("EXAMINE INBOX", limit=2**24) as client:
            compare(await fetched(client), [shown(data) for data in messages])
            await nothing_fails(client, len(messages))


async def nothing_fails(client: Client, count: int) -> None:
    """Envelopes, structures, previews and searches of whatever there is."""
    for items in ("ENVELOPE BODYSTRUCTURE BODY", "PREVIEW THREADID BINARY.SIZE[1]", "BODY[1.MIME]"):
        lines = await client.command(f"FETCH 1:* (UID {items})")
        assert sum(line.startswith("* ") for line in lines[:-1]) == count
    assert len((await client.ok("SEARCH TEXT e"))[0].split()) > count // 2
    assert len((await client.ok("SORT (SUBJECT FROM DATE) UTF-8 ALL"))[0].split()) == count + 2
    (threads,) = await client.ok("THREAD REFERENCES UTF-8 ALL")
    assert len(re.findall(r"\d+", threads)) == count


async def test_appended_messages(tmp_path: Path, messages: list[bytes]) -> None:
    chosen = [data for data in messages[::EACH] if b"\0" not in data]
    async with serving(tmp_path) as running, running.client("SELECT INBOX") as client:
        for number, data in enumerate(chosen):
            sent = wire(data)
            await client.send(b"a%d APPEND INBOX {%d+}\r\n%b\r\n" % (number, len(sent), sent))
            assert " OK [APPENDUID " in (await client.answer(f"a{number}"))[-1]
        compare(await fetched(client), [wire(data) for data in chosen])
        await exact_in_files(running, chosen)


async def exact_in_files(running: Running, chosen: Sequence[bytes]) -> None:
    """Files are as they would be had the messages been delivered: line ends LF."""
    async with running.box() as box:
        rows = await box.rows("INBOX", range(1, len(chosen) + 1))
    for row, data in zip(rows, chosen, strict=True):
        stored = (running.folder() / "Maildir" / "cur" / row.name).read_bytes()
        assert wire(stored) == wire(data)
        if b"\r" not in data:
            assert stored == data

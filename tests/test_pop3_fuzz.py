"""Whatever a client says: answers, no bug of ours in the log, a box that is as it was."""

import asyncio
import logging
import random
from pathlib import Path

import pytest

from tests.pop3 import ALICE, MAIL, SECRET, serving

VERBS = (
    b"STAT LIST RETR DELE NOOP RSET TOP UIDL USER PASS AUTH CAPA STLS UTF8 APOP XTND LAST".split()
)
ARGUMENTS = (
    b"", b"1", b"2", b"0", b"-1", b"99999999999", b"1 0", b"1 5 9", b"\xff\xfe", b"x" * 300,
    b"\0", b"PLAIN", b"PLAIN =", b"PLAIN AGEAYg==", b"SCRAM-SHA-256 biws", b"*", b"\r", b" 1 ",
)  # fmt: skip
ENDS = (b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r\r\n", b"")


def script(rng: random.Random) -> bytes:
    """Some hundred lines, most of them nearly commands."""
    lines = []
    for _ in range(300):
        verb = rng.choice(VERBS)
        line = verb + b" " + rng.choice(ARGUMENTS) if rng.random() < 0.7 else verb
        if rng.random() < 0.1:
            at = rng.randrange(len(line) + 1)
            line = line[:at] + rng.randbytes(rng.randrange(4)) + line[at:]
        lines.append(line + rng.choice(ENDS))
    return b"".join(lines)


@pytest.mark.parametrize("seed", range(12))
async def test_noise(tmp_path: Path, seed: int, caplog: pytest.LogCaptureFixture) -> None:
    rng = random.Random(seed)
    async with serving(tmp_path, max_errors=10_000) as running:
        running.deliver(MAIL % 1, MAIL % 2)
        async with running.client() as client:
            await client.line()
            if seed % 2:
                login = f"USER {ALICE}\r\nPASS {SECRET}\r\n"
                await client.send(login.encode())
                await client.line()
                assert (await client.line()).startswith("+OK")
            said = script(rng)
            size = rng.choice((1, 7, 500, len(said)))
            for at in range(0, len(said), size):
                client.writer.write(said[at : at + size])
            client.writer.write_eof()
            answers = await asyncio.wait_for(client.reader.read(-1), 30)
        assert answers.count(b"\r\n") > 3
        assert b"internal" not in answers
        assert len(running.files()) == 2
        await running.over()
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []

"""Real mail through the receiver: every octet arrives, and only what the RFC demands is refused."""

import asyncio
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import uvloop

from mtad.journal import content
from mtad.where import Places
from tests.corpus import Mail
from tests.dialog import Running, connect, server, wire

CONNECTIONS = 8
OWN_LINES = re.compile(rb"\AReturn-Path: [^\n]*\nReceived: [^\n]*\n(?:[ \t][^\n]*\n)*")
GROUP = b"MAIL FROM:<sender@x.test> BODY=8BITMIME\r\nRCPT TO:<alice@local.test>\r\nDATA\r\n"


def on_the_wire(raw: bytes) -> tuple[bytes, bytes, bool]:
    """What is sent after DATA, what must arrive, and whether a CR stands alone in it."""
    octets = wire(raw)
    lone = re.search(rb"\r(?!\n)", octets) is not None
    stored = re.sub(rb"(?<!\r)\n", b"\r\n", raw)
    if stored and not stored.endswith(b"\r\n"):
        stored += b"\r\n"
    return octets, stored.replace(b"\r\n", b"\n"), lone


async def send(running: Running, mails: Sequence[Mail]) -> dict[str, str]:
    """Send mails over a connection, a new one after each that closes; replies by path."""
    replies, waiting = {}, list(mails)
    while waiting:
        async with connect(running.port) as client:
            await client.line()
            await client.send(b"EHLO corpus.test\r\n")
            await client.reply()
            while waiting:
                mail = waiting.pop(0)
                await client.send(GROUP)
                for code in ("250", "250", "354"):
                    assert (await client.line()).startswith(code)
                await client.send(on_the_wire(mail.data)[0])
                reply = await client.line()
                replies[mail.path] = reply
                if not reply.startswith("250"):
                    assert await client.line() == "EOF"
                    break
    return replies


def test_corpus(corpus: Sequence[Mail], tmp_path: Path) -> None:
    async def run() -> None:
        async with server(tmp_path) as running:
            parts = [corpus[start::CONNECTIONS] for start in range(CONNECTIONS)]
            answered = await asyncio.gather(*(send(running, part) for part in parts))
            replies = {path: reply for part in answered for path, reply in part.items()}
            check(running, replies)

    def check(running: Running, replies: dict[str, str]) -> None:
        journal = running.journal
        said = {event.trace: event.reply for event in journal.all("smtp.accept")}
        stored: dict[str, bytes] = {}
        for meta, body in journal.frames:
            assert meta.content is not None
            m = meta.content.m
            path = content.path_of(Places(tmp_path), m)
            stored[said[m]] = body if meta.content.inline else path.read_bytes()
            assert hashlib.sha256(stored[said[m]]).digest() == meta.content.sha256
        refused = 0
        for mail in corpus:
            _, expected, lone = on_the_wire(mail.data)
            reply = replies[mail.path]
            if lone:
                refused += 1
                assert reply.startswith("550 5.6.11 "), mail.path
                continue
            assert reply.startswith("250 2.0.0 queued as "), (mail.path, reply)
            data = stored[reply]
            own = OWN_LINES.match(data)
            assert own is not None
            # A message may begin with a line that continues nothing: count ours exactly.
            assert data.endswith(expected)
            assert data[: len(data) - len(expected)].count(b"\n") == 5, mail.path
        assert len(journal.frames) == len(corpus) - refused
        assert len(journal.all("smtp.reject")) == refused
        assert not journal.all("smtp.protocol")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())

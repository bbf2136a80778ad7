"""IDLE: news as they come."""

import asyncio
from pathlib import Path

from tests.imap import Client, serving


async def idle(client: Client, dialog: str = "") -> None:
    await client.send(b"i IDLE\r\n")
    await client.talk(f"S: \\+ .*\n{dialog}")


async def done(client: Client) -> None:
    await client.send(b"DONE\r\n")
    await client.talk("S: i OK IDLE terminated")


async def test_news_come_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=3)
        async with running.client("SELECT INBOX") as client:
            await idle(client)
            await running.deliver()
            await client.talk("S: \\* 4 EXISTS\nS: \\* \\d RECENT")
            async with running.box() as box:
                await box.flags("INBOX", [2], ["\\Seen"], actor="test")
                await client.talk(r"S: \* 2 FETCH \(UID 2 FLAGS \(\\Seen.*\)\)")
                await box.expunge("INBOX", [1, 3], actor="test")
                await client.talk("S: \\* 3 EXPUNGE\nS: \\* 1 EXPUNGE")
            await done(client)
            assert await client.ok("NOOP") == []


async def test_what_happened_before_is_told_first(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("SELECT INBOX") as client:
        await running.deliver()
        await idle(client, "S: \\* 1 EXISTS\nS: \\* 1 RECENT")
        await done(client)


async def test_idle_without_a_mailbox(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        await idle(client)
        await running.deliver()
        await done(client)


async def test_only_done_ends_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        await idle(client)
        await client.talk("C: done\nS: i OK .*")
        await idle(client)
        await client.talk("C: x NOOP\nS: i BAD IDLE ends with DONE\nC: y NOOP\nS: y OK .*")


async def test_a_word_now_and_then(tmp_path: Path) -> None:
    async with serving(tmp_path, keep_alive_seconds=1) as running, running.client() as client:
        (dialog,) = running.service.sessions
        await idle(client)
        await client.talk("S: \\* OK Still here\nS: \\* OK Still here")
        await done(client)
        assert dialog.stream.task is not None


async def test_a_stop_ends_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        await idle(client)
        (dialog,) = running.service.sessions
        dialog.stop("kicked")
        await client.talk("S: \\* BYE Your session was ended, log in again\nEOF")


async def test_many_idle_sessions_hear_of_one_delivery(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        clients = [await asyncio.open_connection("127.0.0.1", running.ports["imap"]) for _ in "12"]
        ours = [Client(*one) for one in clients]
        for client in ours:
            await client.log_in()
            await client.ok("SELECT INBOX")
            await idle(client)
        await running.deliver()
        for client in ours:
            assert await client.line() == "* 1 EXISTS"
            client.writer.close()

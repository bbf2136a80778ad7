"""The ``mta`` role as the daemon runs it: real journal, directory, certificate, signals."""

import asyncio
import contextlib
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvloop

from mtad.config import Loaded
from mtad.control import ask
from mtad.errors import ConfigError, Locked
from mtad.journal.reader import Reader
from mtad.signals import Signals
from mtad.smtp import role
from tests.dialog import connect, wire
from tests.test_smtp_tls import files, trusting

__all__ = ["files"]

MAIL = (
    "C: MAIL FROM:<a@x.test>\nS: 250 .*\nC: RCPT TO:<you@example.org>\nS: 250 .*\n"
    "C: DATA\nS: 354 .*"
)


@contextlib.asynccontextmanager
async def running(site: Loaded) -> AsyncIterator[tuple[int, Signals]]:
    """The role on a free port, stopped in good order afterwards."""
    ready = asyncio.Event()
    signals = Signals(ready=ready.set)
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    serving = loop.create_task(role.serve(site, {"smtp": [sock]}, signals))
    waiting = loop.create_task(ready.wait())
    try:
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if serving.done():
            await serving
        yield sock.getsockname()[1], signals
    finally:
        signals.stop.set()
        await asyncio.wait({serving}, timeout=15)
        sock.close()
    await serving


def events_of(site: Loaded) -> list[str]:
    reader = Reader(site.places.journal / role.JOURNAL)
    return [event.kind for found in reader.frames(0) for event in found.events]


async def test_a_message_into_the_journal(site: Loaded) -> None:
    async with running(site) as (port, _), connect(port) as client:
        await client.talk("S: 220 .*\nC: EHLO c.test\nS*\n" + MAIL)
        await client.send(wire(b"Subject: x\n\nbody\n"))
        await client.talk("S: 250 2\\.0\\.0 queued as .*\nC: QUIT\nS: 221 .*\nEOF")
        status = await asyncio.to_thread(ask, site.places.socket("mta"), "status")
        assert status["messages"] == 1
        assert status["connections_total"] == 1
        assert status["uptime_seconds"] >= 0
        assert status["tls"] is True
    frames = list(Reader(site.places.journal / role.JOURNAL).frames(0))
    (accepted,) = [found for found in frames if found.meta.content]
    assert accepted.body.endswith(b"Subject: x\n\nbody\n")
    assert accepted.meta.links[0].box == "you@example.org"
    assert events_of(site) == [
        "sys.start",
        "conn.open",
        "smtp.ehlo",
        "smtp.mail",
        "smtp.rcpt",
        "smtp.accept",
        "conn.close",
        "sys.stop",
    ]


async def test_refused_mail_is_in_the_journal_too(site: Loaded) -> None:
    async with running(site) as (port, _), connect(port) as client:
        await client.talk(
            "S: 220 .*\nC: EHLO c.test\nS*\nC: MAIL FROM:<a@x.test>\nS: 250 .*\n"
            "C: RCPT TO:<nobody@example.org>\nS: 550 5\\.1\\.1 .*\n"
            "C: RCPT TO:<you@elsewhere.test>\nS: 550 5\\.7\\.1 .*\nC: QUIT\nS: 221 .*\nEOF"
        )
    assert events_of(site).count("smtp.reject") == 2


async def starttls(port: int) -> bytes:
    """The certificate the server shows now."""
    async with connect(port) as client:
        await client.talk("S: 220 .*\nC: EHLO c.test\nS*\nC: STARTTLS\nS: 220 .*")
        await client.writer.start_tls(trusting())
        secure: ssl.SSLObject = client.writer.get_extra_info("ssl_object")
        shown = secure.getpeercert(binary_form=True)
        await client.talk("C: QUIT\nS: 221 .*\nEOF")
    assert shown is not None
    return shown


async def test_sighup_takes_the_renewed_certificate(site: Loaded, files: tuple[Path, Path]) -> None:
    chain, key = site.beside(site.config.tls.certificate), site.beside(site.config.tls.key)
    async with running(site) as (port, signals):
        before = await starttls(port)
        shutil.copy(files[0], chain)
        signals.hang_up()
        assert await starttls(port) == before, "a chain without its key changes nothing"
        shutil.copy(files[1], key)
        signals.hang_up()
        assert await starttls(port) != before


async def test_without_certificate_files_there_is_no_starttls(site: Loaded) -> None:
    site.beside(site.config.tls.certificate).unlink()
    with pytest.raises(ConfigError, match=r"tls\.certificate"):
        async with running(site):
            pass
    site.beside(site.config.tls.key).unlink()
    async with running(site) as (port, _), connect(port) as client:
        await client.talk("S: 220 .*\nC: EHLO c.test\n" + "S: 250-.*\n" * 9 + "S: 250 HELP")


async def test_a_second_server_is_told(site: Loaded) -> None:
    async with running(site):
        with pytest.raises(Locked):
            await role.serve(site, {}, Signals())


async def test_stop_lets_a_message_finish(site: Loaded) -> None:
    async with (
        running(site) as (port, signals),
        connect(port) as idle,
        connect(port) as busy,
    ):
        await idle.line()
        await busy.talk("S: 220 .*\nC: EHLO c.test\nS*\n" + MAIL)
        signals.stop.set()
        await idle.talk("S: 421 4\\.3\\.2 .*\nEOF")
        await busy.send(wire(b"Subject: last\n\n"))
        await busy.talk("S: 250 2\\.0\\.0 .*\nS: 421 4\\.3\\.2 .*\nEOF")
    assert events_of(site).count("smtp.accept") == 1


def test_on_uvloop_with_many_at_once(site: Loaded) -> None:
    async def one(port: int, number: int) -> str:
        async with connect(port) as client:
            await client.talk("S: 220 .*\nC: EHLO c.test\nS*\n" + MAIL)
            size = 300_000 if number == 0 else 2_000
            await client.send(wire(b"Subject: %d\n\n" % number + b"x" * size + b"\n"))
            reply = await client.line()
            await client.talk("C: QUIT\nS: 221 .*\nEOF")
            return reply

    async def run() -> list[str]:
        async with running(site) as (port, _):
            return list(await asyncio.gather(*(one(port, number) for number in range(30))))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        replies = runner.run(run())
    assert len(set(replies)) == 30
    assert all(reply.startswith("250 2.0.0 queued as ") for reply in replies)
    frames = [f for f in Reader(site.places.journal / role.JOURNAL).frames(0) if f.meta.content]
    assert len(frames) == 30
    assert [f.meta.content.inline for f in frames if f.meta.content].count(False) == 1
    assert len(list(site.places.content.rglob("*/*"))) == 1

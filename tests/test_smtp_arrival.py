"""Who a client is and whether it is taken in: proxies, and limits on clients."""

import asyncio
import struct
from pathlib import Path

import pytest

from mtad.smtp import arrival
from mtad.smtp.networks import Networks
from mtad.smtp.proxy import V2
from tests.dialog import connect, server, until, wire
from tests.test_smtp_hazards import DATA, READY, SMUGGLED

BEHIND = {"proxies": ("127.0.0.0/8", "::1/128")}
V1 = b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 25\r\n"


def v2(command: int, ip: bytes = b"\xc0\x00\x02\x08") -> bytes:
    return V2 + struct.pack(">BBH", command, 0x11, 12) + ip + bytes(8)


def test_networks() -> None:
    some = Networks(("192.0.2.0/24", "2001:db8::/32"))
    for inside in ("192.0.2.1", "2001:db8::1"):
        assert inside in some
    for outside in ("192.0.3.1", "2001:db9::1", "::1", "", "mx.local.test", "::ffff:192.0.2.1"):
        assert outside not in some
    assert "192.0.2.1" not in Networks(())


@pytest.mark.parametrize(
    ("header", "ip"), [(V1, "192.0.2.7"), (v2(0x21), "192.0.2.8"), (v2(0x20), "127.0.0.1")]
)
@pytest.mark.parametrize("size", [1, 5, 1000])
async def test_the_client_behind_a_proxy_counts(
    header: bytes, ip: str, size: int, tmp_path: Path
) -> None:
    async with server(tmp_path, limits=BEHIND) as running, connect(running.port) as client:
        for at in range(0, len(header), size):
            await client.send(header[at : at + size])
            await asyncio.sleep(0)
        await client.talk(READY + DATA)
        assert running.service.per_ip == {ip: 1}
        await client.send(wire(b"x: y\n\n"))
        await client.talk("S: 250 .*\nC: QUIT\nS: 221 .*\nEOF")
        await running.closed()
        journal = running.journal
        opened = journal.one("conn.open")
        assert (opened.ip, opened.proxy) == (ip, "127.0.0.1")
        assert {event.ip for event in journal.log if event.ip} == {ip}
        assert f"(unknown [{ip}])".encode() in journal.frames[0][1]


@pytest.mark.parametrize(
    "said",
    [
        b"EHLO client.test\r\n",
        b"\n",
        b"PROXY TCP4 192.0.2.7\r\n",
        v2(0x22),
        V1[:-2] + b"\n" + SMUGGLED,
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
)
async def test_garbage_of_a_proxy_closes_without_a_word(said: bytes, tmp_path: Path) -> None:
    async with server(tmp_path, limits=BEHIND) as running, connect(running.port) as client:
        await client.send(said)
        await until(lambda: running.journal.kinds)
        assert await client.line() == "EOF"
        refused = running.journal.one("conn.refused")
        assert running.journal.kinds == ["conn.refused"]
        assert refused.ip == "127.0.0.1"
        assert refused.why.startswith("from the proxy: ")
        assert not running.service.sessions


async def test_a_proxy_that_says_nothing_or_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrival, "PROXY_SECONDS", 0.05)
    async with server(tmp_path, limits=BEHIND | {"command_timeout_seconds": 1}) as running:
        async with connect(running.port) as client:
            await client.send(V1[:20])
            assert await client.line() == "EOF"
        async with connect(running.port):
            pass
        await until(lambda: len(running.journal.log) == 2)
        whys = [event.why for event in running.journal.all("conn.refused")]
        assert whys == ["from the proxy: timeout", "from the proxy: lost"]
        await until(lambda: not running.service.sessions)


async def test_nobody_else_may_say_who_he_is(tmp_path: Path) -> None:
    async with (
        server(tmp_path, limits={"proxies": ("192.0.2.0/24",)}) as running,
        connect(running.port) as client,
    ):
        await client.line()
        await client.send(V1)
        await client.talk("S: 500 5\\.5\\.1 .*\nC: QUIT\nS: 221 .*\nEOF")
        await running.closed()
        assert {event.ip for event in running.journal.log} == {"127.0.0.1"}
        assert running.journal.one("conn.open").proxy == ""


async def test_a_header_says_it_once(tmp_path: Path) -> None:
    """What follows the header is the client's: early talk, or commands, never a header."""
    async with server(tmp_path, limits=BEHIND) as running:
        async with connect(running.port) as client:
            await client.send(V1 + v2(0x21))
            await client.talk("S: 554 5\\.5\\.1 .*\nEOF")
        async with connect(running.port) as client:
            await client.send(V1)
            await client.line()
            await client.send(V1)
            await client.talk("S: 500 5\\.5\\.1 .*\nC: QUIT\nS: 221 .*\nEOF")
        await running.closed(2)
        assert running.journal.one("smtp.reject").check == "early_talk"
        assert {event.ip for event in running.journal.log} == {"192.0.2.7"}


async def test_limits_are_of_the_client_and_not_of_its_proxy(tmp_path: Path) -> None:
    limits = BEHIND | {"max_connections_per_ip": 1, "max_connections": 3}
    async with (
        server(tmp_path, limits=limits) as running,
        connect(running.port) as first,
        connect(running.port) as second,
    ):
        await first.send(V1)
        await second.send(v2(0x21))
        for client in (first, second):
            assert (await client.line()).startswith("220 ")
        async with connect(running.port) as third:
            await third.send(V1)
            await third.talk("S: 421 4\\.7\\.0 .* too many connections from your address\nEOF")
        async with connect(running.port) as waiting:
            await until(lambda: len(running.service.sessions) == 3)
            async with connect(running.port) as fourth:
                await fourth.talk("S: 421 4\\.7\\.0 .* too many connections\nEOF")
            waiting.writer.close()
        await until(lambda: len(running.service.sessions) == 2)
        assert [e.ip for e in running.journal.all("conn.refused")] == [
            "192.0.2.7",
            "127.0.0.1",
            "127.0.0.1",
        ]


async def test_a_stop_does_not_wait_for_proxies(tmp_path: Path) -> None:
    async with server(tmp_path, limits=BEHIND) as running, connect(running.port) as client:
        await until(lambda: running.service.sessions)
        await running.listener.stop(5)
        assert await client.line() == "EOF"
        assert running.journal.one("conn.refused").why == "from the proxy: shutdown"

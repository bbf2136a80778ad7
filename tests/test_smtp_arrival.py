"""Who a client is and whether it is taken in: proxies, and limits on clients."""

import asyncio
import contextlib
import struct
from pathlib import Path

import pytest

from mtad.clients.networks import Networks
from mtad.clients.proxy import V2
from mtad.smtp import arrival
from tests.dialog import Running, connect, server, until, wire
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
        assert running.service.clients.here == {ip: 1, ip.rpartition(".")[0] + ".": 1}
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


# ------------------------------------------------------------------------- limits


async def turned_away(running: Running, ip: str = "127.0.0.1") -> str:
    """What a client hears that is not taken."""
    async with connect(running.port, local_addr=(ip, 0)) as client:
        line = await client.line()
        assert await client.line() == "EOF"
    assert line.startswith("421 4.7.0 mx.local.test ")
    refused = running.journal.all("conn.refused")[-1]
    assert (refused.reply, refused.code, refused.ip) == (line, 421, ip)
    return str(refused.why)


async def test_connections_at_once(tmp_path: Path) -> None:
    limits = {
        "max_connections": 4,
        "max_connections_per_ip": 2,
        "max_connections_per_network": 3,
    }
    async with server(tmp_path, limits=limits) as running, contextlib.AsyncExitStack() as stack:

        async def taken(ip: str) -> None:
            client = await stack.enter_async_context(connect(running.port, local_addr=(ip, 0)))
            assert (await client.line()).startswith("220 ")

        await taken("127.0.0.1")
        await taken("127.0.0.1")
        assert await turned_away(running) == "too many connections from your address"
        await taken("127.0.0.2")
        assert await turned_away(running, "127.0.0.3") == "too many connections from your network"
        await taken("127.0.1.1")
        assert await turned_away(running, "127.0.2.1") == "too many connections"
        await stack.aclose()
        await running.closed(4)
        await running.talk("S: 220 .*\nC: QUIT\nS: 221 .*\nEOF")


async def test_connections_within_a_minute(tmp_path: Path) -> None:
    limits = {
        "max_connections_per_minute_per_ip": 2,
        "max_connections_per_minute_per_network": 3,
    }
    async with server(tmp_path, limits=limits) as running:
        for _ in range(2):
            await running.talk("S: 220 .*\nC: QUIT\nS: 221 .*\nEOF")
        why = "too many connections from your {} within a minute"
        assert await turned_away(running) == why.format("address")
        async with connect(running.port, local_addr=("127.0.0.2", 0)) as client:
            await client.talk("S: 220 .*\nC: QUIT\nS: 221 .*\nEOF")
        assert await turned_away(running, "127.0.0.3") == why.format("network")
        async with connect(running.port, local_addr=("127.0.1.1", 0)) as client:
            await client.talk("S: 220 .*\nC: QUIT\nS: 221 .*\nEOF")


MAIL = "C: MAIL FROM:<a@x.test>\nS: 250 .*\n"
ONE = MAIL + "C: RCPT TO:<bob@local.test>\nS: 250 .*\nC: DATA\nS: 354 .*\nC: .\nS: 250 .*\n"


async def test_messages_within_an_hour(tmp_path: Path) -> None:
    async with server(tmp_path, limits={"max_messages_per_hour_per_ip": 2}) as running:
        refused = "C: MAIL FROM:<a@x.test>\nS: 421 4\\.7\\.0 more than 2 messages .*\nEOF"
        await running.talk(READY + ONE + MAIL + "C: QUIT\nS: 221 .*\nEOF")
        await running.talk(READY + refused)
        async with connect(running.port, local_addr=("127.0.0.2", 0)) as other:
            await other.talk(READY + ONE + MAIL + "C: RSET\nS: 250 .*\n" + refused)
        await running.closed(3)
        events = running.journal.all("smtp.tempfail")
        assert [(e.check, e.stage) for e in events] == [("message_rate", "mail")] * 2
        assert len(running.journal.frames) == 2


async def test_recipients_within_an_hour(tmp_path: Path) -> None:
    """Unknown ones count, or nobody would be kept from guessing; those taken get their mail."""
    async with server(tmp_path, limits={"max_recipients_per_hour_per_ip": 2}) as running:
        await running.talk(
            READY
            + MAIL
            + """
            C: RCPT TO:<nobody@local.test>
            S: 550 .*
            C: RCPT TO:<bob@local.test>
            S: 250 .*
            C: RCPT TO:<alice@local.test>
            S: 450 4\\.7\\.0 more than 2 recipients .*
            C: RCPT TO:<nobody@local.test>
            S: 450 4\\.7\\.0 .*
            C: DATA
            S: 354 .*
            C: .
            S: 250 .*
            """
        )
        checks = [event.check for event in running.journal.all("smtp.tempfail")]
        assert checks == ["recipient_rate"] * 2
        assert [r.addr for r in running.journal.one("smtp.accept").recipients] == ["bob@local.test"]


async def test_some_networks_are_not_limited(tmp_path: Path) -> None:
    limits = {
        "max_connections_per_ip": 1,
        "max_connections_per_minute_per_ip": 1,
        "max_messages_per_hour_per_ip": 1,
        "max_recipients_per_hour_per_ip": 1,
        "never_limit": ("127.0.0.1/32",),
    }
    async with server(tmp_path, limits=limits) as running, connect(running.port) as first:
        await first.talk(READY + ONE + ONE)
        await running.talk(READY + ONE + "C: QUIT\nS: 221 .*\nEOF")
        async with connect(running.port, local_addr=("127.0.0.2", 0)) as other:
            await other.talk(READY + ONE)
            assert "address" in await turned_away(running, "127.0.0.2")


async def test_a_reload_counts_from_the_next_connection_on(tmp_path: Path) -> None:
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.talk(READY)
        running.service.limits = running.service.limits.model_copy(
            update={"max_errors": 1, "max_messages_per_hour_per_ip": 1}
        )
        await client.talk(ONE + ONE + "C: FOO\nS: 500 .*\nC: NOOP\nS: 250 .*")
        await running.talk("S: 220 .*\nC: FOO\nS: 500 .*\nS: 421 .*\nEOF")


# ------------------------------------------------------------------ delays, slow clients


async def test_errors_are_answered_later_and_later(tmp_path: Path) -> None:
    limits = {"tarpit_after_errors": 2, "tarpit_max_seconds": 0.05, "max_errors": 5}
    async with server(tmp_path, limits=limits) as running, connect(running.port) as client:
        delays: list[float] = []
        await client.line()
        (session,) = running.service.sessions
        delay = session._delay

        async def noted(seconds: float) -> None:
            delays.append(seconds)
            await delay(seconds)

        session._delay = noted
        await client.talk("C: FOO\nS: 500 .*\nC: NOOP\nS: 250 .*\n" * 2)
        assert not delays
        # What comes before a late reply is not held back by it.
        await client.send(b"NOOP\r\nFOO\r\nNOOP\r\nFOO\r\nFOO\r\n")
        await client.talk("S: 250 .*\nS: 500 .*\nS: 250 .*\nS: 500 .*\nS: 500 .*\nS: 421 .*\nEOF")
        assert delays == [0.05] * 3


@pytest.mark.parametrize("ending", ["leaves", "stop"])
async def test_a_delay_ends_with_the_client_or_the_server(ending: str, tmp_path: Path) -> None:
    limits = {"tarpit_after_errors": 0, "tarpit_max_seconds": 60}
    async with server(tmp_path, limits=limits) as running:
        async with connect(running.port) as client:
            await client.line()
            (session,) = running.service.sessions
            await client.send(b"FOO\r\n")
            await until(lambda: session._alarm)
            if ending == "leaves":
                client.writer.transport.abort()
            else:
                await running.listener.stop(0.05)
        await running.closed()
        assert running.journal.one("conn.close").why in ("lost", "shutdown")


async def test_a_slow_message_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtad.smtp.wire.GRACE_SECONDS", 0.05)
    limits = {"min_data_rate": 10**7, "command_timeout_seconds": 0.2}
    async with server(tmp_path, limits=limits) as running:
        async with connect(running.port) as client:
            await client.talk(READY + DATA)
            while not running.journal.all("conn.close"):
                await client.send(b"x\r\n")
                await asyncio.sleep(0.01)
            await client.talk("S: 421 4\\.4\\.2 .* your message comes too slowly, closing")
        abort = running.journal.one("smtp.abort")
        assert (abort.stage, abort.why) == ("data", "slow")


async def test_speed_counts_within_a_message_only(tmp_path: Path) -> None:
    limits = {"min_data_rate": 100}
    async with server(tmp_path, limits=limits) as running, connect(running.port) as client:
        await client.talk(READY)
        (session,) = running.service.sessions
        later = asyncio.get_running_loop().time() + 61
        assert session.overdue(later) == ""
        await client.talk(DATA)
        await client.send(b"x" * 998 + b"\r\n")
        await until(lambda: session._drunk)
        assert session.overdue(later - 2) == "", "the first minute is free"
        assert session.overdue(later) == "slow"
        await client.send((b"x" * 998 + b"\r\n") * 6)
        await until(lambda: session._drunk >= 7000)
        assert session.overdue(later) == ""
        await client.talk("C: .\nS: 250 .*")
        assert session.overdue(later) == ""


async def test_a_session_ends_some_day(tmp_path: Path) -> None:
    async with server(tmp_path, limits={"max_session_seconds": 0.2}) as running:
        async with connect(running.port) as client:
            await client.talk(
                READY + "C: NOOP\nS: 250 .*\nS: 421 4\\.4\\.2 .* too long, closing\nEOF"
            )
        await running.closed()
        assert running.journal.one("conn.close").why == "age"

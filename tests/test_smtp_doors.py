"""Every door where mail comes in: no relay, no smuggling, no injection, proxies in front."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from mtad.clients.proxy import MAX_V1, V2
from tests.dialog import Client, connect, until
from tests.submission import LOGIN, Submitting, plain, submitting
from tests.test_smtp_hazards import SMUGGLED
from tests.test_smtp_tls import files, secure, trusting

__all__ = ["files"]

Files = tuple[Path, Path]
HELLO = {"lmtp": "LHLO"}
DOORS = {
    "smtp": False,
    "smtp with STARTTLS": False,
    "lmtp": False,
    "lmtp with STARTTLS": False,
    "submission": False,
    "submission with STARTTLS": False,
    "submissions": False,
    "submission with STARTTLS, logged in": True,
    "submissions, logged in": True,
}
"""Ways to come in, and whether that ends in a login."""


@contextlib.asynccontextmanager
async def inside(running: Submitting, door: str) -> AsyncIterator[Client]:
    """A client ready for MAIL."""
    name, _, way = door.replace(",", " ").partition(" ")
    options: dict[str, Any] = {"ssl": trusting()} if name == "submissions" else {}
    hello = f"C: {HELLO.get(name, 'EHLO')} client.test\nS*\n"
    async with connect(running.ports[name], **options) as client:
        await client.talk(f"S: 220 .*\n{hello}")
        if "STARTTLS" in way:
            await client.talk("C: STARTTLS\nS: 220 .*")
            await secure(client)
            await client.talk(hello)
        if DOORS[door]:
            await client.talk(LOGIN)
        yield client


def on_both_loops(folder: Path, run: Callable[[Path], Coroutine[Any, Any, None]]) -> None:
    """asyncio's and uvloop's transports are different programs below our TLS."""
    for number, factory in enumerate((asyncio.new_event_loop, uvloop.new_event_loop)):
        (folder / str(number)).mkdir()
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(run(folder / str(number)))


# ------------------------------------------------------------------- smuggling

BARE = (
    *(b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n.\r", b"\r.\n"),
    *(b"\r\n.\r\r\n", b"\n\n.\n\n", b"\r\r\n.\r\r\n", b"\n\r.\n\r", b"\r\n\n.\r\n", b"\0\n.\n"),
    *(b"\n..\n", b"\r\n.\0\n", b"\r\n\r.\r\n", b"\n.\n\r\n"),
)
"""Ends with a CR or LF that stands alone: such a message is refused, and the connection ends."""
TEXT = (
    *(b"\r\n.\0\r\n", b"\r\n. \r\n", b"\r\n \r\n..\r\n", b"\r\n\0.\r\n", b".\r\n", b"\r\n..\r\n"),
    *(b"\x85.\x85", b"\xe2\x80\xa8.\xe2\x80\xa8", b"\x0b.\x0b", b"\x0c.\x0c", b"\r\n\x2e\x08\r\n"),
)
"""Ends that are none: everything up to the true one is the message."""
TO_BOB = "C: MAIL FROM:<{}>\nS: 250 .*\nC: RCPT TO:<bob@local.test>\nS: 250 .*\n"
HEAD = b"From: alice@local.test\r\n\r\nbody"


def sender(door: str) -> str:
    return "alice@local.test" if DOORS[door] else "a@x.test"


SENDING = ("smtp", "lmtp", "submissions, logged in")


@pytest.mark.parametrize("door", SENDING)
async def test_a_message_ends_once_at_every_door(door: str, tmp_path: Path, files: Files) -> None:
    evil = SMUGGLED.replace(b"evil@x.test", b"alice@local.test")
    async with submitting(tmp_path, files) as running:
        for number, end in enumerate(BARE, 1):
            async with inside(running, door) as client:
                await client.talk(TO_BOB.format(sender(door)) + "C: DATA\nS: 354 .*")
                await client.send(HEAD + end + evil + b"NOOP\r\n")
                await client.talk("S: 550 5\\.6\\.11 .*\nEOF")
            assert len(running.journal.all("smtp.mail")) == number, end
        assert not running.journal.frames
        async with inside(running, door) as client:
            for number, end in enumerate(TEXT, 1):
                await client.talk(TO_BOB.format(sender(door)) + "C: DATA\nS: 354 .*")
                await client.send(HEAD + end + evil + b"NOOP\r\n")
                await client.talk("S: 250 2\\.0\\.0 queued as .*\nS: 250 2\\.0\\.0 ok")
                assert len(running.journal.frames) == number, end
                last = running.journal.frames[-1][1]
                assert b"RCPT TO:<alice@local.test>\nDATA\nsmuggled\n" in last
        assert len(running.journal.all("smtp.mail")) == len(BARE) + len(TEXT)


@pytest.mark.parametrize("door", SENDING)
async def test_no_dot_ends_a_chunk_at_any_door(door: str, tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running:
        for end in (*BARE, *TEXT, b"\r\n.\r\n"):
            async with inside(running, door) as client:
                body = HEAD + end + SMUGGLED
                await client.talk(TO_BOB.format(sender(door)))
                await client.send(b"BDAT %d LAST\r\n" % len(body) + body)
                assert (await client.line())[:3] == ("550" if end in BARE else "250"), end
        mails = running.journal.all("smtp.mail")
        assert {mail.addr for mail in mails} == {sender(door)}
        assert len(mails) == len(BARE) + len(TEXT) + 1


# ------------------------------------------------------------------- injection

INJECTED = {
    "commands": b"EHLO evil.test\r\nMAIL FROM:<evil@x.test>\r\nRCPT TO:<bob@local.test>\r\n",
    "half a command": b"MAIL FROM:<evil@x.test>",
    "a CR": b"\r",
    "a login": plain().removeprefix("C: ").encode() + b"\r\nMAIL FROM:<alice@local.test>\r\n",
    "a chunk": b"BDAT 1000 LAST\r\n",
    "a long line": b"x" * 3000,
    "the end of TLS's beginning": b"\x16\x03\x01",
}


@pytest.mark.parametrize("name", ["smtp", "lmtp", "submission"])
@pytest.mark.parametrize("said", INJECTED.values(), ids=INJECTED)
def test_what_is_said_in_clear_behind_starttls_counts_for_nothing(
    name: str, said: bytes, tmp_path: Path, files: Files
) -> None:
    async def run(folder: Path) -> None:
        hello = HELLO.get(name, "EHLO")
        async with submitting(folder, files) as running, connect(running.ports[name]) as client:
            await client.talk(f"S: 220 .*\nC: {hello} clear.test\nS*")
            await client.send(b"STARTTLS\r\n" + said)
            await client.talk("S: 220 2\\.0\\.0 .*")
            await secure(client)
            await client.talk(
                f"""
                C: NOOP
                S: 250 2\\.0\\.0 ok
                C: MAIL FROM:<a@x.test>
                S: 503 5\\.5\\.1 say {hello} first
                C: QUIT
                S: 221 .*
                EOF
                """
            )
            await running.closed()
            kinds = set(running.journal.kinds)
            assert not kinds & {"smtp.mail", "auth.ok", "auth.fail"}
            assert [event.helo for event in running.journal.all("smtp.ehlo")] == ["clear.test"]

    on_both_loops(tmp_path, run)


@pytest.mark.parametrize("name", ["smtp", "submission"])
async def test_what_comes_in_clear_after_the_reply_breaks_tls(
    name: str, tmp_path: Path, files: Files
) -> None:
    async with submitting(tmp_path, files) as running, connect(running.ports[name]) as client:
        await client.talk("S: 220 .*\nC: EHLO clear.test\nS*\nC: STARTTLS\nS: 220 .*")
        await client.send(b"MAIL FROM:<evil@x.test>\r\n" + b"NOOP\r\n" * 100)
        await running.closed()
        assert running.journal.one("tls.fail").ip == "127.0.0.1"
        assert "smtp.mail" not in running.journal.kinds


# ------------------------------------------------------------------ never a relay

PROBES = [
    "victim@elsewhere.test",
    "victim%elsewhere.test@local.test",
    "victim%elsewhere.test@[127.0.0.1]",
    "elsewhere.test!victim@local.test",
    "elsewhere.test!victim",
    '"victim@elsewhere.test"@local.test',
    '"victim%elsewhere.test"@local.test',
    '"victim@elsewhere.test"',
    "@local.test:victim@elsewhere.test",
    "@local.test,@elsewhere.test:victim@elsewhere.test",
    "victim@elsewhere.test@local.test",
    "victim@local.test@elsewhere.test",
    "victim@[192.0.2.1]",
    "victim@[IPv6:2001:db8::1]",
    "victim@192.0.2.1",
    "victim@local.test.elsewhere.test",
    "victim@elsewhere.test.",
    "victim@local.test\u3002elsewhere.test",
    "all%elsewhere.test",
    "victim",
    "<victim@elsewhere.test>",
    "victim@elsewhere.test local.test",
    "postmaster@elsewhere.test",
    "victim@xn--local-.test",
    "'victim@elsewhere.test'@local.test",
]


@pytest.mark.parametrize("door", [door for door in DOORS if not DOORS[door]])
@pytest.mark.parametrize("sender", ["", "alice@local.test", "spammer@elsewhere.test"])
async def test_no_door_relays_for_strangers(
    door: str, sender: str, tmp_path: Path, files: Files
) -> None:
    """Whatever a stranger says, nothing goes into the queue."""
    async with submitting(tmp_path, files, limits={"max_errors": 1000}) as running:
        async with inside(running, door) as client:
            for probe in PROBES:
                for more in ("", " NOTIFY=NEVER ORCPT=rfc822;alice@local.test"):
                    said = f"MAIL FROM:<{sender}>\r\nRCPT TO:<{probe}>{more}\r\nRSET\r\n"
                    await client.send(said.encode())
                    codes = [(await client.reply())[:1] for _ in range(3)]
                    assert codes[1] == "5", probe
            await client.send(b"MAIL FROM:<> AUTH=alice@local.test\r\n")
            await client.reply()
            await client.send(b"RCPT TO:<victim@elsewhere.test>\r\n")
            assert (await client.line())[:1] == "5"
        assert len(PROBES) >= 20
        assert not running.journal.frames
        assert not running.journal.all("smtp.rcpt")


# -------------------------------------------------------------------- behind a proxy

LISTED = {"proxies": ("127.0.0.1/32",)}
HEADER = b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 465\r\n"


class OwnTls:
    """TLS over a connection by hand, so that its first octets can come with others."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.secure = trusting().wrap_bio(self.incoming, self.outgoing)

    async def shake_hands(self, header: bytes, *, together: bool) -> None:
        if not together:
            await self.client.send(header)
            header = b""
        while True:
            try:
                self.secure.do_handshake()
                await self.client.send(self.outgoing.read())
                return
            except ssl.SSLWantReadError:
                await self.client.send(header + self.outgoing.read())
                header = b""
                self.incoming.write(await self.client.reader.read(65536))

    async def line(self) -> bytes:
        while True:
            try:
                return self.secure.read(65536)
            except ssl.SSLWantReadError:
                self.incoming.write(await self.client.reader.read(65536))

    async def say(self, octets: bytes) -> bytes:
        self.secure.write(octets)
        await self.client.send(self.outgoing.read())
        return await self.line()


@pytest.mark.parametrize("together", [True, False])
def test_tls_comes_first_behind_a_proxy_too(together: bool, tmp_path: Path, files: Files) -> None:
    """The header and the handshake may come in one piece."""

    async def run(folder: Path) -> None:
        async with (
            submitting(folder, files, limits=LISTED) as running,
            connect(running.secure) as client,
        ):
            own = OwnTls(client)
            await own.shake_hands(HEADER, together=together)
            assert (await own.line()).startswith(b"220 ")
            assert b"250-AUTH " in await own.say(b"EHLO client.test\r\n")
            said = plain().removeprefix("C: ").encode() + b"\r\n"
            assert await own.say(said) == b"235 2.7.0 welcome\r\n"
            assert running.journal.one("auth.ok").ip == "192.0.2.7"

    on_both_loops(tmp_path, run)


@pytest.mark.parametrize("name", ["smtp", "submission"])
def test_starttls_behind_a_proxy(name: str, tmp_path: Path, files: Files) -> None:
    """The header comes octet by octet, once, and in clear; TLS changes nothing about it."""

    async def run(folder: Path) -> None:
        async with (
            submitting(folder, files, limits=LISTED) as running,
            connect(running.ports[name]) as client,
        ):
            for octet in HEADER:
                await client.send(bytes([octet]))
                await asyncio.sleep(0)
            await client.talk("S: 220 .*\nC: EHLO c\nS*\nC: STARTTLS\nS: 220 .*")
            await secure(client)
            await client.send(HEADER.replace(b"192.0.2.7", b"192.0.2.9"))
            await client.talk("S: 500 5\\.5\\.1 .*\nC: EHLO c\nS*")
            if name == "submission":
                await client.talk(LOGIN)
            await client.talk(TO_BOB.format("alice@local.test") + "C: DATA\nS: 354 .*")
            await client.send(HEAD + b"\r\n.\r\n")
            await client.talk("S: 250 .*\nC: QUIT\nS: 221 .*\nEOF")
            await running.closed()
            journal = running.journal
            assert {event.ip for event in journal.log if event.ip} == {"192.0.2.7"}
            assert journal.one("conn.open").proxy == "127.0.0.1"
            assert "tls.ok" in journal.kinds
            assert b"(unknown [192.0.2.7])" in journal.frames[0][1]

    on_both_loops(tmp_path, run)


@pytest.mark.parametrize("name", ["smtp", "submission", "submissions"])
@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN " + b"x" * MAX_V1,
        b"PROXY TCP4 " + b" " * 500,
        V2 + b"\x21\x11\xff\xff" + bytes(300),
        V2 + b"\x20\x00\x10\x01" + bytes(300),
    ],
)
async def test_a_header_that_is_too_long_ends_the_connection(
    name: str, header: bytes, tmp_path: Path, files: Files
) -> None:
    async with submitting(tmp_path, files, limits=LISTED) as running:
        async with connect(running.ports[name]) as client:
            with contextlib.suppress(ConnectionError):
                for octet in header:
                    await client.send(bytes([octet]))
                    await asyncio.sleep(0)
            with contextlib.suppress(ConnectionError):
                assert await client.line() == "EOF"
        await until(lambda: running.journal.kinds == ["conn.refused"])
        assert running.journal.one("conn.refused").why.startswith("from the proxy: ")


async def test_nobody_else_has_a_header_before_tls(tmp_path: Path, files: Files) -> None:
    limits = {"proxies": ("192.0.2.0/24",)}
    async with submitting(tmp_path, files, limits=limits) as running:
        async with connect(running.secure) as client:
            await client.send(HEADER)
            await running.closed()
        assert running.journal.one("tls.fail").ip == "127.0.0.1"
        assert running.journal.one("conn.open").proxy == ""


async def test_a_check_by_the_proxy_itself(tmp_path: Path, files: Files) -> None:
    """LOCAL: the connection is the proxy's own (2.2), at 465 with TLS or without a word."""
    async with submitting(tmp_path, files, limits=LISTED) as running:
        async with connect(running.secure) as client:
            await client.send(V2 + b"\x20\x00\x00\x00")
        async with connect(running.secure) as client:
            own = OwnTls(client)
            await own.shake_hands(V2 + b"\x20\x00\x00\x00", together=True)
            assert (await own.line()).startswith(b"220 ")
            assert (await own.say(b"QUIT\r\n")).startswith(b"221 ")
        await running.closed(2)
        assert [event.ip for event in running.journal.all("conn.open")] == ["127.0.0.1"] * 2

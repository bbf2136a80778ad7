"""What goes wrong with fast SMTP servers: smuggling, injection, hang-ups, relaying."""

import asyncio
import logging
import socket
import struct
from pathlib import Path

import pytest

from mtad.journal.frame import MAX_BODY
from mtad.smtp import manners
from mtad.smtp.policy import Policy, Transaction
from mtad.smtp.service import Service
from tests.dialog import Running, connect, server, until, wire

READY = """
    S*
    C: EHLO client.test
    S*
"""
MAIL = "C: MAIL FROM:<a@x.test>\nS: 250 .*\nC: RCPT TO:<bob@local.test>\nS: 250 .*\n"
DATA = MAIL + "C: DATA\nS: 354 .*\n"
SMUGGLED = b"MAIL FROM:<evil@x.test>\r\nRCPT TO:<alice@local.test>\r\nDATA\r\nsmuggled\r\n.\r\n"

# ------------------------------------------------------------- smuggling


@pytest.mark.parametrize(
    "end",
    [
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r\n.\r",
        b"\r.\r\n",
        b"\n.\r",
        b"\r\n.\r\r\n",
        b"\n\n.\n\n",
        b"\r\r\n.\r\r\n",
    ],
)
async def test_only_crlf_dot_crlf_ends_a_message_and_bare_ends_close(
    end: bytes, tmp_path: Path
) -> None:
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.talk(READY + DATA)
        await client.send(b"Subject: x\r\n\r\nbody" + end + SMUGGLED + b"NOOP\r\nNOOP\r\n")
        await client.talk("S: 550 5\\.6\\.11 .*\nEOF")
        await running.closed()
        assert not running.journal.frames
        assert len(running.journal.all("smtp.mail")) == 1
        reject = running.journal.one("smtp.reject")
        assert (reject.stage, reject.check) == ("dot", "bare_newline")
        assert running.journal.one("conn.close").why == "refused"


async def test_nul_in_the_terminator_is_text(tmp_path: Path) -> None:
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.talk(READY + DATA)
        await client.send(b"a\r\n.\0\r\nb\0c\r\n.\r\n")
        await client.talk("S: 250 .*\nC: QUIT\nS: 221 .*")
        assert running.journal.frames[0][1].endswith(b"a\n\0\nb\0c\n")


@pytest.mark.parametrize("line", [b"NOOP\n", b"NO\rOP\r\n", b"\n", b"\rNOOP\r\n", b"NOOP\r\r\n"])
async def test_a_command_ends_in_crlf(line: bytes, tmp_path: Path) -> None:
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.line()
        await client.send(line)
        await client.talk("S: 500 5\\.5\\.2 .*\nC: NOOP\nS: 250 .*")
        assert running.journal.one("smtp.protocol").enh == "5.5.2"


async def test_bare_line_ends_in_commands_count_as_errors(tmp_path: Path) -> None:
    async with (
        server(tmp_path, limits={"max_errors": 3}) as running,
        connect(running.port) as client,
    ):
        await client.line()
        await client.send(b"EHLO x\nMAIL FROM:<a@x.test>\nRCPT TO:<bob@local.test>\nDATA\nx\n.\n")
        await client.talk("S: 500 .*\nS: 500 .*\nS: 500 .*\nS: 421 .*\nEOF")
        await running.closed()
        assert "smtp.mail" not in running.journal.kinds


async def test_long_lines_are_refused_and_forgotten(tmp_path: Path) -> None:
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.line()
        await client.send(b"NOOP " + b"x" * 2041 + b"\r\n")
        await client.talk("S: 250 .*")
        await client.send(b"NOOP " + b"x" * 2042 + b"\r\n")
        await client.talk("S: 500 5\\.5\\.6 .*")
        for size in (5_000, 1_000_000):
            await client.send(b"NOOP " + b"x" * size + b"\r\n")
            await client.talk("S: 500 5\\.5\\.6 .*\nC: NOOP\nS: 250 .*")
        assert max(len(e.argument) for e in running.journal.all("smtp.protocol")) <= 300


async def test_lines_over_998_octets_are_taken(tmp_path: Path) -> None:
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.talk(READY + DATA)
        await client.send(wire(b"x" * 100_000 + b"\n"))
        await client.talk("S: 250 .*")
        assert running.journal.frames[0][1].endswith(b"\n" + b"x" * 100_000 + b"\n")


# -------------------------------------------------- payloads and other protocols


@pytest.mark.parametrize("count", [b"", b"x", b"-1", b"86x", b"86 FIRST", b"86 LAST x", b"8 6"])
async def test_a_payload_of_unknown_size_is_not_run(count: bytes, tmp_path: Path) -> None:
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.talk(READY + MAIL)
        await client.send(b"BDAT " + count + b"\r\n" + SMUGGLED)
        await client.talk("S: 501 5\\.5\\.4 .*\nEOF")
        await running.closed()
        assert len(running.journal.all("smtp.mail")) == 1
        assert not running.journal.frames


async def test_http_is_not_run(tmp_path: Path) -> None:
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.line()
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n" + SMUGGLED)
        await client.talk("S: 502 .*\nEOF")
        await running.closed()
        assert "smtp.mail" not in running.journal.kinds
        assert running.journal.one("smtp.reject").check == "http"


HASTY = {
    "ehlo": (b"", b"EHLO x\r\nMAIL FROM:<a@x.test>\r\n"),
    "helo": (b"", b"HELO x\r\nNOOP\r\n"),
    "after helo": (b"HELO x\r\n", b"MAIL FROM:<a@x.test>\r\nRCPT TO:<bob@local.test>\r\n"),
    "data": (b"EHLO x\r\n", b"DATA\r\nSubject: x\r\n\r\n.\r\n"),
}


@pytest.mark.parametrize("name", HASTY)
async def test_sending_on_where_a_reply_decides(name: str, tmp_path: Path) -> None:
    before, said = HASTY[name]
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.line()
        if before:
            await client.send(before)
            await client.reply()
        await client.send(said)
        await client.talk("S: 554 5\\.5\\.0 you did not wait .*\nEOF")
        await running.closed()
        assert running.journal.one("smtp.reject").check == "pipelining"
        assert running.journal.one("conn.close").why == "refused"
        assert not running.journal.frames


async def test_a_client_of_old_may_send_chunks_and_say_goodbye(tmp_path: Path) -> None:
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.talk("S*\nC: HELO x\nS*\n" + MAIL + "C! BDAT 2\\r\\nhi\nS: 250 .*")
        await client.send(b"BDAT 2 LAST\r\nhiQUIT\r\n")
        await client.talk("S: 250 .*queued.*\nS: 221 .*\nEOF")


async def test_unknown_commands_come_to_an_end(tmp_path: Path) -> None:
    async with server(tmp_path) as running, connect(running.port) as client:
        few = manners.MAX_UNKNOWN_COMMANDS - 1
        await client.talk("S*\n" + "C: FOO\nS: 500 5\\.5\\.1 no such command\n" * few)
        await client.talk("C: EXPN x\nS: 502 .*\nC: FOO\nS: 500 5\\.5\\.1 .*\nEOF")
        await running.closed()
        assert running.journal.one("smtp.reject").check == "unknown_commands"


@pytest.mark.parametrize(
    ("said", "check"),
    [
        ("FOO", "unknown_command"),
        ("EXPN x", "unknown_command"),
        ("DATA", "sequence"),
        ("MAIL FROM:a", "syntax"),
        ("EHLO", "syntax"),
        ("MAIL FROM:<> X=1", "syntax"),
    ],
)
async def test_a_mistake_has_a_name(said: str, check: str, tmp_path: Path) -> None:
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.talk(READY + f"C: {said}\nS: 5.*")
        assert running.journal.one("smtp.protocol").check == check


async def test_talking_before_the_greeting(tmp_path: Path) -> None:
    async with server(tmp_path) as running:
        # Connected and spoken to before the loop can accept: the octets are there first.
        with socket.create_connection(("127.0.0.1", running.port)) as link:
            link.sendall(b"EHLO early\r\n" + SMUGGLED)
            link.setblocking(False)
            loop = asyncio.get_running_loop()
            heard = await asyncio.wait_for(loop.sock_recv(link, 4096), 10)
            assert heard.startswith(b"554 5.5.1 ")
            assert b"220" not in heard
            await running.closed()
        assert running.journal.one("smtp.reject").check == "early_talk"
        assert running.journal.one("smtp.reject").stage == "connect"
        assert "smtp.mail" not in running.journal.kinds


# ------------------------------------------------------------------ hang-ups


async def commit_then(running: Running, client_leaves: str) -> None:
    """Deliver a message whose client leaves while the commit runs."""
    gate = asyncio.Event()
    entered = asyncio.Event()

    async def wait() -> None:
        entered.set()
        await gate.wait()

    running.journal.before_commit = wait
    async with connect(running.port) as client:
        await client.talk(READY + DATA)
        await client.send(b"Subject: x\r\n\r\nbody\r\n.\r\n")
        await entered.wait()
        if client_leaves == "reset":
            link = client.writer.get_extra_info("socket")
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if client_leaves == "half":
            client.writer.write_eof()
        else:
            client.writer.transport.abort()
        (session,) = running.service.sessions
        await until(lambda: session._is_half_closed or session.is_lost)
        gate.set()
        if client_leaves == "half":
            await client.talk("S: 250 2\\.0\\.0 .*\nEOF")
    await running.closed()


async def test_a_client_that_hangs_up_does_not_undo_the_commit(tmp_path: Path) -> None:
    async with server(tmp_path) as running:
        await commit_then(running, "reset")
        journal = running.journal
        assert len(journal.frames) == 1
        unheard = journal.one("smtp.unheard")
        assert unheard.trace == journal.one("smtp.mail").trace
        assert unheard.unsent.startswith("250 2.0.0 queued as ")
        assert "smtp.abort" not in journal.kinds
        assert journal.one("conn.close").why == "lost"


async def test_half_close_during_the_commit_still_hears(tmp_path: Path) -> None:
    async with server(tmp_path) as running:
        await commit_then(running, "half")
        assert len(running.journal.frames) == 1
        assert "smtp.unheard" not in running.journal.kinds


@pytest.mark.parametrize(
    ("said", "stage", "received"),
    [
        ("C: MAIL FROM:<a@x.test>\nS: 250 .*", "mail", 0),
        (MAIL, "rcpt", 0),
        (DATA, "data", 0),
        (DATA + "C: half of it\nC: .x", "data", 16),
    ],
)
async def test_leaving_before_the_end_is_an_abort(
    said: str, stage: str, received: int, tmp_path: Path
) -> None:
    async with server(tmp_path) as running:
        await running.talk(READY + said)
        await running.closed()
        abort = running.journal.one("smtp.abort")
        assert (abort.stage, abort.why, abort.received) == (stage, "lost", received)
        assert abort.trace == running.journal.one("smtp.mail").trace
        assert running.journal.one("conn.close").why == "lost"


async def test_bare_connect_and_close(tmp_path: Path) -> None:
    async with server(tmp_path) as running:
        async with connect(running.port):
            pass
        await running.closed()
        assert running.journal.kinds == ["conn.open", "conn.close"]
        assert running.journal.one("conn.close").why == "lost"


# ----------------------------------------------------------------- addresses


ADDRESSES = [
    (b"MAIL FROM:<a\x00b@x.test>", "501 5.1.7"),
    (b"MAIL FROM:<a\x01@x.test>", "501 5.1.7"),
    (b"MAIL FROM:<a\x7f@x.test>", "501 5.1.7"),
    (b"MAIL FROM:<\xff@x.test>", "501 5.1.7"),
    (b"MAIL FROM:<\xff@x.test> SMTPUTF8", "501 5.1.7"),
    (b"MAIL FROM:<\xed\xb3\xbf@x.test> SMTPUTF8", "501 5.1.7"),
    (b"MAIL FROM:<a@x.test> X\xff=1", "501 5.1.7"),
    ("MAIL FROM:<ю@x.test>".encode(), "550 5.6.7"),
    (b"RCPT TO:<a\x00b@local.test>", "501 5.1.3"),
    (b"RCPT TO:<a\x1b[31m@local.test>", "501 5.1.3"),
    (b"RCPT TO:<\xff@local.test>", "501 5.1.3"),
    ("RCPT TO:<почта@пример.test>".encode(), "550 5.6.7"),
    (b"RCPT TO:<bob@local.test> NOTIFY=SUCCESS,Never", "501 5.5.4"),
    (b"RCPT TO:<bob@local.test> ORCPT=rfc822;x+0D+0ADATA", "501 5.5.4"),
    (b"MAIL FROM:<a@x.test> ENVID=+00", "501 5.5.4"),
    (b"MAIL FROM:<a@x.test> REQUIRETLS", "555 5.5.4"),
    (b"VRFY \x00\xff", "252 2.5.0"),
    (b"\xff\x00 x", "500 5.5.1"),
    (b"EHLO \x00", "501 5.5.4"),
]


@pytest.mark.parametrize(("said", "code"), ADDRESSES)
async def test_hostile_octets_are_refused_and_logged(
    said: bytes, code: str, tmp_path: Path
) -> None:
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.talk(READY)
        if said.startswith(b"RCPT"):
            await client.talk("C: MAIL FROM:<a@x.test>\nS: 250 .*")
        await client.send(said + b"\r\n")
        reply = await client.line()
        assert reply.startswith(code)
        assert reply.isascii()
        await client.talk("C: QUIT\nS: 221 .*")
        await running.closed()
        if not code.startswith("2"):
            event = running.journal.one("smtp.protocol")
            assert event.reply == reply
            assert "\x00" not in event.argument
            assert event.argument.encode()


# -------------------------------------------------------------- never a relay

RELAY_PROBES = [
    "<victim@other.test>",
    "<victim@OTHER.test>",
    "<victim%other.test@local.test>",
    "<victim%other.test>",
    '<"victim%other.test">',
    '<"victim%other.test"@local.test>',
    '<"victim@other.test"@local.test>',
    '<"victim@other.test">',
    "<victim@other.test@local.test>",
    "<@local.test:victim@other.test>",
    "<@local.test,@other.test:victim@other.test>",
    "<@local.test:victim%other.test@local.test>",
    "<other.test!victim>",
    "<other.test!victim@local.test>",
    "<local.test!other.test!victim@local.test>",
    "<victim@[127.0.0.1]>",
    "<victim@[192.0.2.1]>",
    "<victim@[local.test]>",
    "<victim@local.test.other.test>",
    "<victim@other.test.>",
    "<alice@local.test@other.test>",
    '<"alice@local.test"@other.test>',
    "<alice@xn--other-test>",
    "<victim@localhost>",
    "<alice@local.test>, <victim@other.test>",
    "<alice@local.test> <victim@other.test>",
    "victim@other.test",
    '<"victim@other.test"@[127.0.0.1]>',
    '<"alice@local.test\\@"@other.test>',
]


@pytest.mark.parametrize("sender", ["<>", "<alice@local.test>", "<spam@x.test>"])
async def test_never_an_open_relay(sender: str, tmp_path: Path) -> None:
    async with server(tmp_path, limits={"max_errors": 1000}) as running:
        async with connect(running.port) as client:
            await client.talk(READY + f"C: MAIL FROM:{sender}\nS: 250 .*")
            for probe in RELAY_PROBES:
                await client.send(f"RCPT TO:{probe}\r\n".encode())
                reply = await client.line()
                assert reply[0] == "5", (probe, reply)
            await client.talk("C: DATA\nS: 554 5\\.5\\.1 .*\nC: QUIT\nS: 221 .*")
        assert not running.journal.frames
        denied = [e.addr for e in running.journal.all("smtp.reject") if e.check == "relay_denied"]
        assert {"victim@other.test", "victim@[127.0.0.1]", "victim@localhost"} <= set(denied)
        numbers = [e.n for e in running.journal.all("smtp.reject")]
        assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize(
    "form", ["<@a.test,@b.test:bob@local.test>", '<"bob"@local.test>', "<BOB@local.test.>"]
)
async def test_odd_forms_of_our_own_addresses_arrive(form: str, tmp_path: Path) -> None:
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.talk(READY + "C: MAIL FROM:<>\nS: 250 .*")
        await client.send(f"RCPT TO:{form}\r\n".encode())
        await client.talk("S: 250 .*\nC: DATA\nS: 354 .*\nC: .\nS: 250 .*")
        assert running.journal.frames[0][0].links[0].box == "bob@local.test"


# --------------------------------------------------------------- memory and bugs


async def test_memory_of_unfinished_messages_is_bounded(tmp_path: Path) -> None:
    async with server(tmp_path, max_held=2 * MAX_BODY) as running:
        async with connect(running.port) as first, connect(running.port) as second:
            await first.talk(READY + DATA)
            await second.talk(READY + DATA)
            line = b"x" * 998 + b"\r\n"
            await first.send(line * 400)
            await until(lambda: running.service.held > 390_000)
            for _ in range(20):
                await second.send(line * 100)
                assert running.service.held < 2 * MAX_BODY + 600_000
            await second.send(b".\r\n")
            await second.talk("S: 452 4\\.3\\.1 .*\nC: NOOP\nS: 250 .*\nC: QUIT\nS: 221 .*")
            await first.send(b".\r\n")
            await first.talk("S: 250 .*\nC: QUIT\nS: 221 .*")
        await running.closed(2)
        assert running.journal.one("smtp.tempfail").check == "memory"


async def test_input_waits_outside_while_a_commit_runs(tmp_path: Path) -> None:
    """Back-pressure: what a client pours in during a commit stays in the kernel."""
    async with server(tmp_path) as running, connect(running.port) as client:
        gate = asyncio.Event()

        async def wait() -> None:
            await gate.wait()

        running.journal.before_commit = wait
        await client.talk(READY + DATA)
        client.writer.write(b"a\r\n.\r\n" + b"NOOP x\r\n" * 1_000_000)
        (session,) = running.service.sessions
        await until(lambda: session._is_paused)
        assert len(session.input) < 1_000_000
        client.writer.transport.abort()
        gate.set()
        await running.closed()
        assert len(running.journal.frames) == 1


async def test_a_client_that_does_not_read_is_not_buffered_for_ever(tmp_path: Path) -> None:
    limits = {"command_timeout_seconds": 0.5, "max_errors": 10**9}
    async with server(tmp_path, limits=limits) as running, connect(running.port) as client:
        await client.line()
        client.writer.write(b"HELP\r\n" * 1_000_000)
        await running.closed()
        assert running.journal.one("conn.close").why in ("timeout", "lost")
        assert running.journal.one("conn.close").commands < 1_000_000


async def test_a_bug_says_nothing_of_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken_check(transaction: Transaction, facts: object) -> None:
        raise RuntimeError("secret detail")

    caplog.set_level(logging.WARNING)
    policy = Policy(source=(broken_check,), destination=(), content=())
    async with server(tmp_path, policy=policy) as running:
        await running.talk(READY + "C: MAIL FROM:<a@x.test>\nS: 421 4\\.3\\.0 [a-z ,.]*\nEOF")
        await running.closed()
        event = running.journal.one("smtp.tempfail")
        assert event.check == "internal"
        assert "secret" not in event.reply
        assert running.journal.one("conn.close").why == "error"
        assert not any(record.exc_info for record in caplog.records)


async def test_counters_return_to_zero(tmp_path: Path) -> None:
    async with server(tmp_path) as running:
        service: Service = running.service
        for _ in range(5):
            await running.talk(READY + "C: QUIT\nS: 221 .*\nEOF")
        await running.closed(5)
        assert service.connections == 5
        assert not service.clients.here
        assert not service.sessions

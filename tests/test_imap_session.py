"""A session from greeting to end: order, states, errors, limits, farewells."""

import asyncio
import logging
import re
import socket
from pathlib import Path

import pytest

from mtad.imap.commands import Plain
from mtad.imap.handlers import table
from mtad.imap.session import Session, State
from tests.dialog import until
from tests.imap import ALICE, SECRET, serving


async def test_a_session(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.deliver(count=3)
        await running.talk(
            r"""
            S: \* OK \[CAPABILITY IMAP4rev1 IMAP4rev2 .*AUTH=.*\] imap.local.test is ready
            C: a NOOP
            S: a OK NOOP completed
            C: b SELECT INBOX
            S: b BAD SELECT is not allowed in this state
            C: c LOGIN alice@local.test "correct horse"
            S: c OK \[CAPABILITY .*APPENDLIMIT=\d+\] Logged in
            C: d LOGIN alice@local.test "correct horse"
            S: d BAD LOGIN is not allowed in this state
            C: e CHECK
            S: e BAD CHECK is not allowed in this state
            C: f LOGOUT
            S: \* BYE .*
            S: f OK LOGOUT completed
            EOF
            """
        )
        await until(lambda: running.journal.all("conn.close"))
        (opened,), (closed,) = running.journal.all("conn.open"), running.journal.all("conn.close")
        assert opened.listener.startswith("imap 127.0.0.1:")
        assert opened.trace == closed.trace
        assert (closed.why, closed.commands) == ("quit", 6)


async def test_pipelined_commands_are_answered_in_order_and_together(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        await client.send(b"".join(b"p%d NOOP\r\n" % number for number in range(300)))
        assert [await client.line() for _ in range(300)] == [
            f"p{number} OK NOOP completed" for number in range(300)
        ]


async def test_an_answer_in_two_writes_does_not_wait_for_the_client(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client():
        (dialog,) = running.service.sessions
        sock = dialog.stream.link.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_what_is_no_command_is_bad(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        await client.talk(
            r"""
            C: x
            S: (x|\*) BAD .*
            C: y FROBNICATE
            S: y BAD .*
            C: z NOOP extra
            S: z BAD .*
            C: z NOOP
            S: z OK .*
            """
        )


async def test_too_many_errors_end_the_session(tmp_path: Path) -> None:
    async with serving(tmp_path, max_errors=3) as running:
        await running.talk(
            r"""
            S~ .*
            C: a WHAT
            S: a BAD .*
            C: b WHAT
            S: b BAD .*
            C: c NOOP
            S: c OK .*
            C: d WHAT
            S: d BAD .*
            C: e WHAT
            S: e BAD .*
            C: f WHAT
            S: f BAD .*
            S: \* BYE Too many commands against the protocol
            EOF
            """
        )
        await until(lambda: running.journal.all("conn.close"))
        assert running.journal.all("conn.close")[0].why == "errors"


async def test_who_does_not_log_in_is_sent_away(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.connect() as client:
        await client.line()
        (dialog,) = running.service.sessions
        assert dialog.stream.deadline - dialog.stream.loop.time() <= 60
        assert not dialog.stream.overdue(dialog.stream.loop.time())
        dialog.stream.expire("timeout")
        await client.talk("S: \\* BYE You were silent for too long\nEOF")


async def test_a_stop_lets_the_client_know(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("SELECT INBOX") as client:
        (dialog,) = running.service.sessions
        running.service.is_stopping = True
        dialog.stop()
        await client.talk(r"S: \* BYE \[UNAVAILABLE\] The server is shutting down.*" + "\nEOF")
        assert await running.talk(r"S: \* BYE \[UNAVAILABLE\] Shutting down" + "\nEOF")


async def test_a_client_may_be_turned_away(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        running.gate.full = "too many connections"
        await running.talk(r"S: \* BYE \[UNAVAILABLE\] Too many connections" + "\nEOF")
        (refused,) = running.journal.all("conn.refused")
        assert refused.why == "too many connections"
        running.gate.full = ""


async def test_a_bug_costs_a_command_and_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(session: Session, command: Plain) -> None:
        raise ValueError("secret text of a client")

    entry = table.Entry(fails, State.AUTHENTICATED)
    monkeypatch.setitem(table.TABLE, "CHECK", entry)
    async with serving(tmp_path) as running, running.client() as client:
        caplog.set_level(logging.INFO)
        assert (await client.no("CHECK")).startswith("NO [SERVERBUG] Internal trouble")
        assert await client.ok("NOOP") == []
    (record,) = [one for one in caplog.records if one.name == "mtad.imap"]
    assert "ValueError at test_imap_session.py" in record.getMessage()
    assert "secret" not in caplog.text


async def test_a_slow_reader_fills_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = 0

    async def floods(session: Session, command: Plain) -> None:
        nonlocal written
        for _ in range(2000):
            await session.write(b"* OK " + b"x" * 10_000 + b"\r\n")
            written += 1

    monkeypatch.setitem(table.TABLE, "CHECK", table.Entry(floods, State.AUTHENTICATED))
    async with serving(tmp_path) as running, running.client() as client:
        await client.send(b"a CHECK\r\n")
        (dialog,) = running.service.sessions
        before = -1
        while before != written:
            before = written
            await asyncio.sleep(0.1)
        assert 0 < written < 2000
        assert dialog.stream.pending < 400_000
        while not (await client.line()).startswith("a OK"):
            pass
        assert written == 2000


async def test_a_client_that_hangs_up_leaves_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        async with running.client("SELECT INBOX") as client:
            await client.send(b"half a comm")
        await until(lambda: not running.service.sessions)
        assert running.journal.all("conn.close")[0].why == "lost"


async def test_literals_are_asked_for(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.connect() as client:
        await client.talk(
            r"""
            S~ .*
            C: a LOGIN {16}
            S: \+ .*
            C: alice@local.test {13}
            S: \+ .*
            C: correct horse
            S: a OK .*
            C: b SELECT {5+}
            C: INBOX
            S~ b OK .*
            C: c LOGIN {99999999}
            S: c (NO|BAD) .*
            """
        )


@pytest.mark.parametrize("size", [1, 7])
async def test_a_session_octet_by_octet(size: int, tmp_path: Path) -> None:
    said = (
        b"a CAPABILITY\r\nb LOGIN {16}\r\nalice@local.test {13+}\r\ncorrect horse\r\n"
        b'c SELECT "INBOX"\r\nd IDLE\r\nDONE\r\ne LOGOUT\r\n'
    )
    async with serving(tmp_path) as running:
        await running.deliver()
        async with running.connect() as client:
            for start in range(0, len(said), size):
                await client.send(said[start : start + size])
                await asyncio.sleep(0)
            heard = (await client.reader.read()).decode()
    tagged = re.findall(r"(?m)^([a-e]) (OK|NO|BAD)", heard)
    assert tagged == [(tag, "OK") for tag in "abcde"]


async def test_an_unauthenticated_client_may_send_no_message(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.connect() as client:
        await client.talk(
            r"""
            S~ .*
            C: a APPEND INBOX {100000}
            S: a (NO|BAD) .*
            C: b NOOP
            S: b OK .*
            """
        )


async def test_the_secret_is_in_no_event(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        async with running.client() as client:
            await client.no(f"LOGIN {ALICE} {SECRET}")
        assert running.journal.log
        assert all("horse" not in repr(event) for event in running.journal.log)

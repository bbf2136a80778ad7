"""LMTP: one reply for each recipient, in order, and only from servers that are trusted."""

import asyncio
import smtplib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mtad.config import Lmtp
from mtad.delivery.route import Accepted
from mtad.directory.lookup import Target
from mtad.errors import Refusal
from mtad.journal.frame import MAX_BODY
from mtad.journal.writer import JournalFull
from mtad.smtp.checks.content import MAX_OWN_HOPS
from mtad.smtp.checks.standard import LOCAL
from mtad.smtp.policy import Transaction
from tests.dialog import HOST, connect, server, wire
from tests.test_smtp_hazards import RELAY_PROBES, SMUGGLED
from tests.test_smtp_interop import program, run
from tests.test_smtp_tls import context, files, secure

__all__ = ["context", "files"]

READY = """
    S: 220 mx\\.local\\.test LMTP mtad
    C: LHLO list.test
    S*
"""
ALICE, BOB = "alice@local.test", "bob@local.test"
ALL = (ALICE, BOB, "al@local.test", "all@local.test")


def to(*recipients: str) -> str:
    said = "C: MAIL FROM:<a@x.test>\nS: 250 2\\.1\\.0 .*\n"
    return said + "".join(f"C: RCPT TO:<{one}>\nS: 250 2\\.1\\.5 .*\n" for one in recipients)


def picky(**answers: tuple[int, str]) -> Any:
    """A policy by which some boxes cannot have a message, once it is there."""

    async def picky_box(transaction: Transaction, recipient: Accepted) -> Refusal | None:
        name = recipient.given.partition("@")[0]
        if name not in answers:
            return None
        code, status = answers[name]
        return Refusal(code, status, f"{name} cannot have it")

    return replace(LOCAL, recipient=(picky_box,))


async def test_one_reply_for_each_recipient_in_order(tmp_path: Path) -> None:
    async with server(tmp_path, name="lmtp") as running, connect(running.port) as client:
        await client.talk(READY + to(*ALL, ALICE) + "C: DATA\nS: 354 .*")
        await client.send(wire(b"Subject: five\n\nHi\n"))
        heard = await client.talk("S: 250 2\\.0\\.0 queued as .*\n" * 5)
        assert len(set(heard)) == 1
        await client.talk(to(BOB) + "C: DATA\nS: 354 .*\nC: .\nS: 250 .*\nC: QUIT")
        await client.talk("S: 221 .*\nEOF")
        await running.closed()
        journal = running.journal
        (meta, body), _ = journal.frames
        assert [link.box for link in meta.links] == [ALICE, BOB]
        assert b"from list.test (unknown [127.0.0.1])\n\tby mx.local.test (mtad) with LMTP" in body
        accept = journal.all("smtp.accept")[0]
        assert [one.original for one in accept.recipients] == [
            *ALL,
            "all@local.test",
            ALICE,
        ]
        assert journal.all("smtp.ehlo")[0].verb == "LHLO"
        assert not journal.all("smtp.protocol")


async def test_some_have_it_and_some_do_not(tmp_path: Path) -> None:
    policy = picky(bob=(552, "5.2.2"), al=(451, "4.3.0"))
    async with (
        server(tmp_path, name="lmtp", lmtp_policy=policy) as running,
        connect(running.port) as client,
    ):
        await client.talk(READY + to(*ALL) + "C: DATA\nS: 354 .*\nC: x: y\nC: .")
        await client.talk(
            """
            S: 250 2\\.0\\.0 queued as .*
            S: 552 5\\.2\\.2 bob cannot have it
            S: 451 4\\.3\\.0 al cannot have it
            S: 250 2\\.0\\.0 queued as .*
            C: QUIT
            S: 221 .*
            EOF
            """
        )
        await running.closed()
        journal = running.journal
        accept = journal.one("smtp.accept")
        assert [(one.n, one.original) for one in accept.recipients] == [
            (1, ALICE),
            (4, "all@local.test"),
            (5, "all@local.test"),
        ]
        reject, tempfail = journal.one("smtp.reject"), journal.one("smtp.tempfail")
        assert (reject.n, reject.addr, reject.check) == (2, BOB, "picky_box")
        assert (tempfail.n, tempfail.addr, tempfail.stage) == (3, "al@local.test", "dot")
        assert {reject.trace, tempfail.trace} == {accept.trace}
        # The box is reached by another way, which was not refused.
        assert [link.box for link in journal.frames[0][0].links] == [ALICE, ALL[1]]


async def test_nobody_has_it(tmp_path: Path) -> None:
    policy = picky(bob=(552, "5.2.2"), al=(451, "4.3.0"))
    async with (
        server(tmp_path, name="lmtp", lmtp_policy=policy) as running,
        connect(running.port) as client,
    ):
        await client.talk(READY + to("al@local.test", BOB) + "C: DATA\nS: 354 .*")
        await client.talk("C: .\nS: 451 4\\.3\\.0 .*\nS: 552 5\\.2\\.2 .*")
        await client.talk(to(ALICE) + "C: DATA\nS: 354 .*\nC: .\nS: 250 .*")
        assert len(running.journal.frames) == 1
        assert "smtp.abort" not in running.journal.kinds


async def test_no_room_is_no_room_for_all_who_were_not_refused(tmp_path: Path) -> None:
    policy = picky(bob=(552, "5.2.2"))
    async with (
        server(tmp_path, name="lmtp", lmtp_policy=policy) as running,
        connect(running.port) as client,
    ):

        async def full() -> None:
            raise JournalFull("full")

        running.journal.before_commit = full
        await client.talk(READY + to(*ALL) + "C: DATA\nS: 354 .*\nC: .")
        await client.talk("S: 452 .*\nS: 552 .*\nS: 452 .*\nS: 452 .*\nC: NOOP\nS: 250 2.0.0 ok")
        assert running.journal.one("smtp.tempfail").n == 0
        assert running.journal.one("smtp.reject").n == 2


FLAWS = {
    "bare": (b"a\nb\r\n.\r\n", "550 5.6.11", True),
    "large": (b"x" * 70_000 + b"\r\n.\r\n", "552 5.3.4", False),
    "loop": (b"Received: from x by y\r\n" * 51 + b"\r\n.\r\n", "554 5.4.6", False),
}


@pytest.mark.parametrize("name", FLAWS)
async def test_a_flaw_is_told_for_each_recipient(name: str, tmp_path: Path) -> None:
    said, code, closes = FLAWS[name]
    limits = {"max_message_bytes": 65_536, "max_errors": 2}
    async with (
        server(tmp_path, name="lmtp", limits=limits) as running,
        connect(running.port) as client,
    ):
        await client.talk(READY + to(*ALL) + "C: DATA\nS: 354 .*")
        await client.send(said + SMUGGLED * closes)
        heard = [await client.line() for _ in ALL]
        assert {line[: len(code)] for line in heard} == {code}
        await client.talk("EOF" if closes else "C: QUIT\nS: 221 .*\nEOF")
        await running.closed()
        assert running.journal.one("smtp.reject").n == 0
        assert len(running.journal.all("smtp.mail")) == 1
        assert not running.journal.frames


async def test_what_lmtp_does_not_know(tmp_path: Path) -> None:
    async with server(tmp_path, name="lmtp") as running, connect(running.port) as client:
        await client.talk(
            """
            S: 220 .*
            C: EHLO list.test
            S: 500 5\\.5\\.1 this is LMTP: say LHLO
            C: HELO list.test
            S: 500 5\\.5\\.1 .*
            C: MAIL FROM:<a@x.test>
            S: 503 5\\.5\\.1 say LHLO first
            C: AUTH PLAIN
            S: 502 5\\.5\\.1 .*
            C: LHLO
            S: 501 5\\.5\\.4 .*
            C: LHLO list.test
            S: 250-mx\\.local\\.test
            S: 250-PIPELINING
            S: 250-SIZE .*
            S: 250-8BITMIME
            S: 250-SMTPUTF8
            S: 250-ENHANCEDSTATUSCODES
            S: 250-CHUNKING
            S: 250-DSN
            S: 250-LIMITS .*
            S: 250 HELP
            C: DATA
            S: 503 5\\.5\\.1 .*
            C: MAIL FROM:<a@x.test>
            S: 250 .*
            C: RCPT TO:<nobody@local.test>
            S: 550 5\\.1\\.1 .*
            C: DATA
            S: 503 5\\.5\\.1 no valid recipients
            C! BDAT 2 LAST\\r\\nhi
            S: 503 5\\.5\\.1 no valid recipients
            C: HELP
            S: 214 2\\.0\\.0 BDAT DATA HELP LHLO MAIL NOOP QUIT RCPT RSET STARTTLS VRFY
            """
        )


async def test_lmtp_is_unknown_to_smtp(tmp_path: Path) -> None:
    async with server(tmp_path) as running:
        await running.talk("S*\nC: LHLO x\nS: 502 5\\.5\\.1 .*\nC: MAIL FROM:<>\nS: 503 .*")


async def test_by_chunks_the_last_one_has_all_the_replies(tmp_path: Path) -> None:
    policy = picky(bob=(552, "5.2.2"))
    limits = {"max_message_bytes": 65_536}
    async with (
        server(tmp_path, name="lmtp", lmtp_policy=policy, limits=limits) as running,
        connect(running.port) as client,
    ):
        await client.talk(READY + to(*ALL))
        await client.send(b"BDAT 6\r\nx: y\r\nBDAT 0\r\nBDAT 5 LAST\r\n\r\nend")
        await client.talk("S: 250 .* octets received\n" * 2)
        await client.talk("S: 250 .*queued.*\nS: 552 .*\nS: 250 .*queued.*\nS: 250 .*queued.*")
        await client.talk(to(ALICE, "al@local.test"))
        await client.send(b"BDAT 70000\r\n" + b"x" * 70_000 + b"BDAT 1 LAST\r\nx")
        await client.talk("S: 552 5\\.3\\.4 .*\nS: 503 .*\nC: QUIT\nS: 221 .*\nEOF")
        assert running.journal.frames[0][1].endswith(b"x: y\n\nend\n")


GROUP = (
    b"MAIL FROM:<a@x.test>\r\nRCPT TO:<alice@local.test>\r\nRCPT TO:<bob@local.test>\r\n"
    b"RCPT TO:<nobody@local.test>\r\nRCPT TO:<al@local.test>\r\nDATA\r\n"
)
THEN = (
    b"Subject: drip\r\n\r\n..\r\nend\r\n.\r\n"
    b"MAIL FROM:<>\r\nRCPT TO:<bob@local.test>\r\nRCPT TO:<all@local.test>\r\n"
    b"BDAT 3 LAST\r\nx\r\nQUIT\r\n"
)


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
async def test_octet_by_octet(size: int, tmp_path: Path) -> None:
    policy = picky(bob=(452, "4.2.2"))
    async with (
        server(tmp_path, name="lmtp", lmtp_policy=policy) as running,
        connect(running.port) as client,
    ):
        await client.line()
        for group, replies in ((b"LHLO c\r\n", 1), (GROUP, 6), (THEN, 9)):
            for at in range(0, len(group), size):
                await client.send(group[at : at + size])
                await asyncio.sleep(0)
            codes = [(await client.reply())[:3] for _ in range(replies)]
            if group == GROUP:
                assert codes == ["250", "250", "250", "550", "250", "354"]
        assert codes == ["250", "452", "250", "250", "250", "250", "452", "250", "221"]
        await client.talk("EOF")
        assert running.journal.frames[0][1].endswith(b"Subject: drip\n\n.\nend\n")


async def test_a_forward_in_a_circle_is_refused_for_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = f"Received: from x by {HOST} (mtad) with LMTP id 1\n".encode() * MAX_OWN_HOPS
    for name in ("lmtp", "smtp"):
        async with server(tmp_path, name=name) as running, connect(running.port) as client:
            away = {BOB: (Target("b@other.test", BOB, False, remote=True, forward=True),)}
            found = running.book.resolve
            monkeypatch.setattr(
                running.book,
                "resolve",
                lambda given, away=away, found=found: away.get(str(given)) or found(given),
            )
            hello = "LHLO" if name == "lmtp" else "EHLO"
            await client.talk(f"S*\nC: {hello} x\nS*\n" + to(ALICE, BOB))
            await client.talk("C: DATA\nS: 354 .*")
            await client.send(wire(own + b"\nbody\n"))
            if name == "lmtp":
                await client.talk("S: 250 .*")
            await client.talk("S: 554 5\\.4\\.6 .*it was here 4 times.*\nC: NOOP\nS: 250 2.0.0 ok")
            reject = running.journal.one("smtp.reject")
            assert (reject.check, reject.n) == ("forward_loop", 2 if name == "lmtp" else 0)
            assert len(running.journal.frames) == (name == "lmtp")


# ---------------------------------------------------------------------- who may


async def test_only_trusted_networks(tmp_path: Path) -> None:
    async with server(
        tmp_path, name="lmtp", lmtp=Lmtp(trusted_networks=("127.0.0.2/32", "192.0.2.0/24"))
    ) as running:
        async with connect(running.port) as stranger:
            await stranger.talk("S: 421 4\\.7\\.0 .* not in lmtp\\.trusted_networks\nEOF")
        async with connect(running.port, local_addr=("127.0.0.2", 0)) as friend:
            await friend.talk("S: 220 .*\nC: QUIT\nS: 221 .*")
        assert running.journal.one("conn.refused").ip == "127.0.0.1"


async def test_a_proxy_in_front_of_smtp_is_none_here(tmp_path: Path) -> None:
    limits = {"proxies": ("127.0.0.0/8",)}
    async with server(tmp_path, name="lmtp", limits=limits) as running:
        await running.talk("S: 220 .*\nC: PROXY UNKNOWN\nS: 500 .*\nC: QUIT\nS: 221 .*")


async def test_limits_on_strangers_are_not_for_servers_of_our_own(tmp_path: Path) -> None:
    limits = {
        "max_connections_per_ip": 1,
        "max_messages_per_hour_per_ip": 1,
        "max_recipients_per_hour_per_ip": 1,
        "tarpit_after_errors": 0,
        "tarpit_max_seconds": 60,
    }
    async with (
        server(tmp_path, name="lmtp", limits=limits) as running,
        connect(running.port) as first,
        connect(running.port) as second,
    ):
        for client in (first, second):
            await client.talk(READY)
            for _ in range(2):
                await client.talk(to(*ALL[:2]) + "C: RCPT TO:<no@local.test>\nS: 550 .*")
                await client.talk("C: DATA\nS: 354 .*\nC: .\nS: 250 .*\nS: 250 .*")


async def test_no_relay(tmp_path: Path) -> None:
    limits = {"max_errors": 1000}
    async with server(tmp_path, name="lmtp", limits=limits) as running:
        async with connect(running.port) as client:
            await client.talk(READY + "C: MAIL FROM:<alice@local.test>\nS: 250 .*")
            for probe in RELAY_PROBES:
                await client.send(f"RCPT TO:{probe}\r\n".encode())
                assert (await client.line())[0] == "5", probe
            await client.talk("C: DATA\nS: 503 .*\nC: QUIT\nS: 221 .*")
        assert not running.journal.frames


async def test_starttls(tmp_path: Path, context: Any) -> None:
    async with (
        server(tmp_path, name="lmtp", tls=context) as running,
        connect(running.port) as client,
    ):
        await client.talk(READY)
        await client.send(b"STARTTLS\r\nLHLO evil.test\r\nMAIL FROM:<evil@x.test>\r\n")
        await client.talk("S: 220 .*")
        await secure(client)
        await client.talk("C: MAIL FROM:<>\nS: 503 .* say LHLO first\nC: LHLO list.test\nS*")
        await client.talk(to(BOB) + "C: DATA\nS: 354 .*\nC: .\nS: 250 .*")
        assert b" with LMTPS id " in running.journal.frames[0][1]


async def test_a_unix_socket(tmp_path: Path) -> None:
    at = tmp_path / "lmtp"
    lmtp = Lmtp(trusted_networks=())
    async with server(tmp_path, name="lmtp", at=at, lmtp=lmtp) as running, connect(at) as client:
        await client.talk(READY + to(BOB) + "C: DATA\nS: 354 .*\nC: .\nS: 250 .*")
        await client.talk("C: QUIT\nS: 221 .*\nEOF")
        await running.closed()
        assert b"\nReceived: from list.test\n\tby mx" in running.journal.frames[0][1]
        opened = running.journal.one("conn.open")
        assert (opened.ip, opened.listener) == ("", f"lmtp {at}")


# ------------------------------------------------------------------ other programs


@pytest.mark.interop
@pytest.mark.parametrize("pipeline", [True, False])
async def test_swaks(pipeline: bool, tmp_path: Path) -> None:
    at = tmp_path / "lmtp"
    policy = picky(al=(452, "4.2.2"))
    async with server(tmp_path, name="lmtp", at=at, lmtp_policy=policy) as running:
        status, said = await run(
            program("swaks"),
            *("--protocol", "LMTP", "--socket", str(at), "--timeout", "8"),
            *("--from", "a@x.test", "--to", ",".join(ALL[:2])),
            *("--header", "Subject: from swaks", "--body", "one\n.two"),
            *(["--pipeline"] if pipeline else []),
        )
        assert status == 0, said
        assert said.count("queued as") == 2
        assert running.journal.one("smtp.accept").subject == "from swaks"


async def test_smtplib(tmp_path: Path) -> None:
    at = tmp_path / "lmtp"
    policy = picky(al=(452, "4.2.2"))

    def send() -> dict[str, tuple[int, bytes]]:
        with smtplib.LMTP(str(at)) as link:
            link.ehlo_or_helo_if_needed()
            assert link.has_extn("enhancedstatuscodes")
            code, _ = link.mail("a@x.test")
            assert code == 250
            for one in ALL[:3]:
                assert link.rcpt(one)[0] == 250
            code, said = link.data(b"Subject: long\r\n\r\n" + b"x\r\n" * MAX_BODY)
            replies = {ALL[0]: (code, said)}
            return replies | {one: link.getreply() for one in ALL[1:3]}

    async with server(tmp_path, name="lmtp", at=at, lmtp_policy=policy) as running:
        replies = await asyncio.get_running_loop().run_in_executor(None, send)
        assert [code for code, _ in replies.values()] == [250, 250, 452]
        assert len(running.journal.frames) == 1

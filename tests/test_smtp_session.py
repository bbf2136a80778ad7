"""Dialogs with the SMTP service: replies and their order, and the events behind them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from mtad.delivery.local import Envelope
from mtad.errors import MtadError
from mtad.journal.writer import JournalBroken, JournalFull
from mtad.smtp import session
from mtad.smtp.received import date
from tests.dialog import HOST, Memory, book, connect, server, until, wire
from tracing import ids

MESSAGE = b"Message-ID: <1@x.test>\nSubject: Hello\nFrom: Ann <a@x.test>\n\nHi\n.dot\n"

HELLO = """
    S: 220 mx\\.local\\.test ESMTP mtad
    C: EHLO client.test
    S: 250-mx\\.local\\.test
    S: 250-PIPELINING
    S: 250-SIZE 52428800
    S: 250-8BITMIME
    S: 250-SMTPUTF8
    S: 250-ENHANCEDSTATUSCODES
    S: 250-CHUNKING
    S: 250-DSN
    S: 250-LIMITS MAILMAX=10000 RCPTMAX=1000
    S: 250 HELP
"""
READY = """
    S*
    C: EHLO client.test
    S*
"""


async def test_a_message_from_greeting_to_quit(tmp_path: Path) -> None:
    async with server(tmp_path) as running:
        journal = running.journal
        async with connect(running.port) as client:
            await client.talk(
                HELLO
                + """
                C: MAIL FROM:<a@x.test> SIZE=500 BODY=8BITMIME
                S: 250 2\\.1\\.0 .*
                C: RCPT TO:<Alice@LOCAL.test>
                S: 250 2\\.1\\.5 .*
                C: DATA
                S: 354 .*
                """
            )
            await client.send(wire(MESSAGE))
            reply = await client.line()
            await client.talk("C: QUIT\nS: 221 2\\.0\\.0 .*\nEOF")
        await running.closed()
    assert journal.kinds == [
        "conn.open",
        "smtp.ehlo",
        "smtp.mail",
        "smtp.rcpt",
        "smtp.accept",
        "conn.close",
    ]
    opened, ehlo, mail, rcpt, accept, close = (journal.one(kind) for kind in journal.kinds)
    assert opened.trace == ehlo.trace == mail.cn == close.trace
    assert mail.trace == rcpt.trace == accept.trace != opened.trace
    assert reply == accept.reply == f"250 2.0.0 queued as {ids.text(mail.trace)}"
    assert (mail.addr, mail.size, mail.helo, mail.ip) == (
        "a@x.test",
        500,
        "client.test",
        "127.0.0.1",
    )
    assert (rcpt.addr, rcpt.n) == ("Alice@LOCAL.test", 1)
    assert accept.recipients[0].addr == "alice@local.test"
    assert accept.recipients[0].original == "Alice@LOCAL.test"
    assert (accept.message_id, accept.subject) == ("<1@x.test>", "Hello")
    assert accept.header_from == "Ann <a@x.test>"
    assert (accept.code, accept.enh, accept.addr) == (250, "2.0.0", "a@x.test")
    assert (close.why, close.messages, close.commands) == ("quit", 1, 5)
    (meta, body), content = journal.frames[0], journal.frames[0][0].content
    assert content is not None
    assert body.endswith(MESSAGE)
    assert content.size == len(body) == accept.size
    assert content.sha256.hex() == accept.sha256
    assert meta.links[0].box == "alice@local.test"
    top = body.removesuffix(MESSAGE).decode()
    assert top == (
        "Return-Path: <a@x.test>\n"
        "Received: from client.test (unknown [127.0.0.1])\n"
        f"\tby {HOST} (mtad) with ESMTP id {ids.text(mail.trace)}\n"
        "\tfor <Alice@LOCAL.test>;\n"
        f"\t{date(content.mtime_ns // 10**9)}\n"
    )


LENIENT = {"strict_pipelining": False}


async def test_pipelining_in_groups(tmp_path: Path) -> None:
    """RFC 2920 3.1: a message may be the first thing in a group, DATA is the last."""
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.talk(READY)
        mail = b"MAIL FROM:<a@x.test>\r\nRCPT TO:<alice@local.test>\r\nDATA\r\n"
        await client.send(b"NOOP\r\nVRFY x\r\nRSET\r\n" + mail)
        await client.talk("S: 250 .*\nS: 252 .*\nS: 250 .*\nS: 250 .*\nS: 250 .*\nS: 354 .*")
        for _ in range(2):
            await client.send(wire(MESSAGE) + mail)
            await client.talk("S: 250 2\\.0\\.0 .*\nS: 250 .*\nS: 250 .*\nS: 354 .*")
        await client.send(wire(MESSAGE) + b"QUIT\r\n")
        await client.talk("S: 250 2\\.0\\.0 .*\nS: 221 .*\nEOF")
        assert len(running.journal.frames) == 3
        assert not running.journal.all("smtp.reject")


async def test_pipelining_in_one_write(tmp_path: Path) -> None:
    """Everything at once; replies in order, the message in the middle."""
    group = (
        b"EHLO c.test\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<alice@local.test>\r\n"
        b"RCPT TO:<nobody@local.test>\r\nRCPT TO:<bob@local.test>\r\nDATA\r\n"
        + wire(MESSAGE)
        + b"NOOP\r\nMAIL FROM:<>\r\nRSET\r\nQUIT\r\n"
    )
    for size in (len(group), 1, 7):
        async with server(tmp_path, limits=LENIENT) as running, connect(running.port) as client:
            await client.line()
            for at in range(0, len(group), size):
                await client.send(group[at : at + size])
            codes = [(await client.reply())[:9] for _ in range(11)]
            assert codes == [
                "250 HELP",
                "250 2.1.0",
                "250 2.1.5",
                "550 5.1.1",
                "250 2.1.5",
                "354 go ah",
                "250 2.0.0",
                "250 2.0.0",
                "250 2.1.0",
                "250 2.0.0",
                "221 2.0.0",
            ]
            assert await client.line() == "EOF"
            await running.closed()
            assert running.journal.one("smtp.reject").n == 2
            accept = running.journal.one("smtp.accept")
            assert [r.n for r in accept.recipients] == [1, 3]
            assert b"\tfor <" not in running.journal.frames[0][1]


async def test_half_closed_client_gets_its_answers(tmp_path: Path) -> None:
    async with server(tmp_path, limits=LENIENT) as running, connect(running.port) as client:
        await client.line()
        group = b"HELO c.test\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<alice@local.test>\r\nDATA\r\n"
        await client.send(group + wire(MESSAGE) + b"QUIT\r\n")
        client.writer.write_eof()
        codes = [(await client.line())[:3] for _ in range(6)]
        assert codes == ["250", "250", "250", "354", "250", "221"]
        await running.closed()
        assert running.journal.one("conn.close").why == "quit"
        assert "smtp.unheard" not in running.journal.kinds
        assert b"with SMTP id" in running.journal.frames[0][1]


SEQUENCES = {
    "before EHLO": "C: MAIL FROM:<a@x.test>\nS: 503 5\\.5\\.1 .*",
    "rcpt first": "C: EHLO c\nS*\nC: RCPT TO:<alice@local.test>\nS: 503 5\\.5\\.1 .*",
    "data first": "C: EHLO c\nS*\nC: DATA\nS: 503 5\\.5\\.1 .*",
    "mail twice": "C: EHLO c\nS*\nC: MAIL FROM:<>\nS: 250.*\nC: MAIL FROM:<>\nS: 503 5\\.5\\.1 .*",
    "data without rcpt": "C: EHLO c\nS*\nC: MAIL FROM:<>\nS: 250.*\nC: DATA\nS: 554 5\\.5\\.1 .*",
    "ehlo without name": "C: EHLO\nS: 501 5\\.5\\.4 .*",
    "unknown": "C: FOO bar\nS: 500 5\\.5\\.1 .*",
    "empty": "C:\nS: 500 5\\.5\\.1 .*",
    "no verb": "C: ЕХЛО\nS: 500 5\\.5\\.1 .*",
    "expn": "C: EXPN x\nS: 502 5\\.5\\.1 .*",
    "etrn": "C: ETRN x\nS: 502 5\\.5\\.1 .*",
    "auth": "C: AUTH PLAIN AGEAYg==\nS: 502 5\\.5\\.1 .*",
    "starttls without certificate": "C: STARTTLS\nS: 502 5\\.5\\.1 .*",
    "rset with argument": "C: RSET x\nS: 501 5\\.5\\.4 .*",
    "quit with argument": "C: QUIT x\nS: 501 5\\.5\\.4 .*",
    "data with argument": (
        "C: EHLO c\nS*\nC: MAIL FROM:<>\nS: 250.*\nC: RCPT TO:<bob@local.test>\nS: 250.*\n"
        "C: DATA x\nS: 501 5\\.5\\.4 .*"
    ),
    "bad mail": "C: EHLO c\nS*\nC: MAIL FROM:a\nS: 501 5\\.1\\.7 .*",
    "bad parameter": "C: EHLO c\nS*\nC: MAIL FROM:<> FOO=1\nS: 555 5\\.5\\.4 .*FOO=1.*",
    "bad rcpt": "C: EHLO c\nS*\nC: MAIL FROM:<>\nS: 250.*\nC: RCPT TO:<>\nS: 501 5\\.1\\.3 .*",
    "vrfy nothing": "C: VRFY\nS: 501 5\\.5\\.4 .*",
}


@pytest.mark.parametrize("name", SEQUENCES)
async def test_protocol_errors_are_events_with_the_reply(name: str, tmp_path: Path) -> None:
    async with server(tmp_path) as running:
        heard = await running.talk("S*\n" + SEQUENCES[name] + "\nC: QUIT\nS: 221 .*\nEOF")
        await running.closed()
        error = running.journal.one("smtp.protocol")
        assert error.reply == heard[-2]
        assert error.code == int(heard[-2][:3])
        assert error.enh == heard[-2].split()[1]
        assert bool(error.argument) is (name != "empty")


async def test_small_commands(tmp_path: Path) -> None:
    async with server(tmp_path) as running:
        await running.talk(
            """
            S*
            C: NOOP whatever
            S: 250 2\\.0\\.0 .*
            C: VRFY alice
            S: 252 2\\.5\\.0 .*
            C: HELP
            S: 214 2\\.0\\.0 .*
            C: RSET
            S: 250 2\\.0\\.0 .*
            C: helo old.test
            S: 250 mx.local.test
            C: quit
            S: 221 2\\.0\\.0 .*
            EOF
            """
        )
        await running.closed()
        assert running.journal.kinds == ["conn.open", "smtp.ehlo", "conn.close"]
        assert running.journal.one("smtp.ehlo").verb == "HELO"


async def test_nobody_learns_who_is_here(tmp_path: Path) -> None:
    """RFC 5321 7.3: VRFY and EXPN tell the same of a box, a list, and nobody."""
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.talk("S*\nC: EHLO c\nS*")
        for verb in ("VRFY", "EXPN"):
            said = set()
            for name in ("alice", "<alice@local.test>", "all@local.test", "nobody", "é SMTPUTF8"):
                await client.send(f"{verb} {name}\r\n".encode())
                said.add(await client.line())
            assert len(said) == 1, said
        await client.talk("C: HELP MAIL\nS: 214 2\\.0\\.0 BDAT DATA EHLO HELO HELP MAIL .* VRFY")


async def test_null_sender_is_empty_and_postmaster_needs_no_domain(tmp_path: Path) -> None:
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.talk(
            READY
            + """
            C: MAIL FROM:<>
            S: 250 .*
            C: RCPT TO:<postMaster>
            S: 250 .*
            C: DATA
            S: 354 .*
            """
        )
        await client.send(b".\r\n")
        await client.talk("S: 250 .*\nC: QUIT\nS: 221 .*")
        await running.closed()
        assert running.journal.one("smtp.mail").addr == ""
        accept = running.journal.one("smtp.accept")
        assert accept.addr == ""
        assert accept.recipients[0].addr == "alice@local.test"
        assert accept.recipients[0].original == "postMaster"
        body = running.journal.frames[0][1]
        assert body.startswith(b"Return-Path: <>\nReceived: ")
        assert b"\tfor <postMaster>;" in body


async def test_alias_and_duplicate(tmp_path: Path) -> None:
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.talk(
            READY
            + """
            C: MAIL FROM:<a@x.test>
            S: 250 .*
            C: RCPT TO:<all@local.test>
            S: 250 .*
            C: RCPT TO:<bob@local.test>
            S: 250 .*
            C: DATA
            S: 354 .*
            """
        )
        await client.send(wire(MESSAGE))
        await client.talk("S: 250 .*\nC: QUIT\nS: 221 .*")
        await running.closed()
        journal = running.journal
        assert [(e.n, e.addr, e.original) for e in journal.all("route.alias")] == [
            (1, "alice@local.test", "all@local.test"),
            (2, "bob@local.test", "all@local.test"),
        ]
        duplicate = journal.one("route.duplicate")
        assert (duplicate.n, duplicate.first, duplicate.addr) == (3, 2, "bob@local.test")
        accept = journal.one("smtp.accept")
        assert accept.count == 3
        assert [(r.n, r.addr) for r in accept.recipients] == [
            (1, "alice@local.test"),
            (2, "bob@local.test"),
            (3, "bob@local.test"),
        ]
        links = journal.frames[0][0].links
        assert [(link.n, link.box) for link in links] == [
            (1, "alice@local.test"),
            (2, "bob@local.test"),
        ]
        assert len({link.st for link in links}) == 2


async def test_utf8_addresses(tmp_path: Path) -> None:
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.talk(
            READY
            + """
            C: MAIL FROM:<отправитель@x.test> SMTPUTF8
            S: 250 .*
            C: RCPT TO:<Почта@пример.test>
            S: 250 .*
            C: DATA
            S: 354 .*
            """
        )
        await client.send(wire("Subject: Привет\n\nда\n".encode()))
        await client.talk("S: 250 .*\nC: QUIT\nS: 221 .*")
        await running.closed()
        accept = running.journal.one("smtp.accept")
        assert accept.recipients[0].addr == "почта@xn--e1afmkfd.test"
        assert accept.subject == "Привет"
        body = running.journal.frames[0][1].decode()
        assert body.startswith("Return-Path: <отправитель@x.test>\n")
        assert " with UTF8SMTP id " in body


async def test_the_wishes_of_the_sender_go_with_the_message(tmp_path: Path) -> None:
    """RFC 3461: what MAIL and RCPT ask for is in the log and in what the queue gets."""
    async with server(tmp_path) as running, connect(running.port) as client:
        envelopes: list[Envelope] = []
        accept = running.service.delivery.accept

        async def heard(envelope: Envelope, parts: Sequence[bytes]) -> int:
            envelopes.append(envelope)
            return await accept(envelope, parts)

        running.service.delivery.accept = heard  # type: ignore[method-assign]
        await client.talk(
            READY
            + """
            C: MAIL FROM:<a@x.test> RET=hdrs ENVID=QQ+2B1 BODY=8BITMIME AUTH=<>
            S: 250 .*
            C: RCPT TO:<alice@local.test> NOTIFY=delay,SUCCESS ORCPT=rfc822;Al+2Bx@old.test
            S: 250 .*
            C: RCPT TO:<bob@local.test>
            S: 250 .*
            C: DATA
            S: 354 .*
            C: .
            S: 250 .*
            C: QUIT
            S: 221 .*
            """
        )
        await running.closed()
        mail = running.journal.one("smtp.mail")
        assert (mail.ret, mail.envid, mail.body) == ("HDRS", "QQ+2B1", "8BITMIME")
        asked = [(e.notify, e.orcpt) for e in running.journal.all("smtp.rcpt")]
        assert asked == [("SUCCESS,DELAY", "rfc822;Al+2Bx@old.test"), ("", "")]
        (envelope,) = envelopes
        assert (envelope.ret, envelope.envid, envelope.body) == ("HDRS", "QQ+2B1", "8BITMIME")
        assert not envelope.requiretls
        assert [(r.notify, r.orcpt) for r in envelope.recipients] == asked


async def test_binarymime_does_not_go_with_data(tmp_path: Path) -> None:
    async with server(tmp_path) as running:
        await running.talk(
            READY + "C: MAIL FROM:<a@x.test> BODY=BINARYMIME\nS: 250 .*\n"
            "C: RCPT TO:<bob@local.test>\nS: 250 .*\nC: DATA\nS: 503 5\\.5\\.1 .*BDAT"
        )


async def test_limits_of_size_and_recipients(tmp_path: Path) -> None:
    limits = {"max_message_bytes": 70_000, "max_recipients": 2}
    async with server(tmp_path, limits=limits) as running, connect(running.port) as client:
        await client.talk(
            READY
            + """
            C: MAIL FROM:<a@x.test> SIZE=70001
            S: 552 5\\.3\\.4 .*
            C: MAIL FROM:<a@x.test> SIZE=99999999999999999999
            S: 552 5\\.3\\.4 .*
            C: MAIL FROM:<a@x.test> SIZE=70000
            S: 250 .*
            C: RCPT TO:<alice@local.test>
            S: 250 .*
            C: RCPT TO:<bob@local.test>
            S: 250 .*
            C: RCPT TO:<al@local.test>
            S: 452 4\\.5\\.3 .*
            C: DATA
            S: 354 .*
            """
        )
        await client.send(wire(b"x" * 998 + b"\n" + b"y" * 69_100 + b"\n"))
        await client.talk("S: 552 5\\.3\\.4 .*\nC: NOOP\nS: 250 .*\nC: QUIT\nS: 221 .*")
        await running.closed()
        journal = running.journal
        first, huge, second = journal.all("smtp.reject")
        assert (first.stage, first.check) == ("mail", "too_large")
        assert (second.stage, second.check) == ("dot", "too_large")
        refused, unbelievable, mail = journal.all("smtp.mail")
        assert huge.trace == unbelievable.trace
        assert first.trace == refused.trace
        assert second.trace == mail.trace
        late = journal.one("smtp.tempfail")
        assert (late.stage, late.check, late.n) == ("rcpt", "too_many_recipients", 3)
        assert (late.addr, late.argument) == ("al@local.test", "RCPT TO:<al@local.test>")
        assert not journal.frames


async def test_a_box_that_is_full_takes_no_mail(tmp_path: Path) -> None:
    held = {"alice@local.test": (900, 3), "bob@local.test": (100, 10)}

    async def holds(box: str) -> tuple[int, int]:
        return held[box]

    directory = book()
    directory.quotas = {"alice@local.test": (1000, 0), "bob@local.test": (0, 10)}
    async with (
        server(tmp_path, holds=holds, directory=directory) as running,
        connect(running.port) as client,
    ):
        await client.talk(READY)
        for size, box, reply in (
            (100, "alice", "250"),
            (101, "alice", "452 4\\.2\\.2"),
            (1001, "alice", "552 5\\.2\\.2"),
            (50, "bob", "452 4\\.2\\.2"),
            (50, "all", "250"),
            (200, "all", "452 4\\.2\\.2"),
        ):
            await client.talk(
                f"""
                C: MAIL FROM:<a@x.test> SIZE={size}
                S: 250 .*
                C: RCPT TO:<{box}@local.test>
                S: {reply} .*
                C: RSET
                S: 250 .*
                """
            )
        refused = running.journal.all("smtp.reject") + running.journal.all("smtp.tempfail")
        assert [event.check for event in refused] == ["over_quota"] * 4


async def test_a_full_or_broken_journal_is_no_loss(tmp_path: Path) -> None:
    def full() -> None:
        raise JournalFull("full")

    def broken() -> None:
        raise JournalBroken("broken")

    async with server(tmp_path) as running, connect(running.port) as client:
        journal = running.journal
        await client.talk(READY)
        journal.room = full
        await client.talk("C: MAIL FROM:<a@x.test>\nS: 452 4\\.3\\.1 .*")
        journal.room = broken
        await client.talk("C: MAIL FROM:<a@x.test>\nS: 451 4\\.3\\.0 .*")
        journal.room = lambda: None
        codes = {full: "452 4.3.1", broken: "451 4.3.0"}
        for trouble, code in codes.items():

            async def fails(trouble: object = trouble) -> None:
                trouble()  # type: ignore[operator]

            journal.before_commit = fails
            await client.talk(
                "C: MAIL FROM:<a@x.test>\nS: 250 .*\nC: RCPT TO:<bob@local.test>\nS: 250 .*\n"
                "C: DATA\nS: 354 .*"
            )
            await client.send(wire(MESSAGE))
            assert (await client.line()).startswith(code)
        journal.before_commit = None
        await client.talk(
            "C: MAIL FROM:<a@x.test>\nS: 250 .*\nC: RCPT TO:<bob@local.test>\nS: 250 .*\n"
            "C: DATA\nS: 354 .*"
        )
        await client.send(wire(MESSAGE))
        await client.talk("S: 250 .*\nC: QUIT\nS: 221 .*")
        await running.closed()
        assert [e.check for e in journal.all("smtp.tempfail")] == ["journal_room"] * 4
        assert [e.stage for e in journal.all("smtp.tempfail")] == ["mail", "mail", "dot", "dot"]
        assert len(journal.frames) == 1


async def test_loops_end(tmp_path: Path) -> None:
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.talk(READY)
        for hops, code in ((50, "250 2.0.0"), (51, "554 5.4.6")):
            await client.talk(
                "C: MAIL FROM:<a@x.test>\nS: 250 .*\nC: RCPT TO:<bob@local.test>\nS: 250 .*\n"
                "C: DATA\nS: 354 .*"
            )
            await client.send(wire(b"Received: from x by y\n" * hops + b"\nReceived: body\n" * 9))
            assert (await client.line()).startswith(code)
        await client.talk("C: QUIT\nS: 221 .*")
        assert running.journal.one("smtp.reject").check == "mail_loop"


async def test_directory_is_asked_for_changes_and_may_fail(tmp_path: Path) -> None:
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.talk(READY + "C: MAIL FROM:<a@x.test>\nS: 250 .*")
        assert running.book.refreshed == 1
        running.book.trouble = MtadError("the database is away")
        running.book.entries["new@local.test"] = ("new@local.test",)
        await client.talk("C: RCPT TO:<new@local.test>\nS: 250 .*\nC: QUIT\nS: 221 .*")
        assert running.book.refreshed == 2


async def test_reset_and_leaving_are_aborts(tmp_path: Path) -> None:
    mail = "C: MAIL FROM:<a@x.test>\nS: 250 .*\n"
    rcpt = "C: RCPT TO:<bob@local.test>\nS: 250 .*\n"
    refused = "C: RCPT TO:<nobody@local.test>\nS: 550 .*\n"
    async with server(tmp_path) as running:
        await running.talk(
            READY
            + mail
            + "C: RSET\nS: 250 .*\n"
            + mail
            + rcpt
            + "C: EHLO again\nS*\n"
            + mail
            + refused
            + rcpt
            + "C: RSET\nS: 250 .*\n"
            + mail
            + refused
            + "C: RSET\nS: 250 .*\n"
            + mail
            + rcpt
            + "C: QUIT\nS: 221 .*\nEOF"
        )
        await running.closed()
        aborts = running.journal.all("smtp.abort")
        assert [(e.stage, e.why) for e in aborts] == [
            ("mail", "reset"),
            ("rcpt", "reset"),
            ("rcpt", "reset"),
            ("rcpt", "quit"),
        ]
        mails = running.journal.all("smtp.mail")
        assert [e.trace for e in aborts] == [mails[i].trace for i in (0, 1, 2, 4)]


async def test_many_messages_on_one_connection(tmp_path: Path) -> None:
    async with server(tmp_path, limits={"max_messages_per_connection": 3}) as running:
        one = (
            "C: MAIL FROM:<a@x.test>\nS: 250 .*\nC: RCPT TO:<bob@local.test>\nS: 250 .*\n"
            "C: DATA\nS: 354 .*\nC: Subject: x\nC:\nC: .\nS: 250 .*\n"
        )
        await running.talk(READY + one * 3 + "C: MAIL FROM:<a@x.test>\nS: 421 4\\.7\\.0 .*\nEOF")
        await running.closed()
        close = running.journal.one("conn.close")
        assert (close.messages, close.why) == (3, "refused")
        assert running.journal.one("smtp.tempfail").check == "max_messages"
        assert running.service.status()["messages"] == 3


async def test_too_many_errors_end_the_session(tmp_path: Path) -> None:
    async with server(tmp_path, limits={"max_errors": 3}) as running:
        await running.talk(
            "S*\nC: FOO\nS: 500 .*\nC: FOO\nS: 500 .*\nC: FOO\nS: 500 .*\nS: 421 4\\.7\\.0 .*\nEOF"
        )
        await running.closed()
        assert running.journal.one("conn.close").why == "errors"
        assert running.journal.one("smtp.tempfail").check == "max_errors"


async def test_idle_commands_do_not_go_on_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "MAX_IDLE_COMMANDS", 3)
    async with server(tmp_path, limits={"max_errors": 2}) as running:
        await running.talk(
            "S*\n"
            + "C: NOOP\nS: 250 .*\n" * 3
            + "C: NOOP\nS: 450 4\\.7\\.0 .*\nC: RSET\nS: 450 4\\.7\\.0 .*\nS: 421 .*\nEOF"
        )
        await running.closed()
        assert {e.check for e in running.journal.all("smtp.tempfail")} == {
            "idle_commands",
            "max_errors",
        }


async def test_silence_ends_a_session_and_data_rearms(tmp_path: Path) -> None:
    limits = {"command_timeout_seconds": 0.4, "data_timeout_seconds": 0.4}
    async with server(tmp_path, limits=limits) as running:
        async with connect(running.port) as client:
            # Octets that are no whole command do not count as life.
            await client.line()
            started = asyncio.get_running_loop().time()
            for _ in range(3):
                await client.send(b"N")
                await asyncio.sleep(0.1)
            assert (await client.line()).startswith("421 4.4.2")
            assert asyncio.get_running_loop().time() - started < 0.65
        async with connect(running.port) as client:
            await client.talk(
                READY
                + "C: MAIL FROM:<a@x.test>\nS: 250 .*\nC: RCPT TO:<bob@local.test>\nS: 250 .*\n"
                "C: DATA\nS: 354 .*"
            )
            for _ in range(8):
                await client.send(b"line\r\n")
                await asyncio.sleep(0.1)
            await client.send(b".\r\n")
            await client.talk("S: 250 .*")
            await client.talk("S: 421 4\\.4\\.2 .*\nEOF")
        await running.closed(2)
        assert [e.why for e in running.journal.all("conn.close")] == ["timeout", "timeout"]


@pytest.mark.parametrize(("said", "received"), [("C: half a message\n", 16), ("", 0)])
async def test_silence_within_a_message_is_an_abort(
    said: str, received: int, tmp_path: Path
) -> None:
    async with server(tmp_path, limits={"data_timeout_seconds": 0.2}) as running:
        await running.talk(
            READY + "C: MAIL FROM:<a@x.test>\nS: 250 .*\nC: RCPT TO:<bob@local.test>\nS: 250 .*\n"
            "C: DATA\nS: 354 .*\n" + said + "S: 421 4\\.4\\.2 .*\nEOF"
        )
        await running.closed()
        abort = running.journal.one("smtp.abort")
        assert (abort.stage, abort.why, abort.received) == ("data", "timeout", received)
        assert running.journal.one("smtp.tempfail").stage == "data"


async def test_no_timer_runs_while_we_commit(tmp_path: Path) -> None:
    limits = {"command_timeout_seconds": 0.2, "data_timeout_seconds": 0.2}
    async with server(tmp_path, limits=limits) as running:

        async def slow() -> None:
            await asyncio.sleep(0.8)

        running.journal.before_commit = slow
        async with connect(running.port) as client:
            await client.talk(
                READY
                + "C: MAIL FROM:<a@x.test>\nS: 250 .*\nC: RCPT TO:<bob@local.test>\nS: 250 .*\n"
                "C: DATA\nS: 354 .*\nC: .\nS: 250 2\\.0\\.0 .*"
            )
        await running.closed()


async def test_stopping_lets_the_command_finish(tmp_path: Path) -> None:
    async with server(tmp_path) as running:
        gate = asyncio.Event()

        async def wait() -> None:
            await gate.wait()

        running.journal.before_commit = wait
        async with connect(running.port) as busy, connect(running.port) as idle:
            await idle.line()
            await busy.talk(
                READY
                + "C: MAIL FROM:<a@x.test>\nS: 250 .*\nC: RCPT TO:<bob@local.test>\nS: 250 .*\n"
                "C: DATA\nS: 354 .*\nC: .\n"
            )
            await until(lambda: running.journal.one("smtp.rcpt"))
            await until(
                lambda: all(
                    s.deadline == float("inf")
                    for s in running.service.sessions
                    if s.task and s._transaction
                )
            )
            stopping = asyncio.get_running_loop().create_task(running.listener.stop(5))
            await idle.talk("S: 421 4\\.3\\.2 .*\nEOF")
            with pytest.raises(ConnectionRefusedError):
                async with connect(running.port):
                    pass
            assert not stopping.done()
            gate.set()
            await busy.talk("S: 250 2\\.0\\.0 .*\nS: 421 4\\.3\\.2 .*\nEOF")
            await stopping
        assert [e.why for e in running.journal.all("conn.close")] == ["shutdown", "shutdown"]
        assert len(running.journal.frames) == 1


async def test_stopping_does_not_wait_for_ever(tmp_path: Path) -> None:
    async with server(tmp_path) as running, connect(running.port) as client:
        await client.talk(
            READY + "C: MAIL FROM:<a@x.test>\nS: 250 .*\nC: RCPT TO:<bob@local.test>\nS: 250 .*\n"
            "C: DATA\nS: 354 .*\nC: half"
        )
        await running.listener.stop(0.1)
        assert running.journal.one("smtp.abort").why == "shutdown"
        assert not running.service.sessions


def test_the_fake_journal_is_one() -> None:
    from mtad.delivery.local import Barrier  # noqa: PLC0415 - only to be checked by mypy

    barrier: Barrier = Memory()
    assert barrier.mint.node == 1

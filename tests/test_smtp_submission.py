"""Mail of our own users: who may send, as whom, to whom, how much, and what becomes of it."""

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mtad.clock import now_us
from mtad.completion import fields
from mtad.directory.credential_changes import CredentialChanges
from mtad.directory.logins import Caller
from mtad.journal.command import command_journal
from mtad.mailauth import keys
from mtad.mailauth.dkim_verify import Verdict
from mtad.smtp import submitter
from mtad.smtp.usage import HOUR, Usage, Used
from tests.dialog import HOST, Client, connect, wire
from tests.sasl_client import cram_md5
from tests.submission import (
    ALICE,
    BOB,
    LOGIN,
    SECRET,
    Submitting,
    decoded,
    encoded,
    make_keys,
    plain,
    scram,
    secured,
    submitting,
)
from tests.test_mailauth_dkim import verdicts
from tests.test_smtp_tls import files
from tracing import ids
from tracing.creation import create

__all__ = ["files"]

Files = tuple[Path, Path]
MAIL = (
    "C: MAIL FROM:<alice@local.test>\nS: 250 .*\n"
    "C: RCPT TO:<carol@elsewhere.test>\nS: 250 .*\nC: DATA\nS: 354 .*"
)
MESSAGE = b"From: Alice <alice@local.test>\nTo: carol@elsewhere.test\nSubject: x\n\nHi\n"


HELLO = "S: 220 .*\nC: EHLO c\nS*\n"


async def submit(client: Client, message: bytes = MESSAGE, dialog: str = MAIL) -> str:
    """Send a message; the reply to its end."""
    await client.talk(dialog)
    await client.send(wire(message))
    return await client.line()


def stored(running: Submitting) -> bytes:
    """The last message that was taken."""
    return running.journal.frames[-1][1]


@pytest.mark.parametrize("port", ["submission", "submissions"])
async def test_mail_to_anywhere(port: str, tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running:
        async with secured(running, port) as client:
            await client.talk(LOGIN)
            reply = await submit(client)
            await client.talk("C: QUIT\nS: 221 .*\nEOF")
        mail, accept = running.journal.one("smtp.mail"), running.journal.one("smtp.accept")
        assert reply == f"250 2.0.0 queued as {ids.text(mail.trace)}"
        assert (mail.login, accept.actor) == (ALICE, f"user:{ALICE}")
        queued = running.journal.one("queue.add")
        assert (queued.addr, queued.n, queued.sender) == ("carol@elsewhere.test", 1, "")
        assert not running.journal.frames[0][0].links
        text = stored(running).decode()
        assert text.startswith("Return-Path: <alice@local.test>\nReceived: from client.test")
        assert "(unknown [127.0.0.1])" in text, "no client's address is hidden"
        assert f"\tby {HOST} (mtad) with ESMTPSA id " in text


async def test_mail_to_ourselves_and_elsewhere(tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running:
        async with secured(running) as client:
            await client.talk(LOGIN)
            dialog = (
                "C: MAIL FROM:<sales@local.test>\nS: 250 .*\n"
                "C: RCPT TO:<all@local.test>\nS: 250 .*\n"
                "C: RCPT TO:<Carol@Elsewhere.test>\nS: 250 .*\n"
                "C: RCPT TO:<nobody@local.test>\nS: 550 5\\.1\\.1 .*\n"
                "C: RCPT TO:<x@[192.0.2.1]>\nS: 250 .*\n"
                "C: RCPT TO:<x@no_-domain-.test>\nS: 550 5\\.1\\.2 .*\n"
                "C: DATA\nS: 354 .*"
            )
            await submit(client, MESSAGE.replace(b"alice@", b"sales@"), dialog)
        accept = running.journal.one("smtp.accept")
        assert [(one.n, one.addr) for one in accept.recipients] == [
            (1, ALICE),
            (2, "bob@local.test"),
            (3, "Carol@Elsewhere.test"),
            (5, "x@[192.0.2.1]"),
        ]
        assert [one.addr for one in running.journal.all("queue.add")] == [
            "Carol@Elsewhere.test",
            "x@[192.0.2.1]",
        ]
        assert [link.box for link in running.journal.frames[0][0].links] == [
            ALICE,
            "bob@local.test",
        ]


async def test_chunks_are_submitted_too(tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running, secured(running) as client:
        await client.talk(LOGIN + MAIL.rpartition("\nC: DATA")[0])
        octets = MESSAGE.replace(b"\n", b"\r\n")
        await client.send(f"BDAT {len(octets)} LAST\r\n".encode() + octets)
        assert (await client.line()).startswith("250 2.0.0 queued as ")
        assert b"\nMessage-ID: <" in stored(running)


# ------------------------------------------------------------- who may send at all


async def test_nobody_sends_in_clear_or_without_a_login(tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running:
        async with connect(running.port) as client:
            await client.talk(
                "S: 220 .*\nC: EHLO c\nS*\nC: MAIL FROM:<alice@local.test>\n"
                "S: 530 5\\.7\\.0 say STARTTLS first\n"
                "C: RCPT TO:<bob@local.test>\nS: 503 .*\nC: QUIT\nS: 221 .*"
            )
        for port in ("submission", "submissions"):
            async with secured(running, port) as client:
                await client.talk(
                    "C: MAIL FROM:<alice@local.test>\nS: 530 5\\.7\\.0 log in first\n"
                    "C: MAIL FROM:<>\nS: 530 .*\nC: RCPT TO:<bob@local.test>\nS: 503 .*"
                )
        checks = [one.check for one in running.journal.all("smtp.reject")]
        assert checks == ["starttls_first"] + ["login_first"] * 4
        assert not running.journal.frames


async def test_trusted_networks_need_neither(tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files, trusted_networks=("127.0.0.0/8",)) as running:
        async with connect(running.port) as client:
            await client.talk("S: 220 .*\nC: EHLO printer\nS*")
            dialog = MAIL.replace("alice@local.test", "scanner@printer.test")
            message = b"From: The scanner\nSubject: scan\n\nx\n"
            assert (await submit(client, message, dialog)).startswith("250 2.0.0 ")
        assert running.journal.one("smtp.mail").login == ""
        assert b" with ESMTP id " in stored(running)
        assert b"\nFrom: The scanner\n" in stored(running)
    async with (
        submitting(tmp_path, files, trusted_networks=("192.0.2.0/24",)) as running,
        connect(running.port) as client,
    ):
        await client.talk("S: 220 .*\nC: EHLO c\nS*\nC: MAIL FROM:<a@b.test>\nS: 530 .*")


async def test_pop_before_smtp_is_off(tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running:
        read_mail(running)
        async with connect(running.port) as client:
            await client.talk(
                "S: 220 .*\nC: EHLO c\nS*\nC: MAIL FROM:<alice@local.test>\nS: 530 .*"
            )


async def test_pop_before_smtp(tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files, pop_before_smtp=True) as running:
        async with connect(running.port) as client:
            await client.talk(
                "S: 220 .*\nC: EHLO c\nS*\nC: MAIL FROM:<alice@local.test>\nS: 530 .*"
            )
        read_mail(running)
        async with connect(running.port) as client:
            await client.talk("S: 220 .*\nC: EHLO c\nS*\nC: MAIL FROM:<bob@local.test>\nS: 553 .*")
            assert (await submit(client)).startswith("250 2.0.0 ")
        assert running.journal.all("smtp.mail")[-1].login == ALICE


def read_mail(running: Submitting) -> None:
    """Alice read her mail by POP3 just now."""
    attempts = running.submission.logins.attempts
    attempts.note_login("127.0.0.1", ALICE, "pop3", now_us(), 0)


# ------------------------------------------------------------------------ as whom


@pytest.mark.parametrize(
    ("sender", "reply"),
    [
        ("alice@local.test", "250 .*"),
        ("Alice@LOCAL.test", "250 .*"),
        ("sales@local.test", "250 .*"),
        ("all@local.test", "250 .*"),
        ("", "250 .*"),
        ("bob@local.test", "553 5\\.7\\.1 the sender is no address of alice@local\\.test"),
        ("alice@elsewhere.test", "553 .*"),
        ("nobody@local.test", "553 .*"),
        ('"alice"@local.test', "250 .*"),
        ('"bob"@local.test', "553 .*"),
    ],
)
async def test_senders(sender: str, reply: str, tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running, secured(running) as client:
        await client.talk(f"{LOGIN}C: MAIL FROM:<{sender}>\nS: {reply}")
        for reject in running.journal.all("smtp.reject"):
            assert reject.check == "not_own_sender"


AUTHORS = {
    b"From: alice@local.test": True,
    b"From: Boss <sales@local.test>": True,
    b"From: alice@local.test, sales@local.test": True,
    b"From: Alice\n <alice@local.test>": True,
    b"FROM : alice@local.test": True,
    b"From: bob@local.test": False,
    b"From: boss@elsewhere.test": False,
    b"From: alice@local.test, boss@elsewhere.test": False,
    b"From: alice@local.test\nFrom: boss@elsewhere.test": False,
    b"From: alice@local.test\nSender: boss@elsewhere.test": False,
    b"From: boss@elsewhere.test\nSender: alice@local.test": False,
    b"From: alice@local.test\nSender: sales@local.test": True,
    b"From: alice@local.test <boss@elsewhere.test>": False,
    b"From: boss@elsewhere.test (alice@local.test)": False,
    b'From: "alice@local.test" <boss@elsewhere.test>': False,
    b"From: <boss@elsewhere.test> alice@local.test": False,
    b"From: undisclosed:;": False,
    b"From:": False,
    b"From: alice": False,
    b"From: \xff@local.test": False,
    b"Resent-From: alice@local.test\nFrom: boss@elsewhere.test": False,
}


@pytest.mark.parametrize("head", AUTHORS)
async def test_authors(head: bytes, tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running, secured(running) as client:
        await client.talk(LOGIN)
        reply = await submit(client, head + b"\nTo: x@y.test\n\nHi\n")
        assert reply.startswith("250 2.0.0 " if AUTHORS[head] else "550 5."), reply
        for reject in running.journal.all("smtp.reject"):
            assert reject.check == "not_own_author"
            assert reject.stage == "dot"


async def test_who_may_send_as_anyone(tmp_path: Path, files: Files) -> None:
    async with (
        submitting(tmp_path, files, own_addresses_only=False) as running,
        secured(running) as client,
    ):
        await client.talk(LOGIN)
        dialog = MAIL.replace("alice@local.test", "boss@elsewhere.test")
        reply = await submit(client, b"From: other@elsewhere.test\n\nHi\n", dialog)
        assert reply.startswith("250 ")


def removed(changes: CredentialChanges) -> None:
    changes.remove_alias("all@local.test")
    changes.remove_box(BOB)


ACTS: dict[str, Callable[[CredentialChanges], None]] = {
    "locked": lambda changes: changes.lock(BOB, locked=True),
    "removed": removed,
    "another password": lambda changes: changes.set_password(BOB, "another one"),
    "the same again": lambda changes: changes.set_password(BOB, SECRET + " 2"),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM"])
async def test_a_login_lasts_no_longer_than_it_may(
    act: str, mechanism: str, tmp_path: Path, files: Files
) -> None:
    async with submitting(tmp_path, files) as running, secured(running) as client:
        if mechanism == "PLAIN":
            await client.talk(f"{plain(BOB, SECRET + ' 2')}\nS: 235 .*")
        else:
            assert (await scram(client, BOB, SECRET + " 2")).startswith("235 ")
        sending = MAIL.replace("alice@", "bob@") + "\nC: .\nS: 250 .*"
        await client.talk(sending)
        with command_journal(running.places) as journal:
            ACTS[act](CredentialChanges(running.places.state_db, journal, "admin:test"))
        await client.talk(f"C: MAIL FROM:<{BOB}>\nS: 530 5\\.7\\.0 log in again\nEOF")


async def test_an_app_password_is_over_alone(tmp_path: Path, files: Files) -> None:
    sending = "C: MAIL FROM:<alice@local.test>\n"
    async with (
        submitting(tmp_path, files) as running,
        secured(running) as own,
        secured(running) as phone,
        secured(running) as cram,
    ):
        await own.talk(LOGIN)
        await phone.talk(f"{plain(password=running.phone)}\nS: 235 .*")
        await cram.talk("C: AUTH CRAM-MD5")
        challenge = decoded(await cram.line())
        answer = encoded(cram_md5(ALICE, running.cram.encode(), challenge))
        await cram.talk(f"C: {answer}\nS: 235 .*")
        with command_journal(running.places) as journal:
            changes = CredentialChanges(running.places.state_db, journal, "admin:test")
            changes.remove_app_password(ALICE, "phone")
            await phone.talk(f"{sending}S: 530 5\\.7\\.0 log in again\nEOF")
            await own.talk(f"{sending}S: 250 .*\nC: RSET\nS: 250 .*")
            changes.set_password(ALICE, "another one")
            await own.talk(f"{sending}S: 530 5\\.7\\.0 log in again\nEOF")
            await cram.talk(f"{sending}S: 250 .*\nC: RSET\nS: 250 .*")
            changes.disable_cram(ALICE)
            await cram.talk(f"{sending}S: 530 5\\.7\\.0 log in again\nEOF")


async def test_a_password_that_changes_during_the_login(
    tmp_path: Path, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with submitting(tmp_path, files) as running, secured(running) as client:
        found = Caller.begin

        async def slowly(*arguments: Any) -> Any:
            answer = await found(*arguments)
            with command_journal(running.places) as journal:
                changes = CredentialChanges(running.places.state_db, journal, "admin:test")
                changes.set_password(ALICE, "another one")
            return answer

        monkeypatch.setattr(Caller, "begin", slowly)
        await client.talk(LOGIN + "C: MAIL FROM:<alice@local.test>\nS: 530 .* log in again\nEOF")


# ---------------------------------------------------------------- what becomes of it


async def completed(running: Submitting, message: bytes) -> list[bytes]:
    """The header fields of a message as it was taken, ours on top left out."""
    async with secured(running) as client:
        await client.talk(LOGIN)
        assert (await submit(client, message)).startswith("250 2.0.0 ")
    found, _ = fields(stored(running))
    return found[2:]


async def test_date_and_message_id_are_added(tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running:
        found = await completed(running, MESSAGE)
        m = ids.text(running.journal.one("smtp.accept").trace)
        assert found[-1] == f"Message-ID: <{m}@{HOST}>\n".encode()
        assert re.fullmatch(rb"Date: \w{3}, \d\d? \w{3} \d{4} [\d:]{8} [+-]\d{4}\n", found[-2])
        assert b"".join(found[:-2]) + b"\nHi\n" == MESSAGE
        assert running.journal.one("smtp.accept").message_id == f"<{m}@{HOST}>"


async def test_what_is_there_stays_as_it_is(tmp_path: Path, files: Files) -> None:
    whole = b"Date: today\nMESSAGE-ID: mine\n" + MESSAGE
    async with submitting(tmp_path, files) as running:
        assert b"".join(await completed(running, whole)) + b"\nHi\n" == whole


async def test_blind_copies_are_taken_out(tmp_path: Path, files: Files) -> None:
    secret = (
        b"Bcc: dave@elsewhere.test,\n erin@elsewhere.test\nbcc : x@y.test\n"
        b"Resent-Bcc: frank@elsewhere.test\nBCC:\nX-Bcc: stays\n"
    )
    async with submitting(tmp_path, files) as running:
        await completed(running, secret + MESSAGE)
        for gone in (b"dave", b"erin", b"frank", b"x@y.test"):
            assert gone not in stored(running)
        assert b"\nX-Bcc: stays\n" in stored(running)


async def test_an_author_is_added(tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running:
        assert b"From: alice@local.test\n" in await completed(running, b"Subject: x\n\nHi\n")


@pytest.mark.parametrize("message", [b"", b"\n", b"no header\n", b"\nbody\n"])
async def test_messages_without_a_header(message: bytes, tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running:
        found = await completed(running, message)
        assert [one.partition(b":")[0] for one in found] == [b"Date", b"Message-ID", b"From"]
        _, rest = fields(stored(running))
        assert rest == b"\n" + message.removeprefix(b"\n")


@pytest.mark.parametrize("length", [200_000, 600_000])
async def test_an_endless_header_is_refused(length: int, tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running, secured(running) as client:
        await client.talk(LOGIN)
        message = b"From: alice@local.test\n" + b"X: y\n" * (length // 5) + b"\nHi\n"
        assert await submit(client, message) == ("552 5.3.4 the header of the message is too long")
        await client.talk("C: RSET\nS: 250 .*")
        assert (await submit(client)).startswith("250 2.0.0 ")


async def test_a_long_message_is_signed_whole(tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running:
        make_keys(running, "m1", "e1")
        message = MESSAGE + b"line after line \n" * 60_000
        async with secured(running) as client:
            await client.talk(LOGIN)
            assert (await submit(client, message)).startswith("250 2.0.0 ")
        path = next((tmp_path / "content").rglob("*/*"))
        assert [one.status for one in check_signatures(running, path.read_bytes())] == [
            "pass",
            "pass",
        ]


def check_signatures(running: Submitting, message: bytes) -> list[Verdict]:
    records = {}
    for selector in ("m1", "e1"):
        private = keys.read(running.folder / keys.file_of("local.test", selector))
        record = keys.record("local.test", selector, private)
        value = record.value.replace('" "', "").strip('"').encode()
        records[record.name.rstrip(".")] = value
    return verdicts(message, records, now_us() // 1_000_000)


async def test_it_is_signed_below_our_trace(tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running:
        make_keys(running, "m1", "e1")
        found = await completed(running, b"Bcc: x@y.test\n" + MESSAGE)
        names = [one.partition(b":")[0] for one in found]
        assert names[:3] == [b"DKIM-Signature", b"DKIM-Signature", b"From"]
        found_ = check_signatures(running, stored(running))
        assert [one.status for one in found_] == ["pass", "pass"]
        told = running.journal.one("check.result")
        assert str(told) == "dkim: signed for local.test with e1, m1"
        assert told.trace == running.journal.one("smtp.accept").trace


async def test_signing_can_be_switched_off(tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running:
        make_keys(running, "e1")
        running.submission.signer = None
        await completed(running, MESSAGE)
        assert b"DKIM-Signature" not in stored(running)


async def test_port_25_signs_and_completes_nothing(tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running:
        make_keys(running, "e1")
        async with connect(running.ports["smtp"]) as client:
            await client.talk("S: 220 .*\nC: EHLO c\nS*")
            dialog = MAIL.replace("carol@elsewhere.test", "bob@local.test")
            await submit(client, b"Bcc: x@y.test\nFrom: alice@local.test\n\nHi\n", dialog)
        assert stored(running).endswith(b"\nBcc: x@y.test\nFrom: alice@local.test\n\nHi\n")


# --------------------------------------------------------------------- how much


async def test_recipients_an_hour(tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files, max_recipients_per_hour=3) as running:
        async with secured(running) as client:
            await client.talk(LOGIN)
            assert (await submit(client)).startswith("250 ")
            await client.talk(
                "C: MAIL FROM:<alice@local.test>\nS: 250 .*\n"
                "C: RCPT TO:<all@local.test>\nS: 250 .*\n"
                "C: RCPT TO:<bob@local.test>\nS: 450 4\\.7\\.1 more than 3 recipients.*"
            )
            async with secured(running) as other:
                await other.talk(
                    f"{LOGIN}C: MAIL FROM:<alice@local.test>\nS: 250 .*\n"
                    "C: RCPT TO:<bob@local.test>\nS: 450 .*"
                )
                await client.talk("C: RSET\nS: 250 .*")
                await other.talk("C: RCPT TO:<bob@local.test>\nS: 250 .*")
        assert {one.check for one in running.journal.all("smtp.tempfail")} == {
            "too_many_recipients_an_hour"
        }


async def test_messages_an_hour(tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files, max_messages_per_hour=2) as running:
        async with secured(running) as client:
            await client.talk(LOGIN)
            for _ in range(2):
                assert (await submit(client)).startswith("250 ")
            await client.talk("C: MAIL FROM:<alice@local.test>\nS: 450 4\\.7\\.1 more than 2 .*")
        async with secured(running) as client:
            await client.talk(f"{plain('bob@local.test', SECRET + ' 2')}\nS: 235 .*")
            await client.talk("C: MAIL FROM:<bob@local.test>\nS: 250 .*")


async def test_zero_is_no_limit(tmp_path: Path, files: Files) -> None:
    limits: dict[str, Any] = {"max_messages_per_hour": 0, "max_recipients_per_hour": 0}
    async with submitting(tmp_path, files, **limits) as running, secured(running) as client:
        await client.talk(LOGIN)
        assert (await submit(client)).startswith("250 ")


def log_of(folder: Path, *sent: tuple[int, str, int, bool]) -> None:
    """A log with messages: when (microseconds), whose, to how many, taken or not."""
    for at, login, recipients, taken in sent:
        month = ids.month_at(at)
        folder.mkdir(exist_ok=True)
        if not (folder / f"{month}.db").exists():
            create(folder, month, {})
        with sqlite3.connect(folder / f"{month}.db") as link:
            link.execute(
                "INSERT INTO msg (id, ts, dir, status, nrcpt, login, sha256) "
                "VALUES (?, ?, 1, 0, ?, ?, ?)",
                (ids.lowest(at), at, recipients, login, b"x" if taken else None),
            )
        link.close()


def test_what_was_sent_before_a_restart_counts(tmp_path: Path) -> None:
    now = 1_764_547_300_000_000  # shortly after the first of December 2025
    minute = HOUR // 60
    log_of(
        tmp_path / "log",
        (now - 61 * minute, ALICE, 100, True),
        (now - 30 * minute, ALICE, 3, True),
        (now - 20 * minute, ALICE, 50, False),
        (now - 10 * minute, "bob@local.test", 7, True),
        (now - minute, ALICE, 2, True),
    )
    assert len(list((tmp_path / "log").glob("*.db"))) == 2
    clock = [now]
    usage = Usage(tmp_path / "log", lambda: clock[0])
    assert not usage.is_known(ALICE)
    usage.learn(ALICE, usage.read(ALICE))
    assert usage.used(ALICE) == Used(2, 5)
    usage.add(ALICE, 10)
    assert usage.used(ALICE) == Used(3, 15)
    usage.learn(ALICE, usage.read(ALICE))
    assert usage.used(ALICE) == Used(3, 15), "what is known is not read again"
    clock[0] += 31 * minute
    assert usage.used(ALICE) == Used(2, 12)
    clock[0] += 60 * minute
    assert usage.used(ALICE) == Used(0, 0)
    assert usage.used("bob@local.test") == Used()
    assert Usage(tmp_path / "nowhere", lambda: now).read(ALICE) == []


def test_users_in_memory_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtad.smtp.usage.MAX_USERS", 3)
    usage = Usage(tmp_path)
    for number in range(10):
        usage.learn(str(number), ())
    assert [usage.is_known(str(number)) for number in range(10)] == [False] * 7 + [True] * 3


async def test_a_log_that_cannot_be_read_stops_no_mail(
    tmp_path: Path, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    month = ids.month_at(now_us())
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / f"{month}.db").write_bytes(b"damaged" * 1000)
    async with submitting(tmp_path, files) as running, secured(running) as client:
        await client.talk(LOGIN)
        assert (await submit(client)).startswith("250 ")
    assert "what alice@local.test sent before is not known" in caplog.text


async def test_a_failed_login_opens_nothing(tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running, secured(running) as client:
        await client.talk(
            f"{plain(password='wrong')}\nS: 535 .*\nC: MAIL FROM:<alice@local.test>\nS: 530 .*"
        )


def test_the_bounds_are_sane() -> None:
    assert submitter.MAX_HEADER < 256 * 1024, "the first piece of a message has the whole header"

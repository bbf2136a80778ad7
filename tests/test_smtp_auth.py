"""AUTH: every mechanism on both ports, every way to fail, and nothing secret in the log."""

import asyncio
import hashlib
import ssl
from pathlib import Path

import pytest
import uvloop

from mtad import tls_exporter
from mtad.directory.attempts import Attempts
from mtad.sasl.binding import END_POINT, EXPORTER, server_end_point
from tests.dialog import Client, connect, until
from tests.sasl_client import cram_md5
from tests.submission import (
    ALICE,
    LOGIN,
    SECRET,
    Submitting,
    decoded,
    encoded,
    plain,
    scram,
    secured,
    submitting,
)
from tests.test_smtp_tls import files, trusting

__all__ = ["files"]

Files = tuple[Path, Path]
PORTS = ("submission", "submissions")
ALL = "AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN CRAM-MD5"


async def ehlo(client: Client) -> list[str]:
    """What is announced."""
    await client.send(b"EHLO client.test\r\n")
    found = []
    while True:
        line = await client.line()
        found.append(line[4:])
        if line[3] == " ":
            return found


@pytest.mark.parametrize("port", PORTS)
async def test_what_is_offered(port: str, tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running, secured(running, port) as client:
        told = await ehlo(client)
        assert ALL in told
        assert "STARTTLS" not in told
        await client.talk(LOGIN)
        assert not [one for one in await ehlo(client) if one.startswith("AUTH")]


async def test_nothing_is_offered_in_clear(tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running, connect(running.port) as client:
        await client.line()
        told = await ehlo(client)
        assert "STARTTLS" in told
        assert not [one for one in told if one.startswith("AUTH")]
        await client.talk(f"{plain()}\nS: 538 5\\.7\\.11 say STARTTLS first")


async def test_port_25_knows_no_logins(tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running, connect(running.ports["smtp"]) as client:
        await client.line()
        assert not [one for one in await ehlo(client) if one.startswith("AUTH")]
        await client.talk(f"{plain()}\nS: 502 5\\.5\\.1 .*\nC: QUIT\nS: 221 .*")
        await running.closed()
        assert running.journal.one("smtp.protocol").argument == "AUTH PLAIN"


@pytest.mark.parametrize("port", PORTS)
async def test_plain(port: str, tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running:
        async with secured(running, port) as client:
            await client.talk(f"{plain('Alice@LOCAL.test')}\nS: 235 2\\.7\\.0 welcome")
            await client.talk("C: MAIL FROM:<alice@local.test>\nS: 250 .*")
        told = running.journal.one("auth.ok")
        assert (told.login, told.addr, told.mechanism, told.service) == (
            "Alice@LOCAL.test",
            ALICE,
            "PLAIN",
            port,
        )
        assert told.trace == running.journal.one("conn.open").trace
        assert running.journal.one("smtp.mail").login == ALICE


async def test_plain_when_asked(tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running, secured(running) as client:
        said = plain().rpartition(" ")[2]
        await client.talk(f"C: auth plain\nS: 334.*\nC: {said}\nS: 235 .*")


@pytest.mark.parametrize("initial", [True, False])
async def test_login(initial: bool, tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running, secured(running) as client:
        user, word = encoded(ALICE.encode()), encoded(SECRET.encode())
        if initial:
            await client.talk(f"C: AUTH LOGIN {user}")
        else:
            await client.talk(f"C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: {user}")
        await client.talk(f"S: 334 UGFzc3dvcmQ6\nC: {word}\nS: 235 .*")


async def test_octet_by_octet(tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running, secured(running) as client:
        user, word = encoded(ALICE.encode()), encoded(SECRET.encode())
        for said, code in ((b"AUTH LOGIN", "334"), (user.encode(), "334"), (word.encode(), "235")):
            for octet in said + b"\r\n":
                await client.send(bytes([octet]))
            assert (await client.line())[:3] == code


async def test_cram_md5(tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running, secured(running) as client:
        await client.send(b"AUTH CRAM-MD5\r\n")
        challenge = decoded(await client.line())
        assert challenge.endswith(b"@mx.local.test>")
        answer = encoded(cram_md5(ALICE, running.cram.encode(), challenge))
        await client.talk(f"C: {answer}\nS: 235 .*")


async def test_app_password(tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running, secured(running) as client:
        await client.talk(f"{plain(password=running.phone)}\nS: 235 .*")
        assert running.journal.one("auth.ok").password == "phone"


@pytest.mark.parametrize("port", PORTS)
async def test_scram(port: str, tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running:
        for word in (SECRET, running.phone):
            async with secured(running, port) as client:
                assert await scram(client, ALICE, word) == "235 2.7.0 welcome"
        async with secured(running, port) as client:
            assert (await scram(client, ALICE, "wrong")).startswith("535 5.7.8 ")


async def bound(running: Submitting, files: Files, kind: str) -> None:
    end_point = server_end_point(files[0].read_bytes())
    for port in PORTS:
        async with secured(running, port) as client:
            secure: ssl.SSLObject = client.writer.get_extra_info("ssl_object")
            shown = secure.getpeercert(binary_form=True) or b""
            data = hashlib.sha256(shown).digest()
            assert data == end_point
            if kind == EXPORTER:
                data = tls_exporter.exported(secure)
            reply = await scram(client, ALICE, SECRET, (kind, data))
            assert reply == "235 2.7.0 welcome"
        async with secured(running, port) as client:
            assert (await scram(client, ALICE, SECRET, (kind, b"x" * 32))).startswith("535 ")
    assert running.journal.all("auth.fail")[0].why == "the client is bound to another channel"


@pytest.mark.parametrize("kind", [END_POINT, EXPORTER])
def test_scram_plus(kind: str, tmp_path: Path, files: Files) -> None:
    """On the daemon's loop too, whose TLS is another."""
    assert tls_exporter.is_usable()

    async def run(folder: Path) -> None:
        async with submitting(folder, files) as running:
            await bound(running, files, kind)

    for number, factory in enumerate((asyncio.new_event_loop, uvloop.new_event_loop)):
        with asyncio.Runner(loop_factory=factory) as runner:
            (tmp_path / str(number)).mkdir()
            runner.run(run(tmp_path / str(number)))


async def test_scram_plus_on_tls_1_2(tmp_path: Path, files: Files) -> None:
    context = trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with (
        submitting(tmp_path, files) as running,
        connect(running.secure, ssl=context) as client,
    ):
        await client.talk("S: 220 .*")
        assert ALL in await ehlo(client)
        data = client.writer.get_extra_info("ssl_object").get_channel_binding("tls-unique")
        assert await scram(client, ALICE, SECRET, ("tls-unique", data)) == "235 2.7.0 welcome"


async def test_without_keying_material_plus_is_not_offered(
    tmp_path: Path, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that would choose it could not use it."""
    monkeypatch.setattr(tls_exporter, "is_usable", lambda: False)
    async with submitting(tmp_path, files) as running, secured(running) as client:
        assert "AUTH SCRAM-SHA-256 PLAIN LOGIN CRAM-MD5" in await ehlo(client)
        assert await scram(client, ALICE, SECRET) == "235 2.7.0 welcome"


async def test_who_hides_plus_is_found_out(tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running, secured(running) as client:
        await client.talk(f"C: AUTH SCRAM-SHA-256 {encoded(b'y,,n=x,r=abc')}\nS: 535 .*")
        assert "someone is in between" in running.journal.one("auth.fail").why


# ----------------------------------------------------------------------- failures


FAILURES: dict[str, tuple[str, str]] = {
    "wrong password": (plain(password="wrong"), "S: 535 5\\.7\\.8 wrong login or password"),
    "no such box": (plain("nobody@local.test"), "S: 535 5\\.7\\.8 wrong login or password"),
    "no address": (plain("nobody"), "S: 535 5\\.7\\.8 wrong login or password"),
    "unknown mechanism": ("C: AUTH GSSAPI", "S: 504 5\\.5\\.4 .*"),
    "no mechanism": ("C: AUTH", "S: 504 5\\.5\\.4 .*"),
    "not base64": ("C: AUTH PLAIN !!!", "S: 501 5\\.5\\.2 .*"),
    "not PLAIN": ("C: AUTH PLAIN AAAA", "S: 501 5\\.5\\.2 .*"),
    "empty": ("C: AUTH PLAIN =", "S: 501 5\\.5\\.2 .*"),
    "too long": ("C: AUTH PLAIN " + "A" * 6000, "S: 501 5\\.5\\.2 .*"),
    "endless": ("C: AUTH PLAIN " + "A" * 9000, "S: 500 5\\.5\\.6 .*"),
    "given up": ("C: AUTH LOGIN\nS: 334 .*\nC: *", "S: 501 5\\.7\\.0 .*"),
    "answer not base64": ("C: AUTH LOGIN\nS: 334 .*\nC: a b", "S: 501 5\\.5\\.2 .*"),
    "answer too long": ("C: AUTH LOGIN\nS: 334 .*\nC: " + "A" * 9000, "S: 501 5\\.5\\.2 .*"),
    "answer with a lone LF": ("C: AUTH LOGIN\nS: 334 .*\nC! QUFB\\n", "S: 501 5\\.5\\.2 .*"),
    "within a transaction": (
        LOGIN + "C: MAIL FROM:<alice@local.test>\nS: 250 .*\n" + plain(),
        "S: 503 5\\.5\\.1 .*",
    ),
    "twice": (LOGIN + plain(), "S: 503 5\\.5\\.1 you have logged in already"),
    "after HELO": ("C: HELO c\nS: 250 .*\n" + plain(), "S: 503 5\\.5\\.1 say EHLO first"),
}


@pytest.mark.parametrize(("said", "reply"), FAILURES.values(), ids=FAILURES)
async def test_failures(said: str, reply: str, tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running:
        async with secured(running) as client:
            await client.talk(f"{said}\n{reply}\nC: NOOP\nS: 250 .*\nC: QUIT\nS: 221 .*\nEOF")
        await running.closed()
        told = repr(running.journal.log)
        for secret in (SECRET, encoded(f"\0{ALICE}\0{SECRET}".encode()), "AAAA", "QUFB"):
            assert secret not in told


async def test_a_failure_is_in_the_log_with_its_reason(tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running:
        async with secured(running) as client:
            await client.talk(f"{plain(password='wrong')}\nS: 535 .*\nC: QUIT\nS: 221 .*")
        fail = running.journal.one("auth.fail")
        assert (fail.login, fail.why, fail.mechanism, fail.again) == (
            ALICE,
            "wrong password",
            "PLAIN",
            False,
        )
        reject = running.journal.one("smtp.reject")
        assert (reject.stage, reject.check, reject.argument) == ("auth", "login", "AUTH PLAIN")
        assert reject.trace == fail.trace == running.journal.one("conn.open").trace


async def test_guessing_ends_the_connection(tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running:
        async with secured(running) as client:
            for number in range(2):
                await client.talk(f"{plain(password=f'guess {number}')}\nS: 535 .*")
            # The same password by another mechanism is no further guess.
            user, word = encoded(ALICE.encode()), encoded(b"guess 1")
            await client.talk(f"C: AUTH LOGIN {user}\nS: 334 .*\nC: {word}\nS: 535 .*")
            await client.talk(f"{plain(password='guess 3')}\nS: 535 .*\nEOF")
        await running.closed()
        assert running.journal.one("conn.close").why == "refused"
        assert [one.again for one in running.journal.all("auth.fail")] == [
            False,
            False,
            True,
            False,
        ]


async def test_a_failure_is_told_after_a_while_and_a_stop_does_not_wait(
    tmp_path: Path, files: Files
) -> None:
    async with submitting(tmp_path, files, auth={"fail_delay_seconds": 30}) as running:
        async with secured(running) as client:
            await client.talk(plain(password="wrong"))
            await until(lambda: running.journal.all("auth.fail"))
            for session in tuple(running.service.sessions):
                assert session._alarm is not None, "it waits"
                session.expire("shutdown")
            await client.talk("S: 421 4\\.3\\.2 .*\nEOF")
        await running.closed()


async def test_who_hangs_up_while_it_waits(tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files, auth={"fail_delay_seconds": 30}) as running:
        async with secured(running) as client:
            await client.talk(plain(password="wrong"))
            await until(lambda: running.journal.all("auth.fail"))
            client.writer.transport.abort()
        await running.closed()
        assert running.journal.one("conn.close").why == "lost"


async def test_a_ban_is_answered_without_a_look(tmp_path: Path, files: Files) -> None:
    settings = {"max_failures_per_ip": 2, "never_ban": ()}
    async with submitting(tmp_path, files, auth=settings) as running:
        async with secured(running) as client:
            for number in range(2):
                await client.talk(f"{plain(password=f'guess {number}')}\nS: 535 .*")
            await client.talk(f"{plain()}\nS: 454 4\\.7\\.0 too many failed logins.*\nEOF")
        assert running.journal.one("auth.ban").ip == "127.0.0.1"
        assert not running.journal.all("auth.ok")


async def test_a_login_ends_with_starttls(tmp_path: Path, files: Files) -> None:
    """Who was let in in clear, as only trusted networks are, is nobody afterwards."""
    networks = ("127.0.0.0/8",)
    async with (
        submitting(tmp_path, files, trusted_networks=networks) as running,
        connect(running.port) as client,
    ):
        await client.talk("S: 220 .*\nC: EHLO c\nS*\n" + LOGIN + "C: STARTTLS\nS: 220 .*")
        await client.writer.start_tls(trusting())
        await client.talk("C: EHLO c\nS*\nC: MAIL FROM:<other@x.test>\nS: 250 .*")
        assert running.journal.one("smtp.mail").login == ""


async def test_without_a_certificate_nobody_can_log_in(tmp_path: Path) -> None:
    async with submitting(tmp_path, None) as running:
        async with connect(running.port) as client:
            await client.line()
            told = await ehlo(client)
            assert "STARTTLS" not in told
            assert not [one for one in told if one.startswith("AUTH")]
            await client.talk("C: MAIL FROM:<alice@local.test>\nS: 530 5\\.7\\.0 .*")
        async with connect(running.secure) as client:
            assert await client.line() == "EOF"
        await running.closed(2)


async def test_a_failed_handshake_on_the_tls_port_is_an_event(tmp_path: Path, files: Files) -> None:
    async with submitting(tmp_path, files) as running:
        async with connect(running.secure) as client:
            await client.send(b"EHLO in clear\r\n" + b"x" * 300)
            await client.reader.read()
        await running.closed()
        assert running.journal.one("tls.fail").why
        assert "smtp.ehlo" not in running.journal.kinds


async def test_trouble_with_the_database_is_temporary(
    tmp_path: Path, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with submitting(tmp_path, files) as running, secured(running) as client:
        engine = running.submission.logins.verifier._engine
        monkeypatch.setattr(engine, "connect", broken)
        await client.talk(f"{plain()}\nS: 454 4\\.7\\.0 nobody can log in at present.*")
        monkeypatch.undo()
        await client.talk(LOGIN)


def broken(*_: object) -> None:
    import sqlite3  # noqa: PLC0415

    import sqlalchemy as sa  # noqa: PLC0415

    raise sa.exc.OperationalError("SELECT", {}, sqlite3.OperationalError("disk I/O error"))


def test_attempts_are_shared_by_services(tmp_path: Path) -> None:
    """What one process counted another one knows."""
    first, second = (Attempts(tmp_path / "attempts.db") for _ in range(2))
    first.ban("client 192.0.2.1", 100)
    assert second.banned_until("client 192.0.2.1", 50) == 100
    for one in (first, second):
        one.close()

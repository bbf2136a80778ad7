"""Becoming somebody: STARTTLS, AUTHENTICATE, LOGIN."""

import asyncio
import base64
import imaplib
import re
import ssl
from pathlib import Path

import pytest

from mtad.imap.service import Barred
from tests.dialog import until
from tests.imap import ALICE, SECRET, Client, Running, serving
from tests.sasl_client import ScramClient, cram_md5
from tests.test_smtp_tls import files as files
from tests.test_smtp_tls import trusting

Files = tuple[Path, Path]


def coded(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def started(client: Client) -> None:
    """Go on over TLS."""
    await client.talk("S~ .*\nC: s STARTTLS\nS: s OK .*")
    await client.writer.start_tls(trusting())


async def exchange(client: Client, scram: ScramClient, mechanism: str) -> str:
    await client.send(f"x AUTHENTICATE {mechanism} {coded(scram.first())}\r\n".encode())
    line = await client.line()
    if not line.startswith("+ "):
        return line
    await client.send(coded(scram.final(base64.b64decode(line[2:]))).encode() + b"\r\n")
    line = await client.line()
    if not line.startswith("+ "):
        return line
    assert scram.trusts(base64.b64decode(line[2:]))
    await client.send(b"\r\n")
    return await client.line()


async def test_starttls_forgets_what_came_in_clear(tmp_path: Path, files: Files) -> None:
    async with serving(tmp_path, files) as running, running.connect() as client:
        assert "STARTTLS" in await client.line()
        await client.send(b"a STARTTLS\r\nb LOGIN injected command\r\n")
        assert (await client.line()).startswith("a OK ")
        await client.writer.start_tls(trusting())
        (capabilities,) = await client.ok("CAPABILITY")
        assert "STARTTLS" not in capabilities
        assert "AUTH=SCRAM-SHA-256-PLUS" in capabilities
        assert (await client.no("STARTTLS")).startswith("BAD ")
        await client.ok(f'LOGIN {ALICE} "{SECRET}"')
        (event,) = running.journal.all("tls.ok")
        assert event.version == "TLSv1.3"


async def test_tls_from_the_start(tmp_path: Path, files: Files) -> None:
    async with serving(tmp_path, files) as running:
        async with running.connect("imaps", ssl=trusting()) as client:
            await client.log_in()
        async with running.connect("imaps") as client:
            await client.send(b"a NOOP\r\n" * 3)
            await client.reader.read()
        await until(lambda: running.journal.all("tls.fail"))


async def test_starttls_is_not_offered_without_a_certificate(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.connect() as client:
        assert "STARTTLS" not in await client.line()
        assert (await client.no("STARTTLS")).startswith("BAD ")


@pytest.mark.parametrize(("setting", "may"), [(False, False), (True, True)])
async def test_no_login_in_clear_from_elsewhere(
    setting: bool, may: bool, tmp_path: Path, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtad.imap.capabilities.is_local", lambda ip: False)
    async with (
        serving(tmp_path, files, clear_text_logins=setting) as running,
        running.connect() as client,
    ):
        greeting = await client.line()
        assert ("LOGINDISABLED" in greeting) is not may
        assert ("AUTH=" in greeting) is may
        if not may:
            for command in (f"LOGIN {ALICE} x", "AUTHENTICATE PLAIN =", "AUTHENTICATE PLAIN"):
                assert (await client.no(command)).startswith("NO [PRIVACYREQUIRED] ")
            await client.send(b"s STARTTLS\r\n")
            await client.line()
            await client.writer.start_tls(trusting())
        await client.ok(f'LOGIN {ALICE} "{SECRET}"')


async def test_plain_with_and_without_an_initial_response(tmp_path: Path) -> None:
    message = coded(f"\0{ALICE}\0{SECRET}".encode())
    async with serving(tmp_path) as running:
        await running.talk(f"S~ .*\nC: a AUTHENTICATE PLAIN {message}\nS: a OK \\[CAPABILITY .*")
        await running.talk(
            f"S~ .*\nC: a authenticate plain\nS: \\+\\s*\nC: {message}\nS: a OK \\[CAPABILITY .*"
        )


async def test_login_mechanism(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.talk(
            f"""
            S~ .*
            C: a AUTHENTICATE LOGIN
            S: \\+ .*
            C: {coded(ALICE.encode())}
            S: \\+ .*
            C: {coded(SECRET.encode())}
            S: a OK .*
            """
        )


async def test_cram_md5(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.connect() as client:
        await client.line()
        await client.send(b"a AUTHENTICATE CRAM-MD5\r\n")
        challenge = base64.b64decode((await client.line())[2:])
        answer = cram_md5(ALICE, running.made.cram.encode(), challenge)
        await client.send(coded(answer).encode() + b"\r\n")
        assert (await client.line()).startswith("a OK ")


async def test_scram(tmp_path: Path, files: Files) -> None:
    async with serving(tmp_path, files) as running:
        async with running.connect() as client:
            await started(client)
            said = await exchange(client, ScramClient(ALICE, SECRET), "SCRAM-SHA-256")
            assert said.startswith("x OK [CAPABILITY ")
        async with running.connect("imaps", ssl=trusting()) as client:
            await client.line()
            said = await exchange(client, ScramClient(ALICE, "wrong"), "SCRAM-SHA-256")
            assert said == "x NO [AUTHENTICATIONFAILED] Wrong login or password"


async def test_bearer_tokens_where_something_validates_them(tmp_path: Path) -> None:
    good, bad = (coded(f"n,,\1auth=Bearer {token}\1\1".encode()) for token in ("yes", "no"))
    async with serving(tmp_path) as running:
        async with running.connect() as client:
            assert "OAUTHBEARER" not in await client.line()
            assert (await client.no(f"AUTHENTICATE OAUTHBEARER {good}")).startswith("NO ")
        running.service.logins.validator = {"yes": ALICE}.get
        async with running.connect() as client:
            assert "AUTH=OAUTHBEARER" in await client.line()
            await client.send(f"a AUTHENTICATE OAUTHBEARER {bad}\r\n".encode())
            refused = coded(b'{"status":"invalid_token"}')
            await client.talk(
                f"""
                S: \\+ {re.escape(refused)}
                C: AQ==
                S: a NO \\[AUTHENTICATIONFAILED\\] .*
                """
            )
            await client.ok(f"AUTHENTICATE OAUTHBEARER {good}")


async def test_an_exchange_can_be_given_up(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.talk(
            r"""
            S~ .*
            C: a AUTHENTICATE PLAIN
            S: \+\s*
            C: *
            S: a BAD .*
            C: b AUTHENTICATE PLAIN
            S: \+\s*
            C: this is not base64
            S: b BAD .*
            C: c AUTHENTICATE GSSAPI
            S: c NO .*
            C: d NOOP
            S: d OK .*
            """
        )


async def test_wrong_passwords_end_the_connection(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.connect() as client:
        await client.line()
        for word in ("one", "two", "three"):
            said = await client.no(f"LOGIN {ALICE} {word}")
            assert said == "NO [AUTHENTICATIONFAILED] Wrong login or password"
        assert (await client.line()).startswith("* BYE ")
        assert await client.line() == "EOF"
        assert len(running.journal.all("auth.fail")) == 3


async def test_bans_and_trouble_are_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        serving(tmp_path, auth={"max_failures_per_ip": 1, "never_ban": ()}) as running,
        running.connect() as client,
    ):
        await client.line()
        await client.no(f"LOGIN {ALICE} wrong")
        said = await client.no(f'LOGIN {ALICE} "{SECRET}"')
        assert said.startswith("NO [UNAVAILABLE] Too many failed logins")
    (tmp_path / "b").mkdir()
    async with serving(tmp_path / "b") as running, running.connect() as client:
        await client.line()
        monkeypatch.setattr("mtad.directory.logins.MAX_WAITING", 0)
        said = await client.no(f'LOGIN {ALICE} "{SECRET}"')
        assert said.startswith("NO [UNAVAILABLE] Nobody can log in")


async def test_a_rule_may_bar_who_has_the_password(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.connect() as client:
        running.gate.barred = Barred("Not from your network", b"CONTACTADMIN")
        await client.line()
        said = await client.no(f'LOGIN {ALICE} "{SECRET}"')
        assert said == "NO [CONTACTADMIN] Not from your network"
        assert (await client.line()).startswith("* BYE ")


async def test_an_empty_login_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.connect() as client:
        await client.line()
        assert (await client.no('LOGIN "" ""')).startswith(("NO ", "BAD "))


def talk_imaplib(running: Running) -> None:
    context: ssl.SSLContext = trusting()
    with imaplib.IMAP4("127.0.0.1", running.ports["imap"], timeout=10) as link:
        link.starttls(context)
        link.login(ALICE, SECRET)
        assert link.select("INBOX")[0] == "OK"
    with imaplib.IMAP4_SSL(
        "127.0.0.1", running.ports["imaps"], ssl_context=context, timeout=10
    ) as link:
        link.authenticate("PLAIN", lambda _: f"\0{ALICE}\0{SECRET}".encode())
        assert link.noop()[0] == "OK"
    with imaplib.IMAP4("127.0.0.1", running.ports["imap"], timeout=10) as link:
        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            link.login(ALICE, "wrong")
        link.login_cram_md5(ALICE, running.made.cram)


async def test_imaplib_logs_in(tmp_path: Path, files: Files) -> None:
    async with serving(tmp_path, files) as running:
        await asyncio.to_thread(talk_imaplib, running)

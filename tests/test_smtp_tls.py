"""STARTTLS: what was said in clear is forgotten, failures are events, ids stay."""

import asyncio
import contextlib
import datetime
import ssl
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mtad import tls
from mtad.clock import now
from mtad.errors import ConfigError
from tests.dialog import HOST, Client, connect, server, wire


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    day = datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - day)
        .not_valid_after(now() + day)
        .sign(key, hashes.SHA256())
    )
    chain, secret = folder / "certificate.pem", folder / "key.pem"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return chain, secret


@pytest.fixture
def context(files: tuple[Path, Path]) -> ssl.SSLContext:
    return tls.server_context(*files)


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def secure(client: Client) -> None:
    """Go on over TLS."""
    await client.writer.start_tls(trusting())


STARTTLS = """
    S*
    C: EHLO clear.test
    S*
    C: STARTTLS
    S: 220 2\\.0\\.0 .*
"""


async def test_a_message_over_tls(tmp_path: Path, context: ssl.SSLContext) -> None:
    async with server(tmp_path, tls=context) as running, connect(running.port) as client:
        await client.talk(STARTTLS)
        await secure(client)
        await client.talk(
            """
            C: MAIL FROM:<a@x.test>
            S: 503 5\\.5\\.1 .*
            C: EHLO secure.test
            S: 250-mx.local.test
            S: 250-PIPELINING
            S: 250-SIZE 52428800
            S: 250-8BITMIME
            S: 250-SMTPUTF8
            S: 250-ENHANCEDSTATUSCODES
            S: 250-CHUNKING
            S: 250-DSN
            S: 250-LIMITS .*
            S: 250-REQUIRETLS
            S: 250 HELP
            C: STARTTLS
            S: 503 5\\.5\\.1 .*
            C: MAIL FROM:<a@x.test> REQUIRETLS
            S: 250 .*
            C: RCPT TO:<bob@local.test>
            S: 250 .*
            C: DATA
            S: 354 .*
            """
        )
        await client.send(wire(b"Subject: x\n\n" + b"y" * 70 + b"\n" * 1 + b"z\n" * 100_000))
        await client.talk("S: 250 .*\nC: QUIT\nS: 221 .*\nEOF")
        await running.closed()
        journal = running.journal
        connection = journal.one("conn.open").trace
        assert {e.trace for e in journal.all("smtp.ehlo")} == {connection}
        done = journal.one("tls.ok")
        assert done.trace == connection == journal.one("conn.close").trace
        assert done.version == "TLSv1.3"
        assert journal.one("smtp.mail").requiretls
        body = journal.frames[0][1]
        assert b"from secure.test (unknown [127.0.0.1])" in body
        assert b" with ESMTPS id " in body
        assert f"\n\t(TLSv1.3 {done.cipher})\n".encode() in body


async def test_starttls_is_announced_only_in_clear(tmp_path: Path, context: ssl.SSLContext) -> None:
    async with server(tmp_path, tls=context) as running, connect(running.port) as client:
        heard = await client.talk("S*\nC: EHLO x\n" + "S: 250-.*\n" * 10 + "S: 250 HELP")
        assert heard[-2:] == ["250-STARTTLS", "250 HELP"]
        assert "250-REQUIRETLS" not in heard
        await client.talk("C: STARTTLS x\nS: 501 5\\.5\\.4 .*")


async def test_what_was_injected_in_clear_is_not_run(
    tmp_path: Path, context: ssl.SSLContext
) -> None:
    async with server(tmp_path, tls=context) as running, connect(running.port) as client:
        await client.talk("S*\nC: EHLO clear.test\nS*")
        await client.send(b"STARTTLS\r\nEHLO evil.test\r\nMAIL FROM:<evil@x.test>\r\n")
        await client.talk("S: 220 .*")
        await secure(client)
        await client.talk("C: NOOP\nS: 250 2\\.0\\.0 ok\nC: QUIT\nS: 221 .*\nEOF")
        await running.closed()
        assert "smtp.mail" not in running.journal.kinds
        assert [e.helo for e in running.journal.all("smtp.ehlo")] == ["clear.test"]


async def test_starttls_ends_the_transaction(tmp_path: Path, context: ssl.SSLContext) -> None:
    async with server(tmp_path, tls=context) as running, connect(running.port) as client:
        await client.talk(
            "S*\nC: EHLO c\nS*\nC: MAIL FROM:<a@x.test>\nS: 250 .*\n"
            "C: RCPT TO:<bob@local.test>\nS: 250 .*\nC: STARTTLS\nS: 220 .*"
        )
        await secure(client)
        await client.talk("C: DATA\nS: 503 .*\nC: QUIT\nS: 221 .*\nEOF")
        await running.closed()
        assert running.journal.one("smtp.abort").why == "reset"


@pytest.mark.parametrize("said", [b"NOOP\r\nNOOP\r\n" + b"x" * 300, b""])
async def test_a_failed_handshake_is_an_event(
    said: bytes, tmp_path: Path, context: ssl.SSLContext
) -> None:
    async with server(tmp_path, tls=context) as running:
        async with connect(running.port) as client:
            await client.talk(STARTTLS)
            if said:
                await client.send(said)
                with contextlib.suppress(ConnectionError):
                    await client.reader.read()
        await running.closed()
        failed = running.journal.one("tls.fail")
        assert failed.trace == running.journal.one("conn.open").trace
        assert failed.why
        assert "\n" not in failed.why
        assert running.journal.one("conn.close").why == "lost"
        assert "tls.ok" not in running.journal.kinds


async def test_old_versions_are_refused(tmp_path: Path, context: ssl.SSLContext) -> None:
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    old = trusting()
    with pytest.warns(DeprecationWarning, match="deprecated"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="deprecated"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    old.set_ciphers("ALL:@SECLEVEL=0")
    async with server(tmp_path, tls=context) as running:
        async with connect(running.port) as client:
            await client.talk(STARTTLS)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await client.writer.start_tls(old)
        await running.closed()
        assert running.journal.one("tls.fail").why


async def test_hanging_up_within_tls(tmp_path: Path, context: ssl.SSLContext) -> None:
    async with server(tmp_path, tls=context) as running:
        async with connect(running.port) as client:
            await client.talk(STARTTLS)
            await secure(client)
            await client.talk("C: EHLO c\nS*\nC: MAIL FROM:<a@x.test>\nS: 250 .*")
            client.writer.transport.abort()
        await running.closed()
        assert running.journal.one("smtp.abort").why == "lost"


def test_the_same_on_uvloop(tmp_path: Path, context: ssl.SSLContext) -> None:
    """TLS is asyncio's there too, above the transports of the daemon's loop."""

    async def run() -> None:
        await test_a_message_over_tls(tmp_path, context)
        await test_what_was_injected_in_clear_is_not_run(tmp_path, context)
        await test_a_failed_handshake_is_an_event(b"NOOP\r\n" + b"x" * 300, tmp_path, context)
        await test_a_failed_handshake_is_an_event(b"", tmp_path, context)
        await test_hanging_up_within_tls(tmp_path, context)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def test_memory_of_a_connection_is_one_record(tmp_path: Path, context: ssl.SSLContext) -> None:
    """Also on uvloop, and after much has come at once."""

    async def run() -> None:
        async with server(tmp_path, tls=context) as running, connect(running.port) as client:
            await client.talk("S*\nC: EHLO c\nS*\nC: STARTTLS\nS: 220 .*")
            await secure(client)
            await client.talk("C: EHLO c\nS*")
            await client.send(b"NOOP " + b"x" * 1_000_000 + b"\r\n")
            await client.talk("S: 500 5\\.5\\.6 .*\nC: NOOP\nS: 250 2\\.0\\.0 ok")
            (session,) = running.service.sessions
            assert len(session.link._ssl_protocol.get_buffer(1_000_000)) == tls.RECORD

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def test_connections_that_share_a_buffer_do_not_mix(
    tmp_path: Path, context: ssl.SSLContext
) -> None:
    async def one(port: int, number: int) -> None:
        async with connect(port) as client:
            await client.talk("S*\nC: EHLO c\nS*\nC: STARTTLS\nS: 220 .*")
            await secure(client)
            await client.talk(
                "C: EHLO c\nS*\nC: MAIL FROM:<>\nS: 250 .*\n"
                "C: RCPT TO:<bob@local.test>\nS: 250 .*\nC: DATA\nS: 354 .*"
            )
            for _ in range(50):
                await client.send(b"%d " % number * 500 + b"\r\n")
                await asyncio.sleep(0)
            await client.talk("C: .\nS: 250 .*\nC: QUIT\nS: 221 .*")

    async def run() -> None:
        async with server(tmp_path, tls=context) as running:
            await asyncio.gather(*(one(running.port, number) for number in range(10, 30)))
            bodies = [body.split(b"+0000\n", 1)[1] for _, body in running.journal.frames]
        assert {len(set(body.split())) for body in bodies} == {1}
        assert {int(body.split()[0]) for body in bodies} == set(range(10, 30))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def test_unusable_files_are_named(tmp_path: Path, files: tuple[Path, Path]) -> None:
    chain, key = files
    with pytest.raises(ConfigError, match=r"missing\.pem"):
        tls.server_context(tmp_path / "missing.pem", key)
    other = tmp_path / "other.pem"
    other.write_text("no key")
    with pytest.raises(ConfigError, match=r"other\.pem"):
        tls.server_context(chain, other)
    with pytest.raises(ConfigError):
        tls.server_context(key, key)

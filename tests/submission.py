"""A server in the test's own loop, at every door where mail comes in, with real boxes."""

import base64
import contextlib
import functools
import smtplib
import socket
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mtad import db
from mtad.config import Auth
from mtad.config import Submission as Settings
from mtad.delivery.local import Delivery
from mtad.directory import authkey
from mtad.directory.credential_changes import CredentialChanges
from mtad.directory.key_changes import KeyChanges
from mtad.directory.logins import Logins
from mtad.directory.lookup import Directory
from mtad.journal.command import command_journal
from mtad.mailauth import keys
from mtad.mailauth.signing import Signer
from mtad.sasl.binding import server_end_point
from mtad.smtp.checks.standard import INBOUND
from mtad.smtp.listener import Listener
from mtad.smtp.service import Service
from mtad.smtp.submission import Submission
from mtad.smtp.usage import Usage
from mtad.tls import server_context
from mtad.where import Places
from tests.dialog import HOST, Client, Memory, connect, empty, unhurried, until
from tests.sasl_client import ScramClient
from tests.test_smtp_tls import trusting

ALICE, BOB, SECRET = "alice@local.test", "bob@local.test", "correct horse"


class Submitting:
    """A running server; ``ports`` by the name of the listener."""

    def __init__(
        self, folder: Path, service: Service, journal: Memory, ports: dict[str, int]
    ) -> None:
        self.folder = folder
        self.places = Places(folder)
        self.service = service
        self.journal = journal
        self.ports = ports
        assert service.submission is not None
        self.submission = service.submission
        self.cram = ""
        self.phone = ""

    @property
    def port(self) -> int:
        """Where STARTTLS is needed."""
        return self.ports["submission"]

    @property
    def secure(self) -> int:
        """Where TLS comes first."""
        return self.ports["submissions"]

    async def closed(self, count: int = 1) -> None:
        await until(lambda: self.journal.kinds.count("conn.close") >= count)


class House(NamedTuple):
    """The files of a data directory, and two passwords in it."""

    files: dict[str, bytes]
    cram: str
    phone: str


@functools.cache
def house() -> House:
    """Boxes alice and bob; sales@ leads to alice, all@ to both. Made once, it takes a while."""
    with tempfile.TemporaryDirectory() as folder:
        places = Places(Path(folder))
        db.upgrade_state(places.state_db)
        with command_journal(places) as own:
            changes = CredentialChanges(places.state_db, own, "admin:test")
            changes.add_domain("local.test")
            changes.add_box(ALICE, SECRET)
            changes.add_box(BOB, SECRET + " 2")
            changes.add_alias("sales@local.test", [ALICE])
            changes.add_alias("all@local.test", [ALICE, BOB])
            cram = changes.enable_cram(ALICE, authkey.load(places.auth_key))
            phone = changes.add_app_password(ALICE, "phone")
        files = [path for path in places.data.iterdir() if path.is_file()]
        return House({path.name: path.read_bytes() for path in files}, cram, phone)


@contextlib.asynccontextmanager
async def submitting(
    folder: Path,
    files: tuple[Path, Path] | None,
    *,
    limits: Mapping[str, Any] | None = None,
    auth: Mapping[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Submitting]:
    """Serve a house on free loopback ports."""
    places, journal = Places(folder), Memory()
    made = house()
    for name, octets in made.files.items():
        (folder / name).write_bytes(octets)
    directory = Directory(places.state_db)
    logins = Logins(
        places, Auth(**{"fail_delay_seconds": 0, **(auth or {})}), HOST, directory, journal.note
    )
    service = Service(
        hostname=HOST,
        limits=unhurried(**(limits or {})),
        journal=journal,
        directory=directory,
        delivery=Delivery(journal, places, HOST),
        policy=INBOUND,
        holds=empty,
        tls=server_context(*files) if files else None,
    )
    service.submission = Submission(
        Settings(**settings),
        logins,
        Usage(places.log),
        Signer(folder, directory),
        server_end_point(files[0].read_bytes()) if files else b"",
    )
    sockets = {
        name: [socket.create_server(("127.0.0.1", 0))]
        for name in ("smtp", "lmtp", "submission", "submissions")
    }
    listener = Listener(service, sockets)
    ports = {name: sock.getsockname()[1] for name, (sock,) in sockets.items()}
    running = Submitting(folder, service, journal, ports)
    running.cram, running.phone = made.cram, made.phone
    await listener.start()
    try:
        yield running
    finally:
        await listener.stop(seconds=0.2)
        await logins.close()
        assert not service.sessions
        assert not service.held
        assert not service.clients.here
        assert not service.submission.open


@contextlib.asynccontextmanager
async def secured(running: Submitting, listener: str = "submission") -> AsyncIterator[Client]:
    """A client that has TLS and has said EHLO again."""
    if listener == "submissions":
        async with connect(running.secure, ssl=trusting()) as client:
            await client.talk("S: 220 .*\nC: EHLO client.test\nS*")
            yield client
        return
    async with connect(running.port) as client:
        await client.talk("S: 220 .*\nC: EHLO client.test\nS*\nC: STARTTLS\nS: 220 .*")
        await client.writer.start_tls(trusting())
        await client.talk("C: EHLO client.test\nS*")
        yield client


def smtplib_link(port: int, *, secure: bool) -> smtplib.SMTP:
    """Python's own client, with TLS."""
    if secure:
        return smtplib.SMTP_SSL("127.0.0.1", port, context=trusting(), timeout=20)
    link = smtplib.SMTP("127.0.0.1", port, timeout=20)
    link.starttls(context=trusting())
    return link


async def scram(
    client: Client, login: str, password: str, binding: tuple[str, bytes] | None = None
) -> str:
    """Log in by SCRAM; the last reply."""
    said = ScramClient(login, password, binding=binding)
    name = "SCRAM-SHA-256-PLUS" if binding else "SCRAM-SHA-256"
    await client.send(f"AUTH {name} {encoded(said.first())}\r\n".encode())
    challenge = await client.line()
    if not challenge.startswith("334 "):
        return challenge
    await client.send(f"{encoded(said.final(decoded(challenge)))}\r\n".encode())
    outcome = await client.line()
    if not outcome.startswith("334 "):
        return outcome
    assert said.trusts(decoded(outcome))
    await client.send(b"\r\n")
    return await client.line()


def encoded(message: bytes) -> str:
    return base64.b64encode(message).decode()


def decoded(reply: str) -> bytes:
    return base64.b64decode(reply[4:])


def plain(login: str = ALICE, password: str = SECRET) -> str:
    """The command that logs in at once."""
    return f"C: AUTH PLAIN {encoded(f'{chr(0)}{login}{chr(0)}{password}'.encode())}"


LOGIN = plain() + "\nS: 235 2\\.7\\.0 .*\n"


def make_keys(running: Submitting, *selectors: str) -> None:
    """Let local.test sign with fresh keys."""
    algorithms = {}
    for selector in selectors:
        algorithm = "rsa-sha256" if selector.startswith("m") else "ed25519-sha256"
        keys.write(running.folder / keys.file_of("local.test", selector), keys.generate(algorithm))
        algorithms[algorithm] = selector
    with command_journal(running.places) as journal:
        KeyChanges(running.places.state_db, journal, "admin:test").add_keys(
            "local.test", algorithms, 0
        )

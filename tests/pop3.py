"""POP3 dialogs as text, and a server in the test's own loop to hold them with, on real boxes.

A dialog is lines as in ``tests.dialog``.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from mtad import address, clock
from mtad.access.guests import Guests, ImapGate, PopGate
from mtad.access.listener import SERVICES, Listener, Services
from mtad.config import Access, Auth, Imap, Pop3
from mtad.directory.logins import Logins
from mtad.directory.lookup import Directory
from mtad.imap.service import Service as ImapService
from mtad.journal.writer import Journal
from mtad.pop3.service import Service
from mtad.sasl.binding import server_end_point
from mtad.store import maildir, names
from mtad.store.replay import Replay
from mtad.store.shelf import Shelf
from mtad.tls import server_context
from mtad.where import Places
from tests.dialog import SECONDS, Client, connect, until
from tests.submission import ALICE, BOB, SECRET, House, house
from tracing import ids
from tracing.events import Event

HOST = "pop3.local.test"
MAIL = b"From: a@example.net\r\nTo: alice@local.test\r\nSubject: number %d\r\n\r\nhello\r\n"

__all__ = ["ALICE", "BOB", "HOST", "MAIL", "SECRET", "Client", "Running", "serving", "until"]


class Notebook(Journal):
    """A journal whose events can be read again."""

    log: list[Event]

    def note(self, event: Event) -> None:
        self.log.append(event)
        super().note(event)

    def all(self, kind: str) -> list[Any]:
        return [event for event in self.log if event.kind == kind]


class Running:
    """A server that listens on loopback, with its parts at hand."""

    def __init__(
        self, folder: Path, services: Services, guests: Guests, shelf: Shelf, journal: Notebook
    ) -> None:
        self.places = Places(folder)
        self.services = services
        self.pop3 = services.pop3
        self.guests = guests
        self.shelf = shelf
        self.journal = journal
        self.house: House = house()
        self.ports: dict[str, int] = {}
        self._mint = ids.Mint(33)

    def folder(self, box: str = ALICE) -> Path:
        return self.places.boxes / address.box_folder(box)

    def deliver(self, *messages: bytes, box: str = ALICE, mailbox: str = "INBOX") -> list[str]:
        """Lay messages into a mailbox as delivery does; their unique-ids."""
        root = self.folder(box) / "Maildir"
        path = root / names.mailbox_folder(mailbox)
        maildir.ensure(root, names.mailbox_folder(mailbox))
        found = []
        for message in messages:
            st = self._mint.new()
            wire = len(message) + message.count(b"\n") - message.count(b"\r\n")
            base = names.base_name(st, clock.now_us() * 1000, "mx", len(message), wire)
            (path / "tmp" / base).write_bytes(message)
            (path / "tmp" / base).rename(path / "new" / base)
            found.append(ids.text(st))
        return found

    def files(self, box: str = ALICE) -> list[str]:
        """The base names in INBOX."""
        root = self.folder(box) / "Maildir"
        return sorted(
            names.split(name)[0] for sub in ("new", "cur") for name in os.listdir(root / sub)
        )

    @contextlib.asynccontextmanager
    async def client(self, listener: str = "pop3", **options: Any) -> AsyncIterator[Client]:
        async with connect(self.ports[listener], limit=2**22, **options) as client:
            yield client

    @contextlib.asynccontextmanager
    async def logged_in(self, login: str = ALICE, secret: str = SECRET) -> AsyncIterator[Client]:
        async with self.client() as client:
            await client.talk(
                rf"""
                S: \+OK .*
                C: USER {login}
                S: \+OK .*
                C: PASS {secret}
                S: \+OK \d+ messages, \d+ octets
                """
            )
            yield client

    async def over(self, count: int = 1) -> None:
        """Wait until so many connections are in the log as closed."""
        await until(lambda: len(self.journal.all("conn.close")) >= count)


@contextlib.asynccontextmanager
async def serving(
    folder: Path,
    files: tuple[Path, Path] | None = None,
    *,
    access: dict[str, Any] | None = None,
    auth: dict[str, Any] | None = None,
    imap: dict[str, Any] | None = None,
    listeners: Sequence[str] = SERVICES,
    log_reading: bool = True,
    **limits: Any,
) -> AsyncIterator[Running]:
    """Serve a house with boxes alice and bob on free loopback ports."""
    places = Places(folder)
    for name, octets in house().files.items():
        (folder / name).write_bytes(octets)
    journal = Notebook.open(places.journal / "access-0", node=16)
    journal.log = []
    directory = Directory(places.state_db)
    logins = Logins(
        places, Auth(**{"fail_delay_seconds": 0, **(auth or {})}), HOST, directory, journal.note
    )
    replay = Replay(places.journal)
    replay.skip_own("access-0")
    shelf = Shelf(places, journal, HOST, replay)
    settings = Access(**(access or {}))
    guests = Guests(settings)
    context = server_context(*files) if files else None
    end_point = server_end_point(files[0].read_bytes()) if files else b""

    def open_box(box: str) -> Any:
        return shelf.use(box, make=True)

    services = Services(
        settings,
        ImapService(
            HOST,
            Imap(**(imap or {})),
            journal,
            logins,
            open_box,
            shelf.shares,
            ImapGate(guests),
            context,
            end_point,
        ),
        Service(
            HOST,
            Pop3(**limits),
            journal,
            logins,
            open_box,
            PopGate(guests),
            log_reading,
            context,
            end_point,
        ),
    )
    running = Running(folder, services, guests, shelf, journal)
    sockets = {name: [socket.create_server(("127.0.0.1", 0))] for name in listeners}
    running.ports = {name: sock.getsockname()[1] for name, (sock,) in sockets.items()}
    listener = Listener(services, sockets)
    await listener.start()
    try:
        yield running
    finally:
        await asyncio.wait_for(listener.stop(seconds=0.5), SECONDS)
        await logins.close()
        await shelf.close(1)
        replay.close()
        await journal.close()
        assert not services.dialogs
        assert not guests.here
        assert not guests.clients
        assert not guests.users
        assert not services.pop3.locked

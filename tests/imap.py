"""IMAP dialogs as text, and a server in the test's own loop to hold them with, on real boxes.

A dialog is lines as in ``tests.dialog``; ``S~ regex`` passes over lines up to one that matches.
``Client.command`` sends one command and returns its answer's lines, the tagged one last.
"""

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mtad import address, clock
from mtad.config import Auth, Imap
from mtad.directory.logins import Logins
from mtad.directory.lookup import Directory
from mtad.imap.dialog import Dialog, factory
from mtad.imap.service import Barred, Service
from mtad.imap.session import Session
from mtad.journal.writer import Journal
from mtad.sasl.binding import server_end_point
from mtad.store import maildir, names
from mtad.store.box import Box
from mtad.store.replay import Replay
from mtad.store.shelf import Shelf
from mtad.tls import server_context
from mtad.where import Places
from tests.dialog import SECONDS
from tests.dialog import Client as Plain
from tests.submission import ALICE, BOB, SECRET, House, house
from tracing import ids
from tracing.events import Event

HOST = "imap.local.test"
MAIL = b"From: a@example.net\r\nTo: alice@local.test\r\nSubject: number %d\r\n\r\nhello\r\n"

__all__ = ["ALICE", "BOB", "HOST", "MAIL", "SECRET", "Client", "Running", "serving"]


class Notebook:
    """A journal whose notes can be read again."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.mint = journal.mint
        self.log: list[Event] = []

    def note(self, event: Event) -> None:
        self.log.append(event)
        self._journal.note(event)

    def all(self, kind: str) -> list[Any]:
        return [event for event in self.log if event.kind == kind]


class Gate:
    """Lets everybody in, but for reasons that a test names."""

    def __init__(self) -> None:
        self.full = ""
        self.barred: Barred | None = None
        self.open: set[Session] = set()

    def arrives(self, session: Session) -> str:
        if not self.full:
            self.open.add(session)
        return self.full

    async def enters(self, session: Session, box: str) -> Barred | None:
        return self.barred

    def leaves(self, session: Session) -> None:
        self.open.remove(session)


class Client(Plain):
    """A client that says exactly what it is told."""

    tag = 0

    async def talk(self, dialog: str) -> list[str]:
        """Hold a dialog; AssertionError with the place where the server said otherwise."""
        heard: list[str] = []
        for line in dialog.splitlines():
            said = line.strip()
            if not said.startswith("S~ "):
                heard += await super().talk(said)
                continue
            while not re.fullmatch(said[3:], found := await self.line()):
                assert found != "EOF", f"{said} did not come"
                heard.append(found)
            heard.append(found)
        return heard

    async def command(self, text: str, *literals: str) -> list[str]:
        """Send a command, literals where it has ``{}``; the lines of its answer."""
        self.tag += 1
        tag = f"t{self.tag}"
        pieces = text.split("{}")
        octets = f"{tag} {pieces[0]}".encode()
        for literal, piece in zip(literals, pieces[1:], strict=True):
            data = literal.encode()
            octets += b"{%d+}\r\n%b%b" % (len(data), data, piece.encode())
        await self.send(octets + b"\r\n")
        return await self.answer(tag)

    async def answer(self, tag: str) -> list[str]:
        """The lines up to the tagged one; a literal stays with its line, as ``\\r\\n``."""
        lines: list[str] = []
        while True:
            line = await self.line()
            assert line != "EOF", (tag, lines)
            while found := re.search(r"\{(\d+)\}\Z", line):
                data = await asyncio.wait_for(self.reader.readexactly(int(found[1])), SECONDS)
                line += "\r\n" + data.decode("utf-8", "surrogateescape") + await self.line()
            lines.append(line)
            if line.startswith(f"{tag} "):
                return lines

    async def ok(self, text: str, *literals: str) -> list[str]:
        """The same for a command that must succeed; its untagged lines."""
        lines = await self.command(text, *literals)
        assert re.match(r"t\d+ OK ", lines[-1]), lines
        return lines[:-1]

    async def no(self, text: str, *literals: str) -> str:
        """The same for one that must not; the status and text without the tag."""
        lines = await self.command(text, *literals)
        assert not re.match(r"t\d+ OK ", lines[-1]), lines
        return lines[-1].partition(" ")[2]

    async def log_in(self, login: str = ALICE, secret: str = SECRET) -> "Client":
        await self.talk(r"S: \* OK \[CAPABILITY .*")
        await self.ok(f'LOGIN "{login}" "{secret}"')
        return self


class Running:
    """A server that listens on loopback, with its parts at hand."""

    def __init__(self, folder: Path, service: Service, journal: Notebook, shelf: Shelf) -> None:
        self.places = Places(folder)
        self.service = service
        self.journal = journal
        self.shelf = shelf
        self.made: House = house()
        self.ports: dict[str, int] = {}
        self.mint = ids.Mint(33)

    @property
    def gate(self) -> Gate:
        assert isinstance(self.service.gate, Gate)
        return self.service.gate

    def folder(self, box: str = ALICE) -> Path:
        return self.places.boxes / address.box_folder(box)

    @contextlib.asynccontextmanager
    async def box(self, box: str = ALICE) -> AsyncIterator[Box]:
        """The box as another user of it would have it."""
        async with self.shelf.use(box, make=True) as opened:
            yield opened

    async def deliver(
        self,
        *messages: bytes,
        mailbox: str = "INBOX",
        box: str = ALICE,
        count: int = 1,
        sync: bool = True,
    ) -> None:
        """What the log role does: files in ``new/`` under our names, and a ring of the bell."""
        path = self.folder(box) / "Maildir"
        folder = names.mailbox_folder(mailbox)
        maildir.ensure(path)
        maildir.ensure(path, folder)
        for data in messages or [MAIL % number for number in range(count)]:
            st = self.mint.new()
            wire = len(data) + data.count(b"\n") - data.count(b"\r\n")
            base = names.base_name(st, clock.now_us() * 1000, "mx", len(data), wire)
            (path / folder / "new" / base).write_bytes(data)
        if sync:
            async with self.box(box) as opened:
                await opened.sync()

    @contextlib.asynccontextmanager
    async def connect(self, listener: str = "imap", **options: Any) -> AsyncIterator[Client]:
        """A connection to the server."""
        port = self.ports[listener]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, **options)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.wait_closed()

    @contextlib.asynccontextmanager
    async def client(self, *commands: str, **options: Any) -> AsyncIterator[Client]:
        """A client that has logged in as Alice and said what it is given."""
        async with self.connect(**options) as client:
            await client.log_in()
            for command in commands:
                await client.ok(command)
            yield client

    async def talk(self, dialog: str) -> list[str]:
        """Hold a dialog on a connection of its own; the server's lines."""
        async with self.connect() as client:
            return await client.talk(dialog)


@contextlib.asynccontextmanager
async def serving(
    folder: Path,
    files: tuple[Path, Path] | None = None,
    *,
    auth: Mapping[str, Any] | None = None,
    boxes: Sequence[str] = (ALICE, BOB),
    **limits: Any,
) -> AsyncIterator[Running]:
    """Serve a house of two boxes on free loopback ports; stopped and empty afterwards."""
    places = Places(folder)
    for name, octets in house().files.items():
        (folder / name).write_bytes(octets)
    for box in boxes:
        maildir.ensure(places.boxes / address.box_folder(box) / "Maildir")
    loop = asyncio.get_running_loop()
    journal = Journal.open(places.journal / "access-0", node=16)
    replay = Replay(places.journal)
    shelf = Shelf(places, journal, HOST, replay)
    notebook = Notebook(journal)
    settings = Auth(**{"fail_delay_seconds": 0, **(auth or {})})
    logins = Logins(places, settings, HOST, Directory(places.state_db), notebook.note)
    service = Service(
        hostname=HOST,
        limits=Imap(**limits),
        journal=notebook,
        logins=logins,
        open_box=lambda box: shelf.use(box, make=True),
        shares=shelf.shares,
        gate=Gate(),
        tls=server_context(*files) if files else None,
        end_point=server_end_point(files[0].read_bytes()) if files else b"",
    )
    running = Running(folder, service, notebook, shelf)
    servers = []
    for name in ("imap", "imaps"):
        sock = socket.create_server(("127.0.0.1", 0))
        running.ports[name] = sock.getsockname()[1]
        make = partial(factory, service, name, loop)
        servers.append(await loop.create_server(make, sock=sock))
    try:
        yield running
    finally:
        for server in servers:
            server.close()
        open_dialogs: set[Dialog] = set(service.sessions)
        for dialog in open_dialogs:
            dialog.stop()
        tasks = [dialog.stream.task for dialog in open_dialogs if dialog.stream.task]
        if tasks:
            await asyncio.wait(tasks, timeout=5)
        assert not service.sessions
        assert not running.gate.open
        await logins.close()
        await shelf.close(5)
        replay.close()
        await journal.close()

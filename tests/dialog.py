"""SMTP dialogs as text, and a server in the test's own loop to hold them with.

A dialog is lines: ``C: text`` is sent with CRLF, ``C! text`` is sent as written (with Python
escapes, no CRLF added), ``S: regex`` must match the next line from the server in full, ``S*``
skips the rest of a multi-line reply, ``EOF`` means that the server closes. Empty lines and
``#`` comments are skipped.
"""

import asyncio
import contextlib
import re
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from mtad.address import Address
from mtad.config import Smtp
from mtad.delivery.local import Delivery
from mtad.directory.lookup import Target
from mtad.journal import frame
from mtad.reports.words import Lang
from mtad.smtp.checks.standard import INBOUND
from mtad.smtp.listener import Listener
from mtad.smtp.service import Service
from mtad.where import Places
from tracing import ids
from tracing.events import Event

HOST = "mx.local.test"
SECONDS = 10.0


class Book:
    """A directory in a dictionary."""

    def __init__(self, domains: set[str], entries: Mapping[str, tuple[str, ...]]) -> None:
        self.domains = domains
        self.entries = dict(entries)
        self.passwords: dict[tuple[str, str], int] = {}
        self.refreshed = 0
        self.trouble: Exception | None = None
        self.languages: dict[str, Lang] = {}
        self.quotas: dict[str, tuple[int, int]] = {}

    def is_local(self, domain: str) -> bool:
        return domain in self.domains

    def resolve(self, address: Address) -> tuple[Target, ...]:
        given = str(address)
        boxes = self.entries.get(given, ())
        return tuple(Target(box, given, box != given) for box in boxes)

    def quota(self, box: str) -> tuple[int, int]:
        return self.quotas.get(box, (0, 0))

    def is_open(self, box: str) -> bool:
        return box in self.entries

    def may_send_as(self, box: str, address: Address) -> bool:
        return box in self.entries.get(str(address), ())

    def postmaster(self) -> Address:
        return Address("postmaster", "local.test")

    def language(self, address: str) -> Lang | None:
        return self.languages.get(address)

    def refresh(self) -> None:
        self.refreshed += 1
        if self.trouble is not None:
            raise self.trouble


def book() -> Book:
    """Two boxes, an alias of both, and a postmaster, in local.test."""
    alice, bob = "alice@local.test", "bob@local.test"
    return Book(
        {"local.test", "xn--e1afmkfd.test"},
        {
            alice: (alice,),
            bob: (bob,),
            "all@local.test": (alice, bob),
            "al@local.test": (alice,),
            "postmaster@local.test": (alice,),
            "почта@xn--e1afmkfd.test": ("почта@xn--e1afmkfd.test",),
        },
    )


class Memory:
    """A journal that keeps what it is given in lists, in order."""

    def __init__(self) -> None:
        self.mint = ids.Mint(1)
        self.frames: list[tuple[frame.Meta, bytes]] = []
        self.log: list[Event] = []
        self.room: Callable[[], None] = lambda: None
        self.before_commit: Callable[[], Any] | None = None

    async def commit(self, meta: frame.Meta, body: bytes = b"") -> int:
        if self.before_commit is not None:
            await self.before_commit()
        head, tail = frame.encode(meta, body, seq=1, last_id=1, epoch=7)
        decoded = frame.decode(head + tail, 0, epoch=7)
        assert decoded is not None
        self.frames.append((decoded[0].meta, decoded[0].body))
        self.log.extend(decoded[0].events)
        return len(self.frames)

    commit_soon = commit

    def note(self, event: Event) -> None:
        from tracing.events import decode, encode  # noqa: PLC0415 - every event must be storable

        assert decode(encode(event)) == event
        self.log.append(event)

    def check_room(self) -> None:
        self.room()

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.log]

    def all(self, kind: str) -> list[Any]:
        return [event for event in self.log if event.kind == kind]

    def one(self, kind: str) -> Any:
        found = self.all(kind)
        assert len(found) == 1, (kind, self.kinds)
        return found[0]


class Running:
    """A server that listens on loopback, with its parts at hand."""

    def __init__(self, service: Service, journal: Memory, book: Book, listener: Listener) -> None:
        self.service = service
        self.journal = journal
        self.book = book
        self.listener = listener
        self.port = 0

    async def closed(self, count: int = 1) -> None:
        """Wait until that many connections are over."""
        await until(lambda: self.journal.kinds.count("conn.close") >= count)

    async def talk(self, dialog: str) -> list[str]:
        """Hold a dialog on a connection of its own; the server's lines."""
        async with connect(self.port) as client:
            return await client.talk(dialog)


def unhurried(**changes: Any) -> Smtp:
    """Settings under which a test may do as it likes, as often and as wrong; with changes."""
    none = {name: 0 for name in Smtp.model_fields if "_per_minute_" in name or "_hour_" in name}
    return Smtp().model_copy(update={**none, "never_limit": (), "tarpit_max_seconds": 0, **changes})


async def empty(_: str) -> tuple[int, int]:
    """What every box holds."""
    return 0, 0


@contextlib.asynccontextmanager
async def server(
    tmp_path: Path,
    *,
    limits: Mapping[str, Any] | None = None,
    name: str = "smtp",
    at: Path | None = None,
    **changes: Any,
) -> AsyncIterator[Running]:
    """Serve on a free loopback port, or a unix socket; stopped and empty afterwards."""
    journal, directory = Memory(), book()
    service = Service(
        hostname=HOST,
        limits=unhurried(**(limits or {})),
        journal=journal,
        directory=directory,
        delivery=Delivery(journal, Places(tmp_path), HOST),
        policy=INBOUND,
        holds=empty,
    )
    for part, value in changes.items():
        setattr(service, part, value)
    sock = (
        socket.create_server(("127.0.0.1", 0))
        if at is None
        else socket.create_server(str(at), family=socket.AF_UNIX)
    )
    listener = Listener(service, {name: [sock]})
    running = Running(service, journal, directory, listener)
    if at is None:
        running.port = sock.getsockname()[1]
    await listener.start()
    try:
        yield running
    finally:
        await listener.stop(seconds=0.2)
        assert not service.sessions
        assert not service.held
        assert not service.clients.here


class Client:
    """A client that says exactly what it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, octets: bytes) -> None:
        self.writer.write(octets)
        await self.writer.drain()

    async def line(self) -> str:
        line = await asyncio.wait_for(self.reader.readline(), SECONDS)
        return line.decode().removesuffix("\r\n") if line else "EOF"

    async def reply(self) -> str:
        """The last line of the next reply."""
        while (line := await self.line())[3:4] == "-":
            pass
        return line

    async def talk(self, dialog: str) -> list[str]:
        """Hold a dialog; AssertionError with the place where the server said otherwise."""
        heard = []
        for number, raw in enumerate(dialog.splitlines(), 1):
            said = raw.strip()
            if not said or said.startswith("#"):
                continue
            place = f"line {number}: {said}"
            if said.startswith("C: ") or said == "C:":
                await self.send(said[3:].encode() + b"\r\n")
            elif said.startswith("C! "):
                await self.send(said[3:].encode().decode("unicode_escape").encode("latin-1"))
            elif said.startswith("S: "):
                line = await self.line()
                heard.append(line)
                assert re.fullmatch(said[3:], line), f"{place}\nthe server said: {line}"
            elif said == "S*":
                heard.append(await self.reply())
            elif said == "EOF":
                line = await self.line()
                assert line == "EOF", f"{place}\nthe server said: {line}"
            else:
                raise ValueError(place)
        return heard


@contextlib.asynccontextmanager
async def connect(
    port: int | Path, host: str = "127.0.0.1", **options: Any
) -> AsyncIterator[Client]:
    """A connection to the server, or to its unix socket."""
    if isinstance(port, Path):
        reader, writer = await asyncio.open_unix_connection(port)
    else:
        reader, writer = await asyncio.open_connection(host, port, **options)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def until(true: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait until ``true()``."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)


def wire(message: bytes) -> bytes:
    """A message as it goes over the wire after DATA: CRLF, dots stuffed, terminated."""
    text = re.sub(rb"(?<!\r)\n", b"\r\n", message)
    text = re.sub(rb"(?m)^\.", b"..", text)
    return text + (b"" if text.endswith(b"\r\n") or not text else b"\r\n") + b".\r\n"

"""A remote server that answers as told, stage by stage, and keeps what it was sent.

``Script`` names the reply of each stage; a stage left out is answered well. A reply may be
text (sent with CRLF, several lines given as they are), DROP (the connection is cut), SILENCE
(nothing, for ever), or a function of the argument that returns one of these. Commands are
answered in order, so that pipelining works as on any server.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

DROP = "\0drop"
SILENCE = "\0silence"

Answer = str | Callable[[str], str]

WELL = {
    "banner": "220 remote.test ESMTP",
    "ehlo": "250-remote.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
    "250-ENHANCEDSTATUSCODES\r\n250-DSN\r\n250 SIZE 1000000",
    "starttls": "220 2.0.0 go ahead",
    "auth": "235 2.7.0 welcome",
    "mail": "250 2.1.0 ok",
    "rcpt": "250 2.1.5 ok",
    "data": "354 go ahead",
    "dot": "250 2.0.0 Ok: queued as 4ABCD1234",
    "rset": "250 2.0.0 ok",
    "quit": "221 2.0.0 bye",
}


@dataclass
class Transaction:
    """What one transaction said; ``message`` is as on the wire, None where none came."""

    mail: str
    rcpt: list[str] = field(default_factory=list)
    message: bytes | None = None


@dataclass
class Remote:
    """A running server; ``host`` and ``port`` are where, the rest is what happened."""

    host: str
    port: int
    answers: dict[str, Answer]
    lmtp: bool = False
    tls: ssl.SSLContext | None = None
    connections: int = 0
    clients: list[str] = field(default_factory=list)
    """Addresses that connected."""
    handshakes: int = 0
    commands: list[str] = field(default_factory=list)
    transactions: list[Transaction] = field(default_factory=list)

    @property
    def messages(self) -> list[bytes]:
        """The messages that were sent to their end."""
        return [each.message for each in self.transactions if each.message is not None]

    def answer(self, stage: str, argument: str = "") -> str:
        """What the script says."""
        given = self.answers.get(stage, WELL.get(stage, "500 5.5.1 what?"))
        return given(argument) if callable(given) else given


class _Dropped(Exception):
    """The script cuts the connection."""


class _Session:
    def __init__(self, remote: Remote, reader: Any, writer: Any) -> None:
        self._remote = remote
        self._reader: asyncio.StreamReader = reader
        self._writer: asyncio.StreamWriter = writer
        self._open: Transaction | None = None

    async def run(self) -> None:
        self._remote.connections += 1
        if peer := self._writer.get_extra_info("peername"):
            self._remote.clients.append(peer[0])
        try:
            await self._say("banner")
            while line := await self._reader.readline():
                text = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
                self._remote.commands.append(text)
                if await self._command(text):
                    return
        except (_Dropped, ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writer.transport.abort()

    async def _command(self, text: str) -> bool:
        verb = text.split(" ", 1)[0].upper()
        if verb in ("EHLO", "LHLO", "HELO"):
            stage = "helo" if verb == "HELO" else "ehlo"
            await self._say(stage, text) if stage in self._remote.answers else await self._say(
                "ehlo"
            )
        elif verb == "STARTTLS":
            await self._start_tls()
        elif verb == "MAIL":
            reply = await self._say("mail", text)
            if reply.startswith("2"):
                self._open = Transaction(text)
                self._remote.transactions.append(self._open)
        elif verb == "RCPT":
            reply = await self._say("rcpt", text)
            if self._open is not None and reply.startswith("2"):
                self._open.rcpt.append(text)
        elif verb == "DATA":
            await self._data()
        elif verb == "RSET":
            self._open = None
            await self._say("rset")
        elif verb == "QUIT":
            await self._say("quit")
            return True
        else:
            await self._say(verb.lower(), text)
        return False

    async def _data(self) -> None:
        opened = self._open
        if (opened is None or not opened.rcpt) and "data" not in self._remote.answers:
            self._write("554 5.5.1 no valid recipients")
            return
        reply = await self._say("data")
        if not reply.startswith("354"):
            return
        message = b""
        while not message.endswith(b"\r\n.\r\n") and message != b".\r\n":
            block = await self._reader.readline()
            if not block:
                raise _Dropped
            message += block
            if "body" in self._remote.answers:
                await self._say("body", block.decode("latin-1"))
        if opened is not None:
            opened.message = message.removesuffix(b".\r\n")
        if self._remote.lmtp and opened is not None:
            for accepted in opened.rcpt:
                await self._say("dot", accepted)
        else:
            await self._say("dot")
        self._open = None

    async def _start_tls(self) -> None:
        reply = await self._say("starttls")
        if reply.startswith("220"):
            assert self._remote.tls is not None
            await self._writer.start_tls(self._remote.tls)
            self._remote.handshakes += 1

    async def _say(self, stage: str, argument: str = "") -> str:
        reply = self._remote.answer(stage, argument)
        if reply == SILENCE:
            await asyncio.sleep(3600)
        if reply == DROP:
            raise _Dropped
        if reply:
            self._write(reply)
            await self._writer.drain()
        return reply

    def _write(self, reply: str) -> None:
        self._writer.write(reply.encode("utf-8", "surrogateescape") + b"\r\n")


@contextlib.asynccontextmanager
async def remote(
    answers: Mapping[str, Answer] = {},
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    lmtp: bool = False,
    tls: ssl.SSLContext | None = None,
    implicit: bool = False,
    path: str = "",
) -> AsyncIterator[Remote]:
    """A server for the block; ``answers`` may be changed while it runs."""
    made = Remote(host, port, dict(answers), lmtp, tls)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await _Session(made, reader, writer).run()
        tasks.discard(task)

    if path:
        server = await asyncio.start_unix_server(serve, path)
    else:
        server = await asyncio.start_server(serve, host, port, ssl=tls if implicit else None)
        made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def capabilities(*keywords: str) -> str:
    """An answer to EHLO."""
    lines = ["remote.test", *keywords]
    return "\r\n".join(
        f"250{' ' if number == len(lines) else '-'}{line}" for number, line in enumerate(lines, 1)
    )

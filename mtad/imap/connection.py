"""A session's connection: commands and lines out of the stream's octets, literals asked for."""

from mtad import tls
from mtad.clock import now_us
from mtad.directory.channel import bindings
from mtad.imap.answer import Bad
from mtad.imap.answer import line as status
from mtad.imap.commands import Command
from mtad.imap.parse import opening, parse
from mtad.imap.service import Service
from mtad.imap.session import MAX_PENDING, Session, State
from mtad.imap.spool import MAX_HELD, Spool
from mtad.imap.wire import (
    MAX_LINE,
    MAX_LITERAL,
    Line,
    Reader,
    Rejected,
    Request,
    Wanted,
)
from mtad.stream import NEVER, Gone, Stream
from tracing.events import TlsFail, TlsOk

STRANGERS_LINE = 8192
"""Octets of a command, and of its literals, from a client that has not logged in."""
MAX_IN_A_ROW = 50
"""Pipelined commands run before other sessions have their turn."""


class Connection:
    """What a session and its handlers see of a stream."""

    def __init__(self, service: Service, stream: Stream) -> None:
        self._service = service
        self._stream = stream
        self._began = stream.loop.time()
        self._in_a_row = 0
        self._reader = Reader(max_line=STRANGERS_LINE, max_literal=STRANGERS_LINE)
        self._spools: list[Spool] = []
        """What the present command has on disk."""
        self.put = stream.put
        self.drain = stream.drain
        self.poke = stream.poke
        self.start_deflate = stream.start_deflate

    @property
    def pending(self) -> int:
        """Octets that the client has not read yet."""
        return self._stream.pending

    @property
    def is_tls(self) -> bool:
        """Whether it is encrypted."""
        return self._stream.is_tls

    @property
    def is_deflated(self) -> bool:
        """Whether it is compressed."""
        return self._stream.is_deflated

    def bindings(self) -> dict[str, bytes]:
        """What a login can be bound to; empty without TLS."""
        link = self._stream.link
        if not self.is_tls or link is None:
            return {}
        return bindings(link.get_extra_info("ssl_object"), self._service.end_point)

    async def delay(self, seconds: float) -> None:
        """Let the client wait. Raises Gone."""
        await self._stream.delay(seconds)

    async def secure(self, session: Session, *, first: bool = False) -> None:
        """Begin with TLS; nothing that came before counts. Raises Gone when it fails."""
        context, note = self._service.tls, self._service.journal.note
        if context is None:
            raise Gone("refused")
        try:
            self._reader.take()
            await self._stream.start_tls(context, first=first)
        except OSError as error:
            why = tls.reason(error)
            note(TlsFail(at=now_us(), trace=session.cn, ip=session.ip, why=why))
            raise Gone("lost") from None
        assert self._stream.link is not None
        secure = self._stream.link.get_extra_info("ssl_object")
        version, cipher = secure.version() or "", (secure.cipher() or ("",))[0]
        note(TlsOk(at=now_us(), trace=session.cn, ip=session.ip, version=version, cipher=cipher))

    # ----------------------------------------------------------------- input

    def trust(self) -> None:
        """The client has logged in: its commands may be longer."""
        self._reader.max_line, self._reader.max_literal = MAX_LINE, MAX_LITERAL
        self._reader.max_message = self._service.limits.max_message_bytes

    async def command(self, session: Session) -> Command | None:
        """The next command; None when there is news. Raises Bad or No with the tag, Gone."""
        self._in_a_row += 1
        if self._in_a_row > MAX_IN_A_ROW or self.pending > MAX_PENDING:
            self._in_a_row = 0
            await self.drain()
        while True:
            event = self._reader.next()
            if event is None:
                if not await self._more(session):
                    return None
            elif isinstance(event, Wanted):
                self._announced(session, event)
            elif isinstance(event, Rejected):
                await self.forget()
                if event.close:
                    error = event.error
                    self.put(status(error.tag.encode(), error.word, error.text, error.code))
                    raise Gone("errors")
                raise event.error
            elif isinstance(event, Request):
                for spool in self._spools:
                    await spool.flush()
                return parse(event, utf8=session.utf8)

    async def line(self, session: Session) -> bytes | None:
        """The client's next line without its CRLF; None when there is news.

        Raises Bad for one that is too long, Gone.
        """
        self._reader.raw = True
        try:
            while (event := self._reader.next()) is None:
                if not await self._more(session):
                    return None
        finally:
            self._reader.raw = False
        if isinstance(event, Line):
            return event.text
        assert isinstance(event, Rejected)
        raise event.error

    async def forget(self) -> None:
        """The command is answered: what it had on disk goes, unless it has become a message."""
        spools, self._spools = self._spools, []
        for spool in spools:
            await spool.remove()

    async def _more(self, session: Session) -> bool:
        """Wait for octets; False when there is news instead."""
        self._in_a_row = 0
        for spool in self._spools:
            if spool.held > MAX_HELD:
                await spool.flush()
        stream, limits = self._stream, self._service.limits
        if session.state is State.NOT_AUTHENTICATED:
            stream.deadline = self._began + limits.login_timeout_seconds
        else:
            stream.deadline = stream.loop.time() + limits.idle_timeout_seconds
        await stream.wait()
        stream.deadline = NEVER
        data = stream.take()
        self._reader.feed(data)
        return bool(data)

    def _announced(self, session: Session, wanted: Wanted) -> None:
        """Answer for a literal that is to come."""
        sink = None
        try:
            opening(wanted.line)
        except Bad as error:
            # No "+" for what is no command, so that no client sends a message in vain.
            self._reader.refuse(error)
            return
        if wanted.spool:
            if session.state is State.NOT_AUTHENTICATED:
                self._reader.refuse(Bad("log in first"))
                return
            sink = Spool(session.box.draft)
            self._spools.append(sink)
        self._reader.accept(sink)
        if wanted.waits:
            self.put(b"+ go on\r\n")

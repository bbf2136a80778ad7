"""One connection from greeting to end: commands in order, each with its one tagged answer.

A bug in a handler costs the command and not the session: the client hears NO [SERVERBUG], and
the log has where it happened, without what the client said.
"""

import asyncio
import logging
import traceback
from functools import partial
from pathlib import Path

from mtad.clock import now_us
from mtad.errors import Corrupt, Locked, MtadError, NothingFound, UsageError
from mtad.imap import capabilities, news
from mtad.imap.answer import Bad, Negative, No, Ok, line
from mtad.imap.commands import Command
from mtad.imap.connection import Connection
from mtad.imap.handlers.table import TABLE, Entry
from mtad.imap.service import Service
from mtad.imap.session import Session, State
from mtad.journal.errors import JournalBroken, JournalFull
from mtad.store.quota import OverQuota
from mtad.stream import Gone, Stream
from tracing import ids
from tracing.access import AuthLogout
from tracing.events import ConnClose, ConnOpen, ConnRefused

log = logging.getLogger("mtad.imap")

IMPLICIT_TLS = "imaps"
"""The listener on which TLS comes first."""
FAREWELLS = {
    "timeout": "You were silent for too long",
    "shutdown": "The server is shutting down, come back soon",
    "kicked": "Your session was ended, log in again",
    "refused": "Come back another time",
    "errors": "Too many commands against the protocol",
}


def factory(service: Service, name: str, loop: asyncio.AbstractEventLoop) -> Stream:
    """A connection of the listener ``name`` (imap or imaps), for ``loop.create_server``.

    It is in ``service.sessions`` while it lives. A listener calls ``Dialog.stop`` on each at the
    end, and ``stream.expire("timeout")`` on those that are ``stream.overdue``.
    """
    return Stream(loop, lambda stream: Dialog(service, stream, name).run())


class Dialog:
    """The task of one connection."""

    def __init__(self, service: Service, stream: Stream, name: str) -> None:
        self.stream = stream
        self._service = service
        self._connection = Connection(service, stream)
        self.session = Session(
            service, self._connection, cn=service.journal.mint.new(), ip=stream.ip, name=name
        )
        self.session.tell = partial(news.tell, self.session)
        self._commands = self._errors = 0
        self._between = False
        self._leaving = ""

    async def run(self) -> None:
        """The session. Whatever happens, its end is in the log and the connection is closed."""
        service, session, stream = self._service, self.session, self.stream
        if why := "shutting down" if service.is_stopping else service.gate.arrives(session):
            await self._turn_away(why)
            return
        service.sessions.add(self)
        began, why = stream.loop.time(), ""
        address = stream.link.get_extra_info("sockname") if stream.link else None
        where = "{}:{}".format(*address) if isinstance(address, tuple) else str(address or "")
        listener = f"{session.name} {where}"
        service.journal.note(
            ConnOpen(
                at=now_us(),
                trace=session.cn,
                ip=session.ip,
                listener=listener,
                proxy=stream.proxy,
            )
        )
        try:
            if session.name == IMPLICIT_TLS:
                await self._connection.secure(session, first=True)
            await self._greet()
            while session.state is not State.LOGOUT:
                await self._one()
            why = "quit"
        except Gone as gone:
            why = gone.why
            self._farewell(why)
        except Exception as error:
            why = "error"
            self._log(error)
            stream.put(line(b"*", b"BYE", "Internal trouble", b"SERVERBUG"))
        finally:
            try:
                await self._connection.forget()
                await session.close()
                await stream.close(linger=why not in ("quit", "lost"))
            finally:
                service.sessions.discard(self)
                service.gate.leaves(session)
                self._note_end(why, round(stream.loop.time() - began, 3))

    def stop(self, why: str = "shutdown") -> None:
        """End the session once its present command is answered."""
        if self._between or self.session.is_idle:
            self.stream.expire(why)
        else:
            self._leaving = why

    def _note_end(self, why: str, seconds: float) -> None:
        session, stream, note = self.session, self.stream, self._service.journal.note
        if session.address:
            note(
                AuthLogout(
                    at=now_us(),
                    trace=session.cn,
                    addr=session.address,
                    ip=session.ip,
                    actor=session.actor,
                    service=session.name,
                    why=why,
                    client=session.software,
                    commands=self._commands,
                    received=stream.received,
                    sent=stream.sent,
                    seconds=seconds,
                )
            )
        note(
            ConnClose(
                at=now_us(),
                trace=session.cn,
                ip=session.ip,
                why=why,
                commands=self._commands,
                seconds=seconds,
            )
        )

    async def _turn_away(self, why: str) -> None:
        session = self.session
        text = line(b"*", b"BYE", why.capitalize(), b"UNAVAILABLE")
        self._service.journal.note(
            ConnRefused(
                at=now_us(),
                trace=session.cn,
                ip=session.ip,
                why=why,
                reply=text.decode().strip(),
            )
        )
        if session.name != IMPLICIT_TLS:
            self.stream.put(text)
        await self.stream.close(linger=True)

    async def _greet(self) -> None:
        code = b"CAPABILITY " + capabilities.of(self.session)
        self.stream.put(line(b"*", b"OK", f"{self._service.hostname} is ready", code))

    def _farewell(self, why: str) -> None:
        if text := FAREWELLS.get(why):
            code = b"UNAVAILABLE" if why == "shutdown" else b""
            self.stream.put(line(b"*", b"BYE", text, code))

    async def _one(self) -> None:
        """Read a command, answer it."""
        session, connection = self.session, self._connection
        if self._leaving:
            raise Gone(self._leaving)
        self._between = True
        try:
            command = await connection.command(session)
        except Negative as negative:
            self._refuse(negative.tag.encode(), negative)
            return
        finally:
            self._between = False
        if command is None:
            notices = session.notices
            await session.tell(expunges=notices is None or not notices.is_delayed)
            return
        self._commands += 1
        tag = command.tag.encode()
        entry = TABLE.get(command.name.removeprefix("UID "))
        if entry is None or not session.state & entry.states:
            why = "is not allowed in this state" if entry else "is unknown"
            self._refuse(tag, Bad(f"{command.name} {why}"))
            return
        by_uid = command.name.startswith("UID ")
        if session.uidonly and not getattr(command, "by_uid", True):
            self._refuse(tag, Bad(f"Use UID {command.name}", b"UIDREQUIRED"))
            return
        selected = session.selected
        answer = await self._carry_out(entry, command)
        await connection.forget()
        if session.selected is selected:
            # Of a mailbox that is being selected nothing is told but what it was then.
            await session.tell(expunges=by_uid or not entry.numbered)
        if isinstance(answer, Negative):
            self._refuse(tag, answer)
        else:
            said = answer.text or f"{command.name} completed"
            self.stream.put(line(tag, b"OK", said, answer.code))
            self._errors = 0
        then, session.then = session.then, None
        if then is not None:
            await then()

    async def _carry_out(self, entry: Entry, command: Command) -> Ok | Negative:
        try:
            return await entry.handler(self.session, command) or Ok()
        except Negative as negative:
            return negative
        except Gone:
            raise
        except (MtadError, JournalFull, JournalBroken) as error:
            return trouble(error)
        except Exception as error:
            self._log(error)
            return No("Internal trouble; the server's log says more", b"SERVERBUG")

    def _refuse(self, tag: bytes, negative: Negative) -> None:
        self.stream.put(line(tag, negative.word, negative.text, negative.code))
        if isinstance(negative, Bad):
            self._errors += 1
            if self._errors >= self._service.limits.max_errors:
                raise Gone("errors")

    def _log(self, error: Exception) -> None:
        """Where a bug is, and of which kind; its text may hold what nobody should read."""
        frames = traceback.extract_tb(error.__traceback__)
        places = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames[-4:]))
        name = type(error).__name__
        log.error("session %s failed: %s at %s", ids.text(self.session.cn), name, places)
        log.debug("details", exc_info=error)


def trouble(error: Exception) -> No:
    """What a client is told of an error of the store (RFC 9051 7.1)."""
    if isinstance(error, NothingFound):
        return No("There is no such mailbox or message", b"NONEXISTENT")
    if isinstance(error, UsageError):
        return No(str(error), b"CANNOT")
    if isinstance(error, OverQuota):
        return No("The box is full", b"OVERQUOTA")
    if isinstance(error, Locked):
        return No("Another program uses the box, try again soon", b"INUSE")
    log.error("a command failed: %s", error)
    if isinstance(error, Corrupt):
        return No("The box is damaged, ask the operator", b"CORRUPTION")
    return No("This cannot be made durable at present, try again later", b"UNAVAILABLE")

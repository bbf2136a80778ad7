"""One POP3 connection from greeting to end: commands in order, each with its answer.

A bug in a command costs the command and not the session, and the log has where it happened,
without what the client said.
"""

import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from mtad.clock import now_us
from mtad.errors import Locked, MtadError
from mtad.journal.errors import JournalBroken, JournalFull
from mtad.pop3 import authorization, transaction
from mtad.pop3.authorization import Closing
from mtad.pop3.command import Bad, Command, Negative, err, ok, parse
from mtad.pop3.service import Service
from mtad.pop3.session import Session, State
from mtad.stream import Gone, Stream
from tracing import ids
from tracing.access import AuthLogout
from tracing.events import ConnClose, ConnOpen, ConnRefused

log = logging.getLogger("mtad.pop3")

IMPLICIT_TLS = "pop3s"
"""The listener on which TLS comes first."""
FAREWELLS = {
    "timeout": ("you were silent for too long", ""),
    "shutdown": ("the server is shutting down, come back soon", "SYS/TEMP"),
    "kicked": ("your session was ended, log in again", "SYS/TEMP"),
    "errors": ("too many commands against the protocol", ""),
}
Handler = Callable[[Session, Command], Awaitable[None]]

BEFORE: Mapping[str, Handler] = {
    "AUTH": authorization.auth,
    "CAPA": authorization.capa,
    "PASS": authorization.password,
    "QUIT": authorization.farewell,
    "STLS": authorization.stls,
    "USER": authorization.user,
    "UTF8": authorization.utf8,
}
AFTER: Mapping[str, Handler] = {
    "CAPA": authorization.capa,
    "DELE": transaction.dele,
    "LIST": transaction.listing,
    "NOOP": transaction.noop,
    "QUIT": transaction.leave,
    "RETR": transaction.retr,
    "RSET": transaction.rset,
    "STAT": transaction.stat,
    "TOP": transaction.top,
    "UIDL": transaction.uidl,
}


class Dialog:
    """The task of one connection. It is in ``service.sessions`` while it lives."""

    def __init__(self, service: Service, stream: Stream, name: str) -> None:
        self.stream = stream
        self._service = service
        self.session = Session(service, stream, cn=service.journal.mint.new(), name=name)
        self.commands = 0
        self._errors = 0
        self._leaving = ""

    async def run(self) -> None:
        """The session. Whatever happens, its end is in the log and the connection is closed."""
        service, session, stream = self._service, self.session, self.stream
        if why := "shutting down" if service.is_stopping else service.gate.arrives(session):
            await self._turn_away(why)
            return
        service.sessions.add(self)
        began, why = stream.loop.time(), ""
        self._note_open()
        try:
            if session.name == IMPLICIT_TLS:
                await authorization.secure(session, first=True)
            session.put(ok(f"{service.hostname} is ready"))
            while session.state is not State.UPDATE:
                await self._one()
            why = "quit"
        except Gone as gone:
            why = gone.why
            if why in FAREWELLS:
                session.put(err(*FAREWELLS[why]))
        except Exception as error:
            why = "error"
            self._log(error)
            session.put(err("internal trouble, try again later", "SYS/TEMP"))
        finally:
            try:
                session.tell()
                await session.closing.aclose()
                await stream.close(linger=why not in ("quit", "lost"))
            finally:
                service.sessions.discard(self)
                service.gate.leaves(session)
                self._note_close(why, round(stream.loop.time() - began, 3))

    def stop(self, why: str = "shutdown") -> None:
        """End the session once its present command is answered."""
        if self.session.between:
            self.stream.expire(why)
        else:
            self._leaving = why

    async def _one(self) -> None:
        """Read a command, answer it."""
        session = self.session
        if self._leaving:
            raise Gone(self._leaving)
        session.between = True
        try:
            command = parse(await session.line())
        except Bad as bad:
            self._refuse(bad)
            return
        finally:
            session.between = False
        self.commands += 1
        logged_in = session.state is State.TRANSACTION
        handler = (AFTER if logged_in else BEFORE).get(command.name)
        if handler is None:
            known = command.name in BEFORE or command.name in AFTER
            self._refuse(Bad("not now" if known else "there is no such command"))
            return
        try:
            await handler(session, command)
        except Negative as negative:
            self._refuse(negative)
        except (MtadError, JournalFull, JournalBroken, OSError) as error:
            self._refuse(trouble(error))
        except Gone:
            raise
        except Exception as error:
            self._log(error)
            self._refuse(Negative("internal trouble, try again later", "SYS/TEMP"))

    def _refuse(self, negative: Negative) -> None:
        self.session.put(err(negative.text, negative.code))
        if isinstance(negative, Closing):
            raise Gone("refused")
        if isinstance(negative, Bad):
            self._errors += 1
            if self._errors >= self._service.limits.max_errors:
                raise Gone("errors")

    # ------------------------------------------------------------------ the log

    async def _turn_away(self, why: str) -> None:
        session, text = self.session, err(why, "SYS/TEMP")
        said = text.decode().strip()
        refused = ConnRefused(at=now_us(), trace=session.cn, ip=session.ip, why=why, reply=said)
        self._service.journal.note(refused)
        if session.name != IMPLICIT_TLS:
            session.put(text)
        await self.stream.close(linger=True)

    def _note_open(self) -> None:
        session, link = self.session, self.stream.link
        address = link.get_extra_info("sockname") if link else None
        where = "{}:{}".format(*address) if isinstance(address, tuple) else str(address or "")
        self._service.journal.note(
            ConnOpen(
                at=now_us(),
                trace=session.cn,
                ip=session.ip,
                listener=f"{session.name} {where}",
                proxy=self.stream.proxy,
            )
        )

    def _note_close(self, why: str, seconds: float) -> None:
        session, note = self.session, self._service.journal.note
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
                    commands=self.commands,
                    messages=session.retrieved,
                    deleted=session.deleted,
                    received=self.stream.received,
                    sent=self.stream.sent,
                    seconds=seconds,
                )
            )
        note(
            ConnClose(
                at=now_us(),
                trace=session.cn,
                ip=session.ip,
                why=why,
                commands=self.commands,
                seconds=seconds,
            )
        )

    def _log(self, error: Exception) -> None:
        """Where a bug is, and of which kind; its text may hold what nobody should read."""
        frames = traceback.extract_tb(error.__traceback__)
        places = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames[-4:]))
        log.error(
            "session %s failed: %s at %s", ids.text(self.session.cn), type(error).__name__, places
        )
        log.debug("details", exc_info=error)


def trouble(error: Exception) -> Negative:
    """What a client is told of an error of the store (RFC 3206)."""
    if isinstance(error, Locked):
        return Negative("another program uses the box, try again soon", "IN-USE")
    log.error("a command failed: %s", error)
    return Negative("this cannot be done at present, try again later", "SYS/TEMP")

"""An SMTP session from greeting to end: its commands in order, its replies, its events.

``push`` is the one choke point: each reply goes through it, verbatim, and each negative one
becomes an event there. One task runs a session. It is never cancelled: a connection that ends
raises ``Gone`` at the session's next wait for input, so a commit under way is finished.
"""

import asyncio
import contextlib
import fcntl
import logging
import termios
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

from mtad.clock import now_us
from mtad.errors import Refusal
from mtad.smtp import command, limits, manners, received
from mtad.smtp.arrival import Arrival
from mtad.smtp.data import ChunkReader
from mtad.smtp.policy import Policy, Transaction
from mtad.smtp.service import Service
from mtad.smtp.wire import BadLine, Gone
from tracing import ids
from tracing.events import (
    ConnClose,
    Event,
    SmtpAbort,
    SmtpProtocol,
    SmtpReject,
    SmtpTempfail,
)

log = logging.getLogger("mtad.smtp")

BYE = "closing"
NOTHING = bytes(4)
"""A C int of 0: no octets wait in the socket."""
MAX_IDLE_COMMANDS = 100
"""NOOP, RSET, HELP, VRFY and repeated EHLO between two messages before they count as errors."""
STAGES = {
    "EHLO": "helo",
    "HELO": "helo",
    "STARTTLS": "helo",
    "AUTH": "auth",
    "MAIL": "mail",
    "RCPT": "rcpt",
    "DATA": "data",
    "BDAT": "data",
}
TOO_LONG = {
    "timeout": "heard nothing for too long",
    "slow": "your message comes too slowly",
    "age": "you have been connected for too long",
}

SYNTAX = "5.5.4"
SEQUENCE = "5.5.1"


class Session(Arrival):
    """One session. Its life is in the log from ``conn.open`` to ``conn.close``."""

    verbs: ClassVar[Mapping[str, Callable[[Any, bytes], Awaitable[None]]]] = {}
    """What answers each verb; gathered once per class."""
    hello: ClassVar[str] = "EHLO"
    protocol: ClassVar[str] = "ESMTP"
    tarpits: ClassVar[bool] = True
    """Whether a client with many errors has to wait."""

    def __init__(self, service: Service, listener: str, loop: asyncio.AbstractEventLoop) -> None:
        self._open_wire(loop, service.limits)
        self._service = service
        self._listener = listener
        self._facts = service.facts
        self._note = service.journal.note
        self.task: asyncio.Task[None] | None = None
        self.cn = 0
        self._client = received.Client("")
        self._is_tls = False
        self._transaction: Transaction | None = None
        self._opened = 0.0
        self._commands = self._messages = self._errors = self._idle_commands = 0
        self._unknown_commands = 0
        self._is_reading = False
        self._chunks: ChunkReader | None = None
        """The message, while it comes by BDAT."""
        self._received = 0
        self._held = 0
        self._last_path = command.NULL
        self._why = ""
        self._verb = ""
        self._argument = b""
        self._check = ""
        self._stage = "connect"

    async def _handle_client(self) -> None:
        """The session. Whatever happens, its end is in the log and the socket is closed."""
        linger = False
        try:
            await self._greet()
            while not self._why:
                await self._one_command()
            linger = self._why != "quit"
        except Gone as gone:
            self._why = gone.why
            await self._farewell(gone.why)
            linger = gone.why in TOO_LONG
        except Exception as error:
            self._why = "error"
            await self.push(await self.handle_exception(error))
        finally:
            self._finish()
            try:
                await self._close(linger=linger)
            finally:
                self._service.leave(self, self._client.ip)

    async def _greet(self) -> None:
        """Say hello, unless the client could not wait for it (RFC 5321 3.1)."""
        if self._talked_early():
            await self._refuse(
                Refusal(554, SEQUENCE, "you talked before the greeting", close=True),
                check="early_talk",
            )
            return
        await self.push(f"220 {self._service.hostname} {self.protocol} mtad")

    def _talked_early(self) -> bool:
        if self.input:
            return True
        assert self.link is not None
        sock = self.link.get_extra_info("socket")
        if sock is None:
            return False
        try:
            waiting = fcntl.ioctl(sock.fileno(), termios.FIONREAD, NOTHING)
        except OSError:
            return False
        return waiting != NOTHING

    async def _one_command(self) -> None:
        if self._service.is_stopping:
            raise Gone("shutdown")
        self._facts.candidate = None
        try:
            line = await self._line()
        except BadLine as bad:
            self._verb, self._argument, self._stage = "", self._fit(bad.line), self._phase()
            if bad.is_long:
                refusal = Refusal(500, "5.5.6", "the line is too long")
            else:
                refusal = Refusal(500, "5.5.2", "a command ends in CRLF and has none inside")
            await self._refuse(refusal)
            return
        self._commands += 1
        self._verb, self._argument = verb, argument = command.split(line)
        if verb == "AUTH":
            # Whatever becomes of it: what follows the mechanism is for no event.
            self._argument = line = argument.partition(b" ")[0]
        method = self.verbs.get(verb)
        self._stage = STAGES.get(verb) or self._phase()
        if method is None:
            self._argument = line
            await self._unknown(verb)
            return
        if self._at < len(self.input) and self._limits.strict_pipelining:
            hasty = manners.hasty(verb, is_offered=self._client.extended)
            if hasty is not None:
                await self._refuse(hasty, check="pipelining")
                return
        try:
            await method(self, argument)
        except Refusal as refusal:
            await self._refuse(refusal)

    async def _unknown(self, verb: str) -> None:
        self._unknown_commands += verb not in manners.NOT_OFFERED
        refusal, check = manners.unknown(verb, self._unknown_commands)
        await self._refuse(refusal, check)

    async def _farewell(self, why: str) -> None:
        """What is said to a client that is sent away; events go with it."""
        self._verb, self._argument, self._check = "", b"", why
        self._stage = self._phase()
        host = self._service.hostname
        if why in TOO_LONG:
            await self.push(f"421 4.4.2 {host} {TOO_LONG[why]}, {BYE}")
        elif why == "shutdown":
            await self.push(f"421 4.3.2 {host} is shutting down, try again soon")

    def _finish(self) -> None:
        """The end of the session, in the log."""
        self._end_transaction(self._why)
        self._note(
            ConnClose(
                at=now_us(),
                trace=self.cn,
                ip=self._client.ip,
                why=self._why,
                commands=self._commands,
                messages=self._messages,
                seconds=round(self.loop.time() - self._opened, 3),
            )
        )

    # ---------------------------------------------------------------- replies

    async def push(self, status: Any) -> None:
        """Send a reply, each of them: the choke point. ``status`` is text without its CRLF."""
        is_negative = status[0] >= "4"
        if is_negative:
            self._note(self._negative(status))
            self._check = ""
            self._errors += 1
            seconds = limits.delay(self._limits, self._errors) if self.tarpits else 0
            if seconds and not self._why:
                with contextlib.suppress(Gone):  # it is raised again by the next wait
                    await self._delay(seconds)
        self._output.append(status.encode() + b"\r\n")
        if is_negative and self._errors >= self._limits.max_errors and not self._why:
            self._why, self._check = "errors", "max_errors"
            self._facts.candidate = None
            await self.push(f"421 4.7.0 {self._service.hostname} too many errors, {BYE}")

    def _negative(self, reply: str, recipient: tuple[str, int] | None = None) -> Event:
        """The event of a negative reply: by a check, by circumstances, or for bad protocol.

        ``recipient`` are address and number, where it is about a certain one at the end of a
        message.
        """
        code, enh = int(reply[:3]), reply[4:].split(" ", 1)[0]
        transaction = self._transaction
        addr, n = recipient or self._whom()
        said = command.shown(self._argument)
        fields: dict[str, Any] = {
            "at": now_us(),
            "trace": transaction.m if transaction else self.cn,
            "n": n,
            "addr": addr,
            "ip": self._client.ip,
            "host": self._client.helo,
            "code": code,
            "enh": enh,
            "reply": reply,
            "actor": "remote",
            "stage": self._stage,
            "argument": f"{self._verb} {said}".strip(),
        }
        if not self._check:
            return SmtpProtocol(**fields, check=manners.kind(code, enh))
        made = SmtpTempfail if code < 500 else SmtpReject
        return made(**fields, check=self._check)

    def _whom(self) -> tuple[str, int]:
        """Address and number that a negative reply is about."""
        transaction, candidate = self._transaction, self._facts.candidate
        if transaction is None:
            return "", 0
        if self._stage != "rcpt":
            return transaction.sender, 0
        return (candidate.path.text, transaction.numbers) if candidate else ("", 0)

    async def _refuse(self, refusal: Refusal, check: str = "") -> None:
        """Answer with a refusal; one that closes ends the session after it."""
        if check:
            self._check = check
        if refusal.close:
            self._why = self._why or "refused"
        await self.push(str(refusal))

    async def handle_exception(self, error: Exception) -> str:
        """A bug of ours: the client learns nothing of it and may try again."""
        log.error("session %s failed: %r", ids.text(self.cn), error)
        log.debug("details", exc_info=error)
        self._check = "internal"
        return f"421 4.3.0 {self._service.hostname} internal trouble, try again later"

    # ------------------------------------------------------------------ parts

    @property
    def _policy(self) -> Policy:
        """What is asked of mail that comes on this connection."""
        return self._service.policy

    @staticmethod
    def _fit(line: bytes) -> bytes:
        """A line that is no command, fit for an event: it may have been meant to hold a secret."""
        return b"AUTH" if line[:4].upper() == b"AUTH" else line

    def _phase(self) -> str:
        """The stage the session is in, for what belongs to no command."""
        if self._is_reading:
            return "data"
        if self._transaction is not None:
            return "rcpt" if self._transaction.numbers else "mail"
        return "helo" if self._client.helo else "connect"

    def _end_transaction(self, why: str) -> None:
        """Forget the transaction. One that still hoped for a message was aborted."""
        transaction, self._transaction = self._transaction, None
        if transaction is None:
            return
        # Where every recipient was refused, the refusals tell the story.
        if transaction.recipients or not transaction.refused:
            stage = "rcpt" if transaction.numbers else "mail"
            self._note(
                SmtpAbort(
                    at=now_us(),
                    trace=transaction.m,
                    addr=transaction.sender,
                    ip=transaction.ip,
                    host=transaction.helo,
                    actor="remote",
                    stage="data" if self._is_reading else stage,
                    why=why,
                    received=self._received if self._is_reading else 0,
                )
            )
        self._end_chunks()

    def _end_chunks(self) -> None:
        """Forget what came by BDAT."""
        if self._chunks is not None:
            self._chunks = None
            self._is_reading = False
            self._hold(0)

    def _hold(self, octets: int) -> None:
        """Count the octets of memory that this session's message takes."""
        self._service.held += octets - self._held
        self._held = octets

    def _count_idle(self) -> None:
        self._idle_commands += 1
        if self._idle_commands > MAX_IDLE_COMMANDS:
            self._check = "idle_commands"
            raise Refusal(450, "4.7.0", "too many commands without a message")

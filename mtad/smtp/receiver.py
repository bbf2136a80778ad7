"""The SMTP service's protocol class: aiosmtpd's, with the parts replaced that real mail breaks.

From aiosmtpd come the class and its convention that ``smtp_VERB`` answers VERB. Ours are: its
set-up (theirs inspects every class member per connection, 170 us), the octets and deadlines
(``mtad.smtp.wire``), the command loop and every reply (``mtad.smtp.session``), arguments
(``mtad.smtp.command``), transactions and the DATA reader (``mtad.smtp.mailing``), STARTTLS.
"""

# ruff: noqa: N802 - a method's name is its verb, as SMTP writes it.

import asyncio
import ssl
from dataclasses import replace

from aiosmtpd.smtp import SMTP

from mtad import tls
from mtad.clock import now_us
from mtad.errors import Refusal
from mtad.smtp import command, received
from mtad.smtp.chunking import Chunking
from mtad.smtp.mailing import Mailing
from mtad.smtp.service import Service
from mtad.smtp.session import BYE, SEQUENCE, SYNTAX
from mtad.smtp.wire import Gone
from tracing.events import SmtpEhlo, TlsFail, TlsOk


class Receiver(Chunking, SMTP):
    """A session of the inbound service, as asyncio drives it."""

    def __init__(self, service: Service, listener: str, loop: asyncio.AbstractEventLoop) -> None:
        # Not SMTP's nor StreamReaderProtocol's own set-up: reflection, and a stream that
        # nobody reads. Every method that would need them is replaced.
        Chunking.__init__(self, service, listener, loop)

    async def smtp_EHLO(self, argument: bytes) -> None:
        """RFC 5321 4.1.1.1."""
        await self._announce("EHLO", argument)

    async def _announce(self, verb: str, argument: bytes) -> None:
        """Who is there, and what we can do."""
        await self._hello(verb, argument)
        service = self._service
        limits = self._limits
        further = self._further()
        await self.push(
            f"250-{service.hostname}\r\n250-PIPELINING\r\n250-SIZE {limits.max_message_bytes}\r\n"
            "250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250-DSN\r\n"
            f"250-LIMITS MAILMAX={limits.max_messages_per_connection} "
            f"RCPTMAX={limits.max_recipients}\r\n{further}250 HELP"
        )

    def _further(self) -> str:
        """What is announced depending on the connection, as lines of the reply."""
        if self._is_tls:
            return "250-REQUIRETLS\r\n"
        return "250-STARTTLS\r\n" if self._service.tls else ""

    async def smtp_HELO(self, argument: bytes) -> None:
        """The same of old; nothing is announced."""
        await self._hello("HELO", argument)
        await self.push(f"250 {self._service.hostname}")

    async def _hello(self, verb: str, argument: bytes) -> None:
        helo = command.helo(argument)
        if self._client.helo:
            self._count_idle()
        self._end_transaction("reset")
        before = self._client
        self._client = replace(before, helo=helo, extended=verb != "HELO", is_local=verb == "LHLO")
        self._note(
            SmtpEhlo(
                at=now_us(),
                trace=self.cn,
                ip=before.ip,
                host=helo,
                actor="remote",
                helo=helo,
                verb=verb,
            )
        )

    async def smtp_STARTTLS(self, argument: bytes) -> None:
        """RFC 3207: nothing said in clear counts afterwards."""
        if argument:
            raise Refusal(501, SYNTAX, "STARTTLS takes no argument")
        context = self._service.tls
        if self._is_tls:
            raise Refusal(503, SEQUENCE, "TLS is on already")
        if context is None:
            raise Refusal(502, SEQUENCE, "STARTTLS is not offered")
        self._end_transaction("reset")
        await self.push("220 2.0.0 ready to start TLS")
        await self._secure(context)

    async def _secure(self, context: ssl.SSLContext, *, first: bool = False) -> None:
        """Go on over TLS, as a client that has said nothing yet. Raises Gone.

        ``first`` tells that TLS comes before anything else.
        """
        try:
            await self._start_tls(context, first=first)
        except OSError as error:
            why = tls.reason(error)
            self._note(TlsFail(at=now_us(), trace=self.cn, ip=self._client.ip, why=why))
            raise Gone("lost") from None
        self._is_tls = True
        assert self.link is not None
        secure = self.link.get_extra_info("ssl_object")
        version, cipher = secure.version() or "", (secure.cipher() or ("",))[0]
        self._client = received.Client(self._client.ip, tls=f"{version} {cipher}")
        self._note(
            TlsOk(at=now_us(), trace=self.cn, ip=self._client.ip, version=version, cipher=cipher)
        )

    async def smtp_RSET(self, argument: bytes) -> None:
        """RFC 5321 4.1.1.5."""
        if argument:
            raise Refusal(501, SYNTAX, "RSET takes no argument")
        self._end_transaction("reset")
        self._count_idle()
        await self.push("250 2.0.0 ok")

    async def smtp_NOOP(self, argument: bytes) -> None:
        """RFC 5321 4.1.1.9; an argument is to be ignored."""
        self._count_idle()
        await self.push("250 2.0.0 ok")

    async def smtp_HELP(self, argument: bytes) -> None:
        """RFC 5321 4.1.1.8."""
        self._count_idle()
        await self.push(f"214 2.0.0 {' '.join(sorted(self.verbs))}")

    async def smtp_VRFY(self, argument: bytes) -> None:
        """RFC 5321 3.5.3: we do not tell who is here, but take mail for them."""
        self._count_idle()
        if not argument:
            raise Refusal(501, SYNTAX, "VRFY takes a name")
        await self.push("252 2.5.0 cannot say; send the message and see")

    async def smtp_QUIT(self, argument: bytes) -> None:
        """RFC 5321 4.1.1.10."""
        if argument:
            raise Refusal(501, SYNTAX, "QUIT takes no argument")
        self._end_transaction("quit")
        self._why = "quit"
        await self.push(f"221 2.0.0 {self._service.hostname} {BYE}")


Receiver.verbs = {
    name.removeprefix("smtp_"): method
    for cls in (Mailing, Chunking, Receiver)
    for name, method in vars(cls).items()
    if name.startswith("smtp_")
}

"""Mail transactions: MAIL, RCPT, DATA, and the moment a message becomes ours (RFC 5321 3.3)."""

# ruff: noqa: N802 - a method's name is its verb, as SMTP writes it.

import errno
import logging
import time

from mtad.clock import now_us
from mtad.delivery.local import Envelope
from mtad.delivery.route import Accepted
from mtad.errors import MtadError, Refusal
from mtad.journal.frame import MAX_BODY
from mtad.journal.writer import JournalBroken, JournalFull
from mtad.smtp import command, headers, received
from mtad.smtp.checks.destination import resolve
from mtad.smtp.checks.source import BROKEN, FULL
from mtad.smtp.data import DataReader, Reader
from mtad.smtp.policy import Objection, Recipient, Transaction, first_refusal
from mtad.smtp.session import BYE, SEQUENCE, SYNTAX, Session
from mtad.smtp.wire import NEVER, Gone
from tracing import ids
from tracing.events import SmtpMail, SmtpRcpt, SmtpUnheard

log = logging.getLogger("mtad.smtp")

SPACE_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT})


class Mailing(Session):
    """The commands of a mail transaction."""

    no_recipients = Refusal(554, SEQUENCE, "no valid recipients")

    async def smtp_MAIL(self, argument: bytes) -> None:
        """RFC 5321 4.1.1.2: a transaction begins, and with it the message's id and trace."""
        if not self._client.helo:
            raise Refusal(503, SEQUENCE, f"say {self.hello} first")
        if self._transaction is not None:
            raise Refusal(503, SEQUENCE, "MAIL was said already")
        if self._messages >= self._limits.max_messages_per_connection:
            self._why, self._check = "refused", "max_messages"
            await self.push(f"421 4.7.0 {self._service.hostname} enough on one connection, {BYE}")
            return
        mail = command.mail(argument, secure=self._is_tls)
        self._refresh()
        at = now_us()
        client = self._client
        transaction = Transaction(
            self._service.journal.mint.new(),
            self.cn,
            client.ip,
            client.helo,
            at,
            mail.path.text,
            mail.size,
            mail.smtputf8,
            mail.body,
            mail.requiretls,
            mail.ret,
            mail.envid,
            is_secure=self._is_tls,
        )
        await self._identify(transaction)
        self._transaction = transaction
        self._note(
            SmtpMail(
                at=at,
                trace=transaction.m,
                addr=transaction.sender,
                ip=client.ip,
                host=client.helo,
                actor="remote",
                cn=self.cn,
                helo=client.helo,
                size=mail.size,
                login=transaction.login,
                smtputf8=mail.smtputf8,
                body=mail.body,
                requiretls=mail.requiretls,
                ret=mail.ret,
                envid=mail.envid,
            )
        )
        found = await first_refusal(self._policy.source, transaction, self._facts)
        if found:
            await self._refuse(found[1], check=found[0])
            self._transaction = None
            return
        if self._facts.share is not None:
            self._facts.share.add_message()
        await self.push("250 2.1.0 sender ok")

    async def smtp_RCPT(self, argument: bytes) -> None:
        """RFC 5321 4.1.1.3: one more recipient, if it is one of ours."""
        transaction = self._transaction
        if transaction is None:
            raise Refusal(503, SEQUENCE, "say MAIL first")
        if self._chunks is not None:
            raise Refusal(503, SEQUENCE, "the message has begun")
        rcpt = command.rcpt(argument, smtputf8=transaction.smtputf8)
        service, path = self._service, rcpt.path
        self._refresh()
        candidate = self._resolve(path)
        if not candidate.targets and service.directory.is_local(candidate.domain):
            candidate.targets = await service.way_home(path.local, candidate.domain)
            candidate.is_return_path = bool(candidate.targets)
        self._facts.candidate = candidate
        found = await first_refusal(self._policy.destination, transaction, self._facts)
        if self._facts.share is not None:
            self._facts.share.add_recipient()
        if found:
            transaction.refused += 1
            transaction.numbers += 1
            await self._refuse(found[1], check=found[0])
            return
        targets = candidate.targets
        n = transaction.numbers + 1
        transaction.numbers += len(targets)
        accepted = Accepted(
            n,
            path.text,
            tuple(target.box for target in targets if not target.remote),
            any(target.alias for target in targets),
            tuple(target.box for target in targets if target.remote),
            notify=rcpt.notify,
            orcpt=rcpt.orcpt,
            forward=any(target.forward for target in targets),
        )
        transaction.recipients.append(accepted)
        self._note(
            SmtpRcpt(
                at=now_us(),
                trace=transaction.m,
                n=n,
                addr=path.text,
                ip=self._client.ip,
                code=250,
                enh="2.1.5",
                actor="remote",
                notify=rcpt.notify,
                orcpt=rcpt.orcpt,
            )
        )
        self._last_path = path
        await self.push("250 2.1.5 recipient ok")

    async def smtp_DATA(self, argument: bytes) -> None:
        """RFC 5321 4.1.1.4: the message; after its end it is ours, or refused."""
        transaction = self._transaction
        if transaction is None:
            raise Refusal(503, SEQUENCE, "say MAIL first")
        if self._chunks is not None:
            raise Refusal(503, SEQUENCE, "the message came by BDAT")  # RFC 3030 2
        if argument:
            raise Refusal(501, SYNTAX, "DATA takes no argument")
        if not transaction.recipients:
            raise self.no_recipients
        if transaction.body == "BINARYMIME":
            raise Refusal(503, SEQUENCE, "BINARYMIME is sent by BDAT")  # RFC 3030 3
        await self.push("354 go ahead, end with <CRLF>.<CRLF>")
        reader = DataReader(self._limits.max_message_bytes)
        try:
            await self._read_message(reader)
            await self._end_of_message(transaction, reader)
        finally:
            self._received = reader.received
            self._hold(0)

    async def _end_of_message(self, transaction: Transaction, reader: Reader) -> None:
        """Refuse what the reader saw, or take the message."""
        flaw = self._flaw(transaction, reader)
        if flaw:
            await self._refuse_message(flaw)
        else:
            await self._take(transaction, reader.parts)
        self._transaction = None

    def _flaw(self, transaction: Transaction, reader: Reader) -> Objection | None:
        """What is wrong with a message as its octets came."""
        self._stage = "dot"
        self._argument = b""
        transaction.size = reader.size
        if reader.is_bare:
            refusal = Refusal(550, "5.6.11", "a CR or LF stands alone in the message", close=True)
            return "bare_newline", refusal
        if reader.is_too_large:
            limit = self._limits.max_message_bytes
            return "too_large", Refusal(552, "5.3.4", f"the message is larger than {limit} octets")
        if reader.dropped:
            return "memory", Refusal(452, "4.3.1", "too much mail at once, try again later")
        return None

    async def _read_message(self, reader: DataReader) -> None:
        """Read to the end of the message, memory of all sessions together bounded."""

        def sink(octets: bytes) -> bytes | None:
            if reader.feed(octets):
                self._hold(reader.held)
                return reader.rest
            self._bound(reader)
            return None

        self._is_reading = True
        await self._drink(sink)
        if self.is_lost:
            # It will send the message again: taking it now would make two of it.
            raise Gone("lost")
        self._is_reading = False

    def _bound(self, reader: Reader) -> None:
        """Count what an unfinished message holds; give a large one up when all hold too much."""
        self._hold(reader.held)
        service = self._service
        if service.held > service.max_held and reader.held > MAX_BODY:
            reader.drop()

    async def _take(self, transaction: Transaction, parts: list[bytes]) -> None:
        """Ask the last checks, and make the message ours."""
        service, arrived = self._service, time.time_ns()
        parts = self._prepared(transaction, parts, arrived // 1_000_000_000)
        transaction.headers = seen = headers.scan(
            parts[0] if parts else b"", received.mark(service.hostname)
        )
        found = await first_refusal(self._policy.content, transaction, self._facts)
        if found:
            await self._refuse_message(found)
            return
        if not await self._may_have(transaction):
            return
        recipients = transaction.recipients
        top = received.lines(
            self._client,
            hostname=service.hostname,
            m=transaction.m,
            sender=transaction.sender,
            recipient=self._last_path if len(recipients) == 1 else None,
            smtputf8=transaction.smtputf8,
            at=arrived // 1_000_000_000,
        )
        reply = f"250 2.0.0 queued as {ids.text(transaction.m)}"
        envelope = Envelope(
            m=transaction.m,
            sender=transaction.sender,
            recipients=recipients,
            arrived_ns=arrived,
            started_us=transaction.started_us,
            ip=transaction.ip,
            host=transaction.helo,
            message_id=seen.message_id,
            subject=seen.subject,
            header_from=seen.header_from,
            reply=reply,
            ret=transaction.ret,
            envid=transaction.envid,
            body="8BITMIME" if transaction.body in ("8BITMIME", "BINARYMIME") else "",
            smtputf8=transaction.smtputf8,
            requiretls=transaction.requiretls,
            actor=f"user:{transaction.login}" if transaction.login else "remote",
        )
        self.deadline = NEVER
        if self._output:
            self._send()
        try:
            signatures = await self._signatures(transaction, parts)
            await service.delivery.accept(envelope, [top, *signatures, *parts])
        except JournalFull:
            await self._refuse_message(("journal_room", FULL))
        except JournalBroken:
            await self._refuse_message(("journal_room", BROKEN))
        except OSError as error:
            full = error.errno in SPACE_ERRORS
            await self._refuse_message(("content_file", FULL if full else BROKEN))
        else:
            service.messages += 1
            self._messages += 1
            self._took(transaction)
            self._errors = self._idle_commands = 0
            if self.is_lost:
                gone = SmtpUnheard(
                    at=now_us(), trace=transaction.m, ip=transaction.ip, unsent=reply
                )
                self._note(gone)
            await self._tell(reply)

    # ------------------------------ where LMTP and mail from our own users are different

    async def _may_have(self, transaction: Transaction) -> bool:
        """Ask of each recipient whether it may have the message.

        SMTP has one answer for all of them: if one may not, nobody has it.
        """
        for recipient in transaction.recipients:
            found = await first_refusal(self._policy.recipient, transaction, recipient)
            if found:
                await self._refuse_message(found)
                return False
        return True

    async def _refuse_message(self, found: Objection) -> None:
        """Answer the end of a message, which nobody has."""
        await self._refuse(found[1], check=found[0])

    async def _tell(self, reply: str) -> None:
        """Answer the end of a message that is ours."""
        await self.push(reply)

    async def _identify(self, transaction: Transaction) -> None:
        """Find out whose mail it is."""

    def _resolve(self, path: command.Path) -> Recipient:
        """Where a recipient leads."""
        return resolve(self._service.directory, path)

    def _prepared(self, transaction: Transaction, parts: list[bytes], at: int) -> list[bytes]:
        """The message as it is taken; ``at`` in seconds."""
        return parts

    async def _signatures(self, transaction: Transaction, parts: list[bytes]) -> list[bytes]:
        """What goes on top of a message, below our trace."""
        return []

    def _took(self, transaction: Transaction) -> None:
        """The message is ours."""

    def _refresh(self) -> None:
        """Take over changes of the directory; what cannot be read stays as it was."""
        try:
            self._service.directory.refresh()
        except MtadError as error:
            log.warning("the directory could not be read again: %s", error)

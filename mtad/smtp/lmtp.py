"""A session by LMTP: a mail server of ours hands over mail for boxes here (RFC 2033).

It is SMTP but for three things. The greeting is LHLO. After the end of a message each recipient
that was accepted has a reply of its own, in the order of RCPT: one may have the message and
another not. And whoever talks it is trusted in what it says of senders and spared the limits on
strangers, so it has to come by a unix socket or from a trusted network; it still sends to
addresses of ours only.
"""

# ruff: noqa: N802 - a method's name is its verb, as SMTP writes it.

import asyncio

from mtad.clients.networks import networks
from mtad.clients.rates import Share
from mtad.errors import Refusal
from mtad.smtp.policy import Objection, Policy, Transaction, first_refusal
from mtad.smtp.receiver import Receiver
from mtad.smtp.service import Service
from mtad.smtp.session import SEQUENCE
from tracing.events import Event

OF_SMTP = frozenset({"EHLO", "HELO"})
"""Commands that LMTP does not have (RFC 2033 4.1)."""


class LmtpReceiver(Receiver):
    """A session of the LMTP service, as asyncio drives it."""

    hello = "LHLO"
    protocol = "LMTP"
    has_proxies = False
    tarpits = False
    no_recipients = Refusal(503, SEQUENCE, "no valid recipients")
    """RFC 2033 4.2."""

    def __init__(self, service: Service, listener: str, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(service, listener, loop)
        self._own: list[str] = []
        """For each recipient of the message its own reply, empty where it has the message's."""

    @property
    def _policy(self) -> Policy:
        return self._service.lmtp_policy

    def _why_not(self, ip: str) -> str:
        if ip and ip not in networks(self._service.lmtp.trusted_networks):
            return "your address is not in lmtp.trusted_networks"
        return self._service.why_full()

    def _share(self, ip: str) -> Share | None:
        return None

    async def smtp_LHLO(self, argument: bytes) -> None:
        """RFC 2033 4.1: as EHLO."""
        await self._announce("LHLO", argument)

    async def _unknown(self, verb: str) -> None:
        if verb in OF_SMTP:
            await self._refuse(Refusal(500, SEQUENCE, "this is LMTP: say LHLO"))
        else:
            await super()._unknown(verb)

    # ------------------------------------------------------ one reply per recipient

    async def _may_have(self, transaction: Transaction) -> bool:
        """Refuse single recipients; whether there is one left."""
        given, transaction.recipients = transaction.recipients, []
        for recipient in given:
            found = await first_refusal(self._policy.recipient, transaction, recipient)
            if found is None:
                transaction.recipients.append(recipient)
                self._own.append("")
                continue
            transaction.refused += 1
            self._own.append(str(found[1]))
            self._note(self._objected(found, recipient.given, recipient.n))
        if not transaction.recipients:
            await self._tell("")
        return bool(transaction.recipients)

    async def _refuse_message(self, found: Objection) -> None:
        """The same for everybody who has not been refused already."""
        self._note(self._objected(found))
        if found[1].close:
            self._why = self._why or "refused"
        await self._tell(str(found[1]))

    async def _tell(self, reply: str) -> None:
        transaction = self._transaction
        assert transaction is not None
        # A flaw of the message is no error of the server that passes it on: it is not counted.
        for own in self._own or [""] * len(transaction.recipients):
            self._output.append((own or reply).encode() + b"\r\n")
        self._own.clear()

    def _objected(self, found: Objection, addr: str = "", n: int = 0) -> Event:
        """The event of a check's answer, about one recipient or the whole message."""
        self._check, refusal = found
        event = self._negative(str(refusal), (addr, n) if n else None)
        self._check = ""
        return event


LmtpReceiver.verbs = {
    **{verb: method for verb, method in Receiver.verbs.items() if verb not in OF_SMTP},
    "LHLO": LmtpReceiver.smtp_LHLO,
}

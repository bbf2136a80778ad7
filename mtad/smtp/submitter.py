"""A session with one of our own users: submission (RFC 6409, RFC 8314).

On ``submissions`` TLS comes first, on ``submission`` by STARTTLS; without it nobody logs in, and
without a login nobody sends, trusted networks aside. A message is completed, its blind copies
are taken out, and it is signed, before it goes the way of all mail.
"""

import asyncio
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace

import sqlalchemy as sa

from mtad import completion
from mtad.address_list import parse as addresses
from mtad.clients.networks import networks
from mtad.clock import now_us
from mtad.errors import MtadError
from mtad.smtp import command
from mtad.smtp.authentication import Authentication
from mtad.smtp.policy import Policy, Recipient, Transaction
from mtad.smtp.receiver import Receiver
from mtad.smtp.service import Service
from mtad.smtp.submission import Submission
from mtad.smtp.wire import Gone
from tracing import ids
from tracing.access import CheckResult

log = logging.getLogger("mtad.smtp")

WITH_TLS = "submissions"
"""The listener on which TLS comes before anything else (RFC 8314 3.3)."""
MAX_HEADER = 128 * 1024
"""Octets of a header; a thousand recipients in To take half of it."""
MAX_HEADER_LINES = 5000
"""Lines of it: each costs a microsecond, and nobody else runs meanwhile."""
END_OF_HEADER = b"\n\n"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """An address that is not ours, as a target."""

    box: str
    alias: bool = False
    remote: bool = True
    forward: bool = False


class Submitter(Authentication, Receiver):
    """A session of the submission service, as asyncio drives it."""

    def __init__(
        self,
        service: Service,
        submission: Submission,
        listener: str,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        Receiver.__init__(self, service, listener, loop)
        self._submission = submission
        self._logins = submission.logins
        self._end_point = b""
        self._login = ""
        self._password, self._since = ("", ""), None
        self._is_trusted = False

    @property
    def transaction(self) -> Transaction | None:
        """The mail transaction under way."""
        return self._transaction

    # ------------------------------------------------------------ the connection

    async def _greet(self) -> None:
        """TLS first where that is the port's custom; then as on any port."""
        submission = self._submission
        self._is_trusted = self._client.ip in networks(submission.settings.trusted_networks)
        if self._listener.partition(" ")[0] == WITH_TLS:
            context = self._service.tls
            if context is None:
                raise Gone("refused")  # what could be said nobody would understand
            await self._secure(context, first=True)
        await super()._greet()

    async def _secure(self, context: ssl.SSLContext, *, first: bool = False) -> None:
        self._end_point = self._submission.end_point
        await super()._secure(context, first=first)
        self._login = ""

    def _further(self) -> str:
        mechanisms = self._mechanisms()
        auth = f"250-AUTH {' '.join(mechanisms)}\r\n" if mechanisms and not self._login else ""
        return super()._further() + auth

    def _passwords(self) -> Mapping[tuple[str, str], int]:
        self._refresh()
        return self._service.directory.passwords

    def _know(self) -> None:
        self._client = replace(self._client, is_known=True)

    def _finish(self) -> None:
        self._submission.open.discard(self)
        super()._finish()

    # ----------------------------------------------------------- the transaction

    @property
    def _policy(self) -> Policy:
        return self._submission.policy

    async def _identify(self, transaction: Transaction) -> None:
        """Whose mail it is: of who has logged in, or of who read mail a short while ago."""
        settings = self._submission.settings
        transaction.is_trusted = self._is_trusted
        transaction.login = self._login
        if self._login:
            directory = self._service.directory
            transaction.is_revoked = directory.passwords.get(self._password) != self._since
        if not self._login and not self._is_trusted and settings.pop_before_smtp:
            transaction.login = await self._recent_login(settings.pop_before_smtp_minutes)
            # Whoever can do no better has no TLS either.
            transaction.is_trusted = bool(transaction.login)
        self._facts.rights = None
        if transaction.login:
            self._facts.rights = await self._submission.rights(transaction.login)
            self._submission.open.add(self)

    async def _recent_login(self, minutes: int) -> str:
        try:
            return await self._logins.recent_login(self._client.ip, minutes) or ""
        except (MtadError, sa.exc.DatabaseError) as error:
            log.warning("who read mail from %s is not known: %s", self._client.ip, error)
            return ""

    def _resolve(self, path: command.Path) -> Recipient:
        """Our users send to anywhere."""
        found = super()._resolve(path)
        if found.targets or self._service.directory.is_local(found.domain):
            return found
        if not found.domain and not path.domain.startswith("["):
            return found
        return Recipient(path, found.domain, (Elsewhere(path.text),))

    def _prepared(self, transaction: Transaction, parts: list[bytes], at: int) -> list[bytes]:
        """The message completed (RFC 6409 8), and who its authors are."""
        head, *rest = parts or [b""]
        transaction.is_header_cut = not _is_whole(head, is_all=not rest)
        if transaction.is_header_cut:
            return parts
        message_id = f"{ids.text(transaction.m)}@{self._service.hostname}"
        head = completion.complete(head, at=at, message_id=message_id)
        if author := transaction.sender or transaction.login:
            head = completion.with_sender(head, author)
        transaction.authors = _authors(head)
        return [head, *rest]

    async def _signatures(self, transaction: Transaction, parts: list[bytes]) -> list[bytes]:
        """DKIM, for the domain of the author."""
        signer = self._submission.signer
        if signer is None:
            return []
        signed = await signer.sign(parts)
        if not signed.fields:
            return []
        found = f"signed for {signed.domain} with {', '.join(signed.selectors)}"
        event = CheckResult(
            at=now_us(), trace=transaction.m, addr=transaction.sender, name="dkim", found=found
        )
        self._note(event)
        return [signed.fields]

    def _took(self, transaction: Transaction) -> None:
        if transaction.login:
            recipients = sum(recipient.numbers for recipient in transaction.recipients)
            self._submission.usage.add(transaction.login, recipients)


def _is_whole(head: bytes, *, is_all: bool) -> bool:
    """Whether a message's first piece has its whole header, and that is no endless one."""
    end = 0 if head.startswith(b"\n") else head.find(END_OF_HEADER)
    if end < 0:
        end = len(head) if is_all else MAX_HEADER + 1
    return end <= MAX_HEADER and head.count(b"\n", 0, end) <= MAX_HEADER_LINES


def _authors(head: bytes) -> tuple[str, ...] | None:
    """The addresses in From and Sender; None where these are malformed, empty or there twice."""
    found: list[str] = []
    fields, _ = completion.fields(head)
    for name in (b"from", b"sender"):
        values = [one.partition(b":")[2] for one in fields if completion.name_of(one) == name]
        if len(values) > 1:
            return None
        for value in values:
            try:
                those = addresses(value)
            except ValueError:
                return None
            if not those:
                return None
            found += those
    return tuple(found)


Submitter.verbs = {**Receiver.verbs, "AUTH": Authentication.smtp_AUTH}

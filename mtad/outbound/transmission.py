"""One message on its way to recipients that share a destination, over one session or several."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mtad.outbound import envelope as commands
from mtad.outbound.attempt import Mail, Outcome, Recipient
from mtad.outbound.connection import Endpoint
from mtad.outbound.content import Traits, traits_of
from mtad.outbound.conversion import CannotConvert, converted
from mtad.outbound.envelope import BadPath, Envelope, To
from mtad.outbound.extensions import Extensions
from mtad.outbound.protocol import Answer, Done
from mtad.outbound.session import Dead, Session
from mtad.outbound.stored import open_to_send

MAX_CONVERTED = 64 * 2**20
"""Octets of a message that is converted, all of it in memory."""
MAX_REPLY = 4096
"""Characters kept of a reply."""


class Transmission:
    """What became of whom so far.

    A recipient is ``pending`` while another host may still take it; the last temporary answer
    it got becomes its outcome when no host is left.
    """

    def __init__(
        self,
        mail: Mail,
        recipients: Sequence[Recipient],
        traits: Traits,
        max_recipients: int,
    ) -> None:
        self.mail = mail
        self._recipients = recipients
        self.traits = traits
        self._max_recipients = max_recipients
        self._as_it_is = _Form(mail.content, traits)
        self._forms: dict[bool, _Form] = {}
        """Converted ones, by whether they are 7-bit."""
        self._outcomes: dict[int, Outcome] = {}
        self.pending = list(recipients)
        self.has_bystanders = False
        """Whether the last session ended at a recipient, and others may be tried at once."""
        self._answered: dict[Endpoint, set[int]] = {}
        """Who is not to be named again to a server in this attempt."""

    def outcomes(self) -> Sequence[Outcome]:
        """One per recipient; there must be a word about each by now."""
        return [self._outcomes[recipient.n] for recipient in self._recipients]

    @property
    def has_trouble(self) -> bool:
        """Whether someone's last word, so far, is not that the message was taken."""
        return any(made.kind != "delivered" for made in self._outcomes.values())

    # ------------------------------------------------------------ without a session

    def end(self, answer: Answer) -> None:
        """The last word for everyone who is pending."""
        for recipient in self.pending:
            self._outcomes.setdefault(recipient.n, outcome(recipient.n, answer))
        self.pending = []

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Outcomes that were made elsewhere."""
        self._outcomes |= {made.n: made for made in outcomes}
        self.pending = []

    def no_session(self, dead: Dead) -> None:
        """A host could not be used; another may."""
        self.has_bystanders = False
        for recipient in self.pending:
            made = outcome(
                recipient.n, dead.answer, dead.endpoint, cn=dead.cn, verdict=dead.verdict
            )
            self._remember(made)

    def _remember(self, made: Outcome) -> None:
        """Keep a word that is not the last.

        That a host is of no use never outdoes "later", nor silence a server's reply; of two
        hosts that were not reached the better one is told of.
        """
        known = self._outcomes.get(made.n)
        is_better = made.kind == "deferred" and made.reply
        if known is None or known.kind != "deferred" or is_better:
            self._outcomes[made.n] = made

    # --------------------------------------------------------------- over a session

    async def over(self, session: Session) -> bool:
        """Send to everyone pending; whether the session held. Raises OSError for our own file."""
        connection = session.connection
        extensions = connection.client.extensions
        try:
            form = await self._form(extensions)
        except CannotConvert as error:
            form, answer = self._as_it_is, _failed(error.enh, str(error))
            self._refuse(session, lambda recipient: answer)
        self.has_bystanders = False
        may_be_stale = connection.messages > 0
        unfit = self._unfit(session, extensions, form.traits)
        self._refuse(session, lambda recipient: unfit or _bad_address(recipient, extensions))
        limit = min(extensions.max_recipients or self._max_recipients, self._max_recipients)
        answered = self._answered.get(connection.endpoint, ())
        waiting = [each for each in self.pending if each.n not in answered]
        waiting.sort(key=lambda each: each.is_suspect)
        while waiting and connection.client.is_idle:
            chunk = [each for each in waiting[:limit] if each.is_suspect == waiting[0].is_suspect]
            waiting = waiting[len(chunk) :]
            begun = asyncio.get_running_loop().time()
            envelope = self._envelope(chunk, form.traits)
            done = await connection.transact(envelope, form.content, form.traits.size)
            ms = round((asyncio.get_running_loop().time() - begun) * 1000, 1)
            if may_be_stale and _is_stale(done):
                # It had been closed while nobody used it; that says nothing of the message.
                session.is_stale = True
                return False
            may_be_stale = False
            waiting = self._take(chunk, done, session, ms) + waiting
        for recipient in waiting:
            lost = Answer("deferred", "mail", "4.4.2", why="the connection ended before its turn")
            self._remember(outcome(recipient.n, lost, connection.endpoint, session=session))
        return connection.client.is_idle

    def _take(
        self, chunk: Sequence[Recipient], done: Done, session: Session, ms: float
    ) -> list[Recipient]:
        """Note the answers; who may be tried again at once, in another transaction."""
        again = []
        answered = self._answered.setdefault(session.connection.endpoint, set())
        took_some = any(answer.kind == "delivered" for answer in done.answers)
        for recipient, answer in zip(chunk, done.answers, strict=True):
            made = outcome(recipient.n, answer, session.connection.endpoint, session=session, ms=ms)
            if answer.kind == "deferred" and not answer.is_unsure:
                self._remember(made)
                if answer.is_bystander:
                    self.has_bystanders = True
                else:
                    answered.add(recipient.n)
                if took_some and _is_too_many(answer):
                    again.append(recipient)
            else:
                self._outcomes[recipient.n] = made
                self.pending.remove(recipient)
        return again

    async def _form(self, extensions: Extensions) -> "_Form":
        """The message as this server takes it. Raises CannotConvert, OSError."""
        traits = self.traits
        to_7bit = traits.has_8bit and "8BITMIME" not in extensions
        if not (to_7bit or traits.has_returns or traits.has_long_lines):
            return self._as_it_is
        if to_7bit not in self._forms:
            loop = asyncio.get_running_loop()
            content = await loop.run_in_executor(None, _converted, self.mail.content, to_7bit)
            self._forms[to_7bit] = _Form(content, traits_of(content))
        return self._forms[to_7bit]

    def _envelope(self, chunk: Sequence[Recipient], traits: Traits) -> Envelope:
        mail = self.mail
        return Envelope(
            sender=mail.sender,
            recipients=[To(each.address, each.notify, each.orcpt) for each in chunk],
            size=traits.size,
            is_8bit=traits.has_8bit,
            smtputf8=self._needs_utf8(chunk),
            requiretls=mail.requiretls,
            ret=mail.ret,
            envid=mail.envid,
        )

    def _needs_utf8(self, chunk: Sequence[Recipient]) -> bool:
        """RFC 6531 3.4: what was declared is announced only where it is needed."""
        return (
            commands.needs_utf8(self.mail.sender)
            or any(commands.needs_utf8(each.address) for each in chunk)
            or (self.mail.smtputf8 and self.traits.has_8bit_header)
        )

    def _refuse(self, session: Session, judge: Callable[[Recipient], Answer | None]) -> None:
        """Fail what this server cannot take whatever it is asked."""
        endpoint = session.connection.endpoint
        for recipient in list(self.pending):
            if (answer := judge(recipient)) is not None:
                made = outcome(recipient.n, answer, endpoint, session=session)
                self._outcomes[recipient.n] = made
                self.pending.remove(recipient)

    def _unfit(self, session: Session, extensions: Extensions, traits: Traits) -> Answer | None:
        """Why this server cannot take the message for anyone."""
        if 0 < extensions.max_size < traits.size:
            why = f"the message has {traits.size} octets, the server takes {extensions.max_size}"
            return _failed("5.3.4", why)
        is_remote = session.way.policy.wish == "must"
        if self.mail.requiretls and is_remote and "REQUIRETLS" not in extensions:
            return _failed("5.7.30", "the server does not offer REQUIRETLS")
        utf8 = "SMTPUTF8" in extensions
        if self.mail.smtputf8 and self.traits.has_8bit_header and not utf8:
            return _failed("5.6.7", "its header needs SMTPUTF8, which the server does not offer")
        try:
            commands.path(self.mail.sender, utf8=utf8)
        except BadPath as error:
            return _failed("5.6.7" if not utf8 else "5.1.7", f"the sender: {error}")
        return None


@dataclass(frozen=True, slots=True)
class _Form:
    """A message in a form that goes over the wire, and what is in it then."""

    content: bytes | Path
    traits: Traits


def _converted(content: bytes | Path, to_7bit: bool) -> bytes:
    """Raises CannotConvert, OSError."""
    if isinstance(content, Path):
        if content.stat().st_size > MAX_CONVERTED:
            raise CannotConvert("5.6.3", "it is too long to be converted for this server")
        with open_to_send(content) as file:
            content = file.read()
    return converted(content, to_7bit=to_7bit)


def _bad_address(recipient: Recipient, extensions: Extensions) -> Answer | None:
    """Why a recipient cannot be named to this server."""
    utf8 = "SMTPUTF8" in extensions
    try:
        commands.path(recipient.address, utf8=utf8)
    except BadPath as error:
        is_utf8 = not utf8 and commands.needs_utf8(recipient.address)
        return _failed("5.6.7" if is_utf8 else "5.1.3", str(error))
    return None


def _failed(enh: str, why: str) -> Answer:
    return Answer("failed", "policy", enh, why=why)


def outcome(
    n: int,
    answer: Answer,
    endpoint: Endpoint | None = None,
    *,
    session: Session | None = None,
    cn: int = 0,
    verdict: str = "",
    ms: float = 0.0,
) -> Outcome:
    """An answer as the queue wants it."""
    reply = answer.reply
    is_delivered = answer.kind == "delivered"
    connection = session.connection if session else None
    return Outcome(
        n=n,
        kind=answer.kind,
        stage=answer.stage,
        code=reply.code if reply else 0,
        enh=answer.enh,
        reply=reply.text[:MAX_REPLY] if reply else "",
        why=answer.why,
        host=endpoint.host if endpoint else "",
        ip=(endpoint.ip or endpoint.path) if endpoint else "",
        port=endpoint.port if endpoint else 0,
        cn=connection.cn if connection else cn,
        rqid=reply.queue_id if reply and is_delivered else "",
        tls=session.tls if session else "",
        verdict=session.verdict if session else verdict,
        connect=connection.connect_ms if connection and connection.messages <= 1 else 0.0,
        ms=ms,
        lmtp=bool(session and session.way.lmtp),
        dsn=bool(connection and "DSN" in connection.client.extensions),
    )


def _is_stale(done: Done) -> bool:
    """Whether the connection ended before anything was answered."""
    return not done.is_reusable and all(
        answer.stage == "mail" and (answer.reply is None or answer.reply.code == 421)
        for answer in done.answers
    )


def _is_too_many(answer: Answer) -> bool:
    """Whether RCPT was refused because the transaction had enough (RFC 5321 4.5.3.1.10)."""
    if answer.stage != "rcpt" or answer.reply is None or answer.reply.code not in (452, 552):
        return False
    return answer.enh in ("4.5.3", "4.0.0")

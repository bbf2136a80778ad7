"""The client's side of SMTP and LMTP, without a socket (RFC 5321, RFC 2033) (PURE).

Octets from the server go in through ``receive``, what it means comes back as happenings, what
is to be sent comes out of ``take``. One ``Client`` is one connection: first the greeting, EHLO,
STARTTLS and AUTH until ``Ready`` or ``Refused``, then one transaction after the other, each
ended by ``Done`` with an answer for every recipient. However a connection ends, ``lost`` turns
it into such an end.

Commands are sent together where the server allows it (RFC 2920), so every reply is matched to
the oldest command that waits for one; a reply to nothing ends the connection.
"""

import binascii
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from mtad.outbound import envelope as commands
from mtad.outbound import extensions, login
from mtad.outbound.attempt import Kind, Stage
from mtad.outbound.envelope import Envelope
from mtad.outbound.extensions import Extensions
from mtad.outbound.reply import BadReply, Replies, Reply, shown
from mtad.outbound.transcript import Transcript

MAX_CHALLENGES = 4
"""Challenges of one AUTH exchange."""

UNSURE = "the connection ended after the message and before the answer: it may have been taken"

Wish = Literal["never", "may", "must"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one recipient, or of a whole connection.

    ``reply`` is the server's where one decided, else ``why`` says it. ``enh`` is its enhanced
    status. ``is_unsure`` tells that the message was sent whole and no answer came: to try
    elsewhere at once would likely make it twice. ``is_bystander`` tells that the server closed
    at another recipient, and said nothing of this one.
    """

    kind: Kind
    stage: Stage
    enh: str
    reply: Reply | None = None
    why: str = ""
    is_unsure: bool = False
    is_bystander: bool = False


@dataclass(frozen=True, slots=True)
class StartTls:
    """Do the TLS handshake now; nothing may be read from before it. Then call ``secured``."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A transaction may begin."""


@dataclass(frozen=True, slots=True)
class Refused:
    """There will be no transaction on this connection."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Body:
    """Send the message now, in the form of ``content.Stuffer``; then call ``sent``."""


@dataclass(frozen=True, slots=True)
class Done:
    """The transaction ended: one answer per recipient, in order.

    ``is_reusable`` tells whether another transaction may follow.
    """

    answers: Sequence[Answer]
    is_reusable: bool


Happening = StartTls | Ready | Refused | Body | Done


class Client:
    """One connection's protocol state. ``credentials`` are used once EHLO (and TLS) is done.

    ``tls`` says whether STARTTLS is not to be used, is taken where offered, or needed;
    ``is_private`` that nobody can read along already (implicit TLS, a unix socket).
    """

    def __init__(
        self,
        hostname: str,
        *,
        lmtp: bool = False,
        tls: Wish = "may",
        credentials: login.Credentials | None = None,
        is_private: bool = False,
    ) -> None:
        self.extensions = Extensions()
        self.transcript = Transcript()
        self.answered = 0
        """Replies taken so far: what tells a slow server from a silent one."""
        self.tls_refused = ""
        """Why there is no TLS although it was wished for."""
        self._hello = ("LHLO " if lmtp else "EHLO ") + hostname
        self._helo = "" if lmtp else "HELO " + hostname
        self._is_lmtp = lmtp
        self._tls = tls
        self._credentials = credentials
        self._is_private = is_private
        self._mechanism: login.Mechanism | None = None
        self._challenges = 0
        self._replies = Replies()
        self._output: list[bytes] = []
        self._happened: list[Happening] = []
        self._expected: deque[tuple[Stage, Callable[[Reply], None]]] = deque()
        self._is_closed = False
        self._is_ready = False
        self._must_reset = False
        self._in_body = False
        self._dot_sent = False
        self._envelope: Envelope | None = None
        self._answers: dict[int, Answer] = {}
        self._accepted: list[int] = []
        self._expect("banner", self._banner)

    # ------------------------------------------------------- used by the driver

    @property
    def waits_for(self) -> Stage:
        """The stage of the reply that is due, which decides how long to wait; else empty."""
        return self._expected[0][0] if self._expected else ""

    @property
    def is_closed(self) -> bool:
        """Whether nothing more can be said on this connection."""
        return self._is_closed

    @property
    def is_idle(self) -> bool:
        """Whether a transaction may begin."""
        return self._is_ready and not self._is_closed and self._envelope is None

    def take(self) -> bytes:
        """What is to be sent now."""
        output, self._output = b"".join(self._output), []
        return output

    def receive(self, data: bytes) -> Sequence[Happening]:
        """Take octets of the server; what follows from them, in order."""
        if self._is_closed:
            return ()
        try:
            self._replies.feed(data)
            while not self._is_closed and (reply := self._replies.next()) is not None:
                self._take_reply(reply)
        except BadReply as error:
            self._end(str(error))
        return self._take_happened()

    def lost(self, why: str) -> Sequence[Happening]:
        """The connection ended, or waiting for it did."""
        if not self._is_closed:
            self._end(why)
        return self._take_happened()

    def secured(self, description: str) -> None:
        """The handshake succeeded: everything begins again with EHLO (RFC 3207 4.2)."""
        self.transcript.happened(description)
        self._is_private = True
        self._tls = "never"
        self._say_hello()

    def begin(self, envelope: Envelope) -> Sequence[Happening]:
        """Start a transaction. Addresses must be ones that ``envelope.path`` takes.

        On a connection that was lost meanwhile it ends at once.
        """
        assert self._is_ready
        assert self._envelope is None, "a transaction begins when the one before it has ended"
        self.transcript.restart()
        self._envelope = envelope
        self._answers, self._accepted = {}, []
        self._dot_sent = False
        if self._is_closed:
            self._end("connection lost")
            return self._take_happened()
        must_reset, self._must_reset = self._must_reset, False
        if not must_reset:
            self._send_mail()
        elif "PIPELINING" in self.extensions:
            self._command(b"RSET\r\n", "mail", lambda reply: None)
            self._send_mail()
        else:
            self._command(b"RSET\r\n", "mail", lambda reply: self._send_mail())
        return ()

    def sent(self, end: bytes, size: int) -> None:
        """The message is on its way; ``end`` is what ends it, ``size`` is for the transcript."""
        assert self._in_body
        self.transcript.happened(f"{size} octets of message")
        self._in_body, self._dot_sent = False, True
        self._output.append(end)
        if self._is_lmtp:
            for number in self._accepted:
                self._expect("dot", partial(self._dot, (number,)))
        else:
            self._expect("dot", partial(self._dot, tuple(self._accepted)))

    def quit(self) -> None:
        """Say goodbye; the answer does not matter."""
        if not self._is_closed:
            self._command(b"QUIT\r\n", "", lambda reply: None)

    # ------------------------------------------------------------------ greeting

    def _banner(self, reply: Reply) -> None:
        if reply.code != 220:
            # RFC 7504: 521 says for good that there is no mail service; other 5yz may pass.
            self._refuse("banner", reply, "failed" if reply.code == 521 else "deferred")
            return
        self._say_hello()

    def _say_hello(self) -> None:
        self._is_ready = False
        self._command(self._hello.encode() + b"\r\n", "ehlo", self._greeted)

    def _greeted(self, reply: Reply) -> None:
        if reply.code == 250:
            self.extensions = extensions.parse(reply)
            self._go_on()
        elif reply.code >= 500 and self._helo:
            self.extensions = Extensions()
            self._command(self._helo.encode() + b"\r\n", "ehlo", self._greeted)
            self._helo = ""
        else:
            self._refuse("ehlo", reply, "deferred")

    def _go_on(self) -> None:
        """The next thing to do before transactions."""
        if self._tls != "never" and "STARTTLS" in self.extensions:
            self._command(b"STARTTLS\r\n", "starttls", self._starttls)
        elif self._tls == "must":
            self._refuse("starttls", None, "deferred", "STARTTLS is not offered", "4.7.4")
        elif self._credentials is not None:
            self._log_in(self._credentials)
        else:
            if self._tls == "may":
                self.tls_refused = self.tls_refused or "not offered"
            self._is_ready = True
            self.transcript.keep()
            self._happened.append(Ready())

    def _starttls(self, reply: Reply) -> None:
        if reply.code == 220:
            if count := self._replies.discard():
                # Sent in clear after the 220, to be taken for something said under TLS.
                self.transcript.happened(f"{count} octets sent before TLS were discarded")
            self._happened.append(StartTls())
        elif self._tls == "must":
            self._refuse("starttls", reply, "deferred")
        else:
            self._tls = "never"
            self.tls_refused = f"refused: {reply.text}"
            self._go_on()

    def _log_in(self, credentials: login.Credentials) -> None:
        self._mechanism = login.choose(
            self.extensions.mechanisms, credentials, is_private=self._is_private
        )
        if self._mechanism is None:
            offered = " ".join(sorted(self.extensions.mechanisms)) or "none"
            why = f"no AUTH mechanism that could be used (offered: {offered})"
            self._refuse("auth", None, "deferred", why, "4.7.0")
            return
        line = "AUTH " + self._mechanism.name
        octets = line.encode()
        if (first := self._mechanism.first()) is not None:
            octets += b" " + (binascii.b2a_base64(first, newline=False) or b"=")
        self._command(octets + b"\r\n", "auth", self._challenged, f"{line} ***")

    def _challenged(self, reply: Reply) -> None:
        assert self._mechanism is not None
        try:
            if reply.code == 235:
                self._mechanism.finish()
                self._credentials = None
                self._go_on()
                return
            if reply.code != 334:
                # Most often a mistake of the operator's, which should cost no mail.
                self._refuse("auth", reply, "deferred")
                return
            self._challenges += 1
            if self._challenges > MAX_CHALLENGES:
                raise login.LoginError("the server asks without end")
            challenge = binascii.a2b_base64(reply.words[-1].encode(), strict_mode=True)
            answer = binascii.b2a_base64(self._mechanism.next(challenge), newline=False)
        except (login.LoginError, ValueError) as error:
            why = str(error) if isinstance(error, login.LoginError) else "not a SASL challenge"
            self._is_closed = True
            self._refuse("auth", None, "deferred", why, "4.7.0")
            return
        self._command(answer + b"\r\n", "auth", self._challenged, "***")

    # --------------------------------------------------------------- transaction

    def _send_mail(self) -> None:
        assert self._envelope is not None
        self._command(commands.mail(self._envelope, self.extensions), "mail", self._mail)
        if "PIPELINING" in self.extensions:
            for number in range(len(self._envelope.recipients)):
                self._rcpt(number)
            self._command(b"DATA\r\n", "data", self._data)

    def _mail(self, reply: Reply) -> None:
        if reply.code // 100 != 2:
            self._answer_all("mail", reply)
            if "PIPELINING" not in self.extensions:
                self._finish()
        elif "PIPELINING" not in self.extensions:
            self._rcpt(0)

    def _rcpt(self, number: int) -> None:
        assert self._envelope is not None
        octets = commands.rcpt(self._envelope.recipients[number], self._envelope, self.extensions)
        self._command(octets, "rcpt", partial(self._rcpt_answered, number))

    def _rcpt_answered(self, number: int, reply: Reply) -> None:
        assert self._envelope is not None
        if reply.code == 421:
            # RFC 5321 3.8: the session ends, which says nothing of the other recipients.
            self._answers.setdefault(number, _answer("deferred", "rcpt", reply))
            why = f"the server closed the connection at another recipient: {reply.text}"
            self._end(why, stage="rcpt", is_bystander=True)
            return
        if reply.code // 100 == 2:
            if number not in self._answers:
                self._accepted.append(number)
        else:
            # RFC 5321 4.5.3.1.10: 552 to RCPT means too many recipients and is temporary.
            kind: Kind = "failed" if reply.code >= 500 and reply.code != 552 else "deferred"
            self._answers.setdefault(number, _answer(kind, "rcpt", reply))
        if "PIPELINING" in self.extensions:
            return
        if number + 1 < len(self._envelope.recipients):
            self._rcpt(number + 1)
        elif self._accepted:
            self._command(b"DATA\r\n", "data", self._data)
        else:
            self._must_reset = True
            self._finish()

    def _data(self, reply: Reply) -> None:
        if reply.code == 354:
            self._in_body = True
            if self._accepted:
                self._happened.append(Body())
                return
            # RFC 2920 3.1: DATA went out before it was known that nobody is left.
            self._in_body = False
            self._command(b".\r\n", "dot", lambda reply: self._finish(), ".")
            return
        if reply.is_positive:
            raise BadReply(f"DATA was answered by {shown(reply.text.encode())[:200]}")
        self._must_reset = True
        self._answer_accepted("data", reply)
        self._finish()

    def _dot(self, numbers: Sequence[int], reply: Reply) -> None:
        kind: Kind = (
            "delivered" if reply.code // 100 == 2 else "deferred" if reply.code < 500 else "failed"
        )
        for number in numbers:
            self._answers[number] = _answer(kind, "" if kind == "delivered" else "dot", reply)
        if not self._expected:
            self._finish()

    def _answer_all(self, stage: Stage, reply: Reply) -> None:
        assert self._envelope is not None
        answer = _answer("failed" if reply.code >= 500 else "deferred", stage, reply)
        for number in range(len(self._envelope.recipients)):
            self._answers.setdefault(number, answer)

    def _answer_accepted(self, stage: Stage, reply: Reply) -> None:
        answer = _answer("failed" if reply.code >= 500 else "deferred", stage, reply)
        for number in self._accepted:
            self._answers.setdefault(number, answer)

    def _finish(self) -> None:
        """End the transaction with the answers there are."""
        assert self._envelope is not None
        answers = [self._answers[number] for number in range(len(self._envelope.recipients))]
        self._envelope = None
        self._in_body = False
        self._happened.append(Done(answers, is_reusable=not self._is_closed))

    # -------------------------------------------------------------- all of it

    def _command(
        self, octets: bytes, stage: Stage, then: Callable[[Reply], None], words: str = ""
    ) -> None:
        """Send a line; ``words`` stand for it in the transcript where it has secrets."""
        self._output.append(octets)
        self.transcript.sent(words or shown(octets.rstrip(b"\r\n")))
        self._expect(stage, then)

    def _expect(self, stage: Stage, then: Callable[[Reply], None]) -> None:
        self._expected.append((stage, then))

    def _take_reply(self, reply: Reply) -> None:
        self.answered += 1
        self.transcript.received(reply.text)
        if not self._expected:
            if self._in_body and not reply.is_positive:
                # The server does not want the rest of the message.
                self._answer_accepted("data", reply)
                self._is_closed = True
                self._finish()
            elif reply.code == 421:
                self._end("the server closes", reply)
            else:
                raise BadReply("a reply to nothing that was asked")
            return
        stage, then = self._expected.popleft()
        if reply.code == 421 and stage != "rcpt":
            # RFC 5321 3.8: whatever it was an answer to, the connection ends.
            self._end("", reply, stage)
        else:
            try:
                then(reply)
            except BadReply as error:
                self._end(str(error), stage=stage)

    def _end(
        self, why: str, reply: Reply | None = None, stage: Stage = "", *, is_bystander: bool = False
    ) -> None:
        """Nothing more will come: whoever has no answer yet gets this one."""
        if reply is None and not is_bystander:
            self.transcript.happened(why)
        stage = stage or self.waits_for or ("data" if self._in_body else "mail")
        self._is_closed = True
        enh = reply.enhanced if reply else "4.4.2"
        is_unsure = self._dot_sent and reply is None
        why = UNSURE + f" ({why})" if is_unsure else "" if reply else why
        answer = Answer("deferred", stage, enh, reply, why, is_unsure, is_bystander)
        if self._envelope is not None:
            for number in range(len(self._envelope.recipients)):
                self._answers.setdefault(number, answer)
            self._finish()
        elif not self._is_ready:
            self._happened.append(Refused(answer))
        self._expected.clear()

    def _refuse(
        self, stage: Stage, reply: Reply | None, kind: Kind, why: str = "", enh: str = ""
    ) -> None:
        if why:
            self.transcript.happened(why)
        enh = _status(kind, enh or (reply.enhanced if reply else ""))
        self._happened.append(Refused(Answer(kind, stage, enh, reply, why)))

    def _take_happened(self) -> Sequence[Happening]:
        happened, self._happened = self._happened, []
        return happened


def _answer(kind: Kind, stage: Stage, reply: Reply) -> Answer:
    return Answer(kind, stage, _status(kind, reply.enhanced), reply)


def _status(kind: Kind, enh: str) -> str:
    """An enhanced status whose class follows what we make of it; the reply is kept as it was."""
    return {"delivered": "2", "deferred": "4", "failed": "5"}[kind] + enh[1:]

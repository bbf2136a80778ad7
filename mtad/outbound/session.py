"""From an endpoint and a policy to a connection that takes mail, or to why there is none."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from mtad import clock
from mtad.outbound import security
from mtad.outbound.attempt import Note
from mtad.outbound.connection import ConnectFailed, Connection, Endpoint, Timeouts
from mtad.outbound.login import Credentials
from mtad.outbound.protocol import Answer, Client, Ready, Refused
from mtad.outbound.security import Contexts, Policy, Untrusted
from tracing.sending import OutTls, OutTranscript, OutTry

CLEAR = "clear text"


@dataclass(frozen=True, slots=True)
class Way:
    """How to talk to an endpoint."""

    policy: Policy = security.OPPORTUNISTIC
    credentials: Credentials | None = field(default=None, repr=False)
    lmtp: bool = False


@dataclass(slots=True)
class Session:
    """An open connection with what its events need.

    ``tls`` is version and cipher or empty; ``verdict`` what the certificate proved;
    ``is_stale`` that it had ended before it was used again.
    """

    connection: Connection
    way: Way
    tls: str = ""
    verdict: str = ""
    is_stale: bool = False


@dataclass(frozen=True, slots=True)
class Dead:
    """There is no session. ``is_down`` tells trouble of the host, not of this message."""

    answer: Answer
    cn: int
    endpoint: Endpoint
    is_down: bool
    verdict: str = ""


class Opener:
    """Opens sessions; the events of it are noted for one message."""

    def __init__(
        self,
        hostname: str,
        timeouts: Timeouts,
        contexts: Contexts,
        new_id: Callable[[], int],
    ) -> None:
        self._hostname = hostname
        self._timeouts = timeouts
        self._contexts = contexts
        self._new_id = new_id
        self.everyone: set[Connection] = set()
        """Every connection that is open, on whichever way to its end."""

    async def open(self, endpoint: Endpoint, way: Way, m: int, note: Note) -> Session | Dead:
        """Connect, greet, encrypt and log in. Raises nothing but CancelledError."""
        first = _Opening(self, endpoint, way, m, note)
        found = await first.run()
        if isinstance(found, Dead) and first.handshake_failed and way.policy.may_fall_back:
            # A new connection: on the old one nobody knows what the other side has read.
            clear = replace(way, policy=replace(way.policy, wish="never"))
            found = await _Opening(self, endpoint, clear, m, note).run()
            if isinstance(found, Session):
                found.verdict = f"{CLEAR}: {first.verdict}"
        return found


class _Opening:
    """One connection on its way to being a session."""

    def __init__(self, opener: Opener, to: Endpoint, way: Way, m: int, note: Note) -> None:
        self._opener = opener
        self._to = to
        self._way = way
        self._m = m
        self._note = note
        self._cn = opener._new_id()
        self._client = Client(
            opener._hostname,
            lmtp=way.lmtp,
            tls="never" if way.policy.is_implicit else way.policy.wish,
            credentials=way.credentials,
            is_private=way.policy.is_implicit or bool(to.path),
        )
        self._connection = Connection(self._client, to, opener._timeouts, self._cn, opener.everyone)
        self._tls = ""
        self.verdict = ""
        self.handshake_failed = False

    async def run(self) -> Session | Dead:
        """Raises nothing but CancelledError, and leaves no connection behind then."""
        self._say_try()
        begun = asyncio.get_running_loop().time()
        try:
            try:
                found = await self._greet()
            finally:
                elapsed = asyncio.get_running_loop().time() - begun
                self._connection.connect_ms = round(elapsed * 1000, 1)
        except ConnectFailed as error:
            return self._dead(Answer("deferred", "connect", "4.4.1", why=str(error)), is_down=True)
        except BaseException:
            self._connection.abort()
            raise
        return found

    async def _greet(self) -> Session | Dead:
        policy = self._way.policy
        try:
            context = self._opener._contexts.of(policy) if policy.is_implicit else None
            await self._connection.open(context)
            if context is not None:
                self._secured(self._connection.ssl_object())
                self._say_tls()
            happening = await self._connection.greeted()
            if not isinstance(happening, Ready | Refused):
                session = await self._connection.start_tls(self._opener._contexts.of(policy))
                description = self._secured(session)
                self._say_tls()
                self._connection.secured(description)
                happening = await self._connection.greeted()
        except Untrusted as error:
            return self._handshake_ended(str(error))
        except (OSError, ValueError) as error:
            # ValueError: a host name that cannot be one in TLS.
            return self._handshake_ended(security.failure(error))
        if isinstance(happening, Refused):
            self._connection.quit()
            if happening.answer.stage == "starttls":
                self.verdict = "not offered" if happening.answer.why else "refused"
                self._say_tls()
            return self._dead(happening.answer, is_down=happening.answer.stage in _HOST_STAGES)
        assert isinstance(happening, Ready)
        if not self._tls:
            self.verdict = self._client.tls_refused
            if self.verdict:
                self._say_tls()
            self.verdict = f"{CLEAR}: {self.verdict}" if self.verdict else CLEAR
        return Session(self._connection, self._way, self._tls, self.verdict)

    def _secured(self, session: ssl.SSLObject) -> str:
        """Note what TLS there is; the line for the transcript."""
        version, cipher = security.describe(session)
        policy = self._way.policy
        self.verdict = self._opener._contexts.verdict(policy, session, self._to.host)
        self._tls = f"{version} {cipher}"
        return f"{self._tls}: {self.verdict}"

    def _handshake_ended(self, why: str) -> Dead:
        self.handshake_failed = True
        self.verdict = why
        self._client.transcript.happened(f"TLS failed: {why}")
        self._connection.abort()
        self._say_tls()
        return self._dead(Answer("deferred", "tls", "4.7.5", why=f"TLS failed: {why}"))

    def _dead(self, answer: Answer, *, is_down: bool = False) -> Dead:
        say_transcript(self._connection, self._m, self._note)
        return Dead(answer, self._cn, self._to, is_down, self.verdict)

    def _say_try(self) -> None:
        to = self._to
        self._note(
            OutTry(
                at=clock.now_us(),
                trace=self._m,
                host=to.host,
                ip=to.ip or to.path,
                cn=self._cn,
                port=to.port,
                source=to.source,
            )
        )

    def _say_tls(self) -> None:
        version, _, cipher = self._tls.partition(" ")
        say_tls(
            self._m,
            self._note,
            self._to,
            self._way.policy,
            self.verdict,
            cn=self._cn,
            version=version,
            cipher=cipher,
            source=self._connection.source or self._to.source,
        )


_HOST_STAGES = ("connect", "banner", "ehlo")
"""Where a refusal speaks of the host as a whole."""


def say_tls(
    m: int,
    note: Note,
    to: Endpoint,
    policy: Policy,
    verdict: str,
    *,
    cn: int = 0,
    version: str = "",
    cipher: str = "",
    source: str = "",
) -> None:
    """Tell of TLS with a host, or of its absence; reports are made of it (RFC 8460)."""
    note(
        OutTls(
            at=clock.now_us(),
            trace=m,
            host=to.host,
            ip=to.ip,
            cn=cn,
            policy=policy.name,
            verdict=verdict,
            version=version,
            cipher=cipher,
            domain=policy.domain,
            source=source,
            failure=security.failure_type(policy, verdict, has_tls=bool(version)),
            rules=policy.rules,
        )
    )


def say_transcript(connection: Connection, m: int, note: Note) -> None:
    """Keep what was said, if anything was."""
    if lines := connection.client.transcript.lines():
        to = connection.endpoint
        note(
            OutTranscript(
                at=clock.now_us(),
                trace=m,
                host=to.host,
                ip=to.ip,
                cn=connection.cn,
                lines=lines,
            )
        )

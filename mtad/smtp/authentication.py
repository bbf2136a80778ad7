"""AUTH: logging in over SMTP (RFC 4954)."""

# ruff: noqa: N802 - a method's name is its verb, as SMTP writes it.

from collections.abc import Mapping

from mtad.directory.channel import bindings
from mtad.directory.logins import Answer, Caller, Denied, Logins, Welcome
from mtad.errors import Refusal
from mtad.sasl import lines
from mtad.sasl.steps import Challenge
from mtad.smtp.session import SEQUENCE, SYNTAX, Session
from mtad.smtp.wire import BadLine

MAX_AUTH_LINE = 6144
"""Octets of a line while one may log in: room for what ``mtad.sasl.lines`` takes, and AUTH."""
MAX_FAILURES = 3
"""Failed logins on one connection before it is closed."""


class Authentication(Session):
    """The command by which a client logs in; it may do so over TLS only."""

    max_line = MAX_AUTH_LINE
    _logins: Logins
    _end_point: bytes
    """The hash of the certificate that this connection shows."""
    _login: str
    """The box of who has logged in; empty for nobody yet."""
    _is_trusted: bool
    """Whether the client is in a network that may log in without TLS too."""
    _password: tuple[str, str]
    """The box and the name of the password that it logged in with."""
    _since: int | None
    """Since when that is what it is."""
    _caller: Caller | None = None

    @property
    def _bindings(self) -> dict[str, bytes]:
        if not self._is_tls or self.link is None:
            return {}
        return bindings(self.link.get_extra_info("ssl_object"), self._end_point)

    def _mechanisms(self) -> tuple[str, ...]:
        """Those the client may use now."""
        if not (self._is_tls or self._is_trusted):
            return ()
        return self._logins.offered(self._bindings)

    async def smtp_AUTH(self, argument: bytes) -> None:
        """RFC 4954 4: one exchange, to its end or until the client gives up."""
        name, _, rest = argument.partition(b" ")
        mechanism = name.decode("ascii", "replace").upper()
        if not self._client.helo or not self._client.extended:
            raise Refusal(503, SEQUENCE, "say EHLO first")
        if self._login:
            raise Refusal(503, SEQUENCE, "you have logged in already")
        if self._transaction is not None:
            raise Refusal(503, SEQUENCE, "not within a mail transaction")
        if not (self._is_tls or self._is_trusted):
            raise Refusal(538, "5.7.11", "say STARTTLS first")
        if mechanism not in self._mechanisms():
            raise Refusal(504, SYNTAX, "this mechanism is not offered")
        if self._caller is None:
            service = self._listener.partition(" ")[0]
            self._caller = Caller(self._logins, self.cn, self._client.ip, service)
        try:
            response = lines.initial(rest.strip(b" "))
        except lines.Malformed as error:
            raise Refusal(501, "5.5.2", str(error)) from None
        # As they are before one is compared: a change that comes between counts as one after.
        passwords = self._passwords()
        answer = await self._caller.begin(mechanism, response, self._bindings)
        while isinstance(answer, Challenge):
            await self.push(f"334 {lines.challenge(answer.data)}")
            answer = await self._answer(self._caller)
        if isinstance(answer, Welcome):
            self._password = (answer.box, answer.name)
            self._since = passwords.get(self._password)
        await self._conclude(answer)

    async def _answer(self, caller: Caller) -> Answer:
        """What comes of the client's next line. Raises Refusal, Gone."""
        try:
            line = await self._line()
            return await caller.answer(lines.response(line))
        except lines.Cancelled:
            caller.cancel()
            raise Refusal(501, "5.7.0", "given up as you wish") from None
        except (lines.Malformed, BadLine) as error:
            caller.cancel("the response is malformed")
            text = "the response is too long" if isinstance(error, BadLine) else str(error)
            raise Refusal(501, "5.5.2", text) from None

    async def _conclude(self, answer: Welcome | Denied) -> None:
        """Say what came of it; a failure is told after a while."""
        if isinstance(answer, Welcome):
            self._login = answer.box
            self._know()
            await self.push("235 2.7.0 welcome")
            return
        await self._delay(answer.delay)
        self._check = "login"
        if answer.temporary:
            raise Refusal(454, "4.7.0", "nobody can log in at present, try again later")
        if answer.banned:
            raise Refusal(454, "4.7.0", "too many failed logins, try again later", close=True)
        if answer.malformed:
            raise Refusal(501, "5.5.2", "the response is malformed")
        assert self._caller is not None
        close = self._caller.failures >= MAX_FAILURES
        raise Refusal(535, "5.7.8", answer.told or "wrong login or password", close=close)

    def _passwords(self) -> Mapping[tuple[str, str], int]:
        """By box and name of a password since when it is what it is."""
        raise NotImplementedError

    def _know(self) -> None:
        """The client has logged in."""
        raise NotImplementedError

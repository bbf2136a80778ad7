"""Becoming somebody: STARTTLS, AUTHENTICATE, LOGIN (RFC 9051 6.2)."""

from mtad.directory.logins import Answer, Caller, Denied, Welcome
from mtad.imap import capabilities
from mtad.imap.answer import Bad, No, Ok
from mtad.imap.commands import Authenticate, Login, Plain
from mtad.imap.session import Session
from mtad.sasl import lines
from mtad.sasl.steps import Challenge
from mtad.stream import Gone

MAX_FAILURES = 3
"""Failed logins on one connection before it is closed."""


async def starttls(session: Session, command: Plain) -> Ok | None:
    """RFC 9051 6.2.1: what came before the handshake counts for nothing after it."""
    if session.connection.is_tls:
        raise Bad("TLS is on already")
    if session.service.tls is None:
        raise Bad("TLS is not offered")

    async def begin() -> None:
        session.software, session.caller = "", None
        await session.connection.secure(session)

    session.then = begin
    return Ok("Begin the TLS handshake")


async def login(session: Session, command: Login) -> Ok | None:
    """RFC 9051 6.2.3."""
    if "PLAIN" not in capabilities.login_mechanisms(session):
        raise No("Use TLS, or another way to log in", b"PRIVACYREQUIRED")
    message = b"\0%b\0%b" % (command.user, command.password)
    answer = await _caller(session).begin("PLAIN", message, {})
    return await _conclude(session, answer)


async def authenticate(session: Session, command: Authenticate) -> Ok | None:
    """RFC 9051 6.2.2: one exchange, to its end or until the client gives up."""
    offered = capabilities.login_mechanisms(session)
    if command.mechanism not in offered:
        if not offered:
            raise No("Use TLS first", b"PRIVACYREQUIRED")
        raise No("This mechanism is not offered")
    caller, bindings = _caller(session), session.connection.bindings()
    answer = await caller.begin(command.mechanism, command.initial, bindings)
    while isinstance(answer, Challenge):
        session.put(f"+ {lines.challenge(answer.data)}\r\n".encode())
        answer = await _answer(session, caller)
    return await _conclude(session, answer)


def _caller(session: Session) -> Caller:
    if session.caller is None:
        session.caller = Caller(session.service.logins, session.cn, session.ip, session.name)
    return session.caller


async def _answer(session: Session, caller: Caller) -> Answer:
    """What comes of the client's next line. Raises Bad, Gone."""
    try:
        while (line := await session.connection.line(session)) is None:
            pass
        return await caller.answer(lines.response(line))
    except lines.Cancelled:
        caller.cancel()
        raise Bad("Given up as you wish") from None
    except (lines.Malformed, Bad) as error:
        caller.cancel("the response is malformed")
        raise Bad(f"{error}") from None


async def _conclude(session: Session, answer: Answer) -> Ok | None:
    """Say what came of it; a failure is told after a while."""
    if isinstance(answer, Welcome):
        if barred := await session.service.gate.enters(session, answer.box):
            session.then = _hang_up
            raise No(barred.text, barred.code)
        await session.log_in(answer.box)
        return Ok("Logged in", b"CAPABILITY " + capabilities.of(session))
    assert isinstance(answer, Denied)
    await session.connection.delay(answer.delay)
    if answer.temporary:
        raise No("Nobody can log in at present, try again later", b"UNAVAILABLE")
    if answer.banned:
        session.then = _hang_up
        raise No("Too many failed logins, try again later", b"UNAVAILABLE")
    if answer.malformed:
        raise Bad("The response is malformed")
    if session.caller is not None and session.caller.failures >= MAX_FAILURES:
        session.then = _hang_up
    raise No(answer.told.capitalize() or "Wrong login or password", b"AUTHENTICATIONFAILED")


async def _hang_up() -> None:
    raise Gone("refused")

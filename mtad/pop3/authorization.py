"""Before the login: USER and PASS, AUTH, STLS, UTF8; and CAPA, whenever it is asked for."""

from mtad import tls
from mtad.clock import now_us
from mtad.directory.logins import Answer, Caller, Denied, Welcome
from mtad.errors import MtadError
from mtad.pop3 import maildrop
from mtad.pop3.command import Bad, Command, Negative, none, ok
from mtad.pop3.session import Session, State
from mtad.pop3.wire import END
from mtad.sasl import lines
from mtad.sasl.steps import Challenge
from mtad.stream import Gone
from tracing.events import TlsFail, TlsOk

MAX_FAILURES = 3
"""Failed logins on one connection before it is closed."""


class Closing(Negative):
    """The command did not succeed, and the connection ends."""


async def capa(session: Session, command: Command) -> None:
    """RFC 2449 5: what is true of this session at present."""
    none(command.argument)
    service, limits = session.service, session.service.limits
    names = ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER", "UTF8"]
    if limits.login_delay_seconds:
        names.append(f"LOGIN-DELAY {limits.login_delay_seconds}")
    if service.tls is not None and not session.stream.is_tls and not session.address:
        names.append("STLS")
    if mechanisms := session.mechanisms():
        if "PLAIN" in mechanisms:
            names.append("USER")
        names.append(f"SASL {' '.join(mechanisms)}")
    names.append("IMPLEMENTATION mtad")
    said = "".join(f"{name}\r\n" for name in names)
    session.put(ok("this is what there is") + said.encode() + END)


async def utf8(session: Session, command: Command) -> None:
    """RFC 6856 2: messages are sent as they are in any case, so nothing else changes."""
    none(command.argument)
    session.utf8 = True
    session.put(ok("UTF-8 it is"))


async def stls(session: Session, command: Command) -> None:
    """RFC 2595 4."""
    none(command.argument)
    if session.stream.is_tls:
        raise Bad("TLS is on already")
    if session.service.tls is None:
        raise Bad("TLS is not offered")
    session.put(ok("begin the TLS handshake"))
    await secure(session)


async def secure(session: Session, *, first: bool = False) -> None:
    """Go on over TLS, as a client that has said nothing yet. Raises Gone.

    ``first`` tells that TLS comes before anything else.
    """
    service, stream, note = session.service, session.stream, session.service.journal.note
    if service.tls is None:
        raise Gone("refused")  # what could be said nobody would understand
    session.start_over()
    try:
        await stream.start_tls(service.tls, first=first)
    except OSError as error:
        why = tls.reason(error)
        note(TlsFail(at=now_us(), trace=session.cn, ip=session.ip, why=why))
        raise Gone("lost") from None
    assert stream.link is not None
    link = stream.link.get_extra_info("ssl_object")
    version, cipher = link.version() or "", (link.cipher() or ("",))[0]
    note(TlsOk(at=now_us(), trace=session.cn, ip=session.ip, version=version, cipher=cipher))


async def user(session: Session, command: Command) -> None:
    """RFC 1939 7. Nobody learns here which users there are."""
    _check_plain(session)
    if not command.argument:
        raise Bad("USER takes a name")
    session.user = command.argument
    session.put(ok("and the password"))


async def password(session: Session, command: Command) -> None:
    """RFC 1939 7: all that follows the space is the password."""
    _check_plain(session)
    name, session.user = session.user, None
    if name is None:
        raise Bad("say USER first")
    answer = await _caller(session).begin("PLAIN", b"\0%b\0%b" % (name, command.argument), {})
    await _conclude(session, answer)


async def auth(session: Session, command: Command) -> None:
    """RFC 5034 4: one exchange, to its end or until the client gives up.

    Without a mechanism those there are are listed, which older clients ask for.
    """
    offered = session.mechanisms()
    name, _, rest = command.argument.partition(b" ")
    if not name:
        session.put(ok("mechanisms") + "".join(f"{one}\r\n" for one in offered).encode() + END)
        return
    mechanism = name.decode("ascii", "replace").upper()
    if mechanism not in offered:
        raise Negative("this mechanism is not offered" if offered else "use TLS first")
    try:
        response = lines.initial(rest.strip(b" "))
    except lines.Malformed as error:
        raise Bad(str(error)) from None
    caller = _caller(session)
    answer = await caller.begin(mechanism, response, session.bindings())
    while isinstance(answer, Challenge):
        session.put(f"+ {lines.challenge(answer.data)}\r\n".encode())
        answer = await _answer(session, caller)
    await _conclude(session, answer)


async def farewell(session: Session, command: Command) -> None:
    """QUIT of a client that has not logged in."""
    none(command.argument)
    session.state = State.UPDATE
    session.put(ok("bye"))


def _check_plain(session: Session) -> None:
    if "PLAIN" not in session.mechanisms():
        raise Negative("use TLS, or another way to log in")


def _caller(session: Session) -> Caller:
    if session.caller is None:
        session.caller = Caller(session.service.logins, session.cn, session.ip, session.name)
    return session.caller


async def _answer(session: Session, caller: Caller) -> Answer:
    """What comes of the client's next line. Raises Bad, Gone."""
    try:
        return await caller.answer(lines.response(await session.line()))
    except lines.Cancelled:
        caller.cancel()
        raise Negative("given up as you wish") from None
    except (lines.Malformed, Bad) as error:
        caller.cancel("the response is malformed")
        raise Bad(str(error)) from None


async def _conclude(session: Session, answer: Answer) -> None:
    """Say what came of it; a failure is told after a while."""
    if isinstance(answer, Welcome):
        await _enter(session, answer.box)
        return
    assert isinstance(answer, Denied)
    await session.stream.delay(answer.delay)
    if answer.temporary:
        raise Negative("nobody can log in at present, try again later", "SYS/TEMP")
    if answer.banned:
        raise Closing("too many failed logins, try again later", "SYS/TEMP")
    if answer.malformed:
        raise Bad("the response is malformed")
    failures = session.caller.failures if session.caller else 0
    refused = Closing if failures >= MAX_FAILURES else Negative
    raise refused(answer.told or "wrong login or password", "AUTH")


async def _enter(session: Session, box: str) -> None:
    """Lock the maildrop and look at it. Raises Negative."""
    service, now = session.service, session.stream.loop.time()
    if why := await service.gate.enters(session, box):
        raise Closing(why, "SYS/TEMP")
    delay = service.limits.login_delay_seconds
    if delay and now - service.entered.get(box, now - delay) < delay:
        raise Negative(f"log in once in {delay} seconds", "LOGIN-DELAY")
    if box in service.locked:
        raise Negative("another session of POP3 has the box", "IN-USE")
    service.locked.add(box)
    session.closing.callback(service.locked.discard, box)
    try:
        opened = await session.closing.enter_async_context(service.open_box(box))
        drop = await maildrop.take(opened)
    except (MtadError, OSError):
        await session.closing.aclose()
        raise
    if delay:
        _remember(service.entered, box, now, delay)
    session.log_in(box, opened, drop)
    count, octets = drop.total
    session.put(ok(f"{count} messages, {octets} octets"))


def _remember(entered: dict[str, float], box: str, now: float, delay: float) -> None:
    """Note a login, and forget those that no longer matter."""
    entered.pop(box, None)
    for other, at in list(entered.items()):
        if now - at < delay:
            break
        del entered[other]
    entered[box] = now

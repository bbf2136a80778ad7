"""Logging in, for every service that lets people: exchanges, bans, delays, events.

A service makes one ``Logins`` for its process and one ``Caller`` for each connection. What the
client says goes into ``begin`` and ``answer``; a challenge, a welcome or a denial comes out. All
slow work (database, hashes) runs in a few threads: at most three, so that the memory of argon2
stays below 64 MiB, and fewer than there are cores. Bans are looked up before anything is hashed.
"""

import asyncio
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa

from mtad import clock, tls_exporter
from mtad.config import Auth
from mtad.directory import authkey
from mtad.directory.attempts import Attempts
from mtad.directory.guard import MINUTE, Ban, Guard
from mtad.directory.lookup import Directory
from mtad.directory.verifier import Verifier, normal
from mtad.errors import MtadError
from mtad.sasl.mechanisms import Channel, Mechanism, make, offered
from mtad.sasl.steps import (
    Challenge,
    Failure,
    KeysWanted,
    PasswordCheck,
    SecretWanted,
    Step,
    Success,
    TokenCheck,
)
from mtad.where import Places
from tracing.access import AuthBan, AuthFail, AuthOk, AuthRefused
from tracing.event import Event

log = logging.getLogger("mtad.auth")

T = TypeVar("T")

MAX_THREADS = 3
MAX_WAITING = 100
"""Client messages that may wait for a thread, some seconds; beyond it the answer is "later"."""
MAX_DOUBLINGS = 2
"""How often the delay doubles with further failures on one connection."""
MAX_WRONG = 10_000
"""Wrong passwords known again, so that each counts once."""
READING_SERVICES = ("pop3", "pop3s", "imap", "imaps")
"""The services whose logins open submission where POP before SMTP is on."""
MAX_SHOWN = 256
"""Characters of a login kept in an event."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """The client is the owner of ``box``; ``name`` tells which password, empty for its own."""

    box: str
    name: str
    mechanism: str


@dataclass(frozen=True, slots=True)
class Denied:
    """The client is not let in; why is for the log, so all it may be told is here.

    ``delay`` is how many seconds to let it wait for the answer. ``temporary`` is trouble of ours,
    ``malformed`` a message against the rules, ``banned`` that nothing it says is looked at.
    ``told`` is for the client where it may know more: empty unless it logged in before.
    """

    delay: float = 0.0
    temporary: bool = False
    malformed: bool = False
    banned: bool = False
    told: str = ""


Answer = Challenge | Welcome | Denied


class Logins:
    """What all connections of a process share."""

    def __init__(
        self,
        places: Places,
        settings: Auth,
        hostname: str,
        directory: Directory,
        note: Callable[[Event], None],
    ) -> None:
        """``note`` takes events in the event loop. Raises MtadError, OSError."""
        key = authkey.load(places.auth_key)
        tls_exporter.is_usable()  # found out now rather than at somebody's login
        self.settings = settings
        self.hostname = hostname
        self.decoy = key.decoy
        self.note = note
        self.verifier = Verifier(places.state_db, key, settings.remember_minutes * 60)
        self.attempts = Attempts(places.attempts)
        self.guard = Guard(self.attempts, settings)
        self.validator: Callable[[str], str | None] | None = None
        """Tells whose an OAuth token is; runs in a thread. Raises MtadError where it cannot."""
        self.directory = directory
        threads = min(MAX_THREADS, max(1, (os.cpu_count() or 1) - 1))
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="login")
        self._waiting = 0
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    def use(self, settings: Auth, hostname: str) -> None:
        """Go on with other settings; who is banned stays so."""
        self.settings, self.hostname = settings, hostname
        self.guard = Guard(self.attempts, settings)
        self.verifier.remember_seconds = settings.remember_minutes * 60

    async def close(self) -> None:
        """Finish what is under way and write down what is not yet."""
        await asyncio.get_running_loop().run_in_executor(self._threads, self.verifier.close)
        self._threads.shutdown()
        self.attempts.close()

    def offered(self, bindings: Mapping[str, bytes]) -> tuple[str, ...]:
        """The mechanisms for a connection, strongest first."""
        allowed = self.settings.mechanisms
        cram, bearer = self.directory.has_cram, self.validator is not None
        return offered(allowed, plus=bool(bindings), cram=cram, bearer=bearer)

    async def recent_login(self, ip: str, minutes: int) -> str | None:
        """The box that was read from an address within so many minutes (POP before SMTP)."""
        since = clock.now_us() - minutes * MINUTE
        return await self.in_thread(lambda: self.attempts.recent_login(ip, since, READING_SERVICES))

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Do slow work. Raises MtadError where too much of it waits."""
        if self._waiting >= MAX_WAITING:
            raise MtadError("too many logins at once")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1

    def was_wrong_before(self, mark: bytes) -> bool:
        """Whether a wrong password was counted already; a program repeats one for ever."""
        with self._lock:
            if mark in self._wrong:
                self._wrong.move_to_end(mark)
                return True
            self._wrong[mark] = None
            while len(self._wrong) > MAX_WRONG:
                self._wrong.popitem(last=False)
            return False


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of a message of the client, with the events that tell of it."""

    answer: Answer
    events: tuple[Event, ...] = ()
    counted: bool = False


class Caller:
    """One connection's attempts to log in; ``cn`` is its id. One exchange at a time."""

    def __init__(self, logins: Logins, cn: int, ip: str, service: str) -> None:
        self._logins = logins
        self._cn = cn
        self._ip = ip
        self._service = service
        self._mechanism: Mechanism | None = None
        self._password = ""
        self._tried: set[tuple[str, str]] = set()
        self.failures = 0
        """Failed logins so far, one wrong password counted once."""
        self.welcome: Welcome | None = None
        """Who was let in last."""

    async def begin(
        self, mechanism: str, response: bytes | None, bindings: Mapping[str, bytes]
    ) -> Answer:
        """Start an exchange with a mechanism that was offered; ``response`` is an initial one."""
        logins = self._logins
        channel = Channel(logins.hostname, logins.decoy, bindings)
        self._mechanism = make(mechanism, channel)
        return await self.answer(response)

    async def answer(self, response: bytes | None) -> Answer:
        """Take what the client says to a challenge."""
        mechanism = self._mechanism
        assert mechanism is not None
        step = mechanism.step(response)
        if isinstance(step, Challenge):
            return step
        try:
            settled = await self._logins.in_thread(lambda: self._settle(mechanism.name, step))
        except MtadError as error:
            log.error("nobody can log in: %s", error)
            return self._unable(mechanism.name, step, str(error))
        for event in settled.events:
            self._logins.note(event)
        self.failures += settled.counted
        if not isinstance(settled.answer, Challenge):
            self._mechanism = None
        if isinstance(settled.answer, Welcome):
            self.welcome = settled.answer
        return settled.answer

    def cancel(self, why: str = "the client gave up") -> None:
        """The client ended the exchange, or said what is no message at all."""
        if self._mechanism is not None:
            self._logins.note(self._failed(self._mechanism.name, Failure(why)))
        self._mechanism = None

    def _unable(self, mechanism: str, step: Step, why: str) -> Denied:
        login = "" if isinstance(step, Challenge) else step.login
        self._logins.note(self._failed(mechanism, Failure(why, login)))
        self._mechanism = None
        return Denied(temporary=True)

    # ------------------------------------------------------------- in a thread

    def _settle(self, mechanism: str, step: Step) -> Settled:
        """Answer a mechanism's questions until it has a challenge or a verdict."""
        now = clock.now_us()
        password = ""
        while not isinstance(step, Challenge | Success | Failure):
            box = normal(step.login)
            if why := self._refused(box, now):
                denied = Denied(self._delay(), banned=True)
                return Settled(denied, (self._failed(mechanism, Failure(why, step.login)),))
            verifier = self._logins.verifier
            if isinstance(step, PasswordCheck):
                password = step.password
                step = step.then(verifier.password(box, password))
            elif isinstance(step, KeysWanted):
                step = step.then(verifier.keys(box))
            elif isinstance(step, SecretWanted):
                step = step.then(verifier.secret(box))
            elif isinstance(step, TokenCheck):
                step = step.then(self._owner(step.token))
        if isinstance(step, Challenge):
            return Settled(step)
        if isinstance(step, Success):
            if self._logins.verifier.is_open(normal(step.login), step.name):
                if rule := self._rule(normal(step.login)):
                    return self._keep_out(mechanism, step, rule, password, now)
                return self._let_in(mechanism, step, now)
            step = Failure("the box is locked", step.login)
        return self._turn_away(mechanism, step, password, now)

    def _owner(self, token: str) -> str | None:
        """The box a token is good for."""
        validator = self._logins.validator
        return validator(token) if validator is not None else None

    def _let_in(self, mechanism: str, success: Success, now: int) -> Settled:
        box = normal(success.login)
        self._logins.verifier.used(box, success.name)
        self._guarded(lambda guard: guard.succeeded(self._ip, box, self._service, now), None)
        event = AuthOk(
            at=clock.now_us(),
            trace=self._cn,
            addr=box,
            ip=self._ip,
            actor=f"user:{box}",
            login=success.login[:MAX_SHOWN],
            mechanism=mechanism,
            service=self._service,
            password=success.name,
        )
        return Settled(Welcome(box, success.name, mechanism), (event,))

    def _rule(self, box: str) -> str:
        """The network rule that keeps the client out; empty where none does."""
        directory = self._logins.directory
        directory.refresh()
        return directory.rule_against(box, self._service, self._ip)

    def _keep_out(
        self, mechanism: str, success: Success, rule: str, password: str, now: int
    ) -> Settled:
        """The password is right and the network is not: to a stranger it was as good as wrong."""
        box = normal(success.login)
        event = AuthRefused(
            at=clock.now_us(),
            trace=self._cn,
            addr=box,
            ip=self._ip,
            actor="remote",
            login=success.login[:MAX_SHOWN],
            mechanism=mechanism,
            service=self._service,
            rule=rule,
        )
        is_known = self._guarded(lambda guard: guard.knows(self._ip, box, now), False)
        told = "this network may not be used for it" if is_known else ""
        again = self._is_again(mechanism, success.login, password)
        bans = () if again else self._count(box, now)
        return Settled(Denied(self._delay(), told=told), (event, *bans), not again)

    def _turn_away(self, mechanism: str, failure: Failure, password: str, now: int) -> Settled:
        """Count a failure that is a guess, unless it is an earlier one once more."""
        again = not failure.malformed and self._is_again(mechanism, failure.login, password)
        counted = not again and not failure.malformed
        bans = self._count(normal(failure.login), now) if counted else ()
        denied = Denied(self._delay(), malformed=failure.malformed)
        return Settled(denied, (self._failed(mechanism, failure, again=again), *bans), counted)

    def _count(self, box: str, now: int) -> tuple[Event, ...]:
        """Count a failure; the bans that follow from it."""
        none: list[Ban] = []
        bans = self._guarded(lambda guard: guard.failed(self._ip, box, now), none)
        return tuple(
            AuthBan(at=now, trace=self._cn, ip=self._ip, why=ban.why, until=ban.until)
            for ban in bans
        )

    def _is_again(self, mechanism: str, login: str, password: str) -> bool:
        """Whether a failure is an earlier one once more.

        The same wrong password counts once for a client, whatever the mechanism; so does what a
        client tries by one mechanism after the other on one connection, where the password is
        not seen.
        """
        again = False
        if password:
            mark = self._logins.verifier.fingerprint(self._ip, login, password)
            again = self._logins.was_wrong_before(mark)
        mechanisms = {tried for name, tried in self._tried if name == login}
        hidden = not password or not mechanisms & {"PLAIN", "LOGIN"}
        if mechanisms and mechanism not in mechanisms and hidden:
            again = True
        self._tried.add((login, mechanism))
        return again

    def _delay(self) -> float:
        doubled: float = 2 ** min(self.failures, MAX_DOUBLINGS)
        return self._logins.settings.fail_delay_seconds * doubled

    def _refused(self, box: str, now: int) -> str:
        """Why no password is looked at."""
        return self._guarded(lambda guard: guard.refuses(self._ip, box, now), "")

    def _guarded(self, ask: Callable[[Guard], T], otherwise: T) -> T:
        """Ask the guard; where its database fails, nobody is kept out for that."""
        try:
            return ask(self._logins.guard)
        except sa.exc.DatabaseError as error:
            log.warning("failed logins cannot be counted: %s", error.orig)
            return otherwise

    def _failed(self, mechanism: str, failure: Failure, *, again: bool = False) -> AuthFail:
        login = failure.login[:MAX_SHOWN]
        return AuthFail(
            at=clock.now_us(),
            trace=self._cn,
            addr=normal(login) if "@" in login else "",
            ip=self._ip,
            actor="remote",
            login=login,
            mechanism=mechanism,
            why=failure.why[:MAX_SHOWN],
            service=self._service,
            again=again,
        )

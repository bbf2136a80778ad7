"""One message to the recipients of one destination: whom to ask, in which order, and how."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from mtad import clock
from mtad.config import Outbound
from mtad.directory.transports import Transport
from mtad.dns import DnsError, Resolver
from mtad.outbound import command, hosts, security
from mtad.outbound.attempt import Kind, Note
from mtad.outbound.congestion import Pauses
from mtad.outbound.connection import Endpoint
from mtad.outbound.hosts import Addresses, NoRoute, Route
from mtad.outbound.login import Credentials
from mtad.outbound.own import OwnAddresses
from mtad.outbound.policies import Candidate, Policies, Unusable, Wishes
from mtad.outbound.pool import Pool
from mtad.outbound.protocol import Answer
from mtad.outbound.security import Contexts
from mtad.outbound.session import Dead, Opener, Session, Way, say_tls, say_transcript
from mtad.outbound.sts_cache import Found, StsCache
from mtad.outbound.transmission import Transmission
from tracing.sending import OutDns, OutTry

MAX_CONNECTS = 10
"""Addresses tried in one attempt."""
MAX_SESSIONS = 3
"""Servers of one attempt that were asked to take the message."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the settings give; made by ``courier.surroundings``."""

    hostname: str
    settings: Outbound
    resolver: Resolver
    contexts: Contexts
    own: OwnAddresses
    sts: StsCache | None = None


@dataclass(frozen=True, slots=True)
class Means:
    """What the deliveries of one courier share."""

    around: Surroundings
    opener: Opener
    pool: Pool
    pauses: Pauses
    policies: Policies
    now: Callable[[], float]


class Delivery:
    """One message's recipients of one destination."""

    def __init__(
        self,
        means: Means,
        sending: Transmission,
        transport: Transport,
        domain: str,
        key: str,
        note: Note,
    ) -> None:
        self._means = means
        self._around = means.around
        self._sending = sending
        self._transport = transport
        self._domain = domain
        self._wishes = Wishes(sending.mail.requiretls, sending.traits.tls_optional)
        self._tried: set[Endpoint] = set()
        """Servers that were asked to take the message in this attempt."""
        self._sts: Found | None = None
        self._candidate = Candidate("", "", 0, is_secure=False)
        """The host of the endpoint at hand."""
        self._pool_key = (key, transport, self._wishes)
        self._note = note
        self._m = sending.mail.m

    async def run(self) -> bool | None:
        """Whether the destination did its part; None where nothing was learnt of it."""
        if self._transport.kind == "error":
            enh, _, text = self._transport.text.partition(" ")
            kind: Kind = "deferred" if enh.startswith("4") else "failed"
            self._sending.end(Answer(kind, "policy", enh, why=text))
            return None
        if self._transport.kind == "command":
            seconds = self._around.settings.dot_timeout_seconds
            mail, recipients = self._sending.mail, self._sending.pending
            self._sending.settle(
                await command.deliver(self._transport.argv, mail, recipients, seconds)
            )
            return None
        worked = await self._over_kept()
        return worked if not self._sending.pending else await self._over_fresh()

    async def _over_kept(self) -> bool | None:
        """Use a connection that is open already, where there is one."""
        session = self._means.pool.take(self._pool_key)
        if session is None:
            return None
        connection = session.connection
        to = connection.endpoint
        self._note(
            OutTry(
                at=clock.now_us(),
                trace=self._m,
                host=to.host,
                ip=to.ip or to.path,
                cn=connection.cn,
                port=to.port,
                reused=connection.messages,
                source=to.source,
            )
        )
        return await self._use(session)

    async def _over_fresh(self) -> bool:
        """Try one host after the other until nobody is pending."""
        worked = False
        connects = sessions = 0
        last: Answer | None = None
        try:
            async for to in self._to_try():
                pause = f"{to.ip or to.path}:{to.port}"
                now = self._means.now()
                if why := self._means.pauses.why(pause, now):
                    answer = Answer(
                        "deferred", "connect", "4.4.1", why=f"not tried again yet: {why}"
                    )
                    self._sending.no_session(Dead(answer, 0, to, is_down=True))
                    continue
                way = await self._way(to)
                if way is None:
                    continue
                connects += 1
                found = await self._means.opener.open(to, way, self._m, self._note)
                if isinstance(found, Dead):
                    self._sending.no_session(found)
                    if found.is_down:
                        said = found.answer.reply.text if found.answer.reply else found.answer.why
                        self._means.pauses.failed(pause, said, self._means.now())
                else:
                    self._means.pauses.worked(pause)
                    if self._is_ourselves(found):
                        self._circle(found)
                        break
                    sessions += 1
                    worked = await self._use(found)
                if not self._sending.pending:
                    return worked
                if connects >= MAX_CONNECTS or sessions >= MAX_SESSIONS:
                    break
        except NoRoute as error:
            last = Answer(error.kind, "dns", error.enh, why=error.why)
        self._sending.end(last or Answer("deferred", "dns", "4.4.4", why="no host is left to try"))
        return worked

    async def _use(self, session: Session) -> bool:
        """Send over a session; keep it where it may be used again."""
        sending = self._sending
        try:
            held = await sending.over(session)
        except BaseException:
            session.connection.abort()
            raise
        if not session.is_stale and not sending.has_bystanders:
            self._tried.add(session.connection.endpoint)
        if sending.has_trouble:
            say_transcript(session.connection, self._m, self._note)
        self._means.pool.put(self._pool_key, session)
        return held

    # ------------------------------------------------------------------- where

    async def _to_try(self) -> AsyncIterator[Endpoint]:
        """Servers that were not asked yet; one again where it closed at another recipient."""
        async for to in self._endpoints():
            while to not in self._tried:
                yield to
                if not self._sending.has_bystanders:
                    break

    async def _endpoints(self) -> AsyncIterator[Endpoint]:
        """Where to connect, in order. Raises NoRoute, at the end where no host was of use."""
        transport = self._transport
        if transport.path:
            yield Endpoint(transport.path, path=transport.path)
            return
        route = await self._route()
        port = transport.port or self._around.settings.port
        troubles: list[NoRoute] = []
        found = 0
        for host in route.hosts:
            try:
                where = await self._addresses(route, host)
            except NoRoute as error:
                troubles.append(error)
                continue
            is_secure = where.secure and (route.secure or not route.is_by_mx)
            self._candidate = Candidate(host, where.alias, port, is_secure)
            for ip in where.ips:
                if self._is_direct and self._around.own.has(ip, port):
                    troubles.append(hosts.circle(self._domain))
                    break
                found += 1
                yield Endpoint(host, ip, port, source=self._source(ip))
        if not found:
            # What may pass comes first: one host that is only unreachable keeps the mail waiting.
            raise min(troubles, key=lambda trouble: trouble.kind != "deferred")

    @property
    def _is_direct(self) -> bool:
        """Whether the DNS decides, and not the operator."""
        return self._transport.kind == "mx"

    async def _route(self) -> Route:
        transport = self._transport
        name = self._domain if self._is_direct else transport.host
        try:
            if self._is_direct or transport.by_mx:
                route = await hosts.route(
                    self._around.resolver, name, self._around.hostname, hosts.shuffled
                )
            elif name.startswith("["):
                route = hosts.literal(name)
            else:
                route = Route((name,), "smart host" if transport.kind == "relay" else "transport")
        except NoRoute as error:
            self._say_dns(error.why, "")
            raise
        self._say_dns(" ".join(route.hosts), route.why, secure=route.secure)
        return route

    async def _addresses(self, route: Route, host: str) -> Addresses:
        if route.ip:
            return Addresses((route.ip,), secure=False, alias=host)
        try:
            found = await hosts.addresses(
                self._around.resolver, host, self._around.settings.ip_versions
            )
        except DnsError as error:
            kind: Kind = "deferred" if error.is_temporary else "failed"
            raise NoRoute(kind, "4.4.3" if error.is_temporary else "5.4.4", str(error)) from error
        if not found.ips:
            raise NoRoute("failed", "5.4.4", f"the host {host} has no address")
        return found

    def _source(self, ip: str) -> str:
        settings = self._around.settings
        return settings.source_ipv6 if ":" in ip else settings.source_ipv4

    def _say_dns(self, found: str, why: str, *, secure: bool = False) -> None:
        self._note(
            OutDns(
                at=clock.now_us(),
                trace=self._m,
                domain=self._domain,
                found=found,
                why=why,
                secure=secure,
            )
        )

    # --------------------------------------------------------------------- how

    async def _way(self, to: Endpoint) -> Way | None:
        """How to talk to a host, or None where its policy forbids it."""
        transport = self._transport
        credentials = None
        if transport.login:
            credentials = Credentials(transport.login, transport.password)
        policies = self._means.policies
        try:
            if transport.path:
                policy = security.NONE
            else:
                if self._sts is None:
                    self._sts = await policies.of_domain(self._domain, transport, self._wishes)
                policy = await policies.of_host(
                    self._candidate, self._domain, transport, self._sts, self._wishes
                )
        except Unusable as error:
            self._sending.no_session(Dead(error.answer, 0, to, is_down=False))
            say_tls(self._m, self._note, to, error.policy, error.answer.why)
            return None
        return Way(policy, credentials, lmtp=transport.kind == "lmtp")

    def _is_ourselves(self, session: Session) -> bool:
        greeted_by = session.connection.client.extensions.name
        return self._is_direct and greeted_by.lower() == self._around.hostname.lower()

    def _circle(self, session: Session) -> None:
        """An exchanger that turned out to be this server; those after it are no better."""
        session.connection.quit()
        found = hosts.circle(self._domain)
        answer = Answer("failed", "ehlo", found.enh, why=found.why)
        self._sending.no_session(
            Dead(answer, session.connection.cn, session.connection.endpoint, is_down=False)
        )

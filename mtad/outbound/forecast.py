"""Where mail to an address would go, found out as a delivery would and without one."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mtad.address import Address
from mtad.directory.lookup import Directory, Target
from mtad.directory.transports import Transport, Transports
from mtad.dns import DnsError
from mtad.outbound import hosts, security
from mtad.outbound.delivery import Surroundings
from mtad.outbound.hosts import NoRoute, Route
from mtad.outbound.policies import Candidate, Policies, Unusable, Wishes
from mtad.outbound.sts_cache import Found


@dataclass(frozen=True, slots=True)
class Host:
    """One host in the order they would be tried.

    ``trouble`` says why it would not be, ``is_final`` that waiting would not help.
    """

    host: str
    ips: Sequence[str] = ()
    port: int = 0
    tls: str = ""
    trouble: str = ""
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class Leg:
    """Where mail for one final recipient goes.

    ``way`` is box, mx, address, literal, smart host, lmtp, command, error or nowhere; ``says``
    what the operator's transport says, ``sts`` the MTA-STS mode of the domain, ``trouble`` why
    there would be no delivery, ``is_final`` that waiting would not help.
    """

    address: str
    way: str
    hosts: Sequence[Host] = ()
    says: str = ""
    sts: str = ""
    trouble: str = ""
    is_final: bool = False
    secure: bool = False


@dataclass(slots=True)
class Forecaster:
    """Answers for one set of settings."""

    around: Surroundings
    transports: Transports
    directory: Directory
    _policies: Policies = field(init=False)

    def __post_init__(self) -> None:
        usual = security.BY_NAME[self.around.settings.tls]
        self._policies = Policies(self.around.resolver, usual, self.around.sts)

    def targets(self, address: Address) -> Sequence[Target]:
        """Where the directory sends an address; empty where it is one of ours and unknown."""
        if self.directory.is_local(address.domain):
            return self.directory.resolve(address)
        return (Target(str(address), str(address), alias=False, remote=True),)

    async def leg(self, target: Target) -> Leg:
        """What would happen to mail for a target."""
        if not target.remote:
            return Leg(target.box, "box")
        domain = target.box.rpartition("@")[2]
        transport = self.transports.find(domain)
        says = "" if transport.pattern == "*" and transport.kind == "mx" else str(transport)
        if transport.kind == "error":
            is_final = transport.text.startswith("5")
            return Leg(target.box, "error", trouble=transport.text, is_final=is_final)
        if transport.kind == "command" or transport.path:
            return Leg(target.box, transport.kind, says=says)
        sts = await self._policies.of_domain(domain, transport, Wishes())
        try:
            route = await self._route(domain, transport)
            found = [await self._host(name, route, domain, transport, sts) for name in route.hosts]
        except NoRoute as error:
            is_final = error.kind == "failed"
            return Leg(target.box, "nowhere", says=says, trouble=error.why, is_final=is_final)
        waiting = [each for each in found if not each.is_final]
        trouble = "" if any(not each.trouble for each in found) else (waiting or found)[0].trouble
        mode = sts.policy.mode if sts.policy else sts.why
        return Leg(
            target.box, route.why, found, says, mode, trouble, not waiting, secure=route.secure
        )

    async def _route(self, domain: str, transport: Transport) -> Route:
        name = domain if transport.kind == "mx" else transport.host
        if transport.kind == "mx" or transport.by_mx:
            resolver, hostname = self.around.resolver, self.around.hostname
            return await hosts.route(resolver, name, hostname, hosts.shuffled)
        if name.startswith("["):
            return hosts.literal(name)
        return Route((name,), "smart host" if transport.kind == "relay" else "lmtp")

    async def _host(
        self, name: str, route: Route, domain: str, transport: Transport, sts: Found
    ) -> Host:
        port = transport.port or self.around.settings.port
        versions = self.around.settings.ip_versions
        try:
            if route.ip:
                found = hosts.Addresses((route.ip,), secure=False, alias=name)
            else:
                found = await hosts.addresses(self.around.resolver, name, versions)
        except DnsError as error:
            return Host(name, port=port, trouble=str(error), is_final=not error.is_temporary)
        if not found.ips:
            return Host(name, port=port, trouble="it has no address", is_final=True)
        if transport.kind == "mx" and any(self.around.own.has(ip, port) for ip in found.ips):
            return Host(name, found.ips, port, trouble="it is this server", is_final=True)
        is_secure = found.secure and (route.secure or not route.is_by_mx)
        candidate = Candidate(name, found.alias, port, is_secure)
        try:
            policy = await self._policies.of_host(candidate, domain, transport, sts, Wishes())
        except Unusable as error:
            return Host(name, found.ips, port, error.policy.name, error.answer.why)
        return Host(name, found.ips, port, policy.name)

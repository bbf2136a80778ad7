"""Which hosts take mail for a domain, in the order to try them (RFC 5321 5.1).

Exchangers by preference, random among equals; the domain itself where it has none (the implicit
MX); nobody where it says so (null MX, RFC 7505). Where one of the exchangers is this server,
only better ones remain, and none of them means that mail would go in a circle.
"""

import asyncio
import ipaddress
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mtad.dns import Answer, DnsError, Mx, Resolver
from mtad.outbound.attempt import Kind

MAX_HOSTS = 10
"""Exchangers looked at; a domain with more than that has them for nobody's good."""

Version = str
"""``ipv4`` or ``ipv6``."""


class NoRoute(Exception):
    """There is nobody to send to; ``kind`` tells whether that may change soon."""

    def __init__(self, kind: Kind, enh: str, why: str) -> None:
        super().__init__(why)
        self.kind: Kind = kind
        self.enh = enh
        self.why = why


@dataclass(frozen=True, slots=True)
class Route:
    """Host names in the order to try, or one address literal in ``ip``.

    ``why`` is mx, address, literal or smart host; ``secure`` that the list was authenticated.
    """

    hosts: Sequence[str]
    why: str
    secure: bool = False
    ip: str = ""

    @property
    def is_by_mx(self) -> bool:
        """Whether the domain's DNS named the hosts, the implicit MX among them."""
        return self.why in ("mx", "address")


async def route(
    resolver: Resolver, domain: str, hostname: str, shuffle: Callable[[list[Mx]], None]
) -> Route:
    """Where mail for a domain in normal form goes. Raises NoRoute."""
    if domain.startswith("["):
        return literal(domain)
    try:
        found = await resolver.mx(domain)
    except DnsError as error:
        raise _unknown(error) from error
    if not found.exists:
        raise NoRoute("failed", "5.1.2", f"the domain {domain} does not exist")
    exchangers = [mx for mx in found.records if mx.host]
    if not exchangers and found.records:
        raise NoRoute("failed", "5.1.10", f"{domain} takes no mail (null MX)")
    if not exchangers:
        if domain == hostname:
            raise circle(domain)
        return Route((domain,), "address", found.secure)
    shuffle(exchangers)
    exchangers.sort(key=lambda mx: mx.preference)
    ours = [mx.preference for mx in exchangers if mx.host == hostname.lower()]
    better = [mx.host for mx in exchangers if not ours or mx.preference < min(ours)]
    if not better:
        raise circle(domain)
    return Route(tuple(dict.fromkeys(better))[:MAX_HOSTS], "mx", found.secure)


def shuffled(exchangers: list[Mx]) -> None:
    """The order of exchangers with equal preference (RFC 5321 5.1: it must be random)."""
    random.shuffle(exchangers)


def literal(text: str) -> Route:
    """The route to an address literal such as ``[192.0.2.1]``. Raises NoRoute."""
    try:
        ip = ipaddress.ip_address(text.strip("[]").lower().removeprefix("ipv6:"))
    except ValueError as error:
        raise NoRoute("failed", "5.1.2", f"{text} is no address") from error
    return Route((text,), "literal", ip=str(ip))


@dataclass(frozen=True, slots=True)
class Addresses:
    """A host's addresses, none where it has none; ``alias`` is its name after CNAMEs.

    ``secure`` tells that all of that was authenticated.
    """

    ips: Sequence[str]
    secure: bool
    alias: str


async def addresses(resolver: Resolver, host: str, versions: Sequence[Version]) -> Addresses:
    """A host's addresses, of each version in turn. Raises DnsError when nobody knows."""
    asked = [resolver.ipv4(host) if v == "ipv4" else resolver.ipv6(host) for v in versions]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    lists: list[Sequence[str]] = []
    secure, alias = True, host
    trouble: DnsError | None = None
    for answer in answers:
        if isinstance(answer, Answer):
            lists.append(answer.records)
            alias = answer.name if answer.records else alias
            secure = secure and answer.secure
        elif isinstance(answer, DnsError):
            trouble = trouble or answer
            secure = False
        else:
            raise answer
    in_turn = [
        each[place]
        for place in range(max(map(len, lists), default=0))
        for each in lists
        if place < len(each)
    ]
    if not in_turn and trouble is not None:
        raise trouble
    return Addresses(in_turn, secure, alias)


def _unknown(error: DnsError) -> NoRoute:
    if error.is_temporary:
        return NoRoute("deferred", "4.4.3", str(error))
    return NoRoute("failed", "5.4.4", str(error))


def circle(domain: str) -> NoRoute:
    """An exchanger of the domain is this server, and none is better (RFC 5321 5.1)."""
    return NoRoute("failed", "5.4.6", f"mail for {domain} would come back to this server")

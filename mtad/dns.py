"""Questions to the domain name system; the one module that knows the library for it.

An answer without records is an answer: a name that does not exist, or has nothing of the kind
asked for, raises nothing. What raises is not knowing. Answers are cached as long as their TTL
says. Whether an answer is authenticated is the resolver's word (the AD bit, RFC 4035 3.2.3),
taken only where the operator says that the resolver validates and that the way to it is safe.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.resolver
import dns.reversename

PORT = 53
TIMEOUT_SECONDS = 10.0
PAYLOAD = 1232
"""Octets of an answer over UDP before TCP is used: no fragments on any path."""
CACHED = 10_000
"""Answers kept in memory."""

T = TypeVar("T")


class DnsError(Exception):
    """A question got no usable answer; ``is_temporary`` tells whether asking again may help."""

    def __init__(self, why: str, *, is_temporary: bool = True) -> None:
        super().__init__(why)
        self.is_temporary = is_temporary


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What there is under a name; ``exists`` is false for a name that does not exist at all.

    ``secure`` tells that the answer was authenticated, its absence of records included.
    ``name`` is the name asked for after its aliases (CNAME) were followed.
    """

    records: tuple[T, ...]
    secure: bool
    exists: bool
    name: str


@dataclass(frozen=True, slots=True)
class Mx:
    """A mail exchanger; ``host`` is empty for the null MX (RFC 7505)."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True)
class Tlsa:
    """A certificate association (RFC 6698 2.1)."""

    usage: int
    selector: int
    matching: int
    data: bytes


class Resolver:
    """Asks the name servers given, or those of the system where none are."""

    def __init__(
        self,
        nameservers: Sequence[str] = (),
        *,
        port: int = PORT,
        timeout_seconds: float = TIMEOUT_SECONDS,
        validates: bool = False,
    ) -> None:
        self._validates = validates
        self._resolver = _library_resolver(nameservers, port)
        # A server that is down costs a part of the time, so that another one gets its chance.
        self._resolver.timeout = timeout_seconds / 3
        self._resolver.lifetime = timeout_seconds
        self._resolver.cache = dns.resolver.LRUCache(CACHED)
        self._resolver.use_edns(0, 0, PAYLOAD)
        self._resolver.set_flags(dns.flags.RD | (dns.flags.AD if validates else 0))
        self._backend = dns.asyncbackend.get_backend("asyncio")

    async def mx(self, name: str) -> Answer[Mx]:
        """Mail exchangers, in no order. Raises DnsError."""
        return await self._ask(name, "MX", lambda rr: Mx(rr.preference, _text(rr.exchange)))

    async def ipv4(self, name: str) -> Answer[str]:
        """IPv4 addresses. Raises DnsError."""
        return await self._ask(name, "A", lambda rr: str(rr.address))

    async def ipv6(self, name: str) -> Answer[str]:
        """IPv6 addresses. Raises DnsError."""
        return await self._ask(name, "AAAA", lambda rr: str(rr.address))

    async def txt(self, name: str) -> Answer[bytes]:
        """Texts, the strings of each joined (RFC 7208 3.3). Raises DnsError."""
        return await self._ask(name, "TXT", lambda rr: b"".join(rr.strings))

    async def tlsa(self, name: str) -> Answer[Tlsa]:
        """Certificate associations. Raises DnsError."""
        return await self._ask(
            name, "TLSA", lambda rr: Tlsa(rr.usage, rr.selector, rr.mtype, rr.cert)
        )

    async def ptr(self, ip: str) -> Answer[str]:
        """Names of an IP address. Raises DnsError, and ValueError for what is no address."""
        try:
            name = dns.reversename.from_address(ip)
        except dns.exception.SyntaxError as error:
            raise ValueError(f"{ip!r} is not an IP address") from error
        return await self._ask(name.to_text(), "PTR", lambda rr: _text(rr.target))

    async def _ask(self, name: str, kind: str, value: Callable[[Any], T]) -> Answer[T]:
        try:
            asked = dns.name.from_text(name)
        except (dns.exception.DNSException, UnicodeError):
            # No name server can know a name that is none.
            return Answer((), secure=False, exists=False, name=name)
        try:
            found = await self._resolver.resolve(
                asked, kind, raise_on_no_answer=False, search=False, backend=self._backend
            )
        except dns.resolver.NXDOMAIN as error:
            said = error.kwargs["responses"][asked]
            return Answer((), secure=self._is_secure(said), exists=False, name=name)
        except dns.exception.DNSException as error:
            raise _failure(name, kind, error) from error
        except OSError as error:
            raise DnsError(f"{name} {kind}: {error.strerror or error}") from error
        records = tuple(value(rr) for rr in found.rrset) if found.rrset is not None else ()
        return Answer(
            records,
            secure=self._is_secure(found.response),
            exists=True,
            name=_text(found.canonical_name),
        )

    def _is_secure(self, response: dns.message.Message) -> bool:
        return self._validates and bool(response.flags & dns.flags.AD)


def _library_resolver(nameservers: Sequence[str], port: int) -> dns.asyncresolver.Resolver:
    if not nameservers:
        try:
            return dns.asyncresolver.Resolver()
        except dns.resolver.NoResolverConfiguration:
            # Without a name server every question fails for now, and says so.
            return dns.asyncresolver.Resolver(configure=False)
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = list(nameservers)
    resolver.port = port
    return resolver


def _failure(name: str, kind: str, error: dns.exception.DNSException) -> DnsError:
    """What went wrong, in words for the log."""
    if isinstance(error, dns.exception.Timeout):
        return DnsError(f"{name} {kind}: no answer in time")
    if isinstance(error, dns.resolver.YXDOMAIN):
        return DnsError(f"{name} {kind}: the name became too long", is_temporary=False)
    if isinstance(error, dns.resolver.NoNameservers):
        errors = [entry[3] for entry in error.kwargs.get("errors", ())]
        if any(isinstance(one, dns.message.ChainTooLong) for one in errors):
            return DnsError(f"{name} {kind}: its aliases lead in a circle", is_temporary=False)
        said = ", ".join(dict.fromkeys(_said(one) for one in errors)) or "no name server is known"
        return DnsError(f"{name} {kind}: {said}")
    return DnsError(f"{name} {kind}: {_said(error)}")


def _said(error: object) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error) if isinstance(error, str) else type(error).__name__


def _text(name: dns.name.Name) -> str:
    """A name in lower case without its last dot; empty for the root."""
    return name.to_text(omit_final_dot=True).lower() if name != dns.name.root else ""

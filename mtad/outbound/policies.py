"""Which TLS policy holds for a host: the operator's, then DANE, then MTA-STS, then the usual one.

RFC 7672 for DANE, RFC 8461 for MTA-STS (which gives way to DANE, RFC 8461 2), RFC 8689 for what
the sender wants of his own message.
"""

from dataclasses import dataclass, replace

from mtad.directory.transports import Transport
from mtad.dns import DnsError, Resolver
from mtad.outbound import dane, security
from mtad.outbound.protocol import Answer
from mtad.outbound.security import Policy
from mtad.outbound.sts_cache import Found, StsCache

NOT_THEIRS = "not an exchanger of the MTA-STS policy"


class Unusable(Exception):
    """A host must not be used; ``policy`` says whose rule it is, for the report."""

    def __init__(self, answer: Answer, policy: Policy) -> None:
        super().__init__(answer.why)
        self.answer = answer
        self.policy = policy


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the sender wants: REQUIRETLS, or TLS-Required: No."""

    requiretls: bool = False
    tls_optional: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A host that is about to be used.

    ``alias`` is its name after CNAMEs; ``is_secure`` that DNSSEC vouches for the way to it,
    exchanger and address both.
    """

    host: str
    alias: str
    port: int
    is_secure: bool


class Policies:
    """Finds policies; ``usual`` is the setting outbound.tls."""

    def __init__(self, resolver: Resolver, usual: Policy, sts: StsCache | None) -> None:
        self._resolver = resolver
        self._usual = usual
        self._sts = sts

    async def of_domain(self, domain: str, transport: Transport, wishes: Wishes) -> Found:
        """The MTA-STS policy that counts for mail to a domain."""
        if transport.kind != "mx" or transport.tls or domain.startswith("["):
            return Found()
        if self._sts is None or _is_free(wishes):
            return Found()
        return await self._sts.of(domain, self._resolver)

    async def of_host(
        self,
        candidate: Candidate,
        domain: str,
        transport: Transport,
        sts: Found,
        wishes: Wishes,
    ) -> Policy:
        """The policy for one host. Raises Unusable."""
        policy = await self._find(candidate, transport, sts, wishes)
        if transport.kind == "mx":
            # What a smart host does is no business of the recipient's domain.
            policy = replace(policy, domain=domain)
        if sts.failure and policy.name != "dane":
            policy = replace(policy, failure=sts.failure)
        if wishes.requiretls and not policy.proves_host:
            why = "REQUIRETLS: nothing proves that the server is the right one"
            raise Unusable(Answer("failed", "policy", "5.7.10", why=why), policy)
        if policy.name == "mta-sts" and sts.policy and not sts.policy.covers(candidate.host):
            if policy.verifies:
                answer = Answer("deferred", "policy", "4.7.1", why=NOT_THEIRS)
                raise Unusable(answer, policy)
            policy = replace(policy, failure=security.INVALID)
        return policy

    async def _find(
        self, candidate: Candidate, transport: Transport, sts: Found, wishes: Wishes
    ) -> Policy:
        if transport.tls:
            return security.BY_NAME[transport.tls]
        if transport.login:
            # A password is shown to nobody but the server it is for.
            return security.VERIFY
        if _is_free(wishes):
            return security.OPPORTUNISTIC
        if candidate.is_secure and (by_dane := await self._by_dane(candidate)) is not None:
            return by_dane
        if sts.policy is None or sts.policy.mode == "none":
            return self._usual
        rules = sts.policy.lines()
        if sts.policy.mode == "enforce":
            return Policy("mta-sts", "must", verifies=True, rules=rules)
        if self._usual.wish == "must":
            return replace(self._usual, wants_trust=True, rules=rules)
        return Policy("mta-sts", "may", wants_trust=True, rules=rules)

    async def _by_dane(self, candidate: Candidate) -> Policy | None:
        """RFC 7672 2.2: by the name after CNAMEs, else by the name before."""
        for name in dict.fromkeys((candidate.alias, candidate.host)):
            try:
                found = await self._resolver.tlsa(f"_{candidate.port}._tcp.{name}")
            except DnsError as error:
                # Not knowing is what an attacker would want to bring about.
                answer = Answer("deferred", "policy", "4.7.5", why=f"DANE: {error}")
                raise Unusable(answer, Policy("dane", "must", failure="dnssec-invalid")) from error
            if found.secure and found.records:
                return Policy(
                    "dane",
                    "must",
                    tlsa=tuple(dane.usable(found.records)),
                    names=(candidate.host, name),
                    rules=tuple(map(dane.text, found.records)),
                )
        return None


def _is_free(wishes: Wishes) -> bool:
    """Whether the sender lets his message go in clear (RFC 8689 5); REQUIRETLS outdoes it."""
    return wishes.tls_optional and not wishes.requiretls

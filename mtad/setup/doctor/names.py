"""Is in DNS what should be there: of the server, and of each of its domains."""

import asyncio
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any

from mtad.config import Loaded
from mtad.directory import connections, lookup
from mtad.directory.lookup import DkimKey
from mtad.dns import DnsError, Resolver
from mtad.errors import MtadError
from mtad.mailauth import keys, tags
from mtad.setup.doctor.check import Check, Verdict, in_thread, judged, unknown
from mtad.zone import Record

AT_ONCE = 20
"""Questions on the way at the same time."""
QUESTION_SECONDS = 5.0
DNS_SECONDS = 12.0
"""For all questions together; what is known by then is told."""


def resolver(loaded: Loaded) -> Resolver:
    """The one of the settings, with less patience."""
    dns = loaded.config.dns
    seconds = min(dns.timeout_seconds, QUESTION_SECONDS)
    return Resolver(dns.nameservers, port=dns.port, timeout_seconds=seconds)


async def dns(loaded: Loaded, ask: Resolver, seconds: float = DNS_SECONDS) -> Iterable[Check]:
    """All of them. Raises MtadError where the directory cannot be read."""

    def read() -> lookup.View:
        with connections.reading(loaded.places.state_db) as connection:
            return lookup.read(connection)

    view, hostname = await in_thread(read), loaded.config.hostname
    work = {"dns.address": addresses(ask, hostname)}
    for domain in sorted(view.domains):
        work[f"dns.mx:{domain}"] = mx(ask, domain, hostname)
        work[f"dns.spf:{domain}"] = spf(ask, domain)
        work[f"dns.dmarc:{domain}"] = dmarc(ask, domain)
        work[f"dns.dkim:{domain}"] = dkim(loaded, ask, domain, view.dkim_keys.get(domain, ()))
    return await _in_time(work, seconds)


async def _in_time(
    work: Mapping[str, Coroutine[Any, Any, list[Check]]], seconds: float
) -> list[Check]:
    """What was found out within a time; the rest is not known. Raises what a check raised."""
    gate, end = asyncio.Semaphore(AT_ONCE), asyncio.get_running_loop().time() + seconds
    why = f"the name servers did not answer within {seconds:g} s"
    fix = "look at dns.nameservers, or at the machine's own resolver"

    async def gated(name: str, one: Coroutine[Any, Any, list[Check]]) -> list[Check]:
        try:
            async with asyncio.timeout_at(end), gate:
                return await one
        except TimeoutError:
            return [unknown(name, "an answer", why, fix)]
        finally:
            one.close()

    found = await asyncio.gather(*(gated(*one) for one in work.items()))
    return [check for checks in found for check in checks]


async def addresses(ask: Resolver, hostname: str) -> list[Check]:
    """The server's addresses, and whether their reverse names are the server's."""
    name, expected = "dns.address", "an A or AAAA record"
    try:
        four, six = await asyncio.gather(ask.ipv4(hostname), ask.ipv6(hostname))
    except DnsError as error:
        return [unknown(name, expected, error)]
    found = [*four.records, *six.records]
    cause = "" if found else f"{hostname} has no address, so nobody finds the server"
    fix = f"publish an A record for {hostname} with this server's public address"
    first = judged(name, ", ".join(found) or "none", expected, cause, fix)
    return [first, *await asyncio.gather(*(_ptr(ask, ip, hostname) for ip in found))]


async def _ptr(ask: Resolver, ip: str, hostname: str) -> Check:
    try:
        found = (await ask.ptr(ip)).records
    except DnsError as error:
        return unknown(f"dns.ptr:{ip}", hostname, error)
    cause = "" if hostname.lower() in found else "many servers refuse mail from such an address"
    fix = f"let the provider of {ip} set its reverse name to {hostname}"
    return judged(f"dns.ptr:{ip}", ", ".join(found) or "none", hostname, cause, fix)


async def mx(ask: Resolver, domain: str, hostname: str) -> list[Check]:
    """Whether mail for a domain is led here."""
    name, expected = f"dns.mx:{domain}", hostname
    try:
        found = sorted((one.preference, one.host) for one in (await ask.mx(domain)).records)
    except DnsError as error:
        return [unknown(name, expected, error)]
    cause = ""
    if not found:
        cause = "without an MX record mail does not come here"
    elif hostname.lower() not in {host for _, host in found}:
        cause = "mail goes to another server"
    measured = ", ".join(f"{preference} {host or '.'}" for preference, host in found) or "none"
    return [judged(name, measured, expected, cause, f"publish: {domain}. IN MX 10 {hostname}.")]


async def spf(ask: Resolver, domain: str) -> list[Check]:
    """Whether there is one SPF record (RFC 7208 3.2, 4.5); it is not evaluated."""
    name, expected = f"dns.spf:{domain}", "one v=spf1 record without +all"
    try:
        texts = (await ask.txt(domain)).records
    except DnsError as error:
        return [unknown(name, expected, error)]
    found = [text for text in texts if text.lower().split(b" ")[0] == b"v=spf1"]
    cause, verdict = "", Verdict.BAD
    if not found:
        cause, verdict = "receivers cannot tell this server from forgers", Verdict.WARN
    elif len(found) > 1:
        cause = "more than one record is an error, and none counts"
    elif {b"+all", b"all"} & set(found[0].lower().split()):
        cause = "it lets everybody send for the domain"
    fix = f'publish one: {domain}. IN TXT "v=spf1 mx -all"'
    return [judged(name, _shown(found), expected, cause, fix, verdict=verdict)]


async def dmarc(ask: Resolver, domain: str) -> list[Check]:
    """Whether there is one DMARC record (RFC 7489 6.6.3)."""
    name, expected = f"dns.dmarc:{domain}", "one v=DMARC1 record"
    try:
        texts = (await ask.txt(f"_dmarc.{domain}")).records
    except DnsError as error:
        return [unknown(name, expected, error)]
    found = [text for text in texts if text.split(b";")[0].strip() == b"v=DMARC1"]
    cause = "" if len(found) == 1 else "more than one record counts as none" if found else (
        "large receivers want one, and forgeries go unreported"
    )  # fmt: skip
    fix = f'publish one: _dmarc.{domain}. IN TXT "v=DMARC1; p=none"'
    return [judged(name, _shown(found), expected, cause, fix, verdict=Verdict.WARN)]


async def dkim(loaded: Loaded, ask: Resolver, domain: str, held: Sequence[DkimKey]) -> list[Check]:
    """Whether each key that signs, or is to sign, is published as it is."""
    now = time.time() * 1_000_000
    current = [key for key in held if key.signs_until is None or now < key.signs_until]
    if not current:
        return [judged(f"dns.dkim:{domain}", "no key", "a key that signs",
                       "mail of the domain is not signed", f"run 'mtad dkim rotate {domain}'",
                       verdict=Verdict.WARN)]  # fmt: skip
    return [await _published(loaded, ask, domain, key.selector) for key in current]


async def _published(loaded: Loaded, ask: Resolver, domain: str, selector: str) -> Check:
    host = f"{selector}._domainkey.{domain}"
    name, expected = f"dns.dkim:{host}", "our public key"
    path = loaded.beside(keys.file_of(domain, selector))
    try:
        record = keys.record(domain, selector, keys.read(path))
    except MtadError as error:
        fix = f"'mtad dkim rotate {domain}' makes another key"
        return judged(name, "no key of ours", expected, str(error), fix)
    try:
        found = (await ask.txt(host)).records
    except DnsError as error:
        return unknown(name, expected, error)
    ours = _key(_joined(record))
    cause, measured = "", "our public key"
    if not found:
        cause, measured = "nobody can verify our signatures", "none"
    elif len(found) > 1 or _key(found[0]) != ours:
        cause, measured = "signatures do not verify", "another key"
    return judged(name, measured, expected, cause, f"publish: {host}. IN TXT {record.value}")


def _joined(record: Record) -> bytes:
    return record.value.replace('" "', "").strip('"').encode("ascii")


def _key(text: bytes) -> tuple[str, bytes] | None:
    """Kind and octets of a key record; None for what is none."""
    try:
        found = tags.parse(text)
        return found.get("k", "rsa"), tags.octets(found.get("p", ""))
    except ValueError:
        return None


def _shown(texts: Sequence[bytes]) -> str:
    return " | ".join(text.decode("utf-8", "replace")[:200] for text in texts[:3]) or "none"

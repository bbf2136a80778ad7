"""MTA-STS: records and policies as text, the fetch by HTTPS, what is kept, what it does to mail."""

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.dns import DnsError, Mx
from mtad.outbound import mta_sts
from mtad.outbound.https import Https
from mtad.outbound.mta_sts import BadPolicy, StsPolicy
from mtad.outbound.security import VERIFY, Contexts
from mtad.outbound.sts_cache import FetchFailed, Found, StsCache
from mtad.outbound.sts_fetch import StsFetcher
from tests.authority import Authority, self_signed
from tests.outbound import Names, sender
from tests.scripted_smtp import capabilities, remote

POLICY = (
    b"version: STSv1\r\nmode: enforce\r\nmx: mx.remote.test\r\nmx: *.more.test\r\nmax_age: 600\r\n"
)
ENFORCE = StsPolicy("enforce", ("mx.remote.test", "*.more.test"), 600)

# ------------------------------------------------------------------------------ text


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([b"v=STSv1; id=20260101;"], "20260101"),
        ([b"v=STSv1;id=a"], "a"),
        ([b"v=STSv1 ; x=y ; id = abc "], "abc"),
        ([b"v=spf1 -all", b"v=STSv1; id=1"], "1"),
        ([], ""),
        ([b"v=STSv1"], ""),
        ([b"v=STSv1; id="], ""),
        ([b"v=STSv1; id=a-b"], ""),
        ([b"v=STSv1; id=" + b"x" * 33], ""),
        ([b"v=STSv10; id=1"], ""),
        ([b" v=STSv1; id=1"], ""),
        ([b"v=STSv1; id=1", b"v=STSv1; id=2"], ""),
        ([b"v=STSv1; id=\xff"], ""),
    ],
)
def test_records(texts: Sequence[bytes], expected: str) -> None:
    assert mta_sts.record_id(texts) == expected


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (POLICY, ENFORCE),
        (POLICY.replace(b"\r\n", b"\n"), ENFORCE),
        (POLICY.replace(b"mx:", b"future: x\r\nmx:", 1), ENFORCE),
        (POLICY.replace(b": ", b"  :\t"), ENFORCE),
        (POLICY + b"mode: none\r\n", ENFORCE),
        (POLICY.replace(b"600", b"9999999999"), StsPolicy("enforce", ENFORCE.mx, mta_sts.MAX_AGE)),
        (b"version: STSv1\nmode: none\nmax_age: 1", StsPolicy("none", (), 1)),
    ],
)
def test_policies(octets: bytes, expected: StsPolicy) -> None:
    assert mta_sts.parse(octets) == expected


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"<html>not found</html>",
        b"\xff",
        POLICY.replace(b"STSv1", b"STSv2"),
        POLICY.replace(b"enforce", b"Enforce"),
        POLICY.replace(b"600", b"-1"),
        POLICY.replace(b"600", b""),
        POLICY.replace(b"max_age: 600", b""),
        POLICY.replace(b"mx.remote.test", b"mx.*.test"),
        POLICY.replace(b"mx.remote.test", b""),
        b"version: STSv1\nmode: enforce\nmax_age: 600\n",
        b"version: STSv1\nmode: enforce\nmax_age: 600\n" + b"mx: a.test\n" * 101,
        POLICY + b"x" * mta_sts.MAX_POLICY,
        POLICY + b"no field at all",
    ],
)
def test_what_is_no_policy(octets: bytes) -> None:
    with pytest.raises(BadPolicy):
        mta_sts.parse(octets)


@given(st.binary(max_size=300), st.integers(0, 100))
def test_any_octets_are_a_policy_or_none(octets: bytes, at: int) -> None:
    for text in (octets, POLICY[:at] + octets + POLICY[at:]):
        with contextlib.suppress(BadPolicy):
            policy = mta_sts.parse(text)
            assert mta_sts.parse("\n".join(policy.lines()).encode()) == policy


def test_exchangers() -> None:
    assert ENFORCE.covers("MX.remote.test")
    assert ENFORCE.covers("a.more.test")
    assert not ENFORCE.covers("a.b.more.test")
    assert not ENFORCE.covers("more.test")
    assert not ENFORCE.covers("xmx.remote.test")


# ----------------------------------------------------------------------------- fetch


@dataclass
class Web:
    """An HTTPS server; ``respond`` gives the octets of an answer, None keeps silent."""

    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    response: bytes | None = b""


def page(body: bytes, status: str = "200 OK", kind: str = "text/plain", more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


@contextlib.asynccontextmanager
async def web(context: ssl.SSLContext, response: bytes | None) -> AsyncIterator[Web]:
    made = Web(response=response)
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            made.requests.append(head)
            if length := re.search(rb"Content-Length: (\d+)", head):
                made.bodies.append(await reader.readexactly(int(length[1])))
            if made.response is None:
                await reader.read()
            else:
                writer.write(made.response)
                await writer.drain()
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def trusted(authority: Authority, tmp_path: Path) -> Path:
    return authority.file(tmp_path / "authority.pem")


WEB = {("mta-sts.remote.test", "A"): ("127.0.0.1",)}


def fetcher(port: int, ca_file: Path, seconds: float = 5) -> StsFetcher:
    context = Contexts(ca_file).of(VERIFY)
    return StsFetcher(Https(Names(WEB), context, ("ipv4",), seconds=seconds), port=port)


async def test_the_policy_comes_by_https(
    authority: Authority, trusted: Path, tmp_path: Path
) -> None:
    context = authority.issue("mta-sts.remote.test").context(tmp_path)
    async with web(context, page(POLICY, kind="Text/Plain; charset=utf-8")) as there:
        fetch = fetcher(there.port, trusted)
        assert await fetch("remote.test") == POLICY
        (request,) = there.requests
        assert request.startswith(b"GET /.well-known/mta-sts.txt HTTP/1.1\r\n")
        assert request.count(b"Host: mta-sts.remote.test\r\n") == 1
        chunks = b"".join(b"%x\r\n%s\r\n" % (1, POLICY[at : at + 1]) for at in range(len(POLICY)))
        there.response = (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
            + chunks
            + b"0\r\n\r\n"
        )
        assert await fetch("remote.test") == POLICY


BAD_PAGES = [
    (page(POLICY, "404 Not Found"), "HTTP status 404"),
    (page(POLICY, "302 Found", more="Location: https://evil.test/\r\n"), "HTTP status 302"),
    (page(POLICY, "204 No Content"), "HTTP status 204"),
    (page(POLICY, kind="text/html"), "media type 'text/html'"),
    (page(b"x" * 70_000), "too long"),
    (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" + b"x" * 70_000, "too long"),
    (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "100 headers"),
    (b"220 smtp\r\n", "220 smtp"),
    (b"", "without response"),
    (page(POLICY)[:-10], "broke off"),
    (None, "in time"),
]


@pytest.mark.parametrize(("response", "why"), BAD_PAGES, ids=[why for _, why in BAD_PAGES])
async def test_what_is_not_a_policy_file(
    response: bytes | None, why: str, authority: Authority, trusted: Path, tmp_path: Path
) -> None:
    context = authority.issue("mta-sts.remote.test").context(tmp_path)
    async with web(context, response) as there:
        with pytest.raises(FetchFailed, match=re.escape(why)) as failed:
            await fetcher(there.port, trusted, seconds=0.5)("remote.test")
        assert failed.value.kind == (
            "sts-policy-invalid" if "long" in why else "sts-policy-fetch-error"
        )


@pytest.mark.parametrize("certificate", ["self-signed", "wrong name", "expired"])
async def test_the_certificate_must_be_good(
    certificate: str, authority: Authority, trusted: Path, tmp_path: Path
) -> None:
    issued = {
        "self-signed": lambda: self_signed("mta-sts.remote.test"),
        "wrong name": lambda: authority.issue("remote.test"),
        "expired": lambda: authority.issue("mta-sts.remote.test", days=(-9, -1)),
    }[certificate]()
    async with web(issued.context(tmp_path), page(POLICY)) as there:
        with pytest.raises(FetchFailed, match=certificate) as failed:
            await fetcher(there.port, trusted)("remote.test")
        assert failed.value.kind == "sts-webpki-invalid"
        assert there.requests == []


async def test_nobody_there(trusted: Path) -> None:
    with pytest.raises(FetchFailed, match="refused"):
        await fetcher(1, trusted)("remote.test")
    with pytest.raises(FetchFailed, match="no address"):
        await fetcher(1, trusted)("other.test")


# ----------------------------------------------------------------------------- cache


class Files:
    """Policy files in a dictionary instead of the web."""

    def __init__(self, **files: bytes | FetchFailed) -> None:
        self.files: dict[str, bytes | FetchFailed] = {"remote.test": POLICY, **files}
        self.fetched = 0
        self.gate: Callable[[], Awaitable[None]] | None = None

    async def __call__(self, domain: str) -> bytes:
        self.fetched += 1
        if self.gate is not None:
            await self.gate()
        found = self.files[domain]
        if isinstance(found, FetchFailed):
            raise found
        return found


def record(id: str) -> dict[tuple[str, str], Any]:
    return {("_mta-sts.remote.test", "TXT"): (f"v=STSv1; id={id}".encode(),)}


async def test_a_policy_is_fetched_once_and_kept(tmp_path: Path) -> None:
    files, now = Files(), [1_000_000_000]
    cache = StsCache(tmp_path, files, lambda: now[0])
    names = Names(record("1"))
    assert await cache.of("remote.test", names) == Found(ENFORCE)
    assert await cache.of("remote.test", names) == Found(ENFORCE)
    assert files.fetched == 1
    again = StsCache(tmp_path, files, lambda: now[0])
    assert await again.of("remote.test", names) == Found(ENFORCE)
    assert files.fetched == 1, "it survives a restart"
    assert await again.of("other.test", names) == Found()


async def test_another_id_means_another_policy(tmp_path: Path) -> None:
    files, now = Files(), [1_000_000_000]
    cache = StsCache(tmp_path, files, lambda: now[0])
    await cache.of("remote.test", Names(record("1")))
    files.files["remote.test"] = POLICY.replace(b"enforce", b"testing")
    found = await cache.of("remote.test", Names(record("2")))
    assert found.policy is not None
    assert found.policy.mode == "testing"


async def test_a_valid_policy_outlives_trouble_and_attackers(tmp_path: Path) -> None:
    files, now = Files(), [1_000_000_000]
    cache = StsCache(tmp_path, files, lambda: now[0])
    await cache.of("remote.test", Names(record("1")))
    # The record is gone, or nobody knows: no way out of the policy.
    assert await cache.of("remote.test", Names({})) == Found(ENFORCE)
    unknown = Names({("_mta-sts.remote.test", "TXT"): DnsError("SERVFAIL")})
    assert await cache.of("remote.test", unknown) == Found(ENFORCE)
    # A new id whose policy cannot be had.
    files.files["remote.test"] = FetchFailed("sts-webpki-invalid", "expired")
    found = await cache.of("remote.test", Names(record("2")))
    assert found == Found(ENFORCE, "sts-webpki-invalid", "expired")
    # Until its time is over.
    now[0] += 601 * 1_000_000
    assert await cache.of("remote.test", Names({})) == Found()
    found = await cache.of("remote.test", Names(record("2")))
    assert found == Found(None, "sts-webpki-invalid", "expired")


async def test_a_failure_is_not_asked_for_again_at_once(tmp_path: Path) -> None:
    files, now = Files(), [1_000_000_000]
    files.files["remote.test"] = b"nonsense"
    cache = StsCache(tmp_path, files, lambda: now[0])
    for _ in range(3):
        found = await cache.of("remote.test", Names(record("1")))
        assert (found.policy, found.failure) == (None, "sts-policy-invalid")
    assert files.fetched == 1
    now[0] += 301 * 1_000_000
    files.files["remote.test"] = POLICY
    assert await cache.of("remote.test", Names(record("1"))) == Found(ENFORCE)


async def test_many_wait_for_one_fetch(tmp_path: Path) -> None:
    files = Files()
    gate = asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    files.gate = wait
    cache = StsCache(tmp_path, files)
    asked = [asyncio.ensure_future(cache.of("remote.test", Names(record("1")))) for _ in range(5)]
    await asyncio.sleep(0.05)
    asked[0].cancel()
    gate.set()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert found[1:] == [Found(ENFORCE)] * 4
    assert files.fetched == 1


async def test_a_policy_is_renewed_before_it_ends(tmp_path: Path) -> None:
    files, now = Files(), [1_000_000_000]
    cache = StsCache(tmp_path, files, lambda: now[0])
    names = Names(record("1"))
    await cache.of("remote.test", names)
    now[0] += 400 * 1_000_000
    files.files["remote.test"] = POLICY.replace(b"600", b"900")
    assert await cache.of("remote.test", names) == Found(ENFORCE), "nobody waits for it"
    await asyncio.sleep(0.1)
    assert files.fetched == 2
    now[0] += 400 * 1_000_000
    found = await cache.of("remote.test", names)
    assert found.policy is not None
    assert found.policy.max_age == 900


@pytest.mark.parametrize("octets", [b"", b"{", b"[]", b'{"id": 1}', b"\xff", b'{"policy": [1]}'])
async def test_a_damaged_file_was_never_there(tmp_path: Path, octets: bytes) -> None:
    files = Files()
    await StsCache(tmp_path, files).of("remote.test", Names(record("1")))
    (path,) = (tmp_path / "mta-sts").iterdir()
    path.write_bytes(octets)
    assert await StsCache(tmp_path, files).of("remote.test", Names(record("1"))) == Found(ENFORCE)
    assert files.fetched == 2


async def test_a_disk_that_is_full_costs_the_memory_only(tmp_path: Path) -> None:
    (tmp_path / "mta-sts").write_text("a file where the folder should be")
    cache = StsCache(tmp_path, Files())
    assert await cache.of("remote.test", Names(record("1"))) == Found(ENFORCE)


# ------------------------------------------------------------------------------ mail

NAMES = {
    ("remote.test", "MX"): (Mx(10, "mx.remote.test"), Mx(20, "mx.other.test")),
    ("mx.remote.test", "A"): ("127.0.0.1",),
    ("mx.other.test", "A"): ("127.0.0.1",),
    **record("1"),
}
OFFERED = {"ehlo": capabilities("PIPELINING", "STARTTLS")}


def policy(mode: str) -> StsCache:
    files = Files()
    files.files["remote.test"] = POLICY.replace(b"enforce", mode.encode())
    return StsCache(None, files)


async def test_enforced_and_kept(authority: Authority, trusted: Path, tmp_path: Path) -> None:
    context = authority.issue("mx.remote.test").context(tmp_path)
    async with (
        remote(OFFERED, tls=context) as there,
        sender(NAMES, sts=policy("enforce"), port=there.port, ca_file=trusted) as us,
    ):
        outcome = await us.one()
        assert (outcome.kind, outcome.verdict) == ("delivered", "trusted")
        (event,) = us.all("out.tls")
        assert (event.policy, event.failure, event.domain) == ("mta-sts", "", "remote.test")
        assert event.rules == ENFORCE.lines()


async def test_enforced_and_broken(authority: Authority, trusted: Path, tmp_path: Path) -> None:
    """Neither a wrong certificate nor a host that is not listed gets the mail."""
    context = authority.issue("wrong.test").context(tmp_path)
    async with (
        remote(OFFERED, tls=context) as there,
        sender(NAMES, sts=policy("enforce"), port=there.port, ca_file=trusted) as us,
    ):
        outcome = await us.one()
        assert (outcome.kind, outcome.stage) == ("deferred", "tls")
        assert outcome.why == "TLS failed: wrong name"
        assert there.transactions == []
        assert there.connections == 1
        first, second = us.all("out.tls")
        assert (first.host, first.failure) == ("mx.remote.test", "certificate-host-mismatch")
        assert (second.host, second.failure) == ("mx.other.test", "validation-failure")


async def test_enforced_without_starttls() -> None:
    async with remote() as there, sender(NAMES, sts=policy("enforce"), port=there.port) as us:
        assert (await us.one()).kind == "deferred"
        assert there.transactions == []
        assert us.all("out.tls")[0].failure == "starttls-not-supported"


async def test_testing_delivers_and_tells(tmp_path: Path) -> None:
    context = self_signed("mx.remote.test").context(tmp_path)
    async with (
        remote(OFFERED, tls=context) as there,
        sender(NAMES, sts=policy("testing"), port=there.port) as us,
    ):
        outcome = await us.one()
        assert (outcome.kind, outcome.verdict) == ("delivered", "self-signed")
        (event,) = us.all("out.tls")
        assert (event.policy, event.failure) == ("mta-sts", "certificate-not-trusted")


async def test_none_means_none(tmp_path: Path) -> None:
    async with remote() as there, sender(NAMES, sts=policy("none"), port=there.port) as us:
        assert (await us.one()).kind == "delivered"
        assert us.all("out.tls")[0].policy == "opportunistic"


async def test_a_policy_that_cannot_be_had_is_told_of() -> None:
    files = Files()
    files.files["remote.test"] = FetchFailed("sts-webpki-invalid", "expired")
    cache = StsCache(None, files)
    async with remote() as there, sender(NAMES, sts=cache, port=there.port) as us:
        assert (await us.one()).kind == "delivered"
        (event,) = us.all("out.tls")
        assert (event.policy, event.failure) == ("opportunistic", "sts-webpki-invalid")

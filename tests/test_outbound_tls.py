"""TLS with remote servers: policies, certificates, falling back and not falling back."""

import asyncio
import hashlib
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uvloop

from mtad.clock import now
from mtad.directory.transports import TlsMode, Transport
from mtad.dns import DnsError, Mx, Tlsa
from mtad.outbound import dane, mta_sts
from mtad.outbound.certificates import Authorities, covers, judge
from tests.authority import Authority, Issued, self_signed
from tests.outbound import Names, sender
from tests.scripted_smtp import DROP, capabilities, remote

HOST = "mx.remote.test"
NAMES = {
    ("remote.test", "MX"): (Mx(10, HOST),),
    (HOST, "A"): ("127.0.0.1",),
}
OFFERED = {"ehlo": capabilities("PIPELINING", "8BITMIME", "STARTTLS")}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def trusted(authority: Authority, tmp_path: Path) -> Path:
    return authority.file(tmp_path / "authority.pem")


def tls(names: Any = NAMES, mode: TlsMode = "", **settings: Any) -> Any:
    transports = [Transport("*", "mx", tls=mode)] if mode else []
    return sender(names, *transports, **settings)


# --------------------------------------------------------------------- opportunistic


CERTIFICATES: dict[str, Callable[[Authority], Issued]] = {
    "trusted": lambda authority: authority.issue(HOST, send_authority=True),
    "wrong name": lambda authority: authority.issue("other.test"),
    "expired": lambda authority: authority.issue(HOST, days=(-9, -2)),
    "not yet valid": lambda authority: authority.issue(HOST, days=(2, 9)),
    "self-signed": lambda authority: self_signed(HOST),
    "unknown issuer": lambda authority: Authority("another").issue(HOST),
}


@pytest.mark.parametrize("verdict", CERTIFICATES)
async def test_any_certificate_encrypts(
    verdict: str, authority: Authority, trusted: Path, tmp_path: Path
) -> None:
    context = CERTIFICATES[verdict](authority).context(tmp_path)
    async with remote(OFFERED, tls=context) as there, tls(port=there.port, ca_file=trusted) as us:
        outcome = await us.one()
        assert outcome.kind == "delivered"
        assert outcome.verdict == verdict
        assert outcome.tls.startswith("TLSv1.3 TLS_")
        (event,) = us.all("out.tls")
        assert (event.policy, event.verdict, event.version) == (
            *("opportunistic", verdict),
            "TLSv1.3",
        )
        assert (event.domain, event.failure, event.source) == ("remote.test", "", "127.0.0.1")
        assert there.handshakes == 1
        assert [line[:4] for line in there.commands[:3]] == ["EHLO", "STAR", "EHLO"]
        again = await us.one()
        assert (again.verdict, there.connections) == (verdict, 1)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_on_both_event_loops(loop: str, tmp_path: Path) -> None:
    context = self_signed(HOST).context(tmp_path)

    async def story() -> None:
        async with remote(OFFERED, tls=context) as there, tls(port=there.port) as us:
            assert (await us.one()).tls.startswith("TLSv1.3")
            large = b"Subject: x\n\n" + b"0123456789abcde\n" * 50_000
            assert (await us.one(content=large)).kind == "delivered"
            assert there.messages[1] == large.replace(b"\n", b"\r\n")

    run = uvloop.run if loop == "uvloop" else asyncio.run
    run(story())


async def test_without_starttls_it_goes_in_clear_and_says_so() -> None:
    async with remote() as there, tls(port=there.port) as us:
        outcome = await us.one()
        assert (outcome.kind, outcome.tls) == ("delivered", "")
        assert outcome.verdict == "clear text: not offered"
        (event,) = us.all("out.tls")
        assert (event.verdict, event.failure) == ("not offered", "starttls-not-supported")


async def test_a_refused_starttls_leads_to_clear_text(tmp_path: Path) -> None:
    answers = {**OFFERED, "starttls": "454 4.7.0 TLS not available"}
    async with remote(answers) as there, tls(port=there.port) as us:
        outcome = await us.one()
        assert outcome.kind == "delivered"
        assert outcome.verdict == "clear text: refused: 454 4.7.0 TLS not available"
        assert there.connections == 1


def broken_tls(folder: Path) -> ssl.SSLContext:
    """A server that has nothing in common with us."""
    context = self_signed(HOST).context(folder)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0")
    return context


async def test_a_failed_handshake_leads_to_clear_text_on_another_connection(
    tmp_path: Path,
) -> None:
    async with remote(OFFERED, tls=broken_tls(tmp_path)) as there, tls(port=there.port) as us:
        outcome = await us.one()
        assert (outcome.kind, outcome.tls) == ("delivered", "")
        assert outcome.verdict.startswith("clear text: ")
        assert outcome.verdict.endswith(("connection lost", "handshake failure"))
        assert there.connections == 2
        assert there.commands[-4:-3] == ["EHLO mx.local.test"]
        assert len(us.all("out.try")) == 2
        (event,) = us.all("out.tls")
        assert (event.version, event.failure) == ("", "validation-failure")
        assert len(us.all("out.transcript")) == 1


@pytest.mark.parametrize("mode", ["required", "verify"])
async def test_where_tls_is_needed_nothing_goes_in_clear(mode: TlsMode, tmp_path: Path) -> None:
    async with (
        remote(OFFERED, tls=broken_tls(tmp_path)) as there,
        tls(mode=mode, port=there.port) as us,
    ):
        outcome = await us.one()
        assert (outcome.kind, outcome.stage, outcome.enh) == ("deferred", "tls", "4.7.5")
        assert there.connections == 1
        there.answers["starttls"] = "454 4.7.0 TLS not available"
        outcome = await us.one()
        assert (outcome.kind, outcome.stage, outcome.enh) == ("deferred", "starttls", "4.7.0")
        assert outcome.reply == "454 4.7.0 TLS not available"
        del there.answers["ehlo"]
        outcome = await us.one()
        assert (outcome.kind, outcome.stage, outcome.enh) == ("deferred", "starttls", "4.7.4")
        assert outcome.why == "STARTTLS is not offered"
        assert there.transactions == []


async def test_the_setting_holds_without_a_transport() -> None:
    async with remote() as there, tls(port=there.port, tls="required") as us:
        assert (await us.one()).stage == "starttls"
    async with remote(OFFERED) as there, tls(port=there.port, tls="none") as us:
        assert (await us.one()).verdict == "clear text"
        assert "STARTTLS" not in there.commands


@pytest.mark.parametrize("verdict", CERTIFICATES)
async def test_verify(verdict: str, authority: Authority, trusted: Path, tmp_path: Path) -> None:
    context = CERTIFICATES[verdict](authority).context(tmp_path)
    async with (
        remote(OFFERED, tls=context) as there,
        tls(mode="verify", port=there.port, ca_file=trusted) as us,
    ):
        outcome = await us.one()
        if verdict == "trusted":
            assert (outcome.kind, outcome.verdict) == ("delivered", "trusted")
            return
        assert (outcome.kind, outcome.stage, outcome.enh) == ("deferred", "tls", "4.7.5")
        assert outcome.verdict == verdict
        assert outcome.why == f"TLS failed: {verdict}"
        assert there.transactions == []
        assert there.connections == 1


async def test_an_address_as_smart_host(tmp_path: Path) -> None:
    async with remote(OFFERED, tls=self_signed(HOST).context(tmp_path)) as there:
        transport = Transport("*", "relay", "[127.0.0.1]", there.port, tls="required")
        async with sender({}, transport) as us:
            outcome = await us.one()
            assert (outcome.kind, outcome.verdict) == ("delivered", "self-signed")
            assert outcome.host == "[127.0.0.1]"


async def test_implicit_tls(authority: Authority, trusted: Path, tmp_path: Path) -> None:
    context = authority.issue("smart.test").context(tmp_path)
    names = {("smart.test", "A"): ("127.0.0.1",)}
    answers = {"ehlo": capabilities("AUTH PLAIN LOGIN")}
    async with remote(answers, tls=context, implicit=True) as there:
        transport = Transport(
            *("*", "relay", "smart.test", there.port),
            tls="implicit",
            login="me",
            password="s3cret",
        )
        async with sender(names, transport, ca_file=trusted) as us:
            outcome = await us.one("b@far.test")
            assert (outcome.kind, outcome.verdict) == ("delivered", "trusted")
            assert there.commands[1] == "AUTH PLAIN AG1lAHMzY3JldA=="
            assert "STARTTLS" not in there.commands
            said = repr(us.events)
            assert "AG1lAHMzY3JldA" not in said
            assert "s3cret" not in said
        async with sender(names, transport) as us:
            outcome = await us.one("b@far.test")
            assert (outcome.stage, outcome.verdict) == ("tls", "unknown issuer")
        async with remote(answers) as clear:
            plain = Transport("*", "relay", "smart.test", clear.port, tls="implicit")
            async with sender(names, plain, connect_timeout_seconds=1) as us:
                assert (await us.one("b@far.test")).kind == "deferred"


async def test_a_password_goes_to_the_right_server_only(
    authority: Authority, trusted: Path, tmp_path: Path
) -> None:
    """Without --tls a login means that the certificate must be valid."""
    context = authority.issue("other.test").context(tmp_path)
    answers = {"ehlo": capabilities("STARTTLS", "AUTH PLAIN LOGIN")}
    names = {("smart.test", "A"): ("127.0.0.1",)}
    async with remote(answers, tls=context) as there:
        transport = Transport("*", "relay", "smart.test", there.port, login="me", password="word")
        async with sender(names, transport, ca_file=trusted) as us:
            outcome = await us.one()
            assert (outcome.stage, outcome.verdict) == ("tls", "wrong name")
            assert not any(line.startswith("AUTH") for line in there.commands)


async def test_what_was_said_before_tls_counts_for_nothing(tmp_path: Path) -> None:
    """Replies injected in clear behind the 220 must not be answers to what is asked in TLS."""
    context = self_signed(HOST).context(tmp_path)
    injected = "220 go ahead\r\n250-evil.test\r\n250 AUTH PLAIN\r\n250 ok\r\n550 no"
    answers = {**OFFERED, "starttls": injected, "rcpt": "250 2.1.5 ok"}
    async with remote(answers, tls=context) as there, tls(mode="required", port=there.port) as us:
        outcome = await us.one()
        # They reach us in one piece with the 220 and are dropped, or later and break TLS.
        if outcome.kind == "delivered":
            assert outcome.reply == "250 2.0.0 Ok: queued as 4ABCD1234"
            assert len(there.messages) == 1
        else:
            assert outcome.stage in ("tls", "ehlo")


async def test_extensions_are_those_said_under_tls(tmp_path: Path) -> None:
    context = self_signed(HOST).context(tmp_path)
    count = 0

    def greeting(argument: str) -> str:
        nonlocal count
        count += 1
        return capabilities("STARTTLS", "SIZE 10") if count == 1 else capabilities("SIZE 5000")

    async with remote({"ehlo": greeting}, tls=context) as there, tls(port=there.port) as us:
        assert (await us.one()).kind == "delivered"


# ------------------------------------------------------------------------------ DANE


def tlsa(issued: Issued, usage: int = 3, selector: int = 1, matching: int = 1) -> Tlsa:
    data = issued.spki if selector else issued.der
    digests = (data, hashlib.sha256(data).digest(), hashlib.sha512(data).digest())
    return Tlsa(usage, selector, matching, digests[matching])


def with_dane(port: int, *records: Tlsa, insecure: tuple[str, ...] = ()) -> Names:
    names = Names({**NAMES, (f"_{port}._tcp.{HOST}", "TLSA"): records}, validates=True)
    names.insecure = set(insecure)
    return names


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
@pytest.mark.parametrize("usage", [2, 3])
async def test_dane_matches(
    usage: int, selector: int, matching: int, authority: Authority, tmp_path: Path
) -> None:
    issued = authority.issue(HOST, send_authority=True)
    record = tlsa(issued if usage == 3 else authority.own, usage, selector, matching)
    other = tlsa(self_signed("x.test"))
    async with (
        remote(OFFERED, tls=issued.context(tmp_path)) as there,
        tls(with_dane(there.port, other, record), port=there.port) as us,
    ):
        outcome = await us.one()
        assert (outcome.kind, outcome.verdict) == ("delivered", "dane match")
        (event,) = us.all("out.tls")
        assert (event.policy, event.failure) == ("dane", "")
        assert event.rules[0] == dane.text(other)


async def test_dane_does_not_match(authority: Authority, tmp_path: Path) -> None:
    context = authority.issue(HOST, send_authority=True).context(tmp_path)
    other = authority.issue(HOST)
    async with (
        remote(OFFERED, tls=context) as there,
        tls(with_dane(there.port, tlsa(other)), port=there.port) as us,
    ):
        outcome = await us.one()
        assert (outcome.kind, outcome.stage, outcome.enh) == ("deferred", "tls", "4.7.5")
        assert outcome.verdict == "no TLSA record matches"
        assert there.transactions == []
        (event,) = us.all("out.tls")
        assert (event.policy, event.failure) == ("dane", "validation-failure")


async def test_with_dane_there_is_no_way_in_clear() -> None:
    async with remote() as there:
        record = tlsa(self_signed(HOST))
        async with tls(with_dane(there.port, record), port=there.port) as us:
            assert (await us.one()).stage == "starttls"
            (event,) = us.all("out.tls")
            assert event.failure == "starttls-not-supported"


async def test_records_that_mean_nothing_still_need_tls(tmp_path: Path) -> None:
    context = self_signed(HOST).context(tmp_path)
    records = (tlsa(self_signed(HOST), usage=1), Tlsa(3, 1, 9, b"x"), Tlsa(3, 1, 1, b"short"))
    async with (
        remote(OFFERED, tls=context) as there,
        tls(with_dane(there.port, *records), port=there.port) as us,
    ):
        outcome = await us.one()
        assert (outcome.kind, outcome.verdict) == ("delivered", "self-signed")
        there.answers["ehlo"] = capabilities()
        us.courier.close()
        assert (await us.one()).stage == "starttls"


@pytest.mark.parametrize("insecure", ["remote.test", HOST, "tlsa"])
async def test_what_is_not_authenticated_is_no_dane(insecure: str, tmp_path: Path) -> None:
    context = self_signed(HOST).context(tmp_path)
    async with remote(OFFERED, tls=context) as there:
        name = f"_{there.port}._tcp.{HOST}" if insecure == "tlsa" else insecure
        names = with_dane(there.port, tlsa(self_signed("x.test")), insecure=(name,))
        async with tls(names, port=there.port) as us:
            assert (await us.one()).kind == "delivered"
            (event,) = us.all("out.tls")
            assert event.policy == "opportunistic"
            if insecure != "tlsa":
                assert not any(kind == "TLSA" for _, kind in names.asked)


async def test_not_knowing_is_not_no() -> None:
    """RFC 7672 2.2: where the look-up fails the host is not used."""
    async with remote() as there:
        names = with_dane(there.port)
        names.records[f"_{there.port}._tcp.{HOST}", "TLSA"] = DnsError("SERVFAIL")
        async with tls(names, port=there.port) as us:
            outcome = await us.one()
            assert (outcome.kind, outcome.stage, outcome.enh) == ("deferred", "policy", "4.7.5")
            assert there.connections == 0
            (event,) = us.all("out.tls")
            assert event.failure == "dnssec-invalid"


def test_an_authority_does_not_vouch_for_everything(authority: Authority) -> None:
    anchor = (tlsa(authority.own, usage=2),)

    def found(issued: Issued, *more: Issued, at: int = 0) -> str:
        chain = [issued.der, *(each.der for each in more)]
        return dane.verdict(anchor, chain, (HOST,), now() + timedelta(days=at))

    good = authority.issue(HOST)
    assert found(good, authority.own) == dane.MATCH
    assert found(good) == dane.NO_MATCH, "the authority must be in the chain"
    assert found(good, authority.own, at=9) == "expired"
    assert found(authority.issue("other.test"), authority.own) == "wrong name"
    assert found(self_signed(HOST), authority.own) == dane.NO_MATCH
    # A certificate that is no authority's, put in between, proves nothing.
    assert found(self_signed(HOST), good, authority.own) == dane.NO_MATCH
    assert dane.verdict(anchor, [], (HOST,)) == dane.NO_MATCH
    assert dane.verdict(anchor, [b"junk"], (HOST,)) == "unreadable"


# --------------------------------------------------------------- what the sender wants


async def test_requiretls_goes_where_the_server_is_proved(
    authority: Authority, trusted: Path, tmp_path: Path
) -> None:
    issued = authority.issue(HOST)
    answers = {"ehlo": capabilities("STARTTLS", "REQUIRETLS", "PIPELINING")}
    async with remote(answers, tls=issued.context(tmp_path)) as there:
        async with tls(with_dane(there.port, tlsa(issued)), port=there.port) as us:
            assert (await us.one(requiretls=True)).kind == "delivered"
            assert there.transactions[0].mail.endswith(" REQUIRETLS")
        async with tls(port=there.port, mode="verify", ca_file=trusted) as us:
            assert (await us.one(requiretls=True)).kind == "delivered"
        async with tls(port=there.port) as us:
            # A connection made for others proves nothing.
            assert (await us.one()).kind == "delivered"
            outcome = await us.one(requiretls=True)
            assert (outcome.kind, outcome.stage, outcome.enh) == ("failed", "policy", "5.7.10")
        there.answers["ehlo"] = capabilities("STARTTLS")
        async with tls(port=there.port, mode="verify", ca_file=trusted) as us:
            outcome = await us.one(requiretls=True)
            assert (outcome.kind, outcome.stage, outcome.enh) == ("failed", "policy", "5.7.30")


async def test_tls_required_no_goes_whatever_the_policy_says() -> None:
    """RFC 8689 5: the sender, a postmaster writing about broken TLS say, wants it delivered."""
    content = b"Subject: your TLS is broken\nTLS-Required: No\n\nSee above.\n"
    async with (
        remote() as there,
        tls(with_dane(there.port, tlsa(self_signed(HOST))), port=there.port) as us,
    ):
        assert (await us.one(content=content)).kind == "delivered"
        assert (await us.one()).kind == "deferred"
        assert (await us.one(content=content, requiretls=True)).kind == "deferred"


# ------------------------------------------------------------------------ certificates


@pytest.mark.parametrize(
    ("name", "host", "expected"),
    [
        ("a.test", "a.test", True),
        ("A.test.", "a.TEST", True),
        ("a.test", "b.a.test", False),
        ("*.a.test", "b.a.test", True),
        ("*.a.test", "a.test", False),
        ("*.a.test", "c.b.a.test", False),
        ("*.test", "a.test", False),
        ("*", "a", False),
        ("b*.a.test", "bc.a.test", False),
        ("", "", True),
    ],
)
def test_names(name: str, host: str, expected: bool) -> None:
    assert covers(name, host) is expected


def test_a_chain_of_junk() -> None:
    assert judge([], HOST, Authorities([])) == "unreadable"
    assert judge([b"junk"], HOST, Authorities([])) == "unreadable"
    assert judge([Authority().issue(HOST).der], HOST, Authorities([b"junk"])) == "unknown issuer"


def test_a_policy_in_words() -> None:
    policy = mta_sts.parse(b"version: STSv1\nmode: testing\nmx: a.test\nmax_age: 5\n")
    assert policy.lines() == ("version: STSv1", "mode: testing", "mx: a.test", "max_age: 5")


async def test_starttls_that_ends_the_connection(tmp_path: Path) -> None:
    async with remote({**OFFERED, "starttls": DROP}) as there, tls(port=there.port) as us:
        outcome = await us.one()
        assert (outcome.kind, outcome.stage) == ("deferred", "starttls")

"""Which host gets the mail: exchangers, their order and their absence, by a real name server."""

import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from mtad.config import Outbound
from mtad.directory.transports import Transport
from mtad.dns import DnsError, Mx, Resolver
from mtad.outbound import hosts
from mtad.outbound.hosts import NoRoute, Route, route
from tests import peers
from tests.outbound import Names, sender
from tests.peers import Nsd
from tests.scripted_smtp import Remote, capabilities, remote

HOSTNAME = "mx.local.test"


@pytest.fixture(scope="module")
def nsd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nsd]:
    with peers.nsd(tmp_path_factory.mktemp("nsd")) as running:
        yield running


async def found(resolver: Resolver, domain: str) -> Route:
    return await route(resolver, domain, HOSTNAME, hosts.shuffled)


@pytest.mark.interop
async def test_by_preference(nsd: Nsd) -> None:
    assert await found(nsd.resolver(), "remote.test") == Route(
        ("mx1.remote.test", "mx2.remote.test"), "mx"
    )


@pytest.mark.interop
async def test_random_among_equals(nsd: Nsd) -> None:
    resolver = nsd.resolver()
    seen = {tuple((await found(resolver, "even.test")).hosts) for _ in range(60)}
    assert {order[0] for order in seen} == {"first.even.test"}
    assert {order[1] for order in seen} == {"a.even.test", "b.even.test", "c.even.test"}


ROUTES = [
    ("onlya.test", Route(("onlya.test",), "address")),
    ("v6only.test", Route(("v6only.test",), "address")),
    ("xn--e1afmkfd.test", Route(("up.remote.test",), "mx")),
    ("alias.test", Route(("mx1.remote.test", "mx2.remote.test"), "mx")),
    ("backup.test", Route(("down.remote.test",), "mx")),
    ("[127.0.0.9]", Route(("[127.0.0.9]",), "literal", ip="127.0.0.9")),
    ("[ipv6:::1]", Route(("[ipv6:::1]",), "literal", ip="::1")),
]


@pytest.mark.interop
@pytest.mark.parametrize(("domain", "expected"), ROUTES)
async def test_routes(nsd: Nsd, domain: str, expected: Route) -> None:
    assert await found(nsd.resolver(), domain) == expected


@pytest.mark.interop
async def test_no_more_hosts_than_anyone_tries(nsd: Nsd) -> None:
    many = await found(nsd.resolver(), "many.test")
    assert many.hosts == tuple(f"m{n}.many.test" for n in range(1, hosts.MAX_HOSTS + 1))


NO_ROUTES = [
    ("nowhere.test", "failed", "5.1.2", "does not exist"),
    ("nullmx.test", "failed", "5.1.10", "null MX"),
    ("ourselves.test", "failed", "5.4.6", "come back"),
    ("mx.local.test", "failed", "5.4.6", "come back"),
    ("loop.test", "failed", "5.4.4", "circle"),
    ("x.broken.test", "deferred", "4.4.3", "SERVFAIL"),
    ("[nonsense]", "failed", "5.1.2", "no address"),
    ("..", "failed", "5.1.2", "does not exist"),
]


@pytest.mark.interop
@pytest.mark.parametrize(("domain", "kind", "enh", "why"), NO_ROUTES)
async def test_no_route(nsd: Nsd, domain: str, kind: str, enh: str, why: str) -> None:
    with pytest.raises(NoRoute, match=why) as none:
        await found(nsd.resolver(), domain)
    assert (none.value.kind, none.value.enh) == (kind, enh)


async def test_a_null_mx_beside_others_is_no_host() -> None:
    names = Names({("odd.test", "MX"): (Mx(0, ""), Mx(10, "a.test"))})
    assert (await found(names, "odd.test")).hosts == ("a.test",)


async def test_addresses_take_turns() -> None:
    names = Names(
        {("a.test", "A"): ("192.0.2.1", "192.0.2.2"), ("a.test", "AAAA"): ("2001:db8::1",)}
    )
    both = ("ipv4", "ipv6")
    found = await hosts.addresses(names, "a.test", both)
    assert found.ips == ["192.0.2.1", "2001:db8::1", "192.0.2.2"]
    assert not found.secure
    assert (await hosts.addresses(names, "a.test", both[::-1])).ips[0] == "2001:db8::1"
    assert (await hosts.addresses(names, "a.test", ("ipv6",))).ips == ["2001:db8::1"]


async def test_one_family_that_is_not_known_does_not_stop_the_other() -> None:
    names = Names({("a.test", "A"): ("192.0.2.1",), ("a.test", "AAAA"): DnsError("timeout")})
    assert (await hosts.addresses(names, "a.test", ("ipv4", "ipv6"))).ips == ["192.0.2.1"]
    names.records["a.test", "A"] = ()
    with pytest.raises(DnsError):
        await hosts.addresses(names, "a.test", ("ipv4", "ipv6"))


# ----------------------------------------------------------------- with servers there


@contextlib.asynccontextmanager
async def at(port: int, *ips: str) -> AsyncIterator[list[Remote]]:
    """A server on each address."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(remote(host=ip, port=port)) for ip in ips]


@pytest.fixture
def port() -> int:
    return peers.free_port(*(f"127.0.0.{n}" for n in (1, 12, 13, 32, 41, 42, 43)))


@pytest.mark.interop
async def test_the_best_exchanger_gets_it(nsd: Nsd, port: int) -> None:
    two = at(port, "127.0.0.12", "127.0.0.13")
    async with two as (first, second), sender(nsd.resolver(), port=port) as us:
        outcome = await us.one("b@remote.test")
        where = (outcome.kind, outcome.host, outcome.ip)
        assert where == ("delivered", "mx1.remote.test", "127.0.0.12")
        assert (first.connections, second.connections) == (1, 0)


@pytest.mark.interop
async def test_the_second_one_where_the_first_is_down(nsd: Nsd, port: int) -> None:
    async with at(port, "127.0.0.32") as (up,), sender(nsd.resolver(), port=port) as us:
        outcome = await us.one("b@fallback.test")
        assert (outcome.kind, outcome.host) == ("delivered", "up.remote.test")
        assert [event.host for event in us.all("out.try")] == ["down.remote.test", "up.remote.test"]
        assert up.connections == 1


@pytest.mark.interop
@pytest.mark.parametrize(
    ("stage", "reply"),
    [
        ("banner", "421 4.3.2 busy"),
        ("banner", "554 5.7.1 no"),
        ("ehlo", "421 4.3.2 busy"),
        ("mail", "451 4.7.1 later"),
        ("rcpt", "450 4.2.0 later"),
        ("data", "451 4.3.0 later"),
        ("dot", "451 4.3.0 later"),
    ],
)
async def test_the_second_one_where_the_first_says_later(
    nsd: Nsd, port: int, stage: str, reply: str
) -> None:
    async with at(port, "127.0.0.12", "127.0.0.13") as (first, second):
        first.answers[stage] = reply
        async with sender(nsd.resolver(), port=port) as us:
            outcomes = await us.send("b@remote.test", "c@remote.test")
            assert [o.kind for o in outcomes] == ["delivered"] * 2
            assert {o.host for o in outcomes} == {"mx2.remote.test"}
            assert len(second.messages) == 1
            assert len(us.all("out.transcript")) == 1


@pytest.mark.interop
async def test_what_one_took_is_not_given_to_the_other(nsd: Nsd, port: int) -> None:
    async with at(port, "127.0.0.12", "127.0.0.13") as (first, second):
        first.answers["rcpt"] = lambda to: "450 4.2.0 later" if "later" in to else "250 ok"
        async with sender(nsd.resolver(), port=port) as us:
            outcomes = await us.send("b@remote.test", "later@remote.test", "c@remote.test")
            assert [o.host for o in outcomes] == [
                "mx1.remote.test",
                "mx2.remote.test",
                "mx1.remote.test",
            ]
            assert [each.rcpt for each in first.transactions] == [
                ["RCPT TO:<b@remote.test>", "RCPT TO:<c@remote.test>"]
            ]
            assert [each.rcpt for each in second.transactions] == [["RCPT TO:<later@remote.test>"]]


@pytest.mark.interop
async def test_no_means_no_at_every_exchanger(nsd: Nsd, port: int) -> None:
    async with at(port, "127.0.0.12", "127.0.0.13") as (first, second):
        first.answers["rcpt"] = "550 5.1.1 no"
        async with sender(nsd.resolver(), port=port) as us:
            assert (await us.one("b@remote.test")).kind == "failed"
            assert second.connections == 0


@pytest.mark.interop
async def test_both_addresses_of_a_host(nsd: Nsd, port: int) -> None:
    async with at(port, "127.0.0.43") as (second,), sender(nsd.resolver(), port=port) as us:
        outcome = await us.one("b@both.test")
        assert (outcome.kind, outcome.ip) == ("delivered", "127.0.0.43")
        assert second.connections == 1


@pytest.mark.interop
async def test_over_ipv6(nsd: Nsd) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    async with remote(host="::1") as there, sender(nsd.resolver(), port=there.port) as us:
        outcome = await us.one("b@v6only.test")
        assert (outcome.kind, outcome.ip) == ("delivered", "::1")
        (attempt,) = us.all("out.try")
        assert str(attempt) == f"connecting to v6only.test [::1]:{there.port}"


OUTCOMES = [
    ("nothing.test", "failed", "5.4.4", "the host nothing.test has no address"),
    ("noaddress.test", "failed", "5.4.4", "the host nothing.test has no address"),
    ("gone.test", "failed", "5.4.4", "the host nowhere.test has no address"),
    ("literal.test", "failed", "5.4.4", "the host 127.0.0.32 has no address"),
    ("brokenhost.test", "deferred", "4.4.3", "mx.broken.test A: SERVFAIL"),
    ("backup.test", "deferred", "4.4.1", "connection refused"),
    ("nullmx.test", "failed", "5.1.10", "nullmx.test takes no mail (null MX)"),
    ("nowhere.test", "failed", "5.1.2", "the domain nowhere.test does not exist"),
]


@pytest.mark.interop
@pytest.mark.parametrize(("domain", "kind", "enh", "why"), OUTCOMES)
async def test_nobody_to_send_to(
    nsd: Nsd, port: int, domain: str, kind: str, enh: str, why: str
) -> None:
    async with sender(nsd.resolver(), port=port) as us:
        outcomes = await us.send(f"b@{domain}", f"c@{domain}")
        assert [(o.kind, o.enh, o.why) for o in outcomes] == [(kind, enh, why)] * 2
        assert {o.stage for o in outcomes} == {"connect" if "refused" in why else "dns"}
        assert len(us.all("out.dns")) == 1


@pytest.mark.interop
async def test_one_exchanger_that_nobody_knows_leaves_the_other(nsd: Nsd, port: int) -> None:
    async with at(port, "127.0.0.32"), sender(nsd.resolver(), port=port) as us:
        assert (await us.one("b@halfbroken.test")).kind == "delivered"


@pytest.mark.interop
async def test_an_exchanger_that_is_an_alias(nsd: Nsd, port: int) -> None:
    async with at(port, "127.0.0.32"), sender(nsd.resolver(), port=port) as us:
        outcome = await us.one("b@aliasmx.test")
        assert (outcome.kind, outcome.host) == ("delivered", "mx.alias.test")


@pytest.mark.interop
async def test_a_literal(nsd: Nsd, port: int) -> None:
    async with at(port, "127.0.0.32") as (there,), sender(nsd.resolver(), port=port) as us:
        assert (await us.one("b@[127.0.0.32]")).kind == "delivered"
        assert there.transactions[0].rcpt == ["RCPT TO:<b@[127.0.0.32]>"]


@pytest.mark.interop
async def test_an_international_domain(nsd: Nsd, port: int) -> None:
    async with at(port, "127.0.0.32") as (there,), sender(nsd.resolver(), port=port) as us:
        assert (await us.one("b@пример.test")).kind == "delivered"
        assert there.transactions[0].rcpt == ["RCPT TO:<b@xn--e1afmkfd.test>"]
        assert us.courier.destination_of("b@Пример.TEST") == "xn--e1afmkfd.test"


async def test_a_name_server_that_says_nothing(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        resolver = Resolver(["127.0.0.1"], port=mute.getsockname()[1], timeout_seconds=0.3)
        async with sender(resolver, port=port) as us:
            outcome = await us.one()
            assert (outcome.kind, outcome.stage, outcome.enh) == ("deferred", "dns", "4.4.3")
            assert outcome.why == "remote.test MX: no answer in time"


async def test_of_two_hosts_that_are_down_the_better_is_told_of(port: int) -> None:
    async with sender(NAMES, port=port, source_ipv4="") as us:
        outcome = await us.one()
        assert (outcome.host, outcome.stage) == ("a.test", "connect")


async def test_a_reply_says_more_than_silence(port: int) -> None:
    async with (
        remote({"rcpt": "450 4.2.0 later"}, host="127.0.0.2", port=port),
        sender(NAMES, port=port) as us,
    ):
        outcome = await us.one()
        assert (outcome.host, outcome.reply) == ("b.test", "450 4.2.0 later")


# -------------------------------------------------------------------------- no circles

NAMES = {
    ("remote.test", "MX"): (Mx(10, "a.test"), Mx(20, "b.test")),
    ("a.test", "A"): ("127.0.0.1",),
    ("b.test", "A"): ("127.0.0.2",),
}


async def test_a_server_that_greets_with_our_name_is_ourselves() -> None:
    answers = {"ehlo": capabilities("PIPELINING").replace("remote.test", "MX.local.test")}
    async with remote(answers) as there, sender(NAMES, port=there.port) as us:
        outcome = await us.one()
        assert (outcome.kind, outcome.stage, outcome.enh) == ("failed", "ehlo", "5.4.6")
        assert there.transactions == []
        assert len(us.all("out.try")) == 1, "what comes after us is no better"


async def test_ourselves_behind_a_host_that_is_down() -> None:
    """Where the better host may come back, the mail waits."""
    answers = {"ehlo": capabilities("PIPELINING").replace("remote.test", "mx.local.test")}
    async with remote(answers, host="127.0.0.2") as there, sender(NAMES, port=there.port) as us:
        outcome = await us.one()
        assert (outcome.kind, outcome.stage) == ("deferred", "connect")


@pytest.mark.parametrize("listening", ["127.0.0.1", "0.0.0.0"])
async def test_our_own_address_is_not_even_tried(listening: str) -> None:
    async with remote() as there:
        one = {("remote.test", "A"): ("127.0.0.1",)}
        async with sender(one, port=there.port, listening=[f"{listening}:{there.port}"]) as us:
            outcome = await us.one()
            assert (outcome.kind, outcome.stage, outcome.enh) == ("failed", "dns", "5.4.6")
            assert there.connections == 0


async def test_a_smart_host_may_be_on_this_machine() -> None:
    answers = {"ehlo": capabilities("PIPELINING").replace("remote.test", "mx.local.test")}
    async with remote(answers) as there:
        transport = Transport("*", "relay", "[127.0.0.1]", there.port)
        listening = [f"127.0.0.1:{there.port}"]
        async with sender({}, transport, listening=listening) as us:
            assert (await us.one()).kind == "delivered"


async def test_a_smart_host_by_its_exchangers() -> None:
    async with remote() as there:
        transport = Transport("*", "relay", "remote.test", there.port, by_mx=True)
        async with sender(NAMES, transport) as us:
            assert (await us.one("b@far.test")).host == "a.test"
            assert [str(event) for event in us.all("out.dns")] == ["far.test: a.test b.test"]


async def test_the_source_address() -> None:
    async with remote() as there:
        settings = Outbound(port=there.port, source_ipv4="127.0.0.77").model_dump()
        async with sender(NAMES, **settings) as us:
            outcome = await us.one()
            assert outcome.kind == "delivered"
            (attempt,) = us.all("out.try")
            assert attempt.source == "127.0.0.77"
            assert there.clients == ["127.0.0.77"]

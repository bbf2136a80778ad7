"""The resolver, against a real name server and sockets that say nothing."""

import asyncio
import socket
from collections.abc import Iterator
from typing import cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest

from mtad.dns import DnsError, Mx, Resolver, Tlsa
from tests import peers
from tests.peers import Nsd

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def nsd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nsd]:
    with peers.nsd(tmp_path_factory.mktemp("nsd")) as running:
        yield running


async def test_records(nsd: Nsd) -> None:
    resolver = nsd.resolver()
    mx = await resolver.mx("Remote.TEST.")
    assert set(mx.records) == {Mx(10, "mx1.remote.test"), Mx(20, "mx2.remote.test")}
    assert (mx.exists, mx.secure, mx.name) == (True, False, "remote.test")
    assert (await resolver.mx("nullmx.test")).records == (Mx(0, ""),)
    assert (await resolver.ipv4("mx1.remote.test")).records == ("127.0.0.12",)
    assert (await resolver.ipv6("v6only.test")).records == ("::1",)
    assert (await resolver.ptr("127.0.0.12")).records == ("mx1.remote.test",)
    assert (await resolver.txt("nothing.test")).records == (b"no mail here",)


async def test_what_is_not_there_is_an_answer(nsd: Nsd) -> None:
    resolver = nsd.resolver()
    assert (await resolver.mx("nothing.test")).records == ()
    assert (await resolver.mx("nothing.test")).exists
    for name in ("nowhere.test", "a..b", "x" * 70 + ".test", "\udcff.test", "é" * 90, ""):
        answer = await resolver.mx(name)
        assert answer.records == (), name
    assert not (await resolver.mx("nowhere.test")).exists
    assert not (await resolver.mx("a..b")).exists


async def test_aliases_are_followed(nsd: Nsd) -> None:
    answer = await nsd.resolver().ipv4("mx.alias.test")
    assert answer.records == ("127.0.0.32",)
    assert answer.name == "up.remote.test"


async def test_a_long_answer_comes_over_tcp(nsd: Nsd) -> None:
    assert len((await nsd.resolver().txt("bigtxt.test")).records) == 40


async def test_a_circle_is_for_good_and_a_broken_zone_for_now(nsd: Nsd) -> None:
    with pytest.raises(DnsError, match="circle") as circle:
        await nsd.resolver().mx("loop.test")
    assert not circle.value.is_temporary
    with pytest.raises(DnsError, match=r"^x\.broken\.test MX: SERVFAIL") as broken:
        await nsd.resolver().mx("x.broken.test")
    assert broken.value.is_temporary


async def test_silence_is_for_now() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        port = mute.getsockname()[1]
        resolver = Resolver(["127.0.0.1"], port=port, timeout_seconds=0.3)
        with pytest.raises(DnsError, match="no answer in time") as silence:
            await resolver.ipv4("remote.test")
        assert silence.value.is_temporary


async def test_nobody_there_is_for_now() -> None:
    resolver = Resolver(["127.0.0.1"], port=peers.free_port("127.0.0.1"), timeout_seconds=1)
    with pytest.raises(DnsError) as refused:
        await resolver.ipv4("remote.test")
    assert refused.value.is_temporary


async def test_an_unauthenticated_answer_is_never_secure(nsd: Nsd) -> None:
    resolver = nsd.resolver(validates=True)
    assert not (await resolver.mx("remote.test")).secure
    assert not (await resolver.mx("nowhere.test")).secure


class Validating(asyncio.DatagramProtocol):
    """A name server that answers as a validating one does: AD where the client understands it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        name = query.question[0].name
        if name == dns.name.from_text("nowhere.test"):
            answer.set_rcode(dns.rcode.NXDOMAIN)
            answer.authority.append(
                dns.rrset.from_text("test.", 60, "IN", "SOA", "ns.test. h.test. 1 60 60 60 60")
            )
        else:
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "TLSA", "3 1 1 " + "ab" * 32))
        if query.flags & dns.flags.AD:
            answer.flags |= dns.flags.AD
        self.transport.sendto(answer.to_wire(), addr)


@pytest.mark.parametrize("validates", [True, False])
async def test_an_authenticated_answer_is_secure_where_the_resolver_is_trusted(
    validates: bool,
) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Validating, ("127.0.0.1", 0))
    try:
        port = transport.get_extra_info("sockname")[1]
        resolver = Resolver(["127.0.0.1"], port=port, timeout_seconds=3, validates=validates)
        found = await resolver.tlsa("_25._tcp.mx.test")
        assert found.records == (Tlsa(3, 1, 1, b"\xab" * 32),)
        assert found.secure is validates
        gone = await resolver.tlsa("nowhere.test")
        assert (gone.exists, gone.secure) == (False, validates)
    finally:
        transport.close()


async def test_no_address_is_a_mistake(nsd: Nsd) -> None:
    with pytest.raises(ValueError, match="not an IP address"):
        await nsd.resolver().ptr("remote.test")

"""The resolver, against a real name server and sockets that say nothing."""

import socket
from collections.abc import Iterator

import pytest

from mtad.dns import DnsError, Mx, Resolver
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


async def test_no_address_is_a_mistake(nsd: Nsd) -> None:
    with pytest.raises(ValueError, match="not an IP address"):
        await nsd.resolver().ptr("remote.test")

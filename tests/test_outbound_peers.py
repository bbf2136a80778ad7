"""Other people's servers take our mail, put it off, refuse it, break off, and speak TLS."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from mtad.outbound.protocol import UNSURE
from tests import peers
from tests.outbound import MESSAGE, Sender, sender
from tests.peers import CUT, NO_TLS, START, Meddler, Nsd, Peer

pytestmark = pytest.mark.interop

WIRE = MESSAGE.partition(b"\n\n")[2]
"""What must arrive unchanged."""


@pytest.fixture(scope="module")
def nsd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nsd]:
    with peers.nsd(tmp_path_factory.mktemp("nsd")) as running:
        yield running


@pytest.fixture(scope="module", params=START)
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    with START[request.param](peers.common_port()) as running:
        yield running


@pytest.fixture(autouse=True)
def _empty(peer: Peer) -> None:
    peer.forget()


def us(nsd: Nsd, peer: Peer, **settings: Any) -> contextlib.AbstractAsyncContextManager[Sender]:
    if not peer.speaks_tls:
        settings = {"tls": "none"} | settings
    return sender(nsd.resolver(), port=peer.port, **settings)


ANSWERS = {
    "temp": ("deferred", 450, "4.2.0"),
    "full": ("deferred", 452, "4.2.2"),
    "gone": ("failed", 550, "5.1.1"),
    "busy": ("deferred", 421, "4.7.0"),
}


@pytest.mark.parametrize("count", [1, 3])
async def test_taken(nsd: Nsd, peer: Peer, count: int) -> None:
    async with us(nsd, peer, tls="opportunistic") as sending:
        names = [f"b{n}@{peer.name}.test" for n in range(count)]
        outcomes = await sending.send(*names)
        for outcome in outcomes:
            assert (outcome.kind, outcome.code, outcome.enh[:1]) == ("delivered", 250, "2")
            assert outcome.rqid
            if peer.speaks_tls:
                assert outcome.tls.startswith("TLSv1.")
                assert outcome.verdict == "self-signed"
            else:
                assert outcome.verdict.startswith("clear text: ")
            assert (outcome.host, outcome.ip) == (f"mx.{peer.name}.test", peer.host)
        assert all(message.endswith(WIRE) for message in peer.await_messages(count))
        assert outcomes[0].rqid in peer.log.read_text()


@pytest.mark.parametrize("local", ANSWERS)
async def test_not_taken(nsd: Nsd, peer: Peer, local: str) -> None:
    kind, code, enh = ANSWERS[local]
    async with us(nsd, peer) as sending:
        outcome = await sending.one(f"{local}@{peer.name}.test")
        assert (outcome.kind, outcome.stage, outcome.code) == (kind, "rcpt", code)
        assert outcome.enh == enh
        assert outcome.reply.startswith(str(code))
        (transcript,) = sending.all("out.transcript")
        assert any(line.startswith(f"< {code}") for line in transcript.lines)
        assert peer.messages() == []


@pytest.mark.parametrize("local", ANSWERS)
async def test_taken_for_some(nsd: Nsd, peer: Peer, local: str) -> None:
    kind, code, _ = ANSWERS[local]
    async with us(nsd, peer) as sending:
        names = [f"{name}@{peer.name}.test" for name in ("first", local, "last")]
        first, middle, last = await sending.send(*names)
        assert (middle.kind, middle.code) == (kind, code)
        assert {first.kind, last.kind} == {"delivered"}
        peer.await_messages(2)


@pytest.mark.parametrize("count", [1, 3])
async def test_cut_off_in_the_message(nsd: Nsd, peer: Peer, count: int) -> None:
    content = MESSAGE + b"0123456789\n" * 10_000
    with Meddler(CUT[peer.name], peer.port, peer.host, cut=500) as meddler:
        async with us(nsd, peer, tls="none") as sending:
            names = [f"b{n}@cut.{peer.name}.test" for n in range(count)]
            for outcome in await sending.send(*names, content=content):
                assert (outcome.kind, outcome.enh) == ("deferred", "4.4.2")
                assert outcome.stage in ("data", "dot")
                assert outcome.why == "connection lost" or outcome.why.startswith(UNSURE)
            assert meddler.meddled == 1
    async with us(nsd, peer) as sending:
        # Whatever the server does with half a message, it has done it by now.
        assert (await sending.one(f"b@{peer.name}.test")).kind == "delivered"
        peer.await_messages(1)


@pytest.mark.parametrize("count", [1, 3])
async def test_broken_tls(nsd: Nsd, peer: Peer, count: int) -> None:
    with Meddler(NO_TLS[peer.name], peer.port, peer.host, breaks_tls=True) as meddler:
        names = [f"b{n}@tls.{peer.name}.test" for n in range(count)]
        async with us(nsd, peer, tls="required") as sending:
            for outcome in await sending.send(*names):
                assert (outcome.kind, outcome.stage, outcome.enh) == ("deferred", "tls", "4.7.5")
            assert meddler.meddled == 1
            assert peer.messages() == []
        async with us(nsd, peer, tls="opportunistic") as sending:
            for outcome in await sending.send(*names):
                assert (outcome.kind, outcome.tls) == ("delivered", "")
                assert outcome.verdict.startswith("clear text: ")
            peer.await_messages(count)


async def test_many_over_few_connections(nsd: Nsd, peer: Peer) -> None:
    async with us(nsd, peer) as sending:
        for n in range(10):
            outcome = await sending.one(f"b{n}@{peer.name}.test")
            assert outcome.kind == "delivered"
        assert len({event.cn for event in sending.all("out.try")}) == 1
        peer.await_messages(10)


async def test_what_hurts_arrives_as_it_was(nsd: Nsd, peer: Peer) -> None:
    """Dots, empty lines last, no line end last, a long line, 8-bit text, From at a line's start."""
    bodies = (
        b".\n..\n.x\n\n.",
        b"x" * 997 + b"\nFrom here\n",
        "Привет\n".encode(),
        b"\n\n\n",
    )
    async with us(nsd, peer) as sending:
        for body in bodies:
            outcome = await sending.one(f"b@{peer.name}.test", content=b"Subject: x\n\n" + body)
            assert outcome.kind == "delivered"
        arrived = {message.partition(b"\n\n")[2] for message in peer.await_messages(len(bodies))}
        assert arrived == {body if body.endswith(b"\n") else body + b"\n" for body in bodies}

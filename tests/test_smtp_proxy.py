"""PROXY headers: what the specification allows, octet by octet, and nothing else."""

import contextlib
import ipaddress
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtad.clients import proxy
from mtad.clients.proxy import FIXED, MAX_V1, MAX_V2, V2, BadHeader, Header, crc32c

GOOD1 = {
    b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 25\r\n": "192.0.2.1",
    b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n": "255.255.255.255",
    b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n": "0.0.0.0",
    b"PROXY TCP6 2001:db8::1 2001:DB8::2 56324 25\r\n": "2001:db8::1",
    b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n": "192.0.2.1",
    b"PROXY UNKNOWN\r\n": "",
    b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n": "",
}
BAD1 = (
    b"PROXY\r\n",
    b"PROXY \r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 25\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 25 \r\n",
    b"PROXY TCP4  192.0.2.1 198.51.100.2 56324 25\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n",
    b"PROXY TCP4 192.0.2.256 198.51.100.2 56324 25\r\n",
    b"PROXY TCP4 192.0.2.01 198.51.100.2 56324 25\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 25\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.2 1 70000\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.2 056 25\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.2 -1 25\r\n",
    b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
    b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
    b"PROXY TCP6 2001:db8::1%eth0 2001:db8::2 1 2\r\n",
    b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
    b"PROXY UNKNOWN\rX\r\n",
    b"PROXY UNKNOWNX\r\n",
    b"proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    b"PROXY " + b"x" * 200,
    b"EHLO client.test\r\n",
    b"GET / HTTP/1.1\r\n",
    b"\r\nEHLO",
    b"\x16\x03\x01\x02\x00",
)
V4 = ipaddress.ip_address("192.0.2.1").packed + ipaddress.ip_address("198.51.100.2").packed
V6 = ipaddress.ip_address("2001:db8::1").packed + ipaddress.ip_address("2001:db8::2").packed
PORTS = struct.pack(">HH", 56324, 25)


def v2(command: int, family: int, body: bytes, length: int | None = None) -> bytes:
    return V2 + struct.pack(">BBH", command, family, len(body) if length is None else length) + body


def field(kind: int, value: bytes) -> bytes:
    return struct.pack(">BH", kind, len(value)) + value


def summed(family: int, body: bytes) -> bytes:
    """A header with a right checksum behind its other fields."""
    header = v2(0x21, family, body + field(3, bytes(4)))
    return header[:-4] + crc32c(header).to_bytes(4, "big")


GOOD2 = {
    v2(0x21, 0x11, V4 + PORTS): "192.0.2.1",
    v2(0x21, 0x21, V6 + PORTS): "2001:db8::1",
    v2(0x21, 0x21, bytes(10) + b"\xff\xff\xc0\x00\x02\x01" + bytes(20)): "192.0.2.1",
    v2(0x21, 0x31, b"/run/x".ljust(216, b"\0")): "",
    v2(0x21, 0x00, b""): "",
    v2(0x21, 0x00, field(4, b"padding")): "",
    v2(0x20, 0x00, b""): "",
    v2(0x20, 0x11, V4 + PORTS): "",
    v2(0x20, 0xFF, b"anything"): "",
    v2(0x21, 0x11, V4 + PORTS + field(2, b"mx.local.test") + field(4, b"")): "192.0.2.1",
    summed(0x11, V4 + PORTS): "192.0.2.1",
    summed(0x21, V6 + PORTS + field(0xEA, b"x" * 3000)): "2001:db8::1",
    v2(0x20, 0x00, b"x" * (MAX_V2 - FIXED)): "",
}
BAD2 = (
    V2 + b"\x11\x11\x00\x00",
    v2(0x22, 0x11, V4 + PORTS),
    v2(0x01, 0x11, V4 + PORTS),
    v2(0x31, 0x11, V4 + PORTS),
    v2(0x21, 0x12, V4 + PORTS),
    v2(0x21, 0x22, V6 + PORTS),
    v2(0x21, 0x41, V6 + PORTS),
    v2(0x21, 0x11, V4),
    v2(0x21, 0x21, V4 + PORTS),
    v2(0x21, 0x11, V4 + PORTS + b"\x04"),
    v2(0x21, 0x11, V4 + PORTS + b"\x04\x00\x01"),
    v2(0x21, 0x11, V4 + PORTS + field(3, bytes(4))),
    v2(0x21, 0x11, V4 + PORTS + field(3, bytes(3))),
    v2(0x20, 0x00, b"", length=MAX_V2),
    v2(0x20, 0x00, b"", length=65535),
    V2[:-1] + b"X",
    b"\r\n\r\n\x00\r\nEHLO",
)
GOOD = {**GOOD1, **GOOD2}


@pytest.mark.parametrize("octets", GOOD)
def test_a_header_octet_by_octet(octets: bytes) -> None:
    for size in range(len(octets)):
        assert proxy.parse(octets[:size]) is None
    for more in (b"", b"EHLO x\r\n", octets):
        assert proxy.parse(octets + more) == Header(GOOD[octets], len(octets))


def is_bad(octets: bytes) -> bool:
    try:
        return proxy.parse(octets) is not None
    except BadHeader:
        return True


@pytest.mark.parametrize("octets", [*BAD1, *BAD2])
def test_no_header(octets: bytes) -> None:
    with pytest.raises(BadHeader):
        proxy.parse(octets)
    known = [size for size in range(len(octets)) if is_bad(octets[:size])]
    assert known == list(range(known[0], len(octets)) if known else ())


def test_what_is_no_header_is_known_at_its_first_octet() -> None:
    for octets in (b"E", b"\n", b"\x16", b"\r\nX", b"PRX"):
        with pytest.raises(BadHeader):
            proxy.parse(octets)


def test_waiting_for_more_is_bounded() -> None:
    assert proxy.parse(b"PROXY " + b"x" * (MAX_V1 - 7)) is None
    with pytest.raises(BadHeader):
        proxy.parse(b"PROXY " + b"x" * (MAX_V1 - 6))


def test_the_checksum_is_castagnolis() -> None:
    """The check value of CRC-32C, and that of 32 zeros (RFC 3720 B.4)."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA


def test_each_octet_counts_where_there_is_a_checksum() -> None:
    good = summed(0x11, V4 + PORTS + field(2, b"name"))
    # The checksum's own type says that there is one.
    for at in (*range(FIXED, len(good) - 7), *range(len(good) - 6, len(good))):
        bad = bytes(o ^ (1 if i == at else 0) for i, o in enumerate(good))
        with pytest.raises(BadHeader):
            proxy.parse(bad)


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=60),
        st.binary(max_size=60).map(lambda tail: b"PROXY TCP4 " + tail),
        st.binary(max_size=60).map(lambda tail: V2 + tail),
        st.tuples(st.sampled_from([0x20, 0x21]), st.integers(0, 255), st.binary(max_size=300)).map(
            lambda parts: v2(*parts)
        ),
        st.sampled_from(list(GOOD)).flatmap(
            lambda good: st.tuples(st.integers(0, len(good) - 1), st.integers(0, 255)).map(
                lambda change: good[: change[0]] + bytes([change[1]]) + good[change[0] + 1 :]
            )
        ),
    )
)
def test_anything_gives_an_address_or_an_error(octets: bytes) -> None:
    with contextlib.suppress(BadHeader):
        found = proxy.parse(octets)
        if found is not None:
            assert 0 < found.length <= min(len(octets), MAX_V2)
            assert found.ip == "" or str(ipaddress.ip_address(found.ip)) == found.ip
            assert proxy.parse(octets[: found.length]) == found
            assert proxy.parse(octets[: found.length - 1]) is None

"""The header a proxy puts before a connection's octets: PROXY protocol, versions 1 and 2 (PURE).

It tells the address of the client behind the proxy. The specification is HAProxy's
``doc/proxy-protocol.txt``; a receiver reads a header from peers it was told of and from nobody
else, never guesses whether there is one, and drops a connection whose header is malformed.
"""

import ipaddress
import re
import struct
from dataclasses import dataclass

MAX_V1 = 107
"""Octets of a line of version 1 with its CRLF (2.1)."""
MAX_V2 = 16 + 4096
"""Octets of a header of version 2 taken. The addresses need 216; the rest is for what else a
proxy may tell, certificates among them."""

V1 = b"PROXY "
V2 = b"\r\n\r\n\x00\r\nQUIT\n"
FIXED = 16
"""Octets of version 2 before the addresses."""
CRC32C = 0x03
"""The type of the checksum (2.2.3)."""

_LINE = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\r\n]*)?|(TCP[46]) ([0-9a-fA-F.:]+) ([0-9a-fA-F.:]+) "
    rb"(0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4}))\r\n"
)
_LOCAL, _PROXY = 0x20, 0x21
_UNSPECIFIED, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, 0x31
_LENGTHS = {_UNSPECIFIED: 0, _TCP4: 12, _TCP6: 36, _UNIX: 216}
"""By family and transport: octets of its addresses (2.2)."""


class BadHeader(ValueError):
    """This is no header, or not a sound one; says why."""


@dataclass(frozen=True, slots=True)
class Header:
    """A whole header: the client's address, and how many octets it took.

    ``ip`` is empty when the connection is the proxy's own (a health check), or when the proxy
    does not know an address of the internet.
    """

    ip: str
    length: int


def parse(octets: bytes) -> Header | None:
    """The header that ``octets`` begin with; None while it is incomplete. Raises BadHeader."""
    if octets.startswith(V1[: len(octets)]):
        return _version1(octets)
    if octets.startswith(V2[: len(octets)]):
        return _version2(octets)
    raise BadHeader("no PROXY header")


def _version1(octets: bytes) -> Header | None:
    end = octets.find(b"\n", 0, MAX_V1)
    if end < 0:
        if len(octets) < MAX_V1:
            return None
        raise BadHeader("the line is too long")
    found = _LINE.fullmatch(octets, 0, end + 1)
    if not found:
        raise BadHeader("the line is malformed")
    if found[1] is None:
        return Header("", end + 1)
    version = ipaddress.IPv4Address if found[1] == b"TCP4" else ipaddress.IPv6Address
    try:
        source, _ = version(found[2].decode()), version(found[3].decode())
    except ValueError:
        raise BadHeader("an address is malformed") from None
    if int(found[4]) > 65535 or int(found[5]) > 65535:
        raise BadHeader("a port is malformed")
    return Header(_text(source), end + 1)


def _version2(octets: bytes) -> Header | None:
    if len(octets) < FIXED:
        return None
    command, family, length = struct.unpack_from(">BBH", octets, 12)
    if command not in (_LOCAL, _PROXY):
        raise BadHeader("version and command are none")
    if FIXED + length > MAX_V2:
        raise BadHeader("the header is too long")
    if len(octets) < FIXED + length:
        return None
    if command == _LOCAL:
        return Header("", FIXED + length)
    if family not in _LENGTHS or length < _LENGTHS[family]:
        raise BadHeader("family and length do not fit")
    _check_extras(octets[: FIXED + length], FIXED + _LENGTHS[family])
    if family == _TCP4:
        return Header(_text(ipaddress.IPv4Address(octets[16:20])), FIXED + length)
    if family == _TCP6:
        return Header(_text(ipaddress.IPv6Address(octets[16:32])), FIXED + length)
    return Header("", FIXED + length)


def _check_extras(header: bytes, at: int) -> None:
    """Type, length and value, as many as there are; a checksum among them must be right."""
    while at < len(header):
        if at + 3 > len(header):
            raise BadHeader("a field is cut off")
        kind, length = struct.unpack_from(">BH", header, at)
        at += 3
        if at + length > len(header):
            raise BadHeader("a field is cut off")
        if kind == CRC32C:
            zeroed = header[:at] + bytes(length) + header[at + length :]
            if length != 4 or crc32c(zeroed) != int.from_bytes(header[at : at + 4], "big"):
                raise BadHeader("the checksum is wrong")
        at += length


def _text(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """An address as the log writes it: one of IPv4 is one, however it was sent."""
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _table() -> tuple[int, ...]:
    made = []
    for octet in range(256):
        for _ in range(8):
            octet = octet >> 1 ^ (0x82F63B78 if octet & 1 else 0)
        made.append(octet)
    return tuple(made)


_CRC = _table()


def crc32c(octets: bytes) -> int:
    """The Castagnoli CRC, which the standard library does not have."""
    crc = 0xFFFFFFFF
    for octet in octets:
        crc = crc >> 8 ^ _CRC[(crc ^ octet) & 0xFF]
    return crc ^ 0xFFFFFFFF

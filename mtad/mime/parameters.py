"""Content-Type, Content-Disposition and their parameters (RFC 2045 5.1, RFC 2183, RFC 2231; PURE).

Values stay octets in whatever charset they have: IMAP shows parameters as they were sent. Only
the pieces of RFC 2231 3 are put together, since no client does that twice.
"""

import re

MAX_PARAMETERS = 1000
"""Parameters of one field that are read."""

Parameters = tuple[tuple[bytes, bytes], ...]
"""Names as they were written and values, in order."""

_WS = rb"[ \t\r\n]*+"
_TYPE = re.compile(
    _WS + rb"([^\x00-\x20()<>@,;:\\\"/\[\]?=]++)" + _WS + rb"/" + _WS
    + rb"([^\x00-\x20()<>@,;:\\\"/\[\]?=]++)"
)  # fmt: skip
_TOKEN = re.compile(_WS + rb"([^\x00-\x20()<>@,;:\\\"/\[\]?=]++)")
_PARAMETER = re.compile(
    rb";" + _WS + rb"([^\x00-\x20()<>@,;:\\\"/\[\]?=]++)" + _WS + rb"=" + _WS
    + rb"(?:\"((?:[^\"\\]++|\\.)*+)\"|\"?([^;\x00-\x20]*+))",
    re.S,
)  # fmt: skip
_ESCAPED = re.compile(rb"\\(.)", re.S)
_FOLD = re.compile(rb"\r*\n")
_PIECE = re.compile(rb"([^*]+)\*([0-9]{1,4})(\*?)\Z")
_NOT_PLAIN = re.compile(rb"[^A-Za-z0-9!#$&+.^_`{|}~-]")


def content_type(value: bytes) -> tuple[bytes, bytes, Parameters] | None:
    """Type, subtype and parameters of a Content-Type; None where it is none."""
    value = without_comments(value)
    found = _TYPE.match(value)
    if found is None:
        return None
    return found[1], found[2], parameters(value, found.end())


def disposition(value: bytes) -> tuple[bytes, Parameters] | None:
    """Kind and parameters of a Content-Disposition; None where it is none."""
    value = without_comments(value)
    found = _TOKEN.match(value)
    if found is None:
        return None
    return found[1], parameters(value, found.end())


def parameters(value: bytes, start: int = 0) -> Parameters:
    """The parameters from ``start`` on, continuations joined (RFC 2231 3)."""
    found: list[tuple[bytes, bytes]] = []
    is_cut = False
    for match in _PARAMETER.finditer(value, start):
        name, quoted, plain = match.groups()
        if quoted is not None:
            plain = quoted
            if b"\n" in plain:
                plain = _FOLD.sub(b"", plain)
            if b"\\" in plain:
                plain = _ESCAPED.sub(rb"\1", plain)
        is_cut = is_cut or b"*" in name
        found.append((name, plain))
        if len(found) >= MAX_PARAMETERS:
            break
    return tuple(_joined(found) if is_cut else found)


def without_comments(value: bytes) -> bytes:
    """A structured value with its comments, which may be nested, taken out (RFC 5322 3.2.2)."""
    if b"(" not in value:
        return value
    kept = bytearray()
    depth, at, end, is_quoted = 0, 0, len(value), False
    while at < end:
        octet = value[at]
        step = 2 if octet == 0x5C else 1
        if is_quoted:
            is_quoted = octet != 0x22
            kept += value[at : at + step]
        elif octet == 0x28:
            depth += 1
        elif octet == 0x29 and depth:
            depth -= 1
        elif not depth:
            is_quoted = octet == 0x22
            kept += value[at : at + step]
        at += step
    return bytes(kept)


def _joined(found: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Pieces ``name*0``, ``name*1*`` as one value, after those that are whole.

    Where a piece is encoded the whole is called ``name*``, and what was not encoded is
    made so. Pieces of which the first or one between is missing stay as they are.
    """
    whole: list[tuple[bytes, bytes]] = []
    pieces: dict[bytes, dict[int, tuple[bytes, bytes, bool, bytes]]] = {}
    for name, value in found:
        match = _PIECE.match(name)
        if match is None:
            whole.append((name, value))
            continue
        number = int(match[2])
        mine = pieces.setdefault(match[1].lower(), {})
        if number not in mine:
            mine[number] = (match[1], value, bool(match[3]), name)
    for _, mine in sorted(pieces.items()):
        count = 0
        while count in mine:
            count += 1
        taken = [mine[number] for number in range(count)]
        if taken:
            is_encoded = any(one[2] for one in taken)
            value = b"".join(
                one[1] if one[2] or not is_encoded else _encoded(one[1]) for one in taken
            )
            whole.append((taken[0][0] + b"*" * is_encoded, value))
        whole += [(mine[number][3], mine[number][1]) for number in sorted(mine) if number >= count]
    return whole


def _encoded(value: bytes) -> bytes:
    return _NOT_PLAIN.sub(lambda found: b"%%%02X" % found[0][0], value)

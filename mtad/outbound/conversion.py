"""A message for a server that cannot take it as it is (RFC 6152 3, RFC 5322 2.1.1) (PURE).

Bodies with 8-bit text, with lines above 998 octets, or with carriage returns are encoded as
quoted-printable or base64; long header lines are folded where they have white space. What would
break (signed parts, parts whose encoding may not change) is refused instead. Raw 8-bit header
text has no encoding that says the same, and goes as it is. A signature over the message (DKIM)
does not survive; the alternative is no delivery at all.
"""

import base64
import binascii
import re
from collections.abc import Iterable

from mtad.outbound.content import MAX_TEXT_LINE

MAX_DEPTH = 20
"""Entities within entities."""
MAX_PARTS = 10_000
"""Parts of one multipart."""

_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")
_TYPE = re.compile(rb"[ \t\n]*([A-Za-z0-9!#$&^_.+-]+)/([A-Za-z0-9!#$&^_.+-]+)")
_BOUNDARY = re.compile(
    rb";[ \t\n]*boundary[ \t\n]*=[ \t\n]*(?:\"([^\"\n]{1,200})\"|([^\"; \t\n]{1,200}))", re.I
)
_COMMENT = re.compile(rb"\([^()]*\)")
IDENTITY = (b"", b"7bit", b"8bit", b"binary")


class CannotConvert(ValueError):
    """The message has something that must not be changed; ``enh`` as in RFC 3463."""

    def __init__(self, enh: str, why: str) -> None:
        super().__init__(why)
        self.enh = enh


def converted(content: bytes, *, to_7bit: bool) -> bytes:
    """The message as any server takes it, LF line ends. Raises CannotConvert.

    Takes some 10 ms per megabyte: long messages belong into a thread.
    """
    return _Converter(to_7bit).entity(content, 0)


class _Converter:
    def __init__(self, to_7bit: bool) -> None:
        self._to_7bit = to_7bit

    def entity(self, octets: bytes, depth: int) -> bytes:
        """A message or a part with everything in it."""
        if depth > MAX_DEPTH:
            raise CannotConvert("5.6.3", "it is nested too deeply to be converted")
        header, body = _split(octets)
        if b"\r" in header:
            raise CannotConvert("5.6.11", "its header has carriage returns that end no line")
        fields = _fields(header)
        if self._needs(body):
            fields, body = self._body(fields, body, depth)
        return b"".join(map(_folded, fields)) + body

    def _needs(self, body: bytes) -> bool:
        if b"\r" in body or (self._to_7bit and not body.isascii()):
            return True
        return any(len(line) > MAX_TEXT_LINE for line in body.split(b"\n"))

    def _body(self, fields: list[bytes], body: bytes, depth: int) -> tuple[list[bytes], bytes]:
        """A body that must change, and its header as it is then."""
        kind = _value(fields, b"content-type")
        found = _TYPE.match(kind)
        main, sub = (part.lower() for part in found.groups()) if found else (b"text", b"plain")
        encoding = _COMMENT.sub(b"", _value(fields, b"content-transfer-encoding")).strip().lower()
        if main == b"multipart":
            boundary = _BOUNDARY.search(kind)
            if sub in (b"signed", b"encrypted") or boundary is None:
                raise CannotConvert("5.6.3", f"its multipart/{sub.decode()} must not be changed")
            body = self._multipart(body, boundary[1] or boundary[2], depth)
            return self._as_7bit(fields, encoding), body
        if main == b"message":
            if sub not in (b"rfc822", b"global") or encoding not in IDENTITY:
                raise CannotConvert("5.6.3", f"its message/{sub.decode()} must not be changed")
            return self._as_7bit(fields, encoding), b"\n" + self.entity(body[1:], depth + 1)
        fields = _with_version(fields) if depth == 0 else fields
        if not kind:
            fields = _with(fields, b"Content-Type", b"text/plain; charset=unknown-8bit")
        name, body = _encoded(body[1:], encoding, is_text=main == b"text")
        return _with(fields, b"Content-Transfer-Encoding", name), b"\n" + body

    def _multipart(self, body: bytes, boundary: bytes, depth: int) -> bytes:
        """Every part converted; what is before the first and after the last is for nobody."""
        delimiter = re.compile(rb"(?m)^--" + re.escape(boundary) + rb"(--)?[ \t\r]*$\n?")
        made = [b"\n"]
        start, is_open = 0, False
        for count, found in enumerate(delimiter.finditer(body)):
            if count > MAX_PARTS:
                raise CannotConvert("5.6.3", "it has too many parts to be converted")
            if is_open:
                # The line end before a delimiter belongs to the delimiter (RFC 2046 5.1.1).
                part = body[start : max(start, found.start() - 1)]
                made.append(self.entity(part, depth + 1) + b"\n")
            made.append(found[0].replace(b"\r", b""))
            start, is_open = found.end(), not found[1]
            if found[1]:
                break
        if is_open:
            made.append(self.entity(body[start:], depth + 1))
        return b"".join(made)

    def _as_7bit(self, fields: list[bytes], encoding: bytes) -> list[bytes]:
        """The header of something whose parts are 7-bit from here on."""
        if not self._to_7bit or encoding not in (b"8bit", b"binary"):
            return fields
        return _with(fields, b"Content-Transfer-Encoding", b"7bit")


def _encoded(body: bytes, encoding: bytes, *, is_text: bool) -> tuple[bytes, bytes]:
    """The name of an encoding and a body in it."""
    if encoding in IDENTITY:
        if is_text and b"\r" not in body:
            return b"quoted-printable", binascii.b2a_qp(body, istext=True)
        # What is encoded is what would have been on the wire.
        return b"base64", base64.encodebytes(body.replace(b"\n", b"\r\n"))
    try:
        if encoding == b"base64":
            return b"base64", base64.encodebytes(binascii.a2b_base64(body))
        if encoding == b"quoted-printable":
            plain = binascii.a2b_qp(body.replace(b"\r", b"=0D"))
            if is_text and b"\r" not in plain:
                return b"quoted-printable", binascii.b2a_qp(plain, istext=True)
            return b"base64", base64.encodebytes(plain)
    except binascii.Error as error:
        raise CannotConvert("5.6.3", "its base64 is damaged") from error
    raise CannotConvert("5.6.3", f"its encoding {encoding[:40]!r} is not known")


def _split(octets: bytes) -> tuple[bytes, bytes]:
    """Header with its last line end, and body from the empty line on."""
    if octets.startswith(b"\n"):
        return b"", octets
    end = octets.find(b"\n\n")
    return (octets, b"") if end < 0 else (octets[: end + 1], octets[end + 1 :])


def _fields(header: bytes) -> list[bytes]:
    """The header's fields, each with its continuation lines."""
    fields: list[bytes] = []
    for line in header.split(b"\n")[: -1 if header.endswith(b"\n") else None]:
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1] += line + b"\n"
        else:
            fields.append(line + b"\n")
    if not header.endswith(b"\n") and fields:
        fields[-1] = fields[-1][:-1]
    return fields


def _name(field: bytes) -> bytes:
    found = _FIELD.match(field)
    return found[0][:-1].strip(b" \t").lower() if found else b""


def _value(fields: Iterable[bytes], name: bytes) -> bytes:
    """A field's value as written, empty where there is no such field."""
    for field in fields:
        if _name(field) == name:
            return field.partition(b":")[2].rstrip(b"\n")
    return b""


def _with(fields: list[bytes], name: bytes, value: bytes) -> list[bytes]:
    """The fields with one that has this value, in the place of those it had."""
    made = name + b": " + value + b"\n"
    places = [place for place, field in enumerate(fields) if _name(field) == name.lower()]
    if not places:
        return [*fields, made]
    kept = [field for place, field in enumerate(fields) if place not in places[1:]]
    kept[places[0]] = made
    return kept


def _with_version(fields: list[bytes]) -> list[bytes]:
    if _value(fields, b"mime-version"):
        return fields
    return _with(fields, b"MIME-Version", b"1.0")


def _folded(field: bytes) -> bytes:
    """A field whose lines are short enough, where it has white space to fold at."""
    if all(len(line) <= MAX_TEXT_LINE for line in field.split(b"\n")):
        return field
    return b"\n".join(_short(line) for line in field.split(b"\n"))


def _short(line: bytes) -> bytes:
    pieces = []
    while len(line) > MAX_TEXT_LINE:
        cut = max(line.rfind(b" ", 1, MAX_TEXT_LINE), line.rfind(b"\t", 1, MAX_TEXT_LINE))
        if cut < 1 or not line[:cut].strip():
            break
        pieces.append(line[:cut])
        line = line[cut:]
    return b"\n".join((*pieces, line))

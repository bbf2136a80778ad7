"""BODY and BODYSTRUCTURE of a message (RFC 9051 7.5.2; PURE)."""

from mtad.mime import fields
from mtad.mime.addresses import unquoted
from mtad.mime.envelope import envelope
from mtad.mime.message import Part
from mtad.mime.parameters import Parameters, disposition, without_comments
from mtad.mime.strings import nstring, string

_NO_PART = b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0'
"""What a multipart without parts is said to have: the grammar asks for one."""
_NO_MESSAGE = b" (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) " + _NO_PART
"""What a message in base64, or one too deep, is said to enclose, for the same reason."""


def body(data: bytes, part: Part, *, extended: bool) -> bytes:
    """The list of BODY, or with ``extended`` of BODYSTRUCTURE, in its parentheses."""
    out: list[bytes] = []
    _write(data, part, extended, out)
    return b"".join(out)


def both(data: bytes, part: Part) -> tuple[bytes, bytes]:
    """BODY and BODYSTRUCTURE."""
    return body(data, part, extended=False), body(data, part, extended=True)


def _write(data: bytes, part: Part, extended: bool, out: list[bytes]) -> None:
    header = part.fields
    if part.kind == b"multipart":
        out.append(b"(")
        for child in part.children:
            _write(data, child, extended, out)
        if not part.children:
            out.append(_NO_PART + (b" NIL NIL NIL NIL)" if extended else b")"))
        out.append(b" " + string(part.written[1]))
        if extended:
            out.append(b" " + _parameters(part.params))
            out.append(_place(part))
        out.append(b")")
        return
    params = part.params
    if part.kind == b"text" and not any(name.lower() == b"charset" for name, _ in params):
        params = (*params, (b"charset", b"us-ascii"))
    description = header.get(b"content-description")
    encoding = fields.last(header, b"content-transfer-encoding")
    out.append(
        b"(%b %b %b %b %b %b %d"
        % (
            string(part.kind if part.encloses else part.written[0]),
            string(part.subtype if part.encloses else part.written[1]),
            _parameters(params),
            nstring(fields.first(header, b"content-id")),
            nstring(None if description is None else fields.shown(description[0])),
            string(_encoding(encoding)) if encoding else b'"7bit"',
            part.body[1] - part.body[0],
        )
    )
    if part.message is not None:
        out.append(b" %b " % envelope(data, part.message))
        _write(data, part.message, extended, out)
        out.append(b" %d" % part.lines)
    elif part.encloses:
        out.append(_NO_MESSAGE + (b" NIL NIL NIL NIL)" if extended else b")"))
        out.append(b" %d" % part.lines)
    elif part.kind == b"text":
        out.append(b" %d" % part.lines)
    if extended:
        out.append(b" " + nstring(fields.first(header, b"content-md5")))
        out.append(_place(part))
    out.append(b")")


def _place(part: Part) -> bytes:
    """Disposition, language and location."""
    header = part.fields
    value = header.get(b"content-disposition")
    found = disposition(value[-1]) if value else None
    shown = b"NIL" if found is None else b"(%b %b)" % (string(found[0]), _parameters(found[1]))
    return b" %b %b %b" % (
        shown,
        _languages(fields.first(header, b"content-language")),
        nstring(fields.first(header, b"content-location")),
    )


def _languages(value: bytes | None) -> bytes:
    """The tags of Content-Language (RFC 3282); one alone is still a list."""
    if not value:
        return b"NIL"
    tags = [tag.strip() for tag in without_comments(value).split(b",")]
    shown = [string(tag) for tag in tags if tag]
    return b"(%b)" % b" ".join(shown) if shown else b"NIL"


def _encoding(value: bytes) -> bytes:
    return unquoted(without_comments(value).split(b";")[0].strip()) or b"7bit"


def _parameters(params: Parameters) -> bytes:
    if not params:
        return b"NIL"
    return b"(%b)" % b" ".join(b"%b %b" % (string(name), string(value)) for name, value in params)

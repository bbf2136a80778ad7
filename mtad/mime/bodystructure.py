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
    return both(data, part)[extended]


def both(data: bytes, part: Part) -> tuple[bytes, bytes]:
    """BODY and BODYSTRUCTURE, written together since most of them is the same."""
    short: list[bytes] = []
    extended: list[bytes] = []
    _write(data, part, short, extended)
    return b"".join(short), b"".join(extended)


def _write(data: bytes, part: Part, short: list[bytes], extended: list[bytes]) -> None:
    if part.kind == b"multipart":
        _multipart(data, part, short, extended)
        return
    said = _basic(part)
    short.append(said)
    extended.append(said)
    if part.message is not None:
        said = b" %b " % envelope(data, part.message)
        short.append(said)
        extended.append(said)
        _write(data, part.message, short, extended)
    elif part.encloses:
        short.append(_NO_MESSAGE + b")")
        extended.append(_NO_MESSAGE + b" NIL NIL NIL NIL)")
    lines = b" %d" % part.lines if part.encloses or part.kind == b"text" else b""
    short.append(lines + b")")
    md5 = nstring(fields.first(part.fields, b"content-md5"))
    extended.append(b"%b %b%b)" % (lines, md5, _place(part)))


def _multipart(data: bytes, part: Part, short: list[bytes], extended: list[bytes]) -> None:
    short.append(b"(")
    extended.append(b"(")
    for child in part.children:
        _write(data, child, short, extended)
    if not part.children:
        short.append(_NO_PART + b")")
        extended.append(_NO_PART + b" NIL NIL NIL NIL)")
    subtype = string(part.written[1])
    short.append(b" %b)" % subtype)
    extended.append(b" %b %b%b)" % (subtype, _parameters(part.params), _place(part)))


def _basic(part: Part) -> bytes:
    """What is said of every part that is no multipart, after its opening parenthesis."""
    header, params = part.fields, part.params
    if part.kind == b"text" and not any(name.lower() == b"charset" for name, _ in params):
        params = (*params, (b"charset", b"us-ascii"))
    description = header.get(b"content-description")
    encoding = fields.last(header, b"content-transfer-encoding")
    return b"(%b %b %b %b %b %b %d" % (
        string(part.kind if part.encloses else part.written[0]),
        string(part.subtype if part.encloses else part.written[1]),
        _parameters(params),
        nstring(fields.first(header, b"content-id")),
        nstring(None if description is None else fields.shown(description[0])),
        string(_encoding(encoding)) if encoding else b'"7bit"',
        part.body[1] - part.body[0],
    )


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

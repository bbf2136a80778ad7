"""Sections of a message, as FETCH BODY[...] and BINARY[...] name them (RFC 9051 6.4.5; PURE).

All answers but those of ``binary`` are octets of the message in its wire form; a NUL, which no
literal may have, is shown as octet 128.
"""

import re
from collections.abc import Sequence

from mtad.mime.decoding import UnknownEncoding, decoded
from mtad.mime.message import Part

__all__ = ["UnknownEncoding", "binary", "find", "header_fields", "locate"]

_FIELD_START = re.compile(rb"(?<=\n)(?![ \t])")


def find(
    data: bytes,
    part: Part,
    numbers: Sequence[int],
    what: str = "",
    names: Sequence[bytes] = (),
) -> bytes | None:
    """The octets of ``BODY[numbers.what]``, None where the message has no such part.

    ``what`` is "" for a part's content, MIME for its header, or, of the whole message and
    of a message/rfc822, HEADER, HEADER.FIELDS and HEADER.FIELDS.NOT with field ``names``, or TEXT.
    """
    at = locate(part, numbers)
    if at is None:
        return None
    if not what and not numbers:
        return _shown(data)
    if what == "MIME" or not what:
        start, end = at.header if what else at.body
        return _shown(data[start:end])
    message = at.message if numbers else at
    if message is None:
        return None
    start, end = message.body if what == "TEXT" else message.header
    found = data[start:end]
    if what in ("HEADER.FIELDS", "HEADER.FIELDS.NOT"):
        found = header_fields(found, names, without=what.endswith("NOT"))
    return _shown(found)


def binary(data: bytes, part: Part, numbers: Sequence[int]) -> bytes | None:
    """The octets of ``BINARY[numbers]`` without their encoding (RFC 3516 4.2).

    None where there is no such part. Messages and multiparts have no encoding of their own.
    Raises UnknownEncoding, of which RFC 3516 4.3 makes UNKNOWN-CTE.
    """
    at = locate(part, numbers)
    if at is None:
        return None
    if not numbers:
        return data
    start, end = at.body
    if at.is_multipart or at.message is not None:
        return data[start:end]
    return decoded(data[start:end], at.encoding)


def locate(part: Part, numbers: Sequence[int]) -> Part | None:
    """The part of the numbers, None where there is none; ``part`` is the whole message.

    Behind a message/rfc822 the numbers go on with the parts of the message it encloses. A
    message that is no multipart has part 1 all the same (RFC 9051 6.4.5.1).
    """
    at = part
    container: Part | None = part
    for number in numbers:
        if container is None:
            return None
        if container.is_multipart:
            if not 1 <= number <= len(container.children):
                return None
            at = container.children[number - 1]
        elif number == 1:
            at = container
        else:
            return None
        container = at if at.is_multipart else at.message
    return at


def header_fields(header: bytes, names: Sequence[bytes], *, without: bool = False) -> bytes:
    """The fields of a header that have one of the names, or none of them, and an empty line."""
    wanted = {name.lower() for name in names}
    kept = []
    for field in _FIELD_START.split(header):
        name, colon, _ = field.partition(b":")
        if not field.strip(b"\r\n"):
            continue
        if (bool(colon) and name.rstrip(b" \t").lower() in wanted) is not without:
            kept.append(field)
    if kept and not kept[-1].endswith(b"\n"):
        kept[-1] += b"\r\n"
    kept.append(b"\r\n")
    return b"".join(kept)


def _shown(found: bytes) -> bytes:
    return found.replace(b"\0", b"\x80") if b"\0" in found else found

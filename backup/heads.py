"""The header fields people know a message by, out of whatever octets it has (PURE).

Never raises and never takes long: real mail has broken encodings, missing fields and dates
that are none.
"""

import re
from email.errors import MessageError
from email.header import decode_header
from email.utils import parsedate_to_datetime

from backup.cache import Head

MAX_HEADER = 64 * 2**10
MAX_FIELD = 2000
_REPLY = re.compile(rb"\A(?:(?:re|aw|fwd?|wg|sv|antw)(?:\[\d+\])?:\s*)+", re.IGNORECASE)
_FOLD = re.compile(r"[\r\n]+[ \t]*")
_DOMAIN = re.compile(rb"@([a-z0-9.-]+)")


def header_of(raw: bytes) -> bytes:
    """The header block, at most its first 64 KiB, beginning with a line end."""
    start = raw[:MAX_HEADER]
    ends = [end for end in (start.find(b"\n\n"), start.find(b"\n\r\n")) if end >= 0]
    return b"\n" + start[: min(ends, default=len(start))]


def _field(header: bytes, low: bytes, name: bytes) -> bytes:
    """The first field of this name, still folded; ``low`` is the header in lower case."""
    at = low.find(b"\n" + name + b":")
    if at < 0:
        return b""
    at += len(name) + 2
    end = header.find(b"\n", at)
    while 0 <= end < len(header) - 1 and header[end + 1] in b" \t":
        end = header.find(b"\n", end + 1)
    return header[at : end if end >= 0 else len(header)][:MAX_FIELD].strip()


def sort_key(raw: bytes) -> tuple[bytes, bytes]:
    """What brings messages of one kind together: sender's domain, subject without Re:."""
    header = header_of(raw)
    low = header.lower()
    domain = _DOMAIN.search(_field(header, low, b"from").lower())
    subject = _REPLY.sub(b"", _field(header, low, b"subject"))
    return (domain[1] if domain else b"", subject)


def head(raw: bytes) -> Head:
    """Subject, From, Date and Message-ID, decoded as far as they can be."""
    header = header_of(raw)
    low = header.lower()
    subject, sender, date, message_id = (
        _field(header, low, name) for name in (b"subject", b"from", b"date", b"message-id")
    )
    return Head(_text(subject), _text(sender), _date(date), _plain(message_id))


def _plain(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return _FOLD.sub(" ", text).replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _text(value: bytes) -> str:
    """A field with its encoded words (RFC 2047) decoded; as it stands where that fails."""
    plain = _plain(value)
    if "=?" not in plain:
        return plain
    try:
        parts = decode_header(plain)
    except (MessageError, ValueError):
        return plain
    shown = []
    for part, charset in parts:
        if isinstance(part, str):
            shown.append(part)
            continue
        try:
            shown.append(part.decode(charset or "ascii", "replace"))
        except (LookupError, ValueError):
            shown.append(part.decode("latin-1"))
    text = "".join(shown).encode(errors="replace").decode()
    return _FOLD.sub(" ", text).replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _date(value: bytes) -> int:
    try:
        when = parsedate_to_datetime(_plain(value))
        return max(0, int(when.timestamp() * 1_000_000))
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0

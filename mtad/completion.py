"""What a submission server adds to a message and takes out of it (RFC 6409 section 8; PURE).

Only the header block is touched, field by field; everything else keeps its octets. Line ends
are LF.
"""

import re
from email.utils import formatdate

_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")
_SECRET = frozenset({b"bcc", b"resent-bcc"})
"""Fields that name recipients nobody else may see (RFC 5322 3.6.3)."""


def fields(message: bytes) -> tuple[list[bytes], bytes]:
    """The header fields, each with its continuation lines and line end, and the rest.

    The rest begins with the empty line where there is one. A line that is no field ends the
    header: what follows is body, though the empty line is missing.
    """
    found: list[bytes] = []
    start = at = 0
    while at < len(message):
        if message[at] not in b" \t" or not at:
            if at > start:
                found.append(message[start:at])
                start = at
            if not _FIELD.match(message, at):
                break
        at = message.find(b"\n", at) + 1 or len(message)
    if at > start:
        found.append(message[start:at])
    return found, message[at:]


def name_of(field: bytes) -> bytes:
    """A field's name in lower case."""
    return field.partition(b":")[0].strip().lower()


def value_of(field: bytes) -> bytes:
    """A field's value, unfolded."""
    return b" ".join(field.partition(b":")[2].split())


def complete(message: bytes, *, at: int, message_id: str) -> bytes:
    """The message with Date and Message-ID if it has none, and without Bcc.

    ``at`` in seconds since the Unix epoch; ``message_id`` without its angle brackets.
    """
    kept, rest = fields(message)
    kept = [field for field in kept if name_of(field) not in _SECRET]
    there = {name_of(field) for field in kept}
    if b"date" not in there:
        kept.append(f"Date: {date(at)}\n".encode())
    if b"message-id" not in there:
        kept.append(f"Message-ID: <{message_id}>\n".encode())
    return _joined(kept, rest)


def date(at: int) -> str:
    """A time in seconds as RFC 5322 3.3 writes it, in local time with its offset."""
    return formatdate(at, localtime=True)


def with_sender(message: bytes, sender: str, full_name: str = "") -> bytes:
    """The message with a From field if it has none."""
    kept, rest = fields(message)
    if any(name_of(field) == b"from" for field in kept):
        return message
    line = f"From: {_mailbox(sender, full_name)}\n"
    return _joined([*kept, line.encode("utf-8", "replace")], rest)


def _joined(kept: list[bytes], rest: bytes) -> bytes:
    """Header and body with an empty line between them."""
    ended = [field if field.endswith(b"\n") else field + b"\n" for field in kept]
    return b"".join(ended) + (rest if rest.startswith(b"\n") else b"\n" + rest)


def _mailbox(address: str, name: str) -> str:
    from email.header import Header  # noqa: PLC0415 - wanted only where From is missing

    name = " ".join(name.split())
    if not name:
        return address
    if name.isascii():
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" <{address}>'
    return f"{Header(name, 'utf-8').encode()} <{address}>"

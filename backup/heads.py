"""The header fields people know a message by, out of whatever octets it has (PURE).

Never raises and never takes long: real mail has broken encodings, missing fields and dates
that are none.
"""

import re
from email.utils import parsedate_to_datetime

from backup.cache import Head
from mtad.headers import Block, message_id, text

MAX_HEADER = 64 * 2**10
_REPLY = re.compile(rb"\A(?:(?:re|aw|fwd?|wg|sv|antw)(?:\[\d+\])?:\s*)+", re.IGNORECASE)
_RECIPIENTS = (b"to", b"cc", b"bcc")
_DOMAIN = re.compile(rb"@([a-z0-9.-]+)")


def sort_key(raw: bytes) -> tuple[bytes, bytes]:
    """What brings messages of one kind together: sender's domain, subject without Re:."""
    block = Block(raw, MAX_HEADER)
    domain = _DOMAIN.search(block.first(b"from").lower())
    subject = _REPLY.sub(b"", block.first(b"subject").strip())
    return (domain[1] if domain else b"", subject)


def head(raw: bytes) -> Head:
    """Subject, From, Date, Message-ID and recipients, decoded as far as they can be."""
    block = Block(raw, MAX_HEADER)
    return Head(
        text(block.first(b"subject")),
        text(block.first(b"from")),
        _date(text(block.first(b"date"))),
        message_id(block.first(b"message-id")),
        ", ".join(filter(None, (text(block.first(name)) for name in _RECIPIENTS))),
    )


def _date(value: str) -> int:
    try:
        return max(0, int(parsedate_to_datetime(value).timestamp() * 1_000_000))
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0

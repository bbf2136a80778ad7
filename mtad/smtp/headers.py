"""What the log wants to know of a message's header when it is taken in (PURE)."""

from dataclasses import dataclass

from mtad.headers import Block, message_id, text


@dataclass(frozen=True, slots=True)
class Headers:
    """Message-ID with its brackets, decoded Subject and From, and how many hops it had."""

    message_id: str = ""
    subject: str = ""
    header_from: str = ""
    received: int = 0
    own: int = 0
    """How many of the hops were this server."""


def scan(message: bytes, mark: bytes = b"") -> Headers:
    """Read the header block of a message; ``mark`` is what Received lines of ours have."""
    block = Block(message)
    return Headers(
        message_id(block.first(b"message-id")),
        text(block.first(b"subject")),
        text(block.first(b"from")),
        block.count(b"received"),
        block.raw.count(mark) if mark else 0,
    )

"""What one line of a mail server's log says, whichever server wrote it (PURE)."""

import re
from dataclasses import dataclass

from tracing.event import Event

MAX_TEXT = 1_000
"""Characters kept of one value."""


@dataclass(frozen=True, slots=True)
class Told:
    """A line with something to say of a message.

    ``key`` is the server's queue id, "" for what never had one. Of an ``event`` the trace and
    the recipient's number are still 0; without an address it concerns every recipient that has
    no end yet. ``original`` is the address that led to the event's. None is for what the line
    does not say. ``over``: the server is done with the message.
    """

    key: str
    sender: str | None = None
    ip: str | None = None
    helo: str | None = None
    login: str | None = None
    message_id: str | None = None
    subject: str | None = None
    size: int | None = None
    recipients: tuple[str, ...] = ()
    local: bool = False
    event: Event | None = None
    original: str = ""
    over: bool = False


_CODE = re.compile(r"(?:^|[\s:])([245]\d\d)(?:[ -]+([245]\.\d{1,3}\.\d{1,3}))?(?=[\s-]|$)")
_QUEUED = re.compile(r"(?:queued as|[\s(]id=|queue id) ?<?([\w.-]{4,64})", re.ASCII | re.IGNORECASE)


def reply_codes(text: str) -> tuple[int, str]:
    """The first reply code and enhanced status code in a text; 0 and "" where there is none."""
    found = _CODE.search(text)
    return (int(found[1]), found[2] or "") if found else (0, "")


def remote_id(text: str) -> str:
    """The queue id that a server told when it took a message."""
    found = _QUEUED.search(text)
    return found[1].rstrip(".") if found else ""


def number(text: str) -> int:
    """A count or size; 0 for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0

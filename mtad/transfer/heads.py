r"""What headers say of a message that no file name or server does: flags, keywords, arrival (PURE).

Mail programs that keep mail in mboxes write flags into the header: Status and X-Status (Pine,
mutt, Dovecot), X-Keywords, X-Mozilla-Status (Thunderbird), X-Gmail-Labels (Google Takeout).
"""

import re
from typing import NamedTuple

from mtad import headers
from mtad.headers import Block
from mtad.mime import dates

_STATUS = {b"A": "R", b"F": "F", b"D": "T", b"T": "D"}
_MOZILLA = {0x0001: "S", 0x0002: "R", 0x0004: "F", 0x1000: "P"}
_MOZILLA_GONE = 0x0008
_INTERNAL = b"folder internal data"
_SYSTEM = {
    "inbox": "INBOX",
    "входящие": "INBOX",
    "trash": "Trash",
    "корзина": "Trash",
    "spam": "Junk",
    "спам": "Junk",
    "drafts": "Drafts",
    "черновики": "Drafts",
    "sent": "Sent",
    "отправленные": "Sent",
}
_ORDER = ("Trash", "Junk", "Drafts", "Sent", "INBOX")
_UNREAD = frozenset({"unread", "непрочитанные"})
_STARRED = frozenset({"starred", "помеченные"})
_SAYS_NOTHING = frozenset({"opened", "archived", "important", "chat", "открытые", "важное"})
_CATEGORY = re.compile(r"(?:category|категория)\b", re.IGNORECASE)
ARCHIVE = "Archive"


class Said(NamedTuple):
    """What a header says; ``mailbox`` is "" where it says none, ``drop`` why it is no message."""

    letters: str = ""
    keywords: tuple[str, ...] = ()
    mailbox: str = ""
    drop: str = ""


def said(block: Block) -> Said:
    """Flags as Maildir letters, keywords, and the mailbox that labels mean."""
    if block.first(b"x-imap") and _INTERNAL in block.first(b"subject").lower():
        return Said(drop="a mail program's own notes")
    letters = set()
    if b"R" in block.first(b"status").upper():
        letters.add("S")
    marks = block.first(b"x-status").upper()
    letters |= {letter for mark, letter in _STATUS.items() if mark in marks}
    keywords = headers.text(block.first(b"x-keywords")).split()
    mozilla = block.first(b"x-mozilla-status").strip()
    if re.fullmatch(rb"[0-9A-Fa-f]{4}", mozilla):
        bits = int(mozilla, 16)
        if bits & _MOZILLA_GONE:
            return Said(drop="deleted in Thunderbird")
        letters |= {letter for bit, letter in _MOZILLA.items() if bits & bit}
    keywords += headers.text(block.first(b"x-mozilla-keys")).split()
    mailbox = ""
    labels = block.first(b"x-gmail-labels")
    if labels:
        more, mailbox = _labels(headers.text(labels, 4096))
        letters |= more
    return Said("".join(sorted(letters)), tuple(dict.fromkeys(keywords)), mailbox)


def _labels(text: str) -> tuple[set[str], str]:
    """Flags, and the one mailbox for labels: a system's own before a person's."""
    every = [label.strip().strip('"') for label in text.split(",")]
    folded = {label.casefold() for label in every}
    letters = set() if folded & _UNREAD else {"S"}
    if folded & _STARRED:
        letters.add("F")
    system = {_SYSTEM[label] for label in folded if label in _SYSTEM}
    if system:
        mailbox = next(one for one in _ORDER if one in system)
        if mailbox == "Drafts":
            letters.add("D")
        return letters, mailbox
    known = _UNREAD | _STARRED | _SAYS_NOTHING
    own = [one for one in every if one and one.casefold() not in known and not _CATEGORY.match(one)]
    return letters, own[0] if own else ARCHIVE


def arrival_ns(block: Block) -> int:
    """When the message arrived, by the last server, else when it says it was sent; 0 for never."""
    received = block.first(b"received")
    for value in (received.rpartition(b";")[2] if b";" in received else b"", block.first(b"date")):
        found = dates.sent(b" ".join(value.split())) if value else None
        if found:
            return found[0] * 1_000_000_000
    return 0

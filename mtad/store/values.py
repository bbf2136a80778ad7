"""What is said about mailboxes and messages, the same in a box, over a socket and in a snapshot."""

from typing import NamedTuple

import msgspec


class MailboxInfo(msgspec.Struct, frozen=True):
    """A mailbox and its numbers (RFC 9051 2.3.1); ``id`` survives renames (RFC 8474)."""

    name: str
    uidvalidity: int
    uidnext: int
    highestmodseq: int
    messages: int
    id: int = 0


class Message(msgspec.Struct, frozen=True):
    """One message of a mailbox.

    ``uid`` is 0 while it has none. ``flags`` are Maildir letters, ``internaldate_ns`` is the
    file's mtime, ``size`` its octets, ``sha256`` the raw digest where it is known, ``m`` 0 where
    it is not. ``file`` is ``new/<name>`` or ``cur/<name>`` below the mailbox's folder.
    """

    mailbox: str
    uid: int
    st: int
    m: int
    base: str
    flags: str
    keywords: tuple[str, ...]
    modseq: int
    internaldate_ns: int
    size: int
    sha256: bytes | None
    file: str
    folder: str = ""


class Prepared(msgspec.Struct, frozen=True):
    """A whole file in the box's ``Maildir/tmp`` that is to become a message.

    ``tmp`` is its name there and ``base`` the base name it had, "" for none; ``was`` is the
    stored copy it was made from, 0 for none, ``uid`` the UID it asks for, 0 for the next one.
    The file must have no other link.
    """

    tmp: str
    base: str
    flags: str
    keywords: tuple[str, ...]
    mtime_ns: int
    size: int
    sha256: bytes
    m: int = 0
    was: int = 0
    uid: int = 0


class MailboxStatus(msgspec.Struct, frozen=True):
    r"""What STATUS says of a mailbox (RFC 9051 6.3.11); ``size`` as on the wire."""

    messages: int
    uidnext: int
    uidvalidity: int
    unseen: int
    recent: int
    deleted: int
    size: int
    highestmodseq: int
    mailboxid: int


class Quota(msgspec.Struct, frozen=True):
    """What a box holds and may hold, octets as stored; a limit of 0 is none."""

    bytes: int
    max_bytes: int
    messages: int
    max_messages: int


class FlagsDone(NamedTuple):
    """A change of flags: UIDs that changed, UIDs changed by others before (MODIFIED)."""

    changed: tuple[int, ...]
    failed: tuple[int, ...]
    modseq: int
    """The mailbox's highest mod-sequence after it."""


class Copied(NamedTuple):
    """Messages copied or moved (COPYUID, RFC 4315 3): UIDs there were and UIDs they got."""

    uidvalidity: int
    sources: tuple[int, ...]
    targets: tuple[int, ...]


class Placed(NamedTuple):
    """Messages put into a mailbox (APPENDUID, RFC 4315 3), in order."""

    uidvalidity: int
    uids: tuple[int, ...]

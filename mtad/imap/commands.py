"""What a client can ask, parsed, one class a command (RFC 9051 6, RFC 3501 6, extensions).

Mailbox names are text as people read it: modified UTF-7 and UTF-8 are decoded, INBOX is upper
case. Strings of the protocol stay bytes where they may be anything. A set of numbers is a
``NumberSet``; whether it means sequence numbers or UIDs is the command's ``by_uid``.
"""

from dataclasses import dataclass
from datetime import date
from typing import Protocol

STAR = 0
"""``*`` in a set of numbers: the largest in use."""


class Spooled(Protocol):
    """A literal kept outside of memory until its command ends."""

    @property
    def size(self) -> int:
        """Octets in it."""

    def path(self) -> str:
        """The file that holds it."""


@dataclass(frozen=True, slots=True)
class NumberSet:
    """``2,4:7,9:*`` as pairs in the order given; ``saved`` is the ``$`` of RFC 5182."""

    ranges: tuple[tuple[int, int], ...] = ()
    saved: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """Every command has the client's tag and its name, which is "UID FETCH" for UID forms."""

    tag: str
    name: str


# ------------------------------------------------------------------- any state


@dataclass(frozen=True, slots=True)
class Plain(Command):
    """A command without arguments: CAPABILITY, NOOP, LOGOUT, STARTTLS, CHECK, CLOSE, UNSELECT,
    EXPUNGE, IDLE, NAMESPACE."""


@dataclass(frozen=True, slots=True)
class Id(Command):
    """ID (RFC 2971); None for NIL."""

    fields: tuple[tuple[str, str | None], ...] | None


@dataclass(frozen=True, slots=True)
class Enable(Command):
    """ENABLE (RFC 5161), names in upper case."""

    capabilities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Authenticate(Command):
    """AUTHENTICATE with an initial response, decoded, or None (RFC 4959)."""

    mechanism: str
    initial: bytes | None


@dataclass(frozen=True, slots=True)
class Login(Command):
    """LOGIN."""

    user: bytes
    password: bytes


@dataclass(frozen=True, slots=True)
class Compress(Command):
    """COMPRESS (RFC 4978)."""

    algorithm: str


# ------------------------------------------------------------------- mailboxes


@dataclass(frozen=True, slots=True)
class QResync:
    """The QRESYNC parameter of SELECT (RFC 7162 3.2.5)."""

    uidvalidity: int
    modseq: int
    known_uids: NumberSet | None = None
    matched: tuple[NumberSet, NumberSet] | None = None
    """Sequence numbers and their UIDs."""


@dataclass(frozen=True, slots=True)
class Select(Command):
    """SELECT and EXAMINE."""

    mailbox: str
    condstore: bool = False
    qresync: QResync | None = None


@dataclass(frozen=True, slots=True)
class Create(Command):
    """CREATE with the uses of RFC 6154, such as ``\\Sent``."""

    mailbox: str
    uses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OfMailbox(Command):
    """DELETE, SUBSCRIBE, UNSUBSCRIBE, GETQUOTAROOT, GETACL and MYRIGHTS."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class Rename(Command):
    """RENAME."""

    mailbox: str
    target: str


@dataclass(frozen=True, slots=True)
class List(Command):
    """LIST, LSUB and LIST-EXTENDED (RFC 5258), LIST-STATUS (RFC 5819). Names are upper case.

    ``extended`` tells the extended form, whose answers differ in detail. ``status`` are the
    items of RETURN (STATUS (...)).
    """

    reference: str
    patterns: tuple[str, ...]
    selection: tuple[str, ...] = ()
    returns: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    extended: bool = False


@dataclass(frozen=True, slots=True)
class Status(Command):
    """STATUS; items in upper case."""

    mailbox: str
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Url:
    """``URL "/INBOX;UIDVALIDITY=1/;UID=2/;SECTION=1"`` of CATENATE (RFC 4469)."""

    url: str


@dataclass(frozen=True, slots=True)
class AppendMessage:
    """One message of APPEND: one literal, or the parts of CATENATE one after the other.

    ``date_us`` are microseconds since the epoch, None where the client gave none; ``utf8``
    tells a literal in UTF8 (...), ``binary`` one that may hold NULs (RFC 3516).
    """

    flags: tuple[str, ...]
    date_us: int | None
    parts: tuple["bytes | Spooled | Url", ...]
    utf8: bool = False
    binary: bool = False


@dataclass(frozen=True, slots=True)
class Append(Command):
    """APPEND with any number of messages (RFC 3502)."""

    mailbox: str
    messages: tuple[AppendMessage, ...]


@dataclass(frozen=True, slots=True)
class Replace(Command):
    """REPLACE (RFC 8508): ``number`` (a UID or a sequence number; it may be STAR) goes, the
    message comes."""

    number: int
    by_uid: bool
    mailbox: str
    message: AppendMessage


# -------------------------------------------------------------------- messages


@dataclass(frozen=True, slots=True)
class Section:
    """What stands in ``BODY[...]``: part numbers, then "", HEADER, HEADER.FIELDS,
    HEADER.FIELDS.NOT, TEXT or MIME; fields as the client wrote them."""

    part: tuple[int, ...] = ()
    what: str = ""
    fields: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to fetch, in upper case.

    ``name`` is UID, FLAGS, INTERNALDATE, SAVEDATE, RFC822.SIZE, ENVELOPE, BODY (the structure),
    BODYSTRUCTURE, MODSEQ, EMAILID, THREADID, PREVIEW, RFC822, RFC822.HEADER, RFC822.TEXT, BODY[]
    (any section), BINARY[] or BINARY.SIZE[]. ALL, FAST and FULL are resolved. ``peek`` leaves
    ``\\Seen`` alone; ``partial`` is (offset, count); ``lazy`` is PREVIEW (LAZY).
    """

    name: str
    section: Section = Section()
    peek: bool = False
    partial: tuple[int, int] | None = None
    lazy: bool = False


@dataclass(frozen=True, slots=True)
class Fetch(Command):
    """FETCH and UID FETCH with CHANGEDSINCE and VANISHED (RFC 7162) and PARTIAL (RFC 9394).

    ``partial`` are two numbers above 0, or two below 0 that count from the end; the first is
    the nearer to 0.
    """

    numbers: NumberSet
    by_uid: bool
    items: tuple[Item, ...]
    changed_since: int | None = None
    vanished: bool = False
    partial: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Store(Command):
    """STORE; ``mode`` is "+", "-" or "" (replace)."""

    numbers: NumberSet
    by_uid: bool
    mode: str
    flags: tuple[str, ...]
    silent: bool = False
    unchanged_since: int | None = None


@dataclass(frozen=True, slots=True)
class Copy(Command):
    """COPY and MOVE with their UID forms."""

    numbers: NumberSet
    by_uid: bool
    mailbox: str


@dataclass(frozen=True, slots=True)
class UidExpunge(Command):
    """UID EXPUNGE (RFC 4315)."""

    numbers: NumberSet


# ------------------------------------------------------------------- searching


@dataclass(frozen=True, slots=True)
class Flagged:
    """A flag or keyword is set, or not: ANSWERED, UNSEEN, KEYWORD, NEW (as And), OLD ..."""

    flag: str
    is_set: bool = True


@dataclass(frozen=True, slots=True)
class Text:
    """A substring: ``where`` is BODY, TEXT or a header field's name in upper case.

    An empty ``value`` of a header field asks whether the field is there. ``in_header`` tells
    a field from BODY and TEXT, since fields may be called like that.
    """

    where: str
    value: str
    in_header: bool = False


@dataclass(frozen=True, slots=True)
class When:
    """A day: ``where`` is INTERNAL, SENT or SAVED; ``how`` is BEFORE, ON or SINCE."""

    where: str
    how: str
    day: date


@dataclass(frozen=True, slots=True)
class Within:
    """OLDER and YOUNGER (RFC 5032)."""

    how: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Size:
    """LARGER and SMALLER, in octets."""

    how: str
    octets: int


@dataclass(frozen=True, slots=True)
class Numbers:
    """A set of sequence numbers or of UIDs."""

    numbers: NumberSet
    by_uid: bool


@dataclass(frozen=True, slots=True)
class ModSeq:
    """MODSEQ (RFC 7162 3.1.5), what is at least so high."""

    modseq: int


@dataclass(frozen=True, slots=True)
class ObjectId:
    """EMAILID and THREADID (RFC 8474)."""

    where: str
    value: str


@dataclass(frozen=True, slots=True)
class Anything:
    """ALL, and SAVEDATESUPPORTED."""


@dataclass(frozen=True, slots=True)
class Not:
    """NOT."""

    key: "Key"


@dataclass(frozen=True, slots=True)
class Or:
    """OR."""

    left: "Key"
    right: "Key"


@dataclass(frozen=True, slots=True)
class And:
    """Several keys, all of which must hold; never empty."""

    keys: tuple["Key", ...]


Key = (
    Flagged | Text | When | Within | Size | Numbers | ModSeq | ObjectId | Anything | Not | Or | And
)


@dataclass(frozen=True, slots=True)
class Search(Command):
    """SEARCH; ``returns`` is None without RETURN, else MIN, MAX, ALL, COUNT and SAVE.

    ``RETURN ()`` means ALL and is parsed to it. With ``partial``, of PARTIAL (RFC 9394), there
    is no ALL, and ``returns`` may be empty. ``charset`` is what the client named, in upper case
    and perhaps none of ``mtad.imap.charsets``, or "" where it named none.
    """

    by_uid: bool
    key: Key
    charset: str = ""
    returns: tuple[str, ...] | None = None
    partial: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Sort(Command):
    """SORT (RFC 5256, 5267 for RETURN): criteria as (name, reversed)."""

    by_uid: bool
    criteria: tuple[tuple[str, bool], ...]
    key: Key
    charset: str = ""
    returns: tuple[str, ...] | None = None
    partial: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Thread(Command):
    """THREAD (RFC 5256)."""

    by_uid: bool
    algorithm: str
    key: Key
    charset: str = ""


# -------------------------------------------------- quota, rights, notes, notices


@dataclass(frozen=True, slots=True)
class Quota(Command):
    """GETQUOTA and SETQUOTA (RFC 9208); ``limits`` are (resource, limit) of SETQUOTA."""

    root: str
    limits: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Acl(Command):
    """SETACL, DELETEACL and LISTRIGHTS (RFC 4314); ``rights`` with its "+" or "-"."""

    mailbox: str
    identifier: str
    rights: str = ""


@dataclass(frozen=True, slots=True)
class GetMetadata(Command):
    """GETMETADATA (RFC 5464); ``mailbox`` is "" for the server; ``depth`` 0, 1 or -1 (infinity)."""

    mailbox: str
    entries: tuple[str, ...]
    maxsize: int | None = None
    depth: int = 0


@dataclass(frozen=True, slots=True)
class SetMetadata(Command):
    """SETMETADATA; None removes an entry."""

    mailbox: str
    entries: tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class EventGroup:
    """One group of NOTIFY (RFC 5465): which mailboxes, which events.

    ``filter`` is SELECTED, SELECTED-DELAYED, INBOXES, PERSONAL, SUBSCRIBED, SUBTREE or
    MAILBOXES; ``mailboxes`` goes with the last two. ``events`` are written as the RFC does,
    none for NONE. ``items`` are what MessageNew fetches.
    """

    filter: str
    mailboxes: tuple[str, ...]
    events: tuple[str, ...]
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Notify(Command):
    """NOTIFY SET and NOTIFY NONE (no groups)."""

    groups: tuple[EventGroup, ...]
    status: bool = False

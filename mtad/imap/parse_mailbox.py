"""Commands about mailboxes (RFC 9051 6.3, LIST-EXTENDED, CONDSTORE and others; PURE)."""

from collections.abc import Mapping

from mtad.imap.answer import Bad
from mtad.imap.commands import (
    Command,
    Create,
    List,
    NumberSet,
    OfMailbox,
    QResync,
    Rename,
    Select,
    Status,
)
from mtad.imap.lexer import Lexer, once, unique
from mtad.imap.parse_session import Parser, entry

STATUS_ITEMS = (
    "MESSAGES",
    "RECENT",
    "UIDNEXT",
    "UIDVALIDITY",
    "UNSEEN",
    "DELETED",
    "DELETED-STORAGE",
    "SIZE",
    "HIGHESTMODSEQ",
    "APPENDLIMIT",
    "MAILBOXID",
)
SELECTIONS = ("SUBSCRIBED", "REMOTE", "RECURSIVEMATCH", "SPECIAL-USE")
RETURNS = ("SUBSCRIBED", "CHILDREN", "SPECIAL-USE", "STATUS", "METADATA", "MYRIGHTS")
USES = {
    use.upper(): use
    for use in (
        "\\All",
        "\\Archive",
        "\\Drafts",
        "\\Flagged",
        "\\Important",
        "\\Junk",
        "\\Sent",
        "\\Trash",
    )
}
"""The uses of RFC 6154 and RFC 8457, as they are written."""


def of_mailbox(lexer: Lexer, tag: str, name: str) -> Command:
    """A command with one mailbox."""
    lexer.space()
    return OfMailbox(tag, name, lexer.mailbox())


def rename(lexer: Lexer, tag: str, name: str) -> Command:
    """RENAME."""
    lexer.space()
    mailbox = lexer.mailbox()
    lexer.space()
    return Rename(tag, name, mailbox, lexer.mailbox())


def create(lexer: Lexer, tag: str, name: str) -> Command:
    """CREATE, with the parameters of RFC 4466 2.2 of which USE is known."""
    lexer.space()
    mailbox = lexer.mailbox()
    if not lexer.has_more():
        return Create(tag, name, mailbox)
    lexer.space()
    uses: list[str] = []

    def parameter() -> str:
        found = lexer.one_of(("USE",), "a parameter")
        lexer.space()
        uses.extend(lexer.listed(lambda: _use(lexer), empty=True))
        return found

    once(lexer.listed(parameter))
    return Create(tag, name, mailbox, unique(uses))


def _use(lexer: Lexer) -> str:
    lexer.expect(b"\\")
    use = "\\" + lexer.atom("a use")
    return USES.get(use.upper(), use)


# ---------------------------------------------------------------------- select


def select(lexer: Lexer, tag: str, name: str) -> Command:
    """SELECT and EXAMINE with CONDSTORE and QRESYNC (RFC 7162 3.1.8 and 3.2.5)."""
    lexer.space()
    mailbox = lexer.mailbox()
    if not lexer.has_more():
        return Select(tag, name, mailbox)
    lexer.space()
    condstore = False
    qresync: QResync | None = None

    def parameter() -> str:
        nonlocal condstore, qresync
        found = lexer.one_of(("CONDSTORE", "QRESYNC"), "a parameter")
        if found == "CONDSTORE":
            condstore = True
        else:
            lexer.space()
            qresync = _qresync(lexer)
        return found

    once(lexer.listed(parameter))
    return Select(tag, name, mailbox, condstore, qresync)


def _qresync(lexer: Lexer) -> QResync:
    lexer.expect(b"(")
    uidvalidity = lexer.nz_number()
    lexer.space()
    modseq = lexer.number64()
    if not modseq:
        raise Bad("a mod-sequence of QRESYNC is above 0")
    known = matched = None
    if lexer.skip(b" ") and lexer.peek() != b"(":
        known = lexer.numbers(saved=False, star=False)
        if lexer.skip(b" "):
            matched = _matched(lexer)
    elif lexer.peek() == b"(":
        matched = _matched(lexer)
    lexer.expect(b")")
    return QResync(uidvalidity, modseq, known, matched)


def _matched(lexer: Lexer) -> tuple[NumberSet, NumberSet]:
    lexer.expect(b"(")
    numbers = lexer.numbers(saved=False, star=False)
    lexer.space()
    uids = lexer.numbers(saved=False, star=False)
    lexer.expect(b")")
    if not (_ascends(numbers) and _ascends(uids) and _count(numbers) == _count(uids)):
        raise Bad("sequence numbers and UIDs ascend and are as many (RFC 7162 3.2.5.2)")
    return numbers, uids


def _ascends(numbers: NumberSet) -> bool:
    edge = 0
    for first, last in numbers.ranges:
        if not edge < first <= last:
            return False
        edge = last
    return True


def _count(numbers: NumberSet) -> int:
    return sum(abs(last - first) + 1 for first, last in numbers.ranges)


# ------------------------------------------------------------------ list, status


def lsub(lexer: Lexer, tag: str, name: str) -> Command:
    """LSUB."""
    lexer.space()
    reference = lexer.mailbox()
    lexer.space()
    return List(tag, name, reference, (lexer.pattern(),))


def list_(lexer: Lexer, tag: str, name: str) -> Command:
    """LIST (RFC 5258 6)."""
    lexer.space()
    extended = False
    selection: tuple[str, ...] = ()
    if lexer.peek() == b"(":
        extended = True
        options = lexer.listed(lambda: lexer.one_of(SELECTIONS, "a selection option"), empty=True)
        selection = unique(options)
        if "RECURSIVEMATCH" in selection and not {"SUBSCRIBED", "SPECIAL-USE"} & {*selection}:
            raise Bad("RECURSIVEMATCH needs another selection option")
        lexer.space()
    reference = lexer.mailbox()
    lexer.space()
    extended = extended or lexer.peek() == b"("
    patterns = tuple(lexer.one_or_listed(lexer.pattern))
    if not lexer.has_more():
        return List(tag, name, reference, patterns, selection, extended=extended)
    lexer.space()
    lexer.expect(b"RETURN")
    lexer.space()
    status: list[str] = []
    metadata: list[str] = []

    def option() -> str:
        found = lexer.one_of(RETURNS, "a return option")
        if found == "STATUS":
            lexer.space()
            status.extend(_items(lexer))
        elif found == "METADATA":
            lexer.space()
            metadata.extend(lexer.listed(lambda: entry(lexer)))
        return found

    returns = unique(lexer.listed(option, empty=True))
    return List(
        tag,
        name,
        reference,
        patterns,
        selection,
        returns,
        unique(status),
        unique(metadata),
        extended=True,
    )


def status(lexer: Lexer, tag: str, name: str) -> Command:
    """STATUS."""
    lexer.space()
    mailbox = lexer.mailbox()
    lexer.space()
    return Status(tag, name, mailbox, _items(lexer))


def _items(lexer: Lexer) -> tuple[str, ...]:
    return unique(lexer.listed(lambda: lexer.one_of(STATUS_ITEMS, "a status item")))


PARSERS: Mapping[str, Parser] = {
    **dict.fromkeys(
        ("DELETE", "SUBSCRIBE", "UNSUBSCRIBE", "GETQUOTAROOT", "GETACL", "MYRIGHTS"), of_mailbox
    ),
    "RENAME": rename,
    "CREATE": create,
    "SELECT": select,
    "EXAMINE": select,
    "LSUB": lsub,
    "LIST": list_,
    "STATUS": status,
}

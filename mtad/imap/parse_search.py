"""SEARCH, SORT and THREAD and their keys (RFC 9051 6.4.4, RFC 5256 and others; PURE)."""

from collections.abc import Callable, Mapping, Sequence

from mtad.imap import charsets, dates
from mtad.imap.answer import Bad
from mtad.imap.commands import (
    And,
    Anything,
    Command,
    Flagged,
    Key,
    ModSeq,
    Not,
    Numbers,
    ObjectId,
    Or,
    Search,
    Size,
    Sort,
    Text,
    Thread,
    When,
    Within,
)
from mtad.imap.lexer import MAX_SHOWN, SYSTEM_FLAGS, Lexer, once
from mtad.imap.parse_fetch import paged
from mtad.imap.parse_session import Parser

MAX_KEYS = 1000
"""Keys of one search."""

RETURNS = ("MIN", "MAX", "ALL", "COUNT", "SAVE", "PARTIAL")
CRITERIA = ("ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO")
THREADINGS = ("ORDEREDSUBJECT", "REFERENCES")

_FLAGS = {
    "ANSWERED": "\\Answered",
    "DELETED": "\\Deleted",
    "DRAFT": "\\Draft",
    "FLAGGED": "\\Flagged",
    "SEEN": "\\Seen",
    "RECENT": "\\Recent",
}
_SIMPLE: dict[str, Key] = {
    "ALL": Anything(),
    "SAVEDATESUPPORTED": Anything(),
    "OLD": Flagged("\\Recent", False),
    "NEW": And((Flagged("\\Recent"), Flagged("\\Seen", False))),
    **{name: Flagged(flag) for name, flag in _FLAGS.items()},
    **{f"UN{name}": Flagged(flag, False) for name, flag in _FLAGS.items() if name != "RECENT"},
}
_FIELDS = ("BCC", "CC", "FROM", "SUBJECT", "TO")
_DAYS = {
    f"{prefix}{how}": (where, how)
    for prefix, where in (("", "INTERNAL"), ("SENT", "SENT"), ("SAVED", "SAVED"))
    for how in ("BEFORE", "ON", "SINCE")
}


class Keys:
    """The keys of one search; ``charset`` is that of its strings."""

    def __init__(self, lexer: Lexer, charset: str) -> None:
        self.lexer = lexer
        self.charset = charset or "UTF-8"
        self.count = 0

    def all(self) -> Key:
        """All keys up to the end, which must all hold."""
        keys = [self.one()]
        while self.lexer.has_more():
            self.lexer.space()
            keys.append(self.one())
        return keys[0] if len(keys) == 1 else And(tuple(keys))

    def one(self) -> Key:
        """One key."""
        self.count += 1
        if self.count > MAX_KEYS:
            raise Bad(f"more than {MAX_KEYS} keys")
        lexer = self.lexer
        mark = lexer.peek()
        if mark == b"(":
            lexer.deeper()
            keys = lexer.listed(self.one)
            lexer.depth -= 1
            return keys[0] if len(keys) == 1 else And(tuple(keys))
        if mark in b"0123456789*$" and mark:
            return Numbers(lexer.numbers(), by_uid=False)
        at = lexer.at
        name = lexer.word("a search key")
        simple = _SIMPLE.get(name)
        if simple is not None:
            return simple
        build = _BUILD.get(name)
        if build is None:
            lexer.at = at
            raise Bad(f"{name[:MAX_SHOWN]} is no search key")
        lexer.space()
        return build(self, name)

    def text(self) -> str:
        """A string in the charset."""
        at = self.lexer.at
        try:
            return charsets.decode(self.lexer.astring(), self.charset)
        except ValueError:
            self.lexer.at = at
            self.lexer.fail(f"text in {self.charset}")


def _not(keys: Keys, name: str) -> Key:
    """NOT; any number in a row is one or none."""
    negates = True
    while keys.lexer.skip(b"NOT "):
        negates = not negates
    keys.lexer.deeper()
    key = keys.one()
    keys.lexer.depth -= 1
    return Not(key) if negates else key


def _or(keys: Keys, name: str) -> Key:
    """OR; those of some hundred alternatives inside of each other become a flat tree."""
    lexer = keys.lexer
    lexer.deeper()
    alternatives: list[Key] = []
    missing = 2
    while missing:
        if lexer.skip(b"OR "):
            missing += 1
            continue
        alternatives.append(keys.one())
        missing -= 1
        if missing:
            lexer.space()
    lexer.depth -= 1
    return _any_of(alternatives)


def _any_of(keys: Sequence[Key]) -> Key:
    if len(keys) == 1:
        return keys[0]
    half = len(keys) // 2
    return Or(_any_of(keys[:half]), _any_of(keys[half:]))


def _field(keys: Keys, name: str) -> Key:
    return Text(name, keys.text(), in_header=True)


def _body(keys: Keys, name: str) -> Key:
    return Text(name, keys.text())


def _header(keys: Keys, name: str) -> Key:
    field = keys.lexer.words("a field's name").upper()
    keys.lexer.space()
    return Text(field, keys.text(), in_header=True)


def _keyword(keys: Keys, name: str) -> Key:
    return Flagged(keys.lexer.atom("a keyword"), name == "KEYWORD")


def _day(keys: Keys, name: str) -> Key:
    lexer = keys.lexer
    at = lexer.at
    try:
        day = dates.day(lexer.astring("a date").decode("ascii"))
    except ValueError:
        lexer.at = at
        lexer.fail("a date")
    where, how = _DAYS[name]
    return When(where, how, day)


def _within(keys: Keys, name: str) -> Key:
    return Within(name, keys.lexer.nz_number())


def _size(keys: Keys, name: str) -> Key:
    return Size(name, keys.lexer.number64())


def _uid(keys: Keys, name: str) -> Key:
    return Numbers(keys.lexer.numbers(), by_uid=True)


def _modseq(keys: Keys, name: str) -> Key:
    """With the name of an entry, which says nothing here: a message has one mod-sequence."""
    lexer = keys.lexer
    if lexer.peek() == b'"':
        entry = lexer.quoted().decode("ascii", "replace")
        flag = entry.removeprefix("/flags/")
        if flag == entry or (flag.startswith("\\") and flag.upper() not in SYSTEM_FLAGS):
            raise Bad("MODSEQ knows entries of flags only")
        lexer.space()
        lexer.one_of(("PRIV", "SHARED", "ALL"), "a kind of entry")
        lexer.space()
    return ModSeq(lexer.number64())


def _object_id(keys: Keys, name: str) -> Key:
    return ObjectId(name, keys.lexer.atom("an object id"))


_BUILD: Mapping[str, Callable[[Keys, str], Key]] = {
    "NOT": _not,
    "OR": _or,
    **dict.fromkeys(_FIELDS, _field),
    **dict.fromkeys(("BODY", "TEXT"), _body),
    "HEADER": _header,
    **dict.fromkeys(("KEYWORD", "UNKEYWORD"), _keyword),
    **dict.fromkeys(_DAYS, _day),
    **dict.fromkeys(("OLDER", "YOUNGER"), _within),
    **dict.fromkeys(("LARGER", "SMALLER"), _size),
    "UID": _uid,
    "MODSEQ": _modseq,
    **dict.fromkeys(("EMAILID", "THREADID"), _object_id),
}


# -------------------------------------------------------------------- commands


def search(lexer: Lexer, tag: str, name: str) -> Command:
    """SEARCH and UID SEARCH."""
    returns, partial = _returns(lexer)
    lexer.space()
    charset = ""
    if lexer.skip(b"CHARSET "):
        charset = _charset(lexer)
        lexer.space()
    key = Keys(lexer, charset).all()
    return Search(tag, name, name.startswith("UID "), key, charset, returns, partial)


def sort(lexer: Lexer, tag: str, name: str) -> Command:
    """SORT and UID SORT, with RETURN (RFC 5267)."""
    returns, partial = _returns(lexer)
    lexer.space()
    criteria = tuple(lexer.listed(lambda: _criterion(lexer)))
    lexer.space()
    charset = _charset(lexer)
    lexer.space()
    key = Keys(lexer, charset).all()
    by_uid = name.startswith("UID ")
    return Sort(tag, name, by_uid, criteria, key, charset, returns, partial)


def _criterion(lexer: Lexer) -> tuple[str, bool]:
    found = lexer.one_of(("REVERSE", *CRITERIA), "a sort key")
    if found != "REVERSE":
        return found, False
    lexer.space()
    return lexer.one_of(CRITERIA, "a sort key"), True


def thread(lexer: Lexer, tag: str, name: str) -> Command:
    """THREAD and UID THREAD."""
    lexer.space()
    algorithm = lexer.one_of(THREADINGS, "a threading")
    lexer.space()
    charset = _charset(lexer)
    lexer.space()
    return Thread(
        tag, name, name.startswith("UID "), algorithm, Keys(lexer, charset).all(), charset
    )


def _returns(lexer: Lexer) -> tuple[tuple[str, ...] | None, tuple[int, int] | None]:
    if not lexer.skip(b" RETURN "):
        return None, None
    partial: tuple[int, int] | None = None

    def option() -> str:
        nonlocal partial
        found = lexer.one_of(RETURNS, "a return option")
        if found == "PARTIAL":
            lexer.space()
            partial = paged(lexer)
        return found

    options = lexer.listed(option, empty=True)
    once(options)
    returns = tuple(options)
    if partial is None:
        return returns or ("ALL",), None
    if "ALL" in returns:
        raise Bad("ALL and PARTIAL exclude each other")
    return tuple(name for name in returns if name != "PARTIAL"), partial


def _charset(lexer: Lexer) -> str:
    return charsets.name(lexer.astring("a charset").decode("ascii", "replace"))


PARSERS: Mapping[str, Parser] = {
    "SEARCH": search,
    "UID SEARCH": search,
    "SORT": sort,
    "UID SORT": sort,
    "THREAD": thread,
    "UID THREAD": thread,
}

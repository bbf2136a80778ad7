"""Commands that read and change messages (RFC 9051 6.4.5-6.4.9 and extensions; PURE)."""

import re
from collections.abc import Mapping

from mtad.imap.answer import Bad
from mtad.imap.commands import Command, Copy, Fetch, Item, Section, Store, UidExpunge
from mtad.imap.lexer import MAX_SHOWN, Lexer, once, unique
from mtad.imap.parse_session import Parser

MAX_ITEMS = 200
"""Different items of one FETCH: enough for every client, and no means to multiply a mailbox."""
MAX_PARTS = 100
"""Numbers of one part specifier."""

_WORD = re.compile(rb"[A-Za-z0-9.]+")
_PART = re.compile(rb"[1-9][0-9]{0,9}(?:\.[1-9][0-9]{0,9})*")
_TEXT = re.compile(rb"HEADER\.FIELDS\.NOT|HEADER\.FIELDS|HEADER|TEXT|MIME", re.IGNORECASE)
_RANGE = re.compile(rb"(-?)([1-9][0-9]{0,9}):(-?)([1-9][0-9]{0,9})")
_PLAIN = {
    name.encode(): Item(name, peek=True)
    for name in (
        "UID",
        "FLAGS",
        "INTERNALDATE",
        "SAVEDATE",
        "RFC822.SIZE",
        "ENVELOPE",
        "BODYSTRUCTURE",
        "MODSEQ",
        "EMAILID",
        "THREADID",
        "RFC822.HEADER",
    )
} | {b"RFC822": Item("RFC822"), b"RFC822.TEXT": Item("RFC822.TEXT")}
_FAST = (_PLAIN[b"FLAGS"], _PLAIN[b"INTERNALDATE"], _PLAIN[b"RFC822.SIZE"])
_STRUCTURE = Item("BODY", peek=True)
_MACROS = {
    b"FAST": _FAST,
    b"ALL": (*_FAST, _PLAIN[b"ENVELOPE"]),
    b"FULL": (*_FAST, _PLAIN[b"ENVELOPE"], _STRUCTURE),
}
_SECTIONED = {
    b"BODY": ("BODY[]", False),
    b"BODY.PEEK": ("BODY[]", True),
    b"BINARY": ("BINARY[]", False),
    b"BINARY.PEEK": ("BINARY[]", True),
    b"BINARY.SIZE": ("BINARY.SIZE[]", True),
}


def fetch(lexer: Lexer, tag: str, name: str) -> Command:
    """FETCH and UID FETCH."""
    by_uid = name.startswith("UID ")
    lexer.space()
    numbers = lexer.numbers()
    lexer.space()
    if lexer.peek() == b"(":
        items = items_listed(lexer)
    else:
        word = lexer.match(_WORD, "an item")[0].upper()
        items = _MACROS.get(word) or (_item(lexer, word),)
    if not lexer.has_more():
        return Fetch(tag, name, numbers, by_uid, items)
    lexer.space()
    changed_since: int | None = None
    vanished = False
    partial: tuple[int, int] | None = None

    def modifier() -> str:
        nonlocal changed_since, vanished, partial
        found = lexer.one_of(("CHANGEDSINCE", "VANISHED", "PARTIAL"), "a modifier")
        if found == "VANISHED":
            vanished = True
            return found
        lexer.space()
        if found == "PARTIAL":
            partial = paged(lexer)
        else:
            changed_since = lexer.number64()
        return found

    once(lexer.listed(modifier))
    if vanished and (changed_since is None or not by_uid):
        raise Bad("VANISHED needs UID FETCH and CHANGEDSINCE")
    if partial and not by_uid:
        raise Bad("PARTIAL needs UID FETCH")
    return Fetch(tag, name, numbers, by_uid, items, changed_since, vanished, partial)


def items_listed(lexer: Lexer) -> tuple[Item, ...]:
    """``(item item ...)``, each once."""
    found = lexer.listed(lambda: _item(lexer, lexer.match(_WORD, "an item")[0].upper()))
    items = tuple(dict.fromkeys(found))
    if len(items) > MAX_ITEMS:
        raise Bad(f"more than {MAX_ITEMS} items")
    return items


def _item(lexer: Lexer, word: bytes) -> Item:
    plain = _PLAIN.get(word)
    if plain is not None:
        return plain
    if word == b"PREVIEW":
        return Item("PREVIEW", peek=True, lazy=_lazy(lexer))
    name, peek = _SECTIONED.get(word, ("", False))
    if not name:
        raise Bad(f"{word[:MAX_SHOWN].decode('ascii')} is nothing to fetch")
    if word == b"BODY" and lexer.peek() != b"[":
        return _STRUCTURE
    of = section(lexer) if name == "BODY[]" else _binary_section(lexer)
    partial = None
    if name != "BINARY.SIZE[]" and lexer.skip(b"<"):
        offset = lexer.number64()
        lexer.expect(b".")
        count = lexer.number64()
        if not count:
            raise Bad("a partial fetch of nothing")
        partial = offset, count
        lexer.expect(b">")
    return Item(name, of, peek, partial)


def _lazy(lexer: Lexer) -> bool:
    """The modifiers of PREVIEW (RFC 8970 3.1), of which LAZY is the only one."""
    if lexer.text[lexer.at : lexer.at + 2] != b" (":
        return False
    lexer.space()
    lexer.listed(lambda: lexer.one_of(("LAZY",), "a modifier"))
    return True


def _part(lexer: Lexer) -> tuple[int, ...]:
    found = _PART.match(lexer.text, lexer.at)
    if found is None:
        return ()
    lexer.at = found.end()
    numbers = tuple(int(number) for number in found[0].split(b"."))
    if len(numbers) > MAX_PARTS or max(numbers) >= 2**32:
        raise Bad("no message has such a part")
    return numbers


def _binary_section(lexer: Lexer) -> Section:
    lexer.expect(b"[")
    part = _part(lexer)
    lexer.expect(b"]")
    return Section(part)


def section(lexer: Lexer) -> Section:
    """What stands in the brackets of ``BODY[...]``, with them."""
    lexer.expect(b"[")
    if lexer.skip(b"]"):
        return Section()
    part = _part(lexer)
    if part and lexer.skip(b"]"):
        return Section(part)
    if part:
        lexer.expect(b".")
    what = lexer.match(_TEXT, "a section")[0].decode("ascii").upper()
    if what == "MIME" and not part:
        raise Bad("MIME is of a part")
    fields: tuple[bytes, ...] = ()
    if what.startswith("HEADER.FIELDS"):
        lexer.space()
        fields = tuple(lexer.listed(lambda: lexer.astring("a field's name")))
    lexer.expect(b"]")
    return Section(part, what, fields)


def paged(lexer: Lexer) -> tuple[int, int]:
    """``1:100`` or ``-1:-100``, the end nearer to 0 first (RFC 9394 5)."""
    found = lexer.match(_RANGE, "a range of PARTIAL")
    first, last = int(found[2]), int(found[4])
    if found[1] != found[3] or max(first, last) >= 2**32:
        raise Bad("a range of PARTIAL counts from one end")
    sign = -1 if found[1] else 1
    return sign * min(first, last), sign * max(first, last)


# ---------------------------------------------------------------------- change


def store(lexer: Lexer, tag: str, name: str) -> Command:
    """STORE and UID STORE."""
    lexer.space()
    numbers = lexer.numbers()
    lexer.space()
    unchanged_since: int | None = None
    if lexer.skip(b"("):
        lexer.expect(b"UNCHANGEDSINCE")
        lexer.space()
        unchanged_since = lexer.number64()
        lexer.expect(b")")
        lexer.space()
    mode = "+" if lexer.skip(b"+") else "-" if lexer.skip(b"-") else ""
    lexer.expect(b"FLAGS")
    silent = lexer.skip(b".SILENT")
    lexer.space()
    if lexer.peek() == b"(":
        flags = lexer.flags()
    else:
        found = [lexer.flag()]
        while lexer.has_more():
            lexer.space()
            found.append(lexer.flag())
        flags = unique(found)
    by_uid = name.startswith("UID ")
    return Store(tag, name, numbers, by_uid, mode, flags, silent, unchanged_since)


def copy(lexer: Lexer, tag: str, name: str) -> Command:
    """COPY and MOVE."""
    lexer.space()
    numbers = lexer.numbers()
    lexer.space()
    return Copy(tag, name, numbers, name.startswith("UID "), lexer.mailbox())


def uid_expunge(lexer: Lexer, tag: str, name: str) -> Command:
    """UID EXPUNGE."""
    lexer.space()
    return UidExpunge(tag, name, lexer.numbers())


PARSERS: Mapping[str, Parser] = {
    "FETCH": fetch,
    "UID FETCH": fetch,
    "STORE": store,
    "UID STORE": store,
    "COPY": copy,
    "UID COPY": copy,
    "MOVE": copy,
    "UID MOVE": copy,
    "UID EXPUNGE": uid_expunge,
}

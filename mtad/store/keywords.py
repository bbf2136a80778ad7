"""Keywords of a mailbox and their letters, kept in ``dovecot-keywords`` beside the messages.

A file name has room for 26 keywords, ``a`` to ``z``; which is which stands in a file that
Dovecot reads and writes too, so that neither program nor a lost index loses them.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from mtad.errors import UsageError
from mtad.store import maildir, names
from mtad.store.index import Index
from mtad.store.rows import MailboxRow

FILE = "dovecot-keywords"
MAX_FILE = 64 * 1024
MAX_KEYWORD = 100
_ATOM = re.compile(r"[^\x00-\x20\x7f-\U0010ffff(){%*\"\\\]]+")


def check(word: str) -> str:
    """A keyword as it is kept: an atom (RFC 9051 9, flag-keyword). Raises UsageError."""
    if not _ATOM.fullmatch(word) or len(word) > MAX_KEYWORD:
        raise UsageError(f"{word!a} is not a flag or keyword")
    return word


def sort(marks: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    r"""Flags as letters and keywords by themselves, of ``\Seen``, ``Junk`` and the like."""
    letters, words = [], []
    for mark in marks:
        letter = names.flag_letter(mark)
        if letter is None:
            words.append(check(mark))
        else:
            letters.append(letter)
    return names.letters(letters), tuple(sorted(set(words)))


def spelled(index: Index, mailbox: MailboxRow, words: Iterable[str]) -> tuple[str, ...]:
    """Keywords as the mailbox has them already: they have no case (RFC 5788 2)."""
    known = {word.lower(): word for word in index.keywords(mailbox)}
    return tuple(sorted({known.get(word.lower(), word) for word in words}))


def load(index: Index, mailbox: MailboxRow, folder: Path) -> None:
    """Take over the letters another program gave; inside a transaction."""
    known = set(index.keywords(mailbox))
    for letter, word in letters(folder).items():
        if word not in known:
            index.set_keyword(mailbox, names.KEYWORD_LETTERS.index(letter), word)


def letters(folder: Path) -> dict[str, str]:
    """What letters mean by the file of a mailbox's folder; nothing where none can be read."""
    try:
        descriptor = maildir.open_file(folder / FILE)
    except OSError:
        return {}
    with os.fdopen(descriptor, "rb") as file:
        text = file.read(MAX_FILE).decode("ascii", "replace")
    found: dict[str, str] = {}
    for line in text.splitlines():
        number, _, word = line.strip().partition(" ")
        fits = _ATOM.fullmatch(word) and len(word) <= MAX_KEYWORD and word not in found.values()
        if number.isascii() and number.isdigit() and int(number) < 26 and fits:
            found[names.KEYWORD_LETTERS[int(number)]] = word
    return found


def save(index: Index, mailbox: MailboxRow, folder: Path) -> None:
    """Write the letters down, durably, where other programs look for them."""
    lines = [f"{number} {word}\n" for number, word in enumerate(index.keywords(mailbox)) if word]
    maildir.write_small(folder, FILE, "".join(lines[:26]).encode("ascii"))


def words(index: Index, mailbox: MailboxRow, letters: str) -> tuple[str, ...]:
    """The keywords that letters of a file name mean; a letter nobody explained names itself."""
    known = index.keywords(mailbox)
    found = []
    for letter in letters:
        number = names.KEYWORD_LETTERS.find(letter)
        if number >= 0:
            named = known[number] if number < len(known) else ""
            found.append(named or f"unknown-{letter}")
    return tuple(sorted(found))


def learn(index: Index, mailbox: MailboxRow, letters: str) -> None:
    """Keep the names that ``words`` gave to letters nobody explained; inside a transaction."""
    for letter in letters:
        number = names.KEYWORD_LETTERS.find(letter)
        known = index.keywords(mailbox)
        if number >= 0 and (number >= len(known) or not known[number]):
            index.set_keyword(mailbox, number, f"unknown-{letter}")

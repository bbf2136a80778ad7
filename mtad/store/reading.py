"""Reading a box without owning it: one moment of its index, and the files as they lie now.

The index is read in one transaction, then the files are listed exactly; each message's path is
the one the listing saw. A message that moved between the two keeps the mailbox the index said,
one that was deleted in between is not there, and a file without a number has UID 0. Paths go
stale as others rename: ``open_message`` finds a file again by its base name.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mtad.errors import Corrupt
from mtad.store import maildir, names
from mtad.store.maildir import Entry
from mtad.store.rows import COLUMNS, COLUMNS_1, SCHEMA, MailboxRow, Row
from mtad.store.values import MailboxInfo, Message


class Found(Message, frozen=True):
    """A message and the path of its file when it was read."""

    path: Path = Path()


@dataclass(frozen=True, slots=True)
class BoxState:
    """A box at one moment."""

    address: str
    mailboxes: list[MailboxInfo]
    messages: list[Found]
    folders: Mapping[str, str] = field(default_factory=dict)
    """The folders of mailboxes by name."""


def read_box(folder: Path, address: str) -> BoxState:
    """What a box holds. Raises Corrupt when its index cannot be read.

    A box that nobody opened yet has no index: its messages have UID 0 then.
    """
    mailboxes, rows, words = read_index(folder / "index.db")
    root = folder / "Maildir"
    if not root.is_dir():
        return BoxState(address, [], [])
    folders = {row.folder: row.name for row in mailboxes}
    for name, sub in maildir.folders(root).items():
        folders.setdefault(sub, name)
    files = list_files(root, list(folders))
    by_id = {row.id: row for row in mailboxes}
    messages = []
    for row in rows:
        mailbox = by_id[row.mailbox]
        found = _take(files, row.base, mailbox.folder)
        if found is not None:
            messages.append(_known(root, mailbox, row, *found))
    messages += [
        unnumbered(root, folders[where], where, base, entry, at, words)
        for base, where, entry, at in stats(root, files)
    ]
    counts: dict[str, int] = {}
    for one in messages:
        counts[one.mailbox] = counts.get(one.mailbox, 0) + 1
    infos = [_info(row, counts.get(row.name, 0)) for row in mailboxes]
    known = {row.folder for row in mailboxes}
    infos += [
        MailboxInfo(name, 0, 1, 0, counts.get(name, 0))
        for sub, name in folders.items()
        if sub not in known
    ]
    infos.sort(key=lambda one: (one.name != names.INBOX, one.name))
    return BoxState(address, infos, messages, {name: sub for sub, name in folders.items()})


def open_message(folder: Path, message: Message) -> int:
    """A descriptor of a message's file, wherever it is by now in the box.

    Raises FileNotFoundError when it was deleted. The caller closes the descriptor.
    """
    root = folder / "Maildir"
    first = root / message.folder
    for _ in range(3):
        try:
            return maildir.open_file(first / message.file)
        except FileNotFoundError:
            pass
        for sub in dict.fromkeys((message.folder, *maildir.folders(root).values())):
            opened = maildir.open_base(root / sub, message.base)
            if opened is not None:
                return opened
    raise FileNotFoundError(f"{message.base} is no longer in {folder}")


def read_index(path: Path) -> tuple[list[MailboxRow], list[Row], dict[str, dict[str, str]]]:
    """Mailboxes, messages, and the keyword letters by mailbox folder, all of one moment."""
    if not path.exists():
        return [], [], {}
    link = sqlite3.connect(path, isolation_level=None, timeout=30)
    try:
        link.execute("PRAGMA query_only=1")
        link.execute("BEGIN")
        if not link.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            return [], [], {}  # its owner is about to make it, or had no space to
        version = link.execute("SELECT v FROM meta WHERE k = 'schema'").fetchone()
        if version is None or version[0] > SCHEMA:
            raise Corrupt(f"{path} is of a later version of mtad, or no index")
        mailboxes = [MailboxRow(*found) for found in link.execute("SELECT * FROM mailbox")]
        for mailbox in mailboxes:
            mailbox.folder = os.fsdecode(mailbox.folder)
        columns = COLUMNS if version[0] > 1 else COLUMNS_1
        rows = [
            Row(*found)
            for found in link.execute(f"SELECT {columns} FROM msg ORDER BY mailbox, uid")  # noqa: S608
        ]
        folders = {mailbox.id: mailbox.folder for mailbox in mailboxes}
        words: dict[str, dict[str, str]] = {}
        for mailbox_id, number, name in link.execute("SELECT mailbox, id, name FROM keyword"):
            if number < len(names.KEYWORD_LETTERS) and mailbox_id in folders:
                letter = names.KEYWORD_LETTERS[number]
                words.setdefault(folders[mailbox_id], {})[letter] = name
    except sqlite3.DatabaseError as error:
        raise Corrupt(f"the index {path} cannot be read: {error}") from error
    finally:
        link.close()
    return mailboxes, rows, words


def applied(path: Path) -> dict[str, int] | None:
    """The last frame of each journal that an index says it did; None where there is no index.

    Raises sqlite3.Error.
    """
    if not path.exists():
        return None
    link = sqlite3.connect(path, isolation_level=None, timeout=30)
    try:
        link.execute("PRAGMA query_only=1")
        found = link.execute("SELECT k, v FROM meta WHERE k GLOB 'applied.*'").fetchall()
    finally:
        link.close()
    return {key.removeprefix("applied."): value for key, value in found}


def seen(path: Path) -> set[tuple[str, str]]:
    """Who has seen what: users and base names, as an index says. Raises sqlite3.Error."""
    link = sqlite3.connect(path, isolation_level=None, timeout=30)
    try:
        link.execute("PRAGMA query_only=1")
        if not link.execute("SELECT 1 FROM sqlite_master WHERE name = 'seen'").fetchone():
            return set()  # of an earlier version, or about to be made
        return set(link.execute("SELECT user, base FROM seen").fetchall())
    finally:
        link.close()


def list_files(root: Path, folders: list[str]) -> dict[str, list[tuple[str, Entry]]]:
    """Every file of the box by base name: listed until no pass brings anything further."""
    found: dict[str, dict[str, Entry]] = {}
    doubles: dict[str, list[Entry]] = {}
    for _ in range(maildir.MAX_PASSES):
        appeared = False
        for folder in folders:
            listing = maildir.listing(root / folder)
            doubles[folder] = listing.doubles
            for base, entry in listing.entries.items():
                appeared |= folder not in found.setdefault(base, {})
                found[base][folder] = entry
        if not appeared:
            break
    result: dict[str, list[tuple[str, Entry]]] = {}
    for base, places in found.items():
        if len(places) > 1:
            places = {sub: one for sub, one in places.items() if one.below(root / sub).exists()}
        result[base] = list(places.items())
    for folder, entries in doubles.items():
        for entry in entries:
            result.setdefault(names.split(entry.name)[0], []).append((folder, entry))
    return result


def _take(
    files: dict[str, list[tuple[str, Entry]]], base: str, folder: str
) -> tuple[str, Entry] | None:
    """The file of a message the index knows, preferably where it says; each file once."""
    places = files.get(base)
    if not places:
        return None
    chosen = next((one for one in places if one[0] == folder), places[0])
    places.remove(chosen)
    return chosen


def message(mailbox: str, row: Row, folder: str, entry: Entry) -> Message:
    """A message as others see it, with the place of its file."""
    return Message(
        mailbox,
        row.uid,
        row.st,
        row.m or 0,
        row.base,
        row.flags,
        row.words,
        row.modseq,
        row.date_ns,
        row.size,
        row.sha256,
        entry.file,
        folder,
    )


def _known(root: Path, mailbox: MailboxRow, row: Row, folder: str, entry: Entry) -> Found:
    known = message(mailbox.name, row, folder, entry)
    return Found(**msgspec.structs.asdict(known), path=entry.below(root / folder))


def stats(
    root: Path, files: Mapping[str, Iterable[tuple[str, Entry]]]
) -> Iterator[tuple[str, str, Entry, os.stat_result]]:
    """Base name, folder, entry and status of each file that is there.

    Those that were renamed since they were listed are looked for together, so that it takes as
    many listings as there are rounds, however many they are.
    """
    waiting = [(base, folder, one) for base, places in files.items() for folder, one in places]
    for _ in range(maildir.MAX_PASSES):
        missed: list[tuple[str, str]] = []
        for base, folder, entry in waiting:
            try:
                at = entry.below(root / folder).lstat()
            except FileNotFoundError:
                missed.append((base, folder))
            else:
                yield base, folder, entry, at
        if not missed:
            break
        now = {
            folder: maildir.listing(root / folder, calm=2).entries
            for folder in {folder for _, folder in missed}
        }
        waiting = [
            (base, folder, now[folder][base]) for base, folder in missed if base in now[folder]
        ]


def unnumbered(
    root: Path,
    mailbox: str,
    folder: str,
    base: str,
    entry: Entry,
    at: os.stat_result,
    words: Mapping[str, Mapping[str, str]],
) -> Found:
    """A message without a number, as its file tells of it.

    ``words`` are what letters of keywords mean, by folder.
    """
    letters = names.split(entry.name)[1]
    known = words.get(folder, {})
    named = (known.get(letter, f"unknown-{letter}") for letter in letters if letter.islower())
    return Found(
        mailbox,
        0,
        names.st_of(base) or 0,
        0,
        base,
        "".join(letter for letter in letters if letter.isupper()),
        tuple(sorted(named)),
        0,
        at.st_mtime_ns,
        at.st_size,
        None,
        entry.file,
        folder,
        entry.below(root / folder),
    )


def _info(row: MailboxRow, messages: int) -> MailboxInfo:
    return MailboxInfo(
        row.name, row.uidvalidity, row.uidnext, row.highestmodseq, messages, row.objectid
    )

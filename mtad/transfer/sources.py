"""What messages are read from: an mbox, a Maildir, single messages, and trees or archives of them.

Which it is shows in the octets and in the names, not in what it is called. Everything is read
as it comes, one message at a time.
"""

import contextlib
import os
import re
import tarfile
import zipfile
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from mtad.errors import NothingFound, UsageError
from mtad.mime import dates
from mtad.store import names, uidlist
from mtad.store.uidlist import Uidlist
from mtad.transfer import layout, trees
from mtad.transfer.arriving import Incoming, Numbered
from mtad.transfer.mbox import Mbox, NoMbox
from mtad.transfer.trees import FolderTree, Leaf, TarTree, Tree, ZipTree

CHUNK = 256 * 1024
_OURS = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-z]{13}\.eml\Z")
_FIELD = re.compile(rb"[!-9;-~]{1,100}[ \t]*:|>?From ")
_SECONDS = re.compile(r"(\d{9,11})\.")


Messages = Generator[Incoming, None, None]


class Problem(NamedTuple):
    """A file or message that was not taken, and why."""

    place: str
    why: str


class Source(Protocol):
    """Where messages come from."""

    name: str
    octets: int
    """Of everything, for the progress; 0 where nobody knows."""
    done: int
    """Of them so far."""
    problems: list[Problem]
    passed: int
    """Files that are no mail."""

    def mailboxes(self) -> list[str]:
        """Mailboxes that are there, with messages or without."""

    def messages(self) -> Messages:
        """Each message in turn; its chunks are good until the next one is asked for."""

    def close(self) -> None:
        """Give it back."""


def open_source(path: Path, form: str = "auto") -> Source:
    """The messages at a path. Raises UsageError, NothingFound, OSError."""
    if not path.exists():
        raise NothingFound(f"there is no {path}")
    if path.is_dir():
        return TreeSource(str(path), FolderTree(path), form)
    if not path.is_file():
        raise UsageError(f"{path} is neither a file nor a folder")
    if zipfile.is_zipfile(path):
        return TreeSource(str(path), ZipTree(path), form, strip=True)
    opener = partial(trees.unpacked, path)
    with contextlib.closing(opener()) as file:
        start = file.read(tarfile.BLOCKSIZE)
    is_packed = trees.is_packed(path)
    if start[257:262] == b"ustar":
        return TreeSource(str(path), TarTree(path, opener, is_packed), form, strip=True)
    if start.lstrip(b"\r\n").startswith(b"From ") or not start.strip():
        return MboxSource(path, opener, form, 0 if is_packed else path.stat().st_size)
    if _FIELD.match(start):
        return SoleSource(path, opener)
    raise UsageError(
        f"{path} is neither an mbox, a message, a tar nor a zip; Outlook's .pst is read by "
        "'readpst -D -e', whose folder can be imported"
    )


class MboxSource:
    """One mbox."""

    def __init__(self, path: Path, opener: Callable[[], IO[bytes]], form: str, size: int) -> None:
        self.name = str(path)
        self._opener = opener
        self._form = form
        self.octets = size
        self.done = 0
        self.problems: list[Problem] = []
        self.passed = 0

    def mailboxes(self) -> list[str]:
        """INBOX is there in any case."""
        return []

    def messages(self) -> Messages:
        """Its messages, all of INBOX unless their labels say otherwise."""
        with contextlib.closing(self._opener()) as file:
            for offset, each in of_mbox(file, self._form, self.octets, names.INBOX, self.name):
                self.done = offset
                yield each

    def close(self) -> None:
        """Nothing is open between two messages."""


class SoleSource:
    """One message in a file of its own."""

    def __init__(self, path: Path, opener: Callable[[], IO[bytes]]) -> None:
        self.name = str(path)
        self._path = path
        self._opener = opener
        self.octets = path.stat().st_size
        self.done = 0
        self.problems: list[Problem] = []
        self.passed = 0

    def mailboxes(self) -> list[str]:
        """INBOX is there in any case."""
        return []

    def messages(self) -> Messages:
        """The message."""
        at = self._path.stat().st_mtime_ns
        yield of_file(Leaf(self._path.name, -1, at), names.INBOX, self._opener)

    def close(self) -> None:
        """Nothing is open between two messages."""


class TreeSource:
    """Maildirs, mboxes and single messages in a tree; ``strip`` a sole folder around all."""

    def __init__(self, name: str, tree: Tree, form: str, *, strip: bool = False) -> None:
        self.name = name
        self._tree = tree
        self._form = form
        try:
            survey = tree.survey()
        except BaseException:
            tree.close()
            raise
        self._maildirs = layout.maildirs(survey.folders)
        self._root = layout.top(self._maildirs)
        self._outer = survey.sole if strip else ""
        self.octets = survey.octets
        self.done = 0
        self.problems: list[Problem] = []
        self.passed = 0
        self._words = {}
        self._lists: dict[str, Uidlist] = {}
        for path, data in survey.side_files.items():
            folder, _, which = path.rpartition("/")
            if which == layout.KEYWORDS:
                self._words[folder] = _keywords(data)
            elif (found := uidlist.parse(data)) is not None:
                self._lists[folder] = found

    def mailboxes(self) -> list[str]:
        """Those of the Maildirs, in order."""
        found = {layout.of_maildir(folder, self._root) for folder in self._maildirs}
        return sorted(found)

    def messages(self) -> Messages:
        """Every message of the tree; those of a Maildir in the order of their UIDs, or times."""
        for group in self._tree.groups():
            placed = [(layout.place(leaf.path, self._maildirs), leaf) for leaf in group]
            if len(placed) > 1:
                placed.sort(key=lambda one: self._order(*one))
            for (kind, folder), leaf in placed:
                if kind == "maildir":
                    yield self._of_maildir(folder, leaf)
                elif kind == "eml":
                    mailbox = layout.of_folder(folder, self._outer)
                    yield of_file(leaf, mailbox, partial(self._tree.open, leaf))
                elif kind == "other":
                    yield from self._of_other(leaf)
                self.done += max(0, leaf.size)

    def close(self) -> None:
        """Give the tree back."""
        self._tree.close()

    def _order(self, place: layout.Place, leaf: Leaf) -> tuple[str, int, int, str]:
        name = leaf.path.rpartition("/")[2]
        known = self._lists.get(place.folder)
        uid = known.uids.get(names.split(name)[0], 2**32) if known else 0
        return place.folder, uid, leaf.mtime_ns, name

    def _of_maildir(self, folder: str, leaf: Leaf) -> Incoming:
        parent, _, name = leaf.path.rpartition("/")
        base, letters = names.split(name)
        words = self._words.get(folder, {})
        known = self._lists.get(folder)
        uid = known.uids.get(base, 0) if known else 0
        seconds = _SECONDS.match(base)
        at_ns = leaf.mtime_ns or (int(seconds[1]) * 1_000_000_000 if seconds else 0)
        return Incoming(
            layout.of_maildir(folder, self._root),
            leaf.path,
            partial(_chunks, partial(self._tree.open, leaf)),
            "" if parent.endswith("new") else "".join(one for one in letters if one.isupper()),
            tuple(words[one] for one in letters if one in words),
            at_ns,
            True,
            base,
            leaf.size,
            Numbered(uid, known.uidvalidity, known.uidnext) if known and uid else None,
        )

    def _of_other(self, leaf: Leaf) -> Iterator[Incoming]:
        """The messages of a file if it is an mbox; other files are passed by."""
        try:
            with contextlib.closing(self._tree.open(leaf)) as file:
                size = leaf.size if file.seekable() else 0
                mailbox = layout.of_mbox(leaf.path, self._outer)
                for offset, each in of_mbox(file, self._form, size, mailbox, leaf.path):
                    self.done += offset
                    yield each
                    self.done -= offset
        except NoMbox:
            self.passed += 1
        except OSError as error:
            self.problems.append(Problem(leaf.path, error.strerror or str(error)))


def of_mbox(
    file: IO[bytes], form: str, size: int, mailbox: str, name: str
) -> Iterator[tuple[int, Incoming]]:
    """The messages of an mbox, with where each begins. Raises NoMbox, OSError."""
    for number, letter in enumerate(Mbox(file, form, size), 1):
        chunks = letter.chunks
        at_ns = letter.at_ns
        place = f"{name}, message {number}"
        one = Incoming(mailbox, place, lambda c=chunks: c, at_ns=at_ns, asks_header=True)  # type: ignore[misc]
        yield letter.offset, one._replace(sure=bool(at_ns))


def of_file(leaf: Leaf, mailbox: str, opener: Callable[[], IO[bytes]]) -> Incoming:
    """A message in a file of its own, whose time counts where its name says it too."""
    ours = _OURS.search(leaf.path)
    sure = False
    if ours and leaf.mtime_ns:
        stamp = dates.sent(_readable(ours[1]))
        sure = stamp is not None and stamp[0] == leaf.mtime_ns // 1_000_000_000
    return Incoming(
        mailbox,
        leaf.path,
        partial(_chunks, opener),
        at_ns=leaf.mtime_ns,
        sure=sure,
        size=leaf.size,
        asks_header=True,
    )


def _readable(stamp: str) -> bytes:
    """``20261124T214219Z`` as a date that is read."""
    day = f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}"
    return f"{day} {stamp[9:11]}:{stamp[11:13]}:{stamp[13:15]} Z".encode()


def _chunks(opener: Callable[[], IO[bytes]]) -> Iterator[bytes]:
    with contextlib.closing(opener()) as file:
        while data := file.read(CHUNK):
            yield data


def _keywords(data: bytes) -> dict[str, str]:
    """Keyword by letter, as ``dovecot-keywords`` says it."""
    found = {}
    for line in os.fsdecode(data).splitlines():
        number, _, word = line.strip().partition(" ")
        if number.isascii() and number.isdigit() and len(number) < 3 and int(number) < 26 and word:
            found[names.KEYWORD_LETTERS[int(number)]] = word
    return found

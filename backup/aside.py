"""Messages linked to where nobody removes them, so that they can be read without any hurry.

A file is reached from the Maildir's root by descriptors of its folders, symbolic links refused
at every step and at the end, however a Maildir that belongs to somebody else changes meanwhile:
nothing outside of it is read. Where there can be no link (another file system, another owner)
it is copied.
"""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mtad.store import maildir
from mtad.store.maildir import Entry
from mtad.store.reading import Found

LISTINGS = 3
"""Exact listings of a box that a message must be missing from to count as expunged."""
ROUNDS = 10_000
"""Looks for a file whose name always changes before it is linked."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Aside:
    """A folder with links to messages, by their numbers; a context manager that removes it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> "Aside":
        self._folder.mkdir(mode=0o700)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def take(
        self, root: Path, messages: Sequence[Found], numbers: Iterable[int]
    ) -> tuple[list[int], dict[int, OSError]]:
        """Link those messages of a Maildir; which were, and which cannot be read.

        A file that was renamed since the box was read is looked for until it is caught; one
        that is in none of three exact listings was expunged, and is in neither answer.
        """
        places = {n: (messages[n].folder, messages[n].file) for n in numbers}
        absent = dict.fromkeys(places, 0)
        caught: list[int] = []
        failed: dict[int, OSError] = {}
        for _ in range(ROUNDS):
            if not places:
                break
            with _Folders(root) as folders:
                for number, (folder, file) in list(places.items()):
                    try:
                        _link(folders, folder, file, self._folder / str(number))
                        caught.append(number)
                    except FileNotFoundError:
                        continue
                    except OSError as error:
                        failed[number] = error
                    del places[number]
            now = _files(root) if places else {}
            for number in list(places):
                found = now.get(messages[number].base)
                if found:
                    folder, entry = found.pop()
                    places[number], absent[number] = (folder, entry.file), 0
                    continue
                absent[number] += 1
                if absent[number] == LISTINGS:
                    del places[number]
        away = OSError(errno.EAGAIN, "its name changes faster than it can be followed")
        return sorted(caught), failed | dict.fromkeys(places, away)

    def read(self, number: int) -> bytes:
        """The octets of a message that was linked, which is not any more then. Raises OSError."""
        path = self._folder / str(number)
        with os.fdopen(maildir.open_file(path), "rb") as file:
            raw = file.read()
        path.unlink()
        return raw


class _Folders:
    """Descriptors of the folders below a Maildir; a context manager that closes them."""

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open: dict[tuple[str, str], int] = {}

    def __enter__(self) -> "_Folders":
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in (self._root, *self._open.values()):
            os.close(descriptor)

    def of(self, folder: str, sub: str) -> int:
        """The folder of ``new`` or ``cur`` of a mailbox. Raises OSError."""
        known = self._open.get((folder, sub))
        if known is None:
            with _below(self._root, folder) as home:
                known = self._open[folder, sub] = os.open(sub, _FOLDER, dir_fd=home)
        return known


@contextlib.contextmanager
def _below(root: int, folder: str) -> Iterator[int]:
    if not folder:
        yield root
        return
    descriptor = os.open(folder, _FOLDER, dir_fd=root)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _link(folders: _Folders, folder: str, file: str, target: Path) -> None:
    """A second name for a file, or a copy where there can be none. Raises OSError."""
    sub, _, name = file.partition("/")
    try:
        source = folders.of(folder, sub)
    except NotADirectoryError as error:  # its folder gave way to something else
        raise FileNotFoundError(errno.ENOENT, "its folder is gone") from error
    try:
        os.link(name, target, src_dir_fd=source, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:
        _copy(os.open(name, _FILE, dir_fd=source), target)


def _copy(descriptor: int, target: Path) -> None:
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        with target.open("wb") as copy:
            shutil.copyfileobj(file, copy)


def _files(root: Path) -> dict[str, list[tuple[str, Entry]]]:
    """Where the files of a Maildir are now, by base name: mailbox folders and entries."""
    found: dict[str, list[tuple[str, Entry]]] = {}
    for folder in maildir.folders(root).values():
        for base, entry in maildir.listing(root / folder).entries.items():
            found.setdefault(base, []).append((folder, entry))
    return found

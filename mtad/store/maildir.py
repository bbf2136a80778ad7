"""A Maildir++ on disk: listings that are exact while names change, and files taken safely.

A rename during a listing can hide a file from it: the old name is gone before the reader comes
by and the new one lies behind it. So a listing is repeated until no base name appears that an
earlier pass had not seen, and files are told apart by base name alone, which never changes.
Symbolic links are never followed and nothing but regular files is ever taken.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from mtad.journal import disk
from mtad.store import names

MAX_PASSES = 100
"""Passes over a mailbox that keeps changing before the listing is taken as it is."""


class Entry(NamedTuple):
    """Where a message's file lies: whether in ``new/``, and its name there."""

    fresh: bool
    name: str

    @property
    def file(self) -> str:
        """``new/<name>`` or ``cur/<name>``."""
        return f"{'new' if self.fresh else 'cur'}/{self.name}"

    def below(self, mailbox: Path) -> Path:
        """The file's path in a mailbox's folder."""
        return mailbox / ("new" if self.fresh else "cur") / self.name


class Listing(NamedTuple):
    """Every base name of a mailbox with its file, and files whose base name another has."""

    entries: dict[str, Entry]
    doubles: list[Entry]


def ensure(maildir: Path, folder: str = "") -> bool:
    """Make a Maildir, or one mailbox's folder in it; durable. Says whether anything was made."""
    target = maildir / folder if folder else maildir
    if not target.parent.is_dir():
        disk.make_folder(target.parent, 0o700)
    made = []
    for path in (target, *(target / sub for sub in ("cur", "new", "tmp"))):
        try:
            disk.mkdir(path, 0o700)
            made.append(path)
        except FileExistsError:
            if not stat.S_ISDIR(path.lstat().st_mode):
                raise
    if made and folder:
        disk.close(disk.open_(target / "maildirfolder", os.O_WRONLY | os.O_CREAT, 0o600))
    for path in dict.fromkeys(path.parent for path in made):
        sync_folder(path)
    return bool(made)


def folders(maildir: Path) -> dict[str, str]:
    """The mailboxes on disk, name to folder; INBOX, whose folder is "", always first.

    Where two folders mean one name (written in plain UTF-8 and in modified UTF-7), the one
    this program would make has it, and the other's name carries its folder.
    """
    found: dict[str, str] = {names.INBOX: ""}
    others = []
    with os.scandir(maildir) as listing:
        for entry in listing:
            if not entry.name.startswith(".") or not entry.is_dir(follow_symlinks=False):
                continue
            if not any(_is_folder(maildir / entry.name / sub) for sub in ("cur", "new")):
                continue
            if names.is_exact(entry.name):
                found[names.folder_mailbox(entry.name)] = entry.name
            else:
                others.append(entry.name)
    for folder in sorted(others):
        name = names.folder_mailbox(folder)
        if name in found or name.upper() == names.INBOX or not all(name.split("/")):
            shown = names.folder_mailbox(folder.replace(".", "\N{MIDDLE DOT}"))
            name = f"{name.strip('/') or 'mailbox'} ({shown})".replace("//", "/")
        found.setdefault(name, folder)
    return found


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def scan(mailbox: Path, sub: str) -> Iterator[Entry]:
    """One pass over ``new`` or ``cur``: regular files without a leading dot."""
    try:
        folder = os.open(mailbox / sub, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return
        raise
    try:
        with os.scandir(folder) as listing:
            fresh = sub == "new"
            for entry in listing:
                if not entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
                    yield Entry(fresh, entry.name)
    finally:
        os.close(folder)


def listing(mailbox: Path, calm: int = 1) -> Listing:
    """Every message of a mailbox, exactly, while others rename (``new`` to ``cur``, flags).

    A file that was there all the time is in the answer; one that came or went meanwhile may
    be. ``calm`` is how many passes in a row must bring nothing that was not seen before.
    """
    found: dict[str, Entry] = {}
    quiet = 0
    for number in range(MAX_PASSES):
        seen: dict[str, Entry] = {}
        twice: list[tuple[str, Entry]] = []
        for sub in ("new", "cur"):
            for entry in scan(mailbox, sub):
                base = names.split(entry.name)[0]
                if base in seen:
                    twice.append((base, entry))
                else:
                    seen[base] = entry
        quiet = quiet + 1 if number and seen.keys() <= found.keys() else 0
        found |= seen
        if quiet >= calm:
            break
    return Listing(found, [other for base, other in twice if _differ(mailbox, found[base], other)])


def _differ(mailbox: Path, one: Entry, other: Entry) -> bool:
    """Whether both files exist at once; a rename under way shows one file under two names."""
    try:
        first, second = one.below(mailbox).lstat(), other.below(mailbox).lstat()
        first_again = one.below(mailbox).lstat()
    except FileNotFoundError:
        return False
    return first.st_ino != second.st_ino and first.st_ino == first_again.st_ino


def locate(mailbox: Path, base: str) -> Entry | None:
    """The file of a base name, wherever and with whatever flags; None when it is not there."""
    for entry in (Entry(True, base), Entry(False, names.join(base, ""))):
        if entry.below(mailbox).exists():
            return entry
    return listing(mailbox, calm=2).entries.get(base)


def rename(source: Path | str, target: Path | str) -> None:
    """Give a file its other name; the only place that does."""
    disk.rename(source, target)


def remove(path: Path | str) -> None:
    """Take a file's name away; the only place that does."""
    disk.unlink(path)


def open_file(path: Path | str) -> int:
    """A descriptor of a regular file, symbolic links refused. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    return descriptor


def open_base(mailbox: Path, base: str) -> int | None:
    """A descriptor of a base name's file, however fast others rename it; None when it is gone.

    A name that is stale by the time it is opened says that the file is there under another.
    """
    for _ in range(MAX_PASSES):
        entry = locate(mailbox, base)
        if entry is None:
            break
        with suppress(FileNotFoundError):
            return open_file(entry.below(mailbox))
    return None


def sync_file(path: Path) -> None:
    """Make a file's octets and its time durable."""
    descriptor = open_file(path)
    try:
        disk.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable; a folder that is gone has none."""
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return
    try:
        disk.fsync(folder)
    finally:
        os.close(folder)


def holds(path: Path, data: bytes) -> bool:
    """Whether a file has just these octets; not where it cannot be read."""
    try:
        with open(open_file(path), "rb") as file:
            return file.read(len(data) + 1) == data
    except OSError:
        return False


def write_again(tmp: Path, path: Path, data: bytes, mtime_ns: int) -> None:
    """Put a message's file in its place, synced; its name is durable once the folder is synced."""
    aside = tmp / "draft-again"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = disk.open_(aside, flags, 0o600)
    try:
        disk.write_all(descriptor, data)
        disk.utime(descriptor, ns=(mtime_ns, mtime_ns))
        disk.fsync(descriptor)
    finally:
        disk.close(descriptor)
    rename(aside, path)


def write_small(folder: Path, name: str, data: bytes) -> None:
    """Put a small file of its own beside the messages, whole and durable when it returns."""
    aside = folder / f"{name}.mtad"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = disk.open_(aside, flags, 0o600)
    try:
        disk.write_all(descriptor, data)
        disk.fsync(descriptor)
    finally:
        disk.close(descriptor)
    rename(aside, folder / name)
    sync_folder(folder)


def wire_size(path: Path, size: int) -> int:
    """Octets of a message with CRLF line ends; ``size`` where it cannot be read."""
    try:
        descriptor = open_file(path)
    except OSError:
        return size
    with open(descriptor, "rb") as file:
        more = 0
        last = b""
        while data := file.read(2**20):
            more += data.count(b"\n") - (last + data).count(b"\r\n")
            last = data[-1:]
    return size + more


def measure(path: Path, base: str, size: int) -> int:
    """The same, as the name says it where it also says the size rightly."""
    claimed = names.wire_size_of(base)
    if claimed and names.size_of(base) == size:
        return claimed
    return wire_size(path, size)

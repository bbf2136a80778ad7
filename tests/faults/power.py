"""A power cut, simulated: what is left of a folder when nothing unsynced can be relied on.

``Tape`` records every operation that the product does through ``mtad.journal.disk``, and those
of SQLite. ``cut`` plays it up to some operation and builds the folder as a disk may have it
after the power went: octets written since a file's last sync are there, gone, zero or torn;
names made, changed or removed since their folder's last sync are there or not. Two kinds of
file system are played: one that keeps the order of names (as ext4 does) and one that keeps
none but that of one name.
"""

import os
import random
import stat
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mtad.journal import disk
from tests.faults.databases import Databases
from tracing import creation

SECTOR = 512
ROOT = 0

Name = tuple[int, str]
"""A folder's number on the tape, and a name in it."""
NOWHERE = (-1, "")


@dataclass(frozen=True)
class Operation:
    """One step on the tape; ``file`` numbers inodes, the rest depends on ``what``."""

    what: str
    file: int = -1
    name: Name = NOWHERE
    target: Name = NOWHERE
    at: int = 0
    data: bytes = b""
    size: int = 0

    @property
    def names(self) -> set[Name]:
        """The names it makes or takes away."""
        return {self.name, self.target} - {NOWHERE}


class Tape:
    """Records below ``root`` for as long as ``patch`` lasts; what is there already is durable."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root = str(root)
        self._turn = threading.RLock()
        self.operations: list[Operation] = []
        self._numbers = {root.stat().st_ino: ROOT}
        self._count = ROOT
        self._take_in(root)
        self.begin = len(self.operations)
        wrapped: dict[str, Callable[..., Any]] = {
            "open_": self._open,
            "write": self._write,
            "pwrite": self._pwrite,
            "pwritev": self._pwritev,
            "ftruncate": self._ftruncate,
            "utime": self._utime,
            "fsync": self._sync,
            "fdatasync": self._sync,
            "sync_file_system": self._sync_all,
            "rename": self._rename,
            "link": self._link,
            "unlink": self._unlink,
            "mkdir": self._mkdir,
            "rmdir": self._rmdir,
        }
        for name, function in wrapped.items():
            patch.setattr(disk, name, self.locked(function))
        there = {name: value for name, value in vars(os).items() if name.startswith("O_")}
        there |= {"open": self._open_beside, "close": os.close}
        patch.setattr(
            creation,
            "os",
            SimpleNamespace(
                **there, rename=self.locked(self._rename), fsync=self.locked(self._sync)
            ),
        )
        Databases(self, patch)

    def __len__(self) -> int:
        return len(self.operations)

    def _take_in(self, folder: Path) -> None:
        """Begin with what a folder holds."""
        for path in folder.iterdir():
            inode = path.lstat().st_ino
            if path.is_dir():
                self._made("given", inode, self._name(path))
                self._take_in(path)
            elif path.is_file():
                if inode not in self._numbers:
                    self._made("given file", inode, self._name(path))
                    file = self._numbers[inode]
                    self.put("octets", file=file, data=path.read_bytes())
                    self.put("time", file=file, at=path.stat().st_mtime_ns)
                    self.put("sync", file=file)
                else:
                    self.put("given file", file=self._numbers[inode], target=self._name(path))

    # --------------------------------------------------------- for the recorders

    def locked(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """What does an operation and records it, with no other thread's between the two."""

        def alone(*arguments: Any, **options: Any) -> Any:
            with self._turn:
                return function(*arguments, **options)

        return alone

    def put(self, what: str, **fields: Any) -> None:
        """Record an operation."""
        self.operations.append(Operation(what, **fields))

    def covers(self, path: str) -> bool:
        """Whether a path lies below the root."""
        return path.startswith(self.root + "/")

    def opened(self, path: str, *, fresh: bool) -> int:
        """The number of a file that was opened, and made if ``fresh``."""
        number = os.stat(path).st_ino
        if fresh:
            self._made("name", number, self._name(path))
        return self._numbers[number]

    def unlinked(self, path: str | Path) -> None:
        """A name was taken away."""
        self.put("unlink", name=self._name(path))

    def folder(self, path: str) -> int:
        """The number of a folder; one made behind the tape's back counts as durable."""
        number = os.stat(path).st_ino
        if number not in self._numbers:
            self._made("given", number, self._name(path))
        return self._numbers[number]

    def _made(self, what: str, inode: int, target: Name) -> None:
        self._count += 1
        self._numbers[inode] = self._count
        self.put(what, file=self._count, target=target)

    def _name(self, path: str | Path) -> Name:
        folder, name = os.path.split(path)
        return self.folder(folder), name

    def _file(self, given: int | str | Path) -> int:
        return self._numbers[os.stat(given).st_ino]

    # ----------------------------------------------------------- what disk does

    def _open(self, path: str | Path, flags: int, mode: int = 0o777) -> int:
        fresh = not os.path.lexists(path)
        fd = os.open(path, flags, mode)
        number = self.opened(str(path), fresh=fresh)
        if flags & os.O_TRUNC and not fresh:
            self.put("size", file=number, size=0)
        return fd

    def _open_beside(self, path: str | Path, flags: int, mode: int = 0o777) -> int:
        """The same where nothing is written by the descriptor."""
        return self._open(path, flags, mode) if flags & os.O_CREAT else os.open(path, flags)

    def _write(self, fd: int, data: Any) -> int:
        at = os.lseek(fd, 0, os.SEEK_CUR)
        done = os.write(fd, data)
        self.put("octets", file=self._file(fd), at=at, data=bytes(data)[:done])
        return done

    def _pwrite(self, fd: int, data: Any, at: int) -> int:
        done = os.pwrite(fd, data, at)
        self.put("octets", file=self._file(fd), at=at, data=bytes(data)[:done])
        return done

    def _pwritev(self, fd: int, buffers: Any, at: int) -> int:
        done = os.pwritev(fd, buffers, at)
        self.put("octets", file=self._file(fd), at=at, data=b"".join(buffers)[:done])
        return done

    def _ftruncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)
        self.put("size", file=self._file(fd), size=size)

    def _utime(self, given: int | str, *, ns: tuple[int, int]) -> None:
        os.utime(given, ns=ns)
        self.put("time", file=self._file(given), at=ns[1])

    def _sync(self, fd: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(fd).st_mode)
        if is_folder:
            self.folder(os.readlink(f"/proc/self/fd/{fd}"))
        self.put("sync folder" if is_folder else "sync", file=self._file(fd))

    def _sync_all(self, path: Path) -> None:
        assert path.is_dir()
        self.put("sync all")

    def _rename(self, source: str | Path, target: str | Path) -> None:
        file = self._file(source)
        os.rename(source, target)
        self.put("rename", file=file, name=self._name(source), target=self._name(target))

    def _link(self, source: str | Path, target: str | Path) -> None:
        os.link(source, target)
        self.put("name", file=self._file(source), target=self._name(target))

    def _unlink(self, path: str | Path) -> None:
        os.unlink(path)
        self.unlinked(path)

    def _mkdir(self, path: str | Path, mode: int = 0o777) -> None:
        os.mkdir(path, mode)
        self._made("folder", os.stat(path).st_ino, self._name(path))

    def _rmdir(self, path: str | Path) -> None:
        os.rmdir(path)
        self.unlinked(path)


@dataclass
class _File:
    """A file's durable state, and what was done to it since."""

    octets: bytearray = field(default_factory=bytearray)
    mtime_ns: int = 0
    """0 where nobody set it: then it is when the disk was last written, more or less."""
    since: list[Operation] = field(default_factory=list)

    def apply(self, one: Operation) -> None:
        """Let an operation reach the disk."""
        if one.what == "octets":
            end = one.at + len(one.data)
            self._reach(end)
            self.octets[one.at : end] = one.data
        elif one.what == "size":
            del self.octets[one.size :]
            self._reach(one.size)
        elif one.what == "time":
            self.mtime_ns = one.at

    def sync(self) -> None:
        """Let all of it reach the disk."""
        for one in self.since:
            self.apply(one)
        self.since.clear()

    def lose(self, rng: random.Random) -> None:
        """The power goes: decide what of the unsynced operations has reached the disk."""
        fate = rng.choice(("all", "none", "zeros", "some", "some"))
        for one in self.since:
            if fate == "all" or (fate == "some" and rng.random() < 0.5):
                self.apply(one)
            elif fate == "zeros" and one.what == "octets":
                self._reach(one.at + len(one.data))
            elif fate == "some" and one.what == "octets":
                for start in range(0, len(one.data), SECTOR):
                    if rng.random() < 0.5:
                        part = one.data[start : start + SECTOR]
                        self.apply(Operation("octets", at=one.at + start, data=part))
        self.since.clear()

    def _reach(self, end: int) -> None:
        self.octets.extend(bytes(max(0, end - len(self.octets))))


class _Disk:
    """A disk on which nothing is sure but what was synced."""

    def __init__(self, *, ordered: bool) -> None:
        self._ordered = ordered
        self._names: dict[Name, int] = {}
        self._files: dict[int, _File] = {}
        self._folders = {ROOT}
        self._pending: list[Operation] = []

    def take(self, one: Operation) -> None:
        """An operation is done, in memory."""
        if one.what in ("name", "folder", "rename", "unlink"):
            self._pending.append(one)
            if one.what == "folder":
                self._folders.add(one.file)
        elif one.what in ("given", "given file"):
            if one.what == "given":
                self._folders.add(one.file)
            self._settle(one)
        elif one.what == "sync all":
            self.sync()
        elif one.what == "sync folder":
            self._sync_folder(one.file)
        elif one.what == "sync":
            self._file(one.file).sync()
            if self._ordered:
                self._settle_all(self._pending)
        else:
            self._file(one.file).since.append(one)

    def sync(self) -> None:
        """Everything reaches the disk."""
        self._settle_all(self._pending)
        for file in self._files.values():
            file.sync()

    def lose(self, rng: random.Random) -> None:
        """The power goes."""
        if self._ordered:
            self._settle_all(self._pending[: rng.randint(0, len(self._pending))])
        else:
            lost: set[Name] = set()
            for one in self._pending:
                if rng.random() < 0.5 and not one.names & lost:
                    self._settle(one)
                else:
                    lost |= one.names
        for file in self._files.values():
            file.lose(rng)

    def build(self, target: Path) -> None:
        """Make what is on the disk below a folder; what no name leads to is lost."""
        inside: dict[int, list[tuple[str, int]]] = {}
        for (folder, name), number in self._names.items():
            inside.setdefault(folder, []).append((name, number))
        placed: dict[int, Path] = {}
        folders = [(ROOT, target)]
        for folder, path in folders:
            for name, number in inside.get(folder, ()):
                if number in self._folders:
                    (path / name).mkdir(exist_ok=True)
                    folders.append((number, path / name))
                elif number in placed:
                    os.link(placed[number], path / name)
                else:
                    placed[number] = path / name
                    file = self._file(number)
                    placed[number].write_bytes(file.octets)
                    if file.mtime_ns:
                        os.utime(placed[number], ns=(file.mtime_ns,) * 2)

    def _file(self, number: int) -> _File:
        return self._files.setdefault(number, _File())

    def _sync_folder(self, folder: int) -> None:
        """What a folder holds is durable, and with it what came before at the same names."""
        if self._ordered:
            self._settle_all(self._pending)
            return
        durable = []
        concerned: set[Name] = set()
        for one in reversed(self._pending):
            if folder in (one.name[0], one.target[0]) or one.names & concerned:
                durable.append(one)
                concerned |= one.names
        self._settle_all(reversed(durable))

    def _settle_all(self, durable: Iterable[Operation]) -> None:
        chosen = list(durable)
        gone = {id(one) for one in chosen}
        self._pending = [one for one in self._pending if id(one) not in gone]
        for one in chosen:
            self._settle(one)

    def _settle(self, one: Operation) -> None:
        self._names.pop(one.name, None)
        if one.target != NOWHERE:
            self._names[one.target] = one.file


def cut(tape: Tape, count: int, target: Path, rng: random.Random) -> None:
    """Build in ``target`` what the disk may hold after the first ``count`` operations."""
    made = _Disk(ordered=rng.random() < 0.5)
    for one in tape.operations[:count]:
        made.take(one)
    made.lose(rng)
    made.build(target)


def build(tape: Tape, target: Path) -> None:
    """Build in ``target`` what was there at the end of the tape, as if all had been synced."""
    made = _Disk(ordered=True)
    for one in tape.operations:
        made.take(one)
    made.sync()
    made.build(target)

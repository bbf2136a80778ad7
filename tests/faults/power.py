"""A power cut, simulated: what is left of a folder when nothing unsynced can be relied on.

``Tape`` records every operation that the product does through ``mtad.journal.disk``. ``Cut``
plays it up to some operation and builds the folder as a disk may have it after the power went:
octets written since a file's last sync are there, gone, zero or torn; names made, changed or
removed since their folder's last sync are there or not. Two kinds of file system are played:
one that keeps the order of names (as ext4 does) and one that keeps nothing.
"""

import os
import random
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mtad.journal import disk

SECTOR = 512

Name = tuple[str, str]
"""Folder, relative to the root, and name."""


@dataclass(frozen=True)
class Operation:
    """One step on the tape; ``file`` numbers inodes, the rest depends on ``what``."""

    what: str
    file: int = 0
    name: Name = ("", "")
    target: Name = ("", "")
    at: int = 0
    data: bytes = b""
    size: int = 0


class Tape:
    """Records below ``root`` for as long as ``patch`` lasts."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.operations: list[Operation] = []
        self._files: dict[int, int] = {}
        self._count = 0
        wrapped: dict[str, Callable[..., Any]] = {
            "open_": self._open,
            "write": self._write,
            "pwrite": self._pwrite,
            "pwritev": self._pwritev,
            "ftruncate": self._ftruncate,
            "utime": self._utime,
            "fsync": self._sync,
            "fdatasync": self._sync,
            "rename": self._rename,
            "link": self._link,
            "unlink": self._unlink,
        }
        for name, function in wrapped.items():
            patch.setattr(disk, name, function)

    def __len__(self) -> int:
        return len(self.operations)

    def _name(self, path: str | Path) -> Name:
        folder, name = os.path.split(os.path.relpath(path, self.root))
        return folder, name

    def _put(self, what: str, **fields: Any) -> None:
        self.operations.append(Operation(what, **fields))

    def _file(self, given: int | str | Path) -> int:
        number = os.stat(given).st_ino
        return self._files[number]

    def _open(self, path: str | Path, flags: int, mode: int = 0o777) -> int:
        fresh = not os.path.lexists(path)
        fd = os.open(path, flags, mode)
        if fresh:
            self._count += 1
            self._files[os.fstat(fd).st_ino] = self._count
            self._put("name", file=self._count, target=self._name(path))
        elif flags & os.O_TRUNC:
            self._put("size", file=self._file(fd), size=0)
        return fd

    def _write(self, fd: int, data: Any) -> int:
        at = os.lseek(fd, 0, os.SEEK_CUR)
        done = os.write(fd, data)
        self._put("octets", file=self._file(fd), at=at, data=bytes(data)[:done])
        return done

    def _pwrite(self, fd: int, data: Any, at: int) -> int:
        done = os.pwrite(fd, data, at)
        self._put("octets", file=self._file(fd), at=at, data=bytes(data)[:done])
        return done

    def _pwritev(self, fd: int, buffers: Any, at: int) -> int:
        done = os.pwritev(fd, buffers, at)
        self._put("octets", file=self._file(fd), at=at, data=b"".join(buffers)[:done])
        return done

    def _ftruncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)
        self._put("size", file=self._file(fd), size=size)

    def _utime(self, given: int | str, *, ns: tuple[int, int]) -> None:
        os.utime(given, ns=ns)
        self._put("time", file=self._file(given), at=ns[1])

    def _sync(self, fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            folder = os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), self.root)
            self._put("sync folder", name=(folder, ""))
        else:
            self._put("sync", file=self._file(fd))

    def _rename(self, source: str | Path, target: str | Path) -> None:
        file = self._file(source)
        os.rename(source, target)
        self._put("rename", file=file, name=self._name(source), target=self._name(target))

    def _link(self, source: str | Path, target: str | Path) -> None:
        os.link(source, target)
        self._put("name", file=self._file(source), target=self._name(target))

    def _unlink(self, path: str | Path) -> None:
        os.unlink(path)
        self._put("unlink", name=self._name(path))


@dataclass
class _File:
    """A file's durable state, and what was done to it since."""

    octets: bytearray = field(default_factory=bytearray)
    mtime_ns: int = 1_000_000_000
    since: list[Operation] = field(default_factory=list)

    def apply(self, one: Operation) -> None:
        """Let an operation reach the disk."""
        if one.what == "octets":
            end = one.at + len(one.data)
            if len(self.octets) < end:
                self.octets.extend(bytes(end - len(self.octets)))
            self.octets[one.at : end] = one.data
        elif one.what == "size":
            del self.octets[one.size :]
        elif one.what == "time":
            self.mtime_ns = one.at

    def lose(self, rng: random.Random) -> None:
        """The power goes: decide what of the unsynced operations has reached the disk."""
        fate = rng.choice(("all", "none", "zeros", "some", "some"))
        for one in self.since:
            if fate == "all" or (fate == "some" and rng.random() < 0.5):
                self.apply(one)
            elif fate == "zeros" and one.what == "octets":
                end = one.at + len(one.data)
                self.octets.extend(bytes(max(0, end - len(self.octets))))
            elif fate == "some" and one.what == "octets":
                for start in range(0, len(one.data), SECTOR):
                    if rng.random() < 0.5:
                        part = one.data[start : start + SECTOR]
                        self.apply(Operation("octets", at=one.at + start, data=part))
        self.since.clear()


def cut(tape: Tape, count: int, target: Path, rng: random.Random) -> None:
    """Build in ``target`` what the disk may hold after the first ``count`` operations."""
    ordered = rng.random() < 0.5
    files: dict[int, _File] = {}
    names: dict[Name, int] = {}
    pending: list[Operation] = []

    def settle(one: Operation) -> None:
        if one.what != "name":
            names.pop(one.name, None)
        if one.what != "unlink":
            names[one.target] = one.file

    for one in tape.operations[:count]:
        if one.what in ("name", "rename", "unlink"):
            pending.append(one)
            files.setdefault(one.file, _File())
        elif one.what == "sync folder":
            durable = [
                other
                for other in pending
                if ordered or one.name[0] in (other.name[0], other.target[0])
            ]
            for other in durable:
                settle(other)
            pending = [other for other in pending if other not in durable]
        elif one.what == "sync":
            file = files[one.file]
            for other in file.since:
                file.apply(other)
            file.since.clear()
            if ordered:
                for other in pending:
                    settle(other)
                pending.clear()
        else:
            files[one.file].since.append(one)
    kept = rng.randint(0, len(pending)) if ordered else 0
    for number, one in enumerate(pending):
        possible = one.what != "rename" or names.get(one.name) == one.file
        if possible and (number < kept if ordered else rng.random() < 0.5):
            settle(one)
    for file in files.values():
        file.lose(rng)
    placed: dict[int, Path] = {}
    for (folder, name), number in names.items():
        path = target / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if number in placed:
            os.link(placed[number], path)
            continue
        placed[number] = path
        path.write_bytes(files[number].octets)
        os.utime(path, ns=(files[number].mtime_ns,) * 2)

"""What SQLite does to files, put on the tape as well.

SQLite reaches files through a table of functions, its VFS, and each open file has such a table
of its own. While a tape runs, those that open, write, truncate, sync and delete are ours: they
do the work and record it. Syncs are recorded and not done, which is what makes the runs quick.
The shared memory beside a write-ahead log is not recorded: SQLite never relies on it after a
power cut.
"""

import _sqlite3
import ctypes
import os
from ctypes import CFUNCTYPE, c_int, c_int64, c_void_p
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.faults.power import Tape

_CREATE = 0x4
_JOURNALS = 0x800 | 0x4000 | 0x80000
"""SQLITE_OPEN_MAIN_JOURNAL, _SUPER_JOURNAL and _WAL: made with their folder synced at the first
sync of the file (os_unix.c, UNIXFILE_DIRSYNC)."""


class _Vfs(ctypes.Structure):
    """``sqlite3_vfs`` as far as it is needed."""

    _fields_ = (
        ("version", c_int),
        ("file_size", c_int),
        ("longest", c_int),
        ("next", c_void_p),
        ("name", c_void_p),
        ("data", c_void_p),
        ("open", c_void_p),
        ("delete", c_void_p),
    )


class _Methods(ctypes.Structure):
    """``sqlite3_io_methods``, version 3."""

    _fields_ = (
        ("version", c_int),
        ("close", c_void_p),
        ("read", c_void_p),
        ("write", c_void_p),
        ("truncate", c_void_p),
        ("sync", c_void_p),
        ("others", c_void_p * 13),
    )


_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_DELETE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)
_CLOSE = CFUNCTYPE(c_int, c_void_p)
_WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC = CFUNCTYPE(c_int, c_void_p, c_int)

_kept: list[object] = []
"""What SQLite may still call through connections that outlive their tape."""


@dataclass
class _Open:
    """An open file: its number on the tape, its own functions, a folder yet to be synced."""

    number: int
    methods: _Methods
    folder: int | None


class Databases:
    """Records what SQLite does below a tape's root, for as long as ``patch`` lasts."""

    def __init__(self, tape: "Tape", patch: pytest.MonkeyPatch) -> None:
        self._tape = tape
        self._files: dict[int, _Open] = {}
        self._tables: dict[int, tuple[_Methods, _Methods]] = {}
        library = ctypes.CDLL(_sqlite3.__file__)
        library.sqlite3_vfs_find.restype = c_void_p
        vfs = _Vfs.from_address(library.sqlite3_vfs_find(None))
        self._real_open = _OPEN(vfs.open)
        self._real_delete = _DELETE(vfs.delete)
        patch.setattr(vfs, "open", self._address(_OPEN(tape.locked(self._open))))
        patch.setattr(vfs, "delete", self._address(_DELETE(tape.locked(self._delete))))
        self._ours = {
            "close": self._address(_CLOSE(tape.locked(self._close))),
            "write": self._address(_WRITE(tape.locked(self._write))),
            "truncate": self._address(_TRUNCATE(tape.locked(self._truncate))),
            "sync": self._address(_SYNC(tape.locked(self._sync))),
        }

    def _address(self, function: Any) -> int:
        _kept.append(function)
        return ctypes.cast(function, c_void_p).value or 0

    def _open(self, vfs: int, name: int | None, file: int, flags: int, out: int) -> int:
        path = os.fsdecode(ctypes.string_at(name)) if name else ""
        recorded = self._tape.covers(path)
        fresh = recorded and not os.path.lexists(path)
        code: int = self._real_open(vfs, name, file, flags, out)
        if recorded and not code:
            number = self._tape.opened(path, fresh=fresh)
            in_folder = flags & _CREATE and flags & _JOURNALS
            folder = self._tape.folder(os.path.dirname(path)) if in_folder else None
            slot = c_void_p.from_address(file)
            real, ours = self._table(slot.value or 0)
            self._files[file] = _Open(number, real, folder)
            slot.value = ctypes.addressof(ours)
        return code

    def _table(self, address: int) -> tuple[_Methods, _Methods]:
        """The functions of a kind of file, as they are and with ours in their places."""
        known = self._tables.get(address)
        if known is None:
            real = _Methods.from_address(address)
            ours = _Methods.from_buffer_copy(real)
            for name, function in self._ours.items():
                setattr(ours, name, function)
            known = self._tables[address] = (real, ours)
            _kept.append(known)
        return known

    def _delete(self, vfs: int, name: int, sync_folder: int) -> int:
        path = os.fsdecode(ctypes.string_at(name))
        code: int = self._real_delete(vfs, name, 0)
        if not code and self._tape.covers(path):
            self._tape.unlinked(path)
            if sync_folder:
                self._tape.put("sync folder", file=self._tape.folder(os.path.dirname(path)))
        return code

    def _close(self, file: int) -> int:
        code: int = _CLOSE(self._files.pop(file).methods.close)(file)
        return code

    def _write(self, file: int, data: int, size: int, at: int) -> int:
        one = self._files[file]
        code: int = _WRITE(one.methods.write)(file, data, size, at)
        if not code:
            self._tape.put("octets", file=one.number, at=at, data=ctypes.string_at(data, size))
        return code

    def _truncate(self, file: int, size: int) -> int:
        one = self._files[file]
        code: int = _TRUNCATE(one.methods.truncate)(file, size)
        if not code:
            self._tape.put("size", file=one.number, size=size)
        return code

    def _sync(self, file: int, _flags: int) -> int:
        one = self._files[file]
        self._tape.put("sync", file=one.number)
        if one.folder is not None:
            self._tape.put("sync folder", file=one.folder)
            one.folder = None
        return 0

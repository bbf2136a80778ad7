"""The operations on files that durability rests on, at one place where faults can be put.

Product code calls ``disk.fdatasync(fd)`` and the like; these are the ``os`` functions
themselves. The fault tests replace them to count, to fail, or to record what a power cut
would have lost.
"""

import ctypes
import os
from pathlib import Path

open_ = os.open
write = os.write
pwrite = os.pwrite
pwritev = os.pwritev
ftruncate = os.ftruncate
utime = os.utime
fsync = os.fsync
fdatasync = os.fdatasync
close = os.close
rename = os.rename
link = os.link
unlink = os.unlink
mkdir = os.mkdir
rmdir = os.rmdir


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of ``data``, however little the system takes at once."""
    done = write(fd, data)
    while done < len(data):
        done += write(fd, memoryview(data)[done:])


def sync_path(path: Path | str) -> bool:
    """Sync a file or folder by name; False when it is not there."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fsync(fd)
    finally:
        os.close(fd)
    return True


def make_folder(path: Path, mode: int = 0o750) -> None:
    """Make a folder and what lies above it, each durably in its parent."""
    try:
        mkdir(path, mode)
    except FileExistsError:
        return
    except FileNotFoundError:
        make_folder(path.parent, mode)
        make_folder(path, mode)
        return
    sync_path(path.parent)


_libc = ctypes.CDLL(None, use_errno=True)


def sync_file_system(path: Path) -> None:
    """Make everything durable on the file system that holds ``path``; other threads go on.

    For many files this is one flush of the disk instead of one for each (syncfs(2), which
    tells failures since Linux 5.8). Raises OSError.
    """
    fd = os.open(path, os.O_RDONLY)
    try:
        if _libc.syncfs(fd):
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), str(path))
    finally:
        os.close(fd)

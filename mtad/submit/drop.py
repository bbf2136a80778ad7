"""The drop: where local programs leave messages, whether the server runs or not.

A folder that everyone may put files into and nobody but the server may look into (mode 3733).
A file is an envelope, one line of JSON, and the message after it. Order of writes: the file
under a hidden name, synced; renamed to its name; the folder synced; only then does the program
hear that its message is queued. The server takes files in the order of their names, which are
times; who left a file is told by its owner, which nobody can forge.
"""

import contextlib
import errno
import json
import os
import secrets
import stat
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mtad.journal import disk

MODE = 0o3733
"""Everyone may put something in; the group, the server's, may read what was."""
MAX_ENVELOPE = 1 << 20
"""Octets of the envelope's line."""
SUFFIX = ".drop"


class Damaged(Exception):
    """A file in the drop that cannot be read as one; the text says why."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who it is from and for; ``sender`` empty is the null sender."""

    sender: str
    recipients: Sequence[str]
    notify: str = ""
    ret: str = ""
    envid: str = ""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A file as the server finds it; ``uid`` owns it, ``mtime_ns`` is when it was left."""

    uid: int
    mtime_ns: int
    envelope: Envelope
    message: bytes


def leave(folder: Path, envelope: Envelope, message: bytes) -> Path:
    """Put a message into the drop, durably; line ends LF. Raises OSError: then it is not there."""
    name = f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(4)}"
    hidden, final = folder / f".{name}", folder / f"{name}{SUFFIX}"
    line = json.dumps(asdict(envelope), ensure_ascii=True).encode() + b"\n"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = disk.open_(hidden, flags, 0o640)
    try:
        try:
            os.fchmod(fd, 0o640)
            disk.write_all(fd, line + message)
            disk.fsync(fd)
        finally:
            disk.close(fd)
        disk.rename(hidden, final)
    except BaseException:
        with contextlib.suppress(OSError):
            disk.unlink(hidden)
        raise
    _sync(folder)
    return final


def _sync(folder: Path) -> None:
    """Sync the folder; a program that may write but not read it syncs its file system."""
    try:
        disk.sync_path(folder)
    except PermissionError:
        os.sync()


def make(folder: Path) -> None:
    """Make the drop, open to every user who can come to it."""
    disk.make_folder(folder)
    folder.chmod(MODE)


def waiting(folder: Path) -> list[Path]:
    """The files in the drop, eldest first."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(SUFFIX))
    except FileNotFoundError:
        return []
    return [folder / name for name in names if not name.startswith(".")]


def read(path: Path, max_octets: int) -> Dropped:
    """What lies in a file of the drop. Raises Damaged, OSError.

    A link, a device, a file with a second name or one that is too large is damage: another
    user made it so.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(path, flags)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise Damaged("not a regular file") from None
        raise
    with open(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise Damaged("not a regular file of one name")
        line = file.readline(MAX_ENVELOPE)
        message = file.read(max_octets + 1)
    if len(message) > max_octets:
        raise Damaged(f"the message is larger than {max_octets} octets")
    return Dropped(found.st_uid, found.st_mtime_ns, _envelope(line), message)


def _envelope(line: bytes) -> Envelope:
    try:
        told: dict[str, Any] = json.loads(line)
        recipients = told["recipients"]
        texts = {name: told.get(name, "") for name in ("sender", "notify", "ret", "envid")}
        if not isinstance(recipients, list) or not recipients:
            raise ValueError("no recipients")
        if not all(isinstance(text, str) for text in (*recipients, *texts.values())):
            raise ValueError("not text")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Damaged(f"no envelope: {error}") from None
    return Envelope(recipients=tuple(recipients), **texts)

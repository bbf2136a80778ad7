"""Where a repository's files lie: a place in which a file exists whole or not at all.

``Storage`` is what the rest knows; ``Folder`` keeps the files on a local file system, others
are in ``sftp.py`` and ``bucket.py``. In a folder every file is written under ``tmp/``, synced,
renamed to its name, and its folder synced, in that order; nothing is ever written in place.
All changes go through ``step``, where a test can make any of them fail.
"""

import os
import re
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from mtad.errors import Unreachable

STALE_SECONDS = 86_400
"""Age from which a file in ``tmp/`` belongs to a run that died."""
HASH = re.compile(r"[0-9a-f]{64}")


class Away(Unreachable, OSError):
    """The place does not answer, or no longer; says nothing about what lies in it."""

    def __str__(self) -> str:
        return str(self.strerror)


class Draft(Protocol):
    """A file being written; ``finish`` gives it its name, ``abandon`` removes it."""

    size: int

    def write(self, data: bytes) -> None:
        """Append octets. Raises OSError."""

    def finish(self, name: str) -> None:
        """Make the file durable under its name. Raises OSError."""

    def abandon(self) -> None:
        """Remove what was written; quiet when there is nothing."""


class Storage(ABC):
    """The files of a repository. Names are relative, with ``/``; methods raise OSError.

    ``shown`` is what people are told of the place. A file appears whole under its name or not
    at all, and is durable when the call that wrote it returns.
    """

    shown: str
    bytes_per_second = 0
    """Octets sent per second at most; 0 is no limit."""

    def __init__(self) -> None:
        self.guards: list[Callable[[], None]] = []
        """Asked by ``assure``: each raises Locked once its lock is lost."""
        self._sent_until = 0.0

    def step(self, what: str) -> None:  # noqa: B027 - a test may
        """Called before every change; a test overrides it to fail there."""

    def assure(self) -> None:
        """Raise Locked when a lock that was held here is lost; before what cannot be undone."""
        for guard in self.guards:
            guard()

    def pace(self, octets: int) -> None:
        """Wait so long that no more than ``bytes_per_second`` leave."""
        if self.bytes_per_second:
            begin = max(time.monotonic(), self._sent_until)
            self._sent_until = begin + octets / self.bytes_per_second
            time.sleep(max(0.0, self._sent_until - time.monotonic()))

    @abstractmethod
    def make(self) -> None:
        """Create what an empty repository needs."""

    @abstractmethod
    def begin(self) -> Draft:
        """Begin a file."""

    def put(self, name: str, data: bytes) -> None:
        """Write a whole file durably. Raises OSError; then the name is as it was."""
        draft = self.begin()
        try:
            draft.write(data)
            draft.finish(name)
        except BaseException:
            draft.abandon()
            raise

    @abstractmethod
    def get(self, name: str) -> bytes:
        """A whole file. Raises OSError."""

    @abstractmethod
    def read(self, name: str, offset: int, length: int) -> bytes:
        """Part of a file, shorter at its end. Raises OSError."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Octets in a file. Raises OSError."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether there is such a file."""

    @abstractmethod
    def names(self, below: str) -> list[str]:
        """File names directly in a folder, sorted; none when there is no folder."""

    def segments(self) -> set[str]:
        """The name of every index segment."""
        return {name for name in self.names("index") if HASH.fullmatch(name)}

    def packs(self) -> Iterator[str]:
        """The name of every pack."""
        for prefix in self.names("packs"):
            yield from (n for n in self.names(f"packs/{prefix}") if HASH.fullmatch(n))

    def sync_pack(self, name: str) -> None:  # noqa: B027 - elsewhere a name is durable at once
        """Make the name of a pack durable that another run gave it. Raises OSError."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file; quiet when it is gone."""

    @abstractmethod
    def modified(self, name: str) -> float:
        """When a file was written, in seconds by the place's own clock. Raises OSError."""

    def beat(self, name: str) -> None:
        """Make a file as if written now. Raises OSError."""
        self.put(name, self.get(name))

    def sweep(self) -> None:  # noqa: B027 - not all places leave anything
        """Remove what dead runs left half written."""

    def close(self) -> None:  # noqa: B027 - not all places are connected
        """Let go of whatever connects with the place."""


class Upload:
    """A draft in a folder."""

    def __init__(self, folder: "Folder") -> None:
        self._folder = folder
        self.path = folder.root / "tmp" / f"{os.getpid()}-{secrets.token_hex(8)}"
        folder.step("create")
        self.path.parent.mkdir(mode=0o700, exist_ok=True)
        self._file: BinaryIO = open(self.path, "xb", buffering=0)  # noqa: SIM115
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append octets."""
        self._folder.step("write")
        self._folder.pace(len(data))
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self.size += len(data)

    def finish(self, name: str) -> None:
        """Make the file durable under its name (fsync, rename, fsync of the folder)."""
        self._folder.step("sync")
        os.fsync(self._file.fileno())
        self._file.close()
        target = self._folder.root / name
        made = not target.parent.is_dir()
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.step("rename")
        os.rename(self.path, target)
        self._folder.step("sync folder")
        sync_folder(target.parent)
        if made:
            sync_folder(target.parent.parent)

    def abandon(self) -> None:
        """Remove what was written; quiet when there is nothing."""
        self._file.close()
        self.path.unlink(missing_ok=True)


class Folder(Storage):
    """A repository on a local file system."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        self.shown = str(root)

    def make(self) -> None:
        """Create the folders of an empty repository."""
        for name in ("", "keys", "packs", "index", "snapshots", "locks", "tmp"):
            (self.root / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(self.root)

    def begin(self) -> Upload:
        """Begin a file under ``tmp/``."""
        return Upload(self)

    def get(self, name: str) -> bytes:
        """A whole file. Raises OSError."""
        return (self.root / name).read_bytes()

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Part of a file, shorter at its end. Raises OSError."""
        with open(self.root / name, "rb", buffering=0) as file:
            data = os.pread(file.fileno(), length, offset)
            while 0 < len(data) < length:
                more = os.pread(file.fileno(), length - len(data), offset + len(data))
                if not more:
                    break
                data += more
            return data

    def size(self, name: str) -> int:
        """Octets in a file. Raises OSError."""
        return (self.root / name).stat().st_size

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return (self.root / name).is_file()

    def names(self, below: str) -> list[str]:
        """File names directly in a folder, sorted; none when there is no folder."""
        try:
            return sorted(os.listdir(self.root / below))
        except FileNotFoundError:
            return []

    def sync_pack(self, name: str) -> None:
        """Make the name of a pack durable that another run gave it. Raises OSError."""
        self.step("sync folder")
        target = (self.root / pack_path(name)).parent
        sync_folder(target)
        sync_folder(target.parent)

    def remove(self, name: str) -> None:
        """Remove a file; quiet when it is gone."""
        self.step("remove")
        (self.root / name).unlink(missing_ok=True)

    def modified(self, name: str) -> float:
        """When a file was written."""
        return (self.root / name).stat().st_mtime

    def beat(self, name: str) -> None:
        """Make a file as if written now."""
        os.utime(self.root / name)

    def sweep(self) -> None:
        """Remove what dead runs left under ``tmp/``."""
        horizon = time.time() - STALE_SECONDS
        for name in self.names("tmp"):
            path = self.root / "tmp" / name
            try:
                if path.stat().st_mtime < horizon:
                    path.unlink()
            except FileNotFoundError:
                continue


def pack_path(name: str) -> str:
    """Where a pack lies."""
    return f"packs/{name[:2]}/{name}"


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""Trees of files that messages are read from: a folder, a tar, a zip.

Nothing of a tree is followed or written: links out of it are passed by, members are known by
their place in the archive, and what is packed far denser than mail can be is refused. Each tree
is looked through once for what it has, and read once in the order that suits it.
"""

import bz2
import contextlib
import errno
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, Protocol, Self

import zstandard

from mtad.errors import UsageError
from mtad.store import uidlist
from mtad.transfer import layout

MAX_SIDE_FILES = uidlist.MAX_FILE
"""Octets of all files beside messages that are read."""
MAX_DEPTH = 32
MAX_RATIO = 200
"""How many times larger than its file an archive may become, once it is a gigabyte."""
FREE_OCTETS = 2**30
MAX_TAR_HEADER = 2**20
_MORE_HEADER = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_MAGIC = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
"""How what gzip, bzip2, xz and zstd made begins."""
_DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError)


class Leaf(NamedTuple):
    """A regular file of a tree; ``mtime_ns`` is 0 where nothing tells it."""

    path: str
    size: int
    mtime_ns: int


class Survey(NamedTuple):
    """What a tree has: its folders, the files beside messages, and all octets."""

    folders: set[str]
    side_files: dict[str, bytes]
    octets: int
    sole: str = ""
    """The one folder of an archive in which everything is."""


class Tree(Protocol):
    """Files to be read."""

    def survey(self) -> Survey:
        """Look through it."""

    def groups(self) -> Iterator[list[Leaf]]:
        """Files, those of a folder together where that can be."""

    def open(self, leaf: Leaf) -> IO[bytes]:
        """A file of the group that came last. Raises OSError."""

    def close(self) -> None:
        """Give it back."""


class FolderTree:
    """A folder on the disk. Raises OSError where it cannot be read."""

    def __init__(self, path: Path) -> None:
        self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def survey(self) -> Survey:
        """Its folders; the files themselves are looked at one folder at a time."""
        folders: set[str] = set()
        sides: dict[str, bytes] = {}
        octets = 0
        for folder, leaves in self._walk(""):
            folders.add(folder)
            octets += sum(leaf.size for leaf in leaves)
            for leaf in leaves:
                if leaf.path.rpartition("/")[2] in layout.SIDE_FILES:
                    with self.open(leaf) as file:
                        _take_side(sides, leaf.path, file)
        return Survey(folders, sides, octets)

    def groups(self) -> Iterator[list[Leaf]]:
        """The files of each folder, a Maildir's ``new`` and ``cur`` as one."""
        held: dict[str, list[Leaf]] = {}
        for folder, leaves in self._walk(""):
            parent, _, name = folder.rpartition("/")
            if name in ("cur", "new"):
                if parent in held:
                    yield held.pop(parent) + leaves
                else:
                    held[parent] = leaves
            elif leaves:
                yield leaves
        yield from held.values()

    def _walk(self, folder: str, depth: int = 0) -> Iterator[tuple[str, list[Leaf]]]:
        leaves, below = [], []
        try:
            descriptor = self._enter(folder)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return
            raise
        try:
            with os.scandir(descriptor) as listing:
                for entry in listing:
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        below.append(path)
                    elif entry.is_file(follow_symlinks=False):
                        with contextlib.suppress(FileNotFoundError):
                            at = entry.stat(follow_symlinks=False)
                            leaves.append(Leaf(path, at.st_size, at.st_mtime_ns))
        finally:
            os.close(descriptor)
        yield folder, sorted(leaves)
        if depth < MAX_DEPTH:
            for path in sorted(below):
                yield from self._walk(path, depth + 1)

    def _enter(self, folder: str) -> int:
        """A descriptor of a folder below; no part of the way may be a link."""
        descriptor = os.dup(self._root)
        for part in filter(None, folder.split("/")):
            try:
                below = os.open(
                    part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor
                )
            finally:
                os.close(descriptor)
            descriptor = below
        return descriptor

    def open(self, leaf: Leaf) -> IO[bytes]:
        """A regular file, no part of whose way is a link. Raises OSError."""
        folder, _, name = leaf.path.rpartition("/")
        parent = self._enter(folder)
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(name, flags, dir_fd=parent)
        finally:
            os.close(parent)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "not a regular file", leaf.path)
        return open(descriptor, "rb")

    def close(self) -> None:
        """Give it back."""
        os.close(self._root)


class _Member(tarfile.TarInfo):
    """A member; headers that go on beyond what names need are refused, not read."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _MORE_HEADER and self.size > MAX_TAR_HEADER:
            raise tarfile.ReadError(f"a header of {self.size:,} octets")
        return super()._proc_member(archive)  # type: ignore[misc,no-any-return]


class TarTree:
    """A tar, read front to back twice. ``packed`` says that it cannot be sought in."""

    def __init__(self, path: Path, make: Callable[[], IO[bytes]], packed: bool) -> None:
        self._path = path
        self._make = make
        self._mode: Literal["r|", "r:"] = "r|" if packed else "r:"
        self._file: IO[bytes] | None = None
        self._archive: tarfile.TarFile | None = None
        self._current: tarfile.TarInfo | None = None
        self._links: dict[str, list[str]] = {}
        self._kept: IO[bytes] | None = None

    def survey(self) -> Survey:
        """Its folders, side files, and which members are further names of others."""
        folders: set[str] = set()
        sides: dict[str, bytes] = {}
        octets = 0
        tops = set()
        for leaf, info in self._members():
            octets += leaf.size
            folders.update(_above(f"{leaf.path}/" if info.isdir() else leaf.path))
            tops.add(leaf.path.partition("/")[0] if "/" in leaf.path or info.isdir() else "")
            if info.islnk():
                self._links.setdefault(_tidy(info.linkname), []).append(leaf.path)
            elif info.isreg() and leaf.path.rpartition("/")[2] in layout.SIDE_FILES:
                with self.open(leaf) as file:
                    _take_side(sides, leaf.path, file)
        return Survey(folders, sides, octets, _sole(tops))

    def groups(self) -> Iterator[list[Leaf]]:
        """Each file by itself, with its further names."""
        for leaf, info in self._members():
            if not info.isreg():
                continue
            others = self._links.get(leaf.path)
            if not others:
                yield [leaf]
                continue
            with tempfile.TemporaryFile() as kept, self.open(leaf) as file:
                shutil.copyfileobj(file, kept, 2**20)
                kept.flush()
                self._kept = kept
                yield [leaf, *(leaf._replace(path=other) for other in others)]
                self._kept = None

    def _members(self) -> Iterator[tuple[Leaf, tarfile.TarInfo]]:
        self.close()
        self._file = self._make()
        try:
            archive = self._archive = tarfile.open(  # noqa: SIM115 - closed by close
                fileobj=self._file, mode=self._mode, tarinfo=_Member
            )
            while (info := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined] # there may be millions
                self._current = info
                path = _tidy(info.name)
                is_file = info.isreg() and not info.issparse()
                if path and (is_file or info.isdir() or info.islnk()):
                    yield Leaf(path, info.size, _tar_time(info)), info
            if self._mode == "r:":
                self._file.seek(archive.offset)
                if self._file.read(tarfile.BLOCKSIZE).strip(b"\0"):
                    raise tarfile.ReadError(f"no member is at octet {archive.offset:,}")
        except (tarfile.TarError, EOFError, RecursionError) as error:
            raise UsageError(f"{self._path} is a damaged tar: {error}") from error

    def open(self, leaf: Leaf) -> IO[bytes]:
        """The member that came last, or a further name of it. Raises OSError."""
        if self._kept is not None:
            return open(os.open(f"/proc/self/fd/{self._kept.fileno()}", os.O_RDONLY), "rb")
        assert self._archive is not None
        assert self._current is not None
        file = self._archive.extractfile(self._current)
        if file is None:
            raise OSError(errno.EINVAL, "not a regular file", leaf.path)
        return file

    def close(self) -> None:
        """Give it back."""
        if self._archive is not None:
            self._archive.close()
        if self._file is not None:
            self._file.close()


class ZipTree:
    """A zip. Raises UsageError for one that cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise UsageError(f"{path} is no zip that can be read: {error}") from error
        self._infos: dict[str, zipfile.ZipInfo] = {}
        for info in self._archive.infolist():
            if name := _tidy(info.filename):
                self._infos[name] = info

    def survey(self) -> Survey:
        """Its folders and side files. Raises UsageError for a bomb."""
        folders: set[str] = set()
        sides: dict[str, bytes] = {}
        octets = sum(info.file_size for info in self._infos.values())
        if octets > FREE_OCTETS and octets > MAX_RATIO * self._path.stat().st_size:
            raise UsageError(f"{self._path} unpacks to {octets} octets, which no mail does")
        tops = set()
        for path, info in self._infos.items():
            folders.update(_above(f"{path}/" if info.is_dir() else path))
            tops.add(path.partition("/")[0] if "/" in path or info.is_dir() else "")
            if path.rpartition("/")[2] in layout.SIDE_FILES:
                with self.open(Leaf(path, info.file_size, 0)) as file:
                    _take_side(sides, path, file)
        return Survey(folders, sides, octets, _sole(tops))

    def groups(self) -> Iterator[list[Leaf]]:
        """Each file by itself."""
        for path, info in self._infos.items():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if not info.is_dir() and kind in (0, stat.S_IFREG):
                yield [Leaf(path, info.file_size, 0)]

    def open(self, leaf: Leaf) -> IO[bytes]:
        """A member. Raises OSError."""
        try:
            return self._archive.open(self._infos[leaf.path])
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise OSError(errno.EINVAL, f"cannot be unpacked: {error}", leaf.path) from error

    def close(self) -> None:
        """Give it back."""
        self._archive.close()


class Bounded:
    """What an unpacked file says, as long as it is no bomb."""

    def __init__(self, file: IO[bytes], under: IO[bytes], path: Path, packed: int) -> None:
        self._file = file
        self._under = under
        self._path = path
        self._most = max(FREE_OCTETS, MAX_RATIO * packed)
        self._at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, size: int = -1) -> bytes:
        """Octets. Raises UsageError for a bomb, OSError for damage."""
        try:
            data = self._file.read(size)
        except _DAMAGE as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise UsageError(f"{self._path} is damaged: {error}") from error
        self._at += len(data)
        if self._at > self._most:
            raise UsageError(f"{self._path} unpacks to far more than mail does; it is refused")
        return data

    def close(self) -> None:
        """Give it back."""
        self._file.close()
        self._under.close()


def _take_side(sides: dict[str, bytes], path: str, file: IO[bytes]) -> None:
    room = MAX_SIDE_FILES - sum(map(len, sides.values()))
    sides[path] = file.read(max(0, room))


def is_packed(path: Path) -> bool:
    """Whether a file is packed by itself. Raises OSError."""
    with open(path, "rb") as file:
        start = file.read(8)
    return start.startswith(_MAGIC)


def unpacked(path: Path) -> IO[bytes]:
    """A file's octets, unpacked where it is packed. Raises OSError."""
    file = open(path, "rb")  # noqa: SIM115 - the caller closes what is returned
    start = file.read(8)
    file.seek(0)
    packed: Any = None
    if start.startswith(_MAGIC[0]):
        packed = gzip.GzipFile(fileobj=file, mode="rb")
    elif start.startswith(_MAGIC[1]):
        packed = bz2.BZ2File(file, "rb")
    elif start.startswith(_MAGIC[2]):
        packed = lzma.LZMAFile(file, "rb")  # noqa: SIM115
    elif start.startswith(_MAGIC[3]):
        packed = zstandard.open(file, "rb")
    if packed is None:
        return file
    return Bounded(packed, file, path, os.fstat(file.fileno()).st_size)  # type: ignore[return-value]


def _tidy(name: str) -> str:
    """A member's path without what leads elsewhere, "" for none."""
    return "/".join(part for part in name.split("/") if part not in ("", ".", ".."))


def _above(path: str) -> Iterator[str]:
    """The folders above a path."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
    yield ""


def _sole(tops: set[str]) -> str:
    only = next(iter(tops)) if len(tops) == 1 else ""
    return "" if only.upper() == "INBOX" or only.startswith(".") else only


def _tar_time(info: tarfile.TarInfo) -> int:
    """A member's time in nanoseconds, exact where the archive says it so."""
    written = info.pax_headers.get("mtime", "")
    whole, dot, rest = written.partition(".")
    if dot and whole.isdigit() and rest.isdigit():
        return int(whole) * 1_000_000_000 + int(rest[:9].ljust(9, "0"))
    return int(info.mtime) * 1_000_000_000

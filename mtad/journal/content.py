"""Messages too long for a frame: the content file, synced before the frame that names it."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from mtad.journal import disk
from mtad.journal.frame import Content
from mtad.where import Places
from tracing import ids


def path_of(places: Places, m: int) -> Path:
    """Where a message's content lies: ``content/<month>/<m>``."""
    return Path(name_of(places.content, m))


def name_of(folder: Path | str, m: int) -> str:
    """The same as text, for who makes thousands a second; ``folder`` is ``places.content``."""
    return f"{folder}/{ids.month(m)}/{ids.text(m)}"


def write_content(
    places: Places, m: int, chunks: bytes | Iterable[bytes], mtime_ns: int
) -> Content:
    """Write a message's content file and return what a frame says of it.

    When this returns a power cut cannot lose the file: its octets and mtime, then its folder
    were synced. Blocks for as long as that takes. Raises OSError, ENOSPC among them, and then
    leaves nothing behind; FileExistsError when there is such a message already.
    """
    path = path_of(places, m)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        fd = disk.open_(path, flags, 0o640)
    except FileNotFoundError:
        disk.make_folder(path.parent)
        fd = disk.open_(path, flags, 0o640)
    digest = hashlib.sha256()
    size = 0
    try:
        for chunk in (chunks,) if isinstance(chunks, bytes) else chunks:
            disk.write_all(fd, chunk)
            digest.update(chunk)
            size += len(chunk)
        disk.utime(fd, ns=(mtime_ns, mtime_ns))
        disk.fsync(fd)
        disk.sync_path(path.parent)
    except BaseException:
        disk.unlink(path)
        raise
    finally:
        disk.close(fd)
    return Content(m, size, digest.digest(), mtime_ns, inline=False)

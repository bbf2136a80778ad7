"""What POP3 clients deleted and is still there: the file ``pop3-deleted`` beside a box's index.

JSON, stored copies with the time of their deletion in microseconds. It is replaced whole: the
new file synced, renamed, and its folder synced. Only the box's owner writes it. Where it is lost
or damaged, POP3 shows those messages again, and nothing else happens.
"""

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from mtad.journal import disk
from mtad.store import maildir

NAME = "pop3-deleted"

Kept = dict[int, int]
"""Stored copies, and when each was deleted."""
log = logging.getLogger("mtad.pop3")
_changing = threading.Lock()


def read(folder: Path) -> Kept:
    """What a box keeps though it was deleted."""
    path = folder / NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Kept)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        log.error("%s cannot be read, POP3 shows what was deleted: %s", path, error)
        return {}


def change(folder: Path, how: Callable[[Kept], Kept]) -> None:
    """Have what ``how`` makes of it instead; durable when this returns. Raises OSError."""
    with _changing:
        _write(folder, how(read(folder)))


def _write(folder: Path, kept: Kept) -> None:
    path = folder / NAME
    beside = path.with_name(f"{NAME}.tmp")
    descriptor = disk.open_(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        disk.write_all(descriptor, msgspec.json.encode(kept))
        disk.fsync(descriptor)
    finally:
        disk.close(descriptor)
    maildir.rename(beside, path)
    maildir.sync_folder(folder)

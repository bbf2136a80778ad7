"""Small files of POP3's own beside a box's index: JSON, replaced whole.

The new file is synced, then renamed, then its folder is synced. Only the box's owner writes.
"""

import logging
import os
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from mtad.journal import disk
from mtad.store import maildir

log = logging.getLogger("mtad.pop3")

T = TypeVar("T")


def read(path: Path, kind: type[T]) -> T | None:
    """What a file holds; None where it is missing or cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        log.error("%s cannot be read and is passed over: %s", path, error)
        return None


def write(path: Path, what: Any) -> None:
    """Put another file in its place; durable when this returns. Raises OSError."""
    made = path.with_name(f"{path.name}.tmp")
    descriptor = disk.open_(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        disk.write_all(descriptor, msgspec.json.encode(what))
        disk.fsync(descriptor)
    finally:
        disk.close(descriptor)
    maildir.rename(made, path)
    maildir.sync_folder(path.parent)

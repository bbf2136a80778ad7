"""Purging: deleted mail whose keep time is over, on the disk and in boxes (POP3)."""

import asyncio
import contextlib
import os
import time
from functools import partial
from pathlib import Path

from mtad import control
from mtad.config import Loaded
from mtad.errors import Unreachable
from mtad.where import Kept
from tracing import ids
from tracing.queries import Log

MIN_KEEP_SECONDS = 3600
"""A content file younger than this is never removed: its links may be in the making."""
PATIENCE_SECONDS = 3600.0
"""How long the boxes' owner may take."""


async def content(loaded: Loaded) -> int:
    """Remove content files that nothing links to and whose keep time is over.

    Only once the log role has applied every frame that was durable when the candidates
    were listed: a message in a journal has its content file before it has a link. What a
    recipient of the queue waits for stays, however old. Returns how many were removed;
    none while the log role does not answer.
    """
    seconds = max(MIN_KEEP_SECONDS, loaded.config.store.keep_deleted_days * 86400)
    found = await asyncio.to_thread(unlinked, loaded.places.content, seconds)
    if not found:
        return 0
    try:
        await asyncio.to_thread(control.ask, loaded.places.socket("log"), "position")
    except Unreachable:
        return 0
    return await asyncio.to_thread(remove, found, seconds, loaded.places.log)


async def fetched(loaded: Loaded) -> int:
    """Delete what POP3 clients deleted, once it was kept long enough; how many messages.

    The boxes' owner does it; while that does not answer there is another hour.
    """
    ask = partial(control.ask, seconds=PATIENCE_SECONDS)
    try:
        return int(
            (await asyncio.to_thread(ask, loaded.places.socket("access"), "pop3.purge"))["count"]
        )
    except Unreachable:
        return 0


def unlinked(content: Path, seconds: float) -> list[Path]:
    """Content files without another link that nobody has touched for ``seconds``."""
    return [
        Path(file.path)
        for month in sorted(content.glob("*"))
        if month.is_dir()
        for file in os.scandir(month)
        if _is_over(file.path, seconds)
    ]


def remove(paths: list[Path], seconds: float, log: Kept) -> int:
    """Remove those of the files that are still unlinked and not of the queue; how many were."""
    removed = 0
    with contextlib.closing(Log(log)) as view:
        awaited = {
            ids.text(m)
            for m in view.open_among(filter(None, (ids.parse(path.name) for path in paths)))
        }
    for path in paths:
        if path.name not in awaited and _is_over(path, seconds):
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _is_over(path: Path | str, seconds: float) -> bool:
    """By change time: the last unlink sets it, and nothing sets it back."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    return found.st_nlink == 1 and found.st_ctime < time.time() - seconds

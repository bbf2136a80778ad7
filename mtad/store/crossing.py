r"""Copying messages from one box to another: files of their own, with their dates and flags.

Whoever takes mail out of another's mailbox keeps it whatever becomes of that one, so the octets
are copied. ``\Seen`` is that of who reads the source, and becomes that of who reads the target.
"""

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from mtad.errors import MtadError, NothingFound
from mtad.journal import disk
from mtad.store import keywords
from mtad.store.box import Box
from mtad.store.rows import Row
from mtad.store.telling import chunks
from mtad.store.values import Copied, Prepared

PIECE = 2**20
"""Octets that are in memory at once."""


class End(NamedTuple):
    """Where messages come from or go to; ``reader`` is empty for the owner of the box."""

    box: Box
    mailbox: str
    reader: str


async def copy(
    source: End,
    uids: Sequence[int],
    target: End,
    permitted: Callable[[Iterable[str]], Iterable[str]],
    *,
    actor: str,
    client: str = "",
    by: object = None,
) -> Copied:
    """Copy messages, all or none; UIDs that are gone are passed over.

    ``permitted`` says which of a message's flags and keywords its copy may have. Raises
    NothingFound for a mailbox, MtadError and OSError.
    """
    goal = target.box.owner.mailbox(target.mailbox)
    view = await source.box.select(source.mailbox, source.reader)
    source.box.release(view)
    done: list[tuple[int, int]] = []
    try:
        for part in chunks(await source.box.rows(source.mailbox, uids)):
            made: list[tuple[int, Prepared]] = []
            drafts: list[Path] = []
            try:
                for row in part:
                    at = view.position(row.uid)
                    if at >= 0:
                        flags = permitted(view.flag_text(at).decode().split())
                        drafts.append(target.box.draft())
                        made += await _draft(source, drafts[-1], row, flags)
                placed = await target.box.put(
                    target.mailbox,
                    [item for _, item in made],
                    make=False,
                    reader=target.reader,
                    actor=actor,
                    client=client,
                    by=by,
                )
            finally:
                await asyncio.to_thread(_remove, drafts)
            done += zip((uid for uid, _ in made), placed.uids, strict=True)
    except (MtadError, OSError):
        copies = [uid for _, uid in done]
        if copies:
            await target.box.expunge(target.mailbox, copies, actor=actor, client=client, by=by)
        raise
    return Copied(goal.uidvalidity, tuple(uid for uid, _ in done), tuple(uid for _, uid in done))


async def _draft(
    source: End, path: Path, row: Row, flags: Iterable[str]
) -> Sequence[tuple[int, Prepared]]:
    """A message as a file in another box; nothing where it is gone by now."""
    try:
        descriptor = await source.box.open(source.mailbox, row.uid)
    except NothingFound:
        return ()
    letters, words = keywords.sort(flags)
    digest, size = await asyncio.to_thread(_duplicate, descriptor, path)
    made = Prepared(path.name, "", letters, words, row.date_ns, size, digest, row.m or 0, row.st)
    return [(row.uid, made)]


def _duplicate(descriptor: int, path: Path) -> tuple[bytes, int]:
    """Copy what a descriptor, which is closed, has to a file; its digest and octets."""
    digest, size = hashlib.sha256(), 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with open(descriptor, "rb") as file:
        target = disk.open_(path, flags, 0o600)
        try:
            while data := file.read(PIECE):
                disk.write_all(target, data)
                digest.update(data)
                size += len(data)
        finally:
            disk.close(target)
    return digest.digest(), size


def _remove(drafts: Sequence[Path]) -> None:
    """Those that were not taken."""
    for path in drafts:
        path.unlink(missing_ok=True)

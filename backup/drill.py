"""A drill: some messages are put back aside, as for a restore, and compared octet by octet.

Messages are drawn by lot from one snapshot. Each is read out of the repository, written to a file
with its date, and read again; where the box still has the message, it is compared with that too.
"""

import contextlib
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from backup.format import BoxLine, BoxRoot, Damaged, Entry
from backup.repository import Repository
from mtad.address import box_folder
from mtad.errors import MtadError, NothingFound
from mtad.journal import disk
from mtad.store import maildir, names

MESSAGES = 50
"""Messages of one drill."""
NAME = "drill"
"""The folder beside the caches, emptied before and after."""


@dataclass(slots=True)
class Drilled:
    """What a drill came to; ``failed`` says what is wrong with messages, one line each."""

    snapshot: str
    messages: int = 0
    octets: int = 0
    compared: int = 0
    """Messages that were compared with the file in the box too."""
    failed: list[str] = field(default_factory=list)


def drill(
    store: Repository,
    boxes: Path,
    aside: Path,
    *,
    snapshot: str = "latest",
    count: int = MESSAGES,
    lot: random.Random | None = None,
) -> Drilled:
    """Put back ``count`` messages of a snapshot below ``aside`` and take them away again.

    ``boxes`` is where the boxes are. Raises NothingFound where there is no message
    or the key may read none, MtadError where the disk takes no file.
    """
    if not store.keys.can_read:
        raise NothingFound(
            "the key here may add snapshots and read no message: run the drill with a whole key "
            "(MTAD_SNAPSHOT_KEY)"
        )
    name, commit = store.resolve(snapshot)
    done = Drilled(name)
    folder = aside / NAME
    shutil.rmtree(folder, ignore_errors=True)
    try:
        disk.make_folder(folder, 0o700)
        drawn = _draw(store, commit.mail, count, lot or random.SystemRandom())
        for address, entry in drawn:
            wrong = _put_back(store, boxes, folder / "message", address, entry, done)
            done.messages += 1
            done.octets += entry.size
            if wrong:
                done.failed.append(f"{address} {entry.mailbox} UID {entry.uid}: {wrong}")
    except OSError as error:
        raise MtadError(f"the drill could not write its files: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not done.messages:
        raise NothingFound(f"snapshot {name} has no message to put back")
    return done


def _draw(
    store: Repository, boxes: Sequence[BoxLine], count: int, lot: random.Random
) -> list[tuple[str, Entry]]:
    """Messages by lot: a box as often as it has messages, each message once at most."""
    lines = [line for line in boxes if line.messages]
    if not lines:
        return []
    wanted: dict[str, int] = {}
    for line in lot.choices(lines, [line.messages for line in lines], k=count):
        wanted[line.address] = wanted.get(line.address, 0) + 1
    found = []
    for line in lines:
        if line.address in wanted:
            entries = store.entries(store.manifest(line.root, BoxRoot))
            some = lot.sample(entries, min(wanted[line.address], len(entries)))
            found += [(line.address, entry) for entry in some]
    return found


def _put_back(
    store: Repository, boxes: Path, path: Path, address: str, entry: Entry, done: Drilled
) -> str:
    """Put one message back; what is wrong with it, nothing if all is right."""
    try:
        raw, _ = store.message(entry.id)
    except Damaged as error:
        return str(error)
    maildir.write_again(path.parent, path, raw, entry.mtime_ns)
    again = path.read_bytes()
    at = path.stat()
    path.unlink()
    if again != raw or len(raw) != entry.size:
        return f"{len(again)} octets came back, not the {entry.size} that it had"
    if at.st_mtime_ns != entry.mtime_ns:
        return "its date did not come back"
    descriptor = _in_box(boxes, address, entry)
    if descriptor is not None:
        done.compared += 1
        with open(descriptor, "rb") as file:
            if file.read() != raw:
                return "the file in the box has other octets"
    return ""


def _in_box(boxes: Path, address: str, entry: Entry) -> int | None:
    """A descriptor of the message's file where its mailbox still has it."""
    root = boxes / box_folder(address) / "Maildir"
    with contextlib.suppress(OSError, ValueError):
        return maildir.open_base(root / names.mailbox_folder(entry.mailbox), entry.base)
    return None

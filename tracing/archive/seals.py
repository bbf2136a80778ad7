"""The list of what became of each month that is over: sealed, sealed anew, let go of.

``log/seals`` has a JSON object a line, which is only added to. Each carries the sha256 of the line
before, so nothing can be taken out or changed without a break; the head of the chain stands in an
event with each line, too, in a month that is still written, so the end cannot be cut off unseen.
A local chain shows accidents and casual edits; against who owns the machine it helps where a head
is kept elsewhere (``mtad log verify`` prints it).
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from tracing.creation import sync

NAME = "seals"
MAX_OCTETS = 16 * 2**20

What = Literal[
    "begun", "sealed", "late", "erased", "pseudonymised", "summarised", "reduced", "dropped"
]


class SealsBroken(Exception):
    """The list of seals is not as it was written."""


class Seal(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a month, when (microseconds), and what it is from then on.

    ``digest`` is that of the month (``tracing.archive.digest``), empty for one that is gone;
    ``events`` how many it has. Before a file is touched there is a line ``begun`` that says what is
    to become of it (``then``), so that a crash in between is no riddle.
    """

    at: int
    month: str
    what: What
    digest: str = ""
    events: int = 0
    then: str = ""
    before: str = ""


def read(directory: Path) -> tuple[list[Seal], str]:
    """All seals in order, and the head of their chain. Raises SealsBroken."""
    try:
        with open(directory / NAME, "rb") as file:
            octets = file.read(MAX_OCTETS + 1)
    except FileNotFoundError:
        return [], ""
    if len(octets) > MAX_OCTETS:
        raise SealsBroken("the list of seals is longer than it can be")
    *lines, _ = octets.split(b"\n")  # what a crash tore off was never told of
    found: list[Seal] = []
    head = ""
    for number, line in enumerate(lines, 1):
        try:
            seal = msgspec.json.decode(line, type=Seal)
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeError) as error:
            raise SealsBroken(f"line {number} of the list of seals is none: {error}") from error
        if seal.before != head:
            raise SealsBroken(f"line {number} of the list of seals does not follow the one before")
        found.append(seal)
        head = hashlib.sha256(line).hexdigest()
    return found, head


def add(directory: Path, seal: Seal) -> str:
    """Add a line, durably; the head after it. Raises SealsBroken, OSError."""
    _, head = read(directory)
    line = msgspec.json.encode(msgspec.structs.replace(seal, before=head))
    file = directory / NAME
    is_new = not file.exists()
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        whole = os.pread(handle, MAX_OCTETS, 0).rpartition(b"\n")
        end = len(whole[0]) + len(whole[1])
        os.ftruncate(handle, end)
        os.pwrite(handle, line + b"\n", end)
        os.fsync(handle)
    finally:
        os.close(handle)
    if is_new:
        sync(directory)
    return hashlib.sha256(line).hexdigest()


def latest(seals: Sequence[Seal]) -> dict[str, tuple[Seal | None, Seal | None]]:
    """What became of each month last; and what was begun since and not ended."""
    found: dict[str, tuple[Seal | None, Seal | None]] = {}
    for seal in seals:
        last, _ = found.get(seal.month, (None, None))
        found[seal.month] = (last, seal) if seal.what == "begun" else (seal, None)
    return found

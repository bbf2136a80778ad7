"""UIDs of a mailbox in the file in which Dovecot keeps them, taken over and handed back.

``dovecot-uidlist`` beside the messages: a line ``3 V<uidvalidity> N<uidnext> G<guid>``, then one
``<uid> <extensions> :<file name>`` for each message, ascending. Lines of files that are gone may
be left in it. Whoever takes the UIDs over renames the file, so that one who finds it knows that
nobody has given UIDs out since it was written.
"""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from mtad.store import maildir, names

FILE = "dovecot-uidlist"
TAKEN = f"{FILE}.taken"
MAX_FILE = 256 * 2**20
"""Octets of a list that is read."""
MAX_UID = 2**32 - 1
_HEAD = re.compile(rb"3((?: \S+)+) *")
_OLD_HEAD = re.compile(rb"1 ([0-9]{1,10}) ([0-9]{1,10}) *")
_LINE = re.compile(rb"([0-9]{1,10})(?: [A-Z]\S*)* :(.+)")
_OLD_LINE = re.compile(rb"([0-9]{1,10}) (.+)")


class Uidlist(NamedTuple):
    """What a list says; ``uids`` by base name. ``uidnext`` is above all of them."""

    uidvalidity: int
    uidnext: int
    uids: Mapping[str, int]
    guid: int = 0
    """Of the mailbox; of 128 bits where Dovecot gave it."""


def read(folder: Path, name: str = FILE) -> Uidlist | None:
    """The list of a mailbox's folder; None where there is none, or none that can be read."""
    try:
        descriptor = maildir.open_file(folder / name)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return parse(file.read(MAX_FILE))


def parse(data: bytes) -> Uidlist | None:
    """A list of version 3 or 1; lines that are malformed or not ascending are passed over."""
    head, _, rest = data.partition(b"\n")
    old = _OLD_HEAD.fullmatch(head)
    guid = 0
    if old:
        validity, uidnext, form = int(old[1]), int(old[2]), _OLD_LINE
    else:
        found = _HEAD.fullmatch(head)
        fields = {word[:1]: word[1:] for word in found[1].split()} if found else {}
        validity, uidnext = _number(fields.get(b"V", b"")), _number(fields.get(b"N", b""))
        form = _LINE
        guid = _guid(fields.get(b"G", b""))
    if not 0 < validity <= MAX_UID:
        return None
    uids: dict[str, int] = {}
    last = 0
    for line in rest.split(b"\n"):
        entry = form.fullmatch(line)
        if entry is None or not last < int(entry[1]) < MAX_UID:
            continue
        last = int(entry[1])
        base = names.split(os.fsdecode(entry[2]))[0]
        uids[base] = last
    return Uidlist(validity, min(max(uidnext, last + 1), MAX_UID), uids, guid)


def write(
    folder: Path, uidvalidity: int, uidnext: int, guid: int, uids: Iterable[tuple[int, str]]
) -> None:
    """Hand the UIDs of a mailbox back, durably; ``uids`` with base names, ascending."""
    lines = [f"3 V{uidvalidity} N{uidnext} G{guid:032x}\n"]
    lines += (f"{uid} :{base}\n" for uid, base in uids)
    maildir.write_small(folder, FILE, os.fsencode("".join(lines)))


def taken(folder: Path) -> None:
    """Put a list aside whose UIDs were taken over, durably; none is no error."""
    try:
        maildir.rename(folder / FILE, folder / TAKEN)
    except FileNotFoundError:
        return
    maildir.sync_folder(folder)


def _number(text: bytes) -> int:
    return int(text) if re.fullmatch(rb"[0-9]{1,10}", text) else 0


def _guid(text: bytes) -> int:
    return int(text, 16) if re.fullmatch(rb"[0-9a-f]{32}", text) else 0

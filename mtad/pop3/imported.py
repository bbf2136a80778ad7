"""Unique-ids that another server gave before: a box that moves here is not fetched again.

Dovecot keeps the UIDs of a Maildir in ``dovecot-uidlist``; the unique-id of a message is there
too (``P``), or made of its UID and the list's UIDVALIDITY. They are looked up once, when POP3
first sees the box, and kept in the file ``pop3-uidl`` beside the box's index.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from mtad.pop3 import beside
from mtad.store import names, uidlist
from mtad.store.holding import MAILDIR
from mtad.store.rows import Row

NAME = "pop3-uidl"
LIST = uidlist.FILE
MAX_LIST = 256 * 2**20
"""Octets of a list that is read."""

Imported = dict[str, str]
"""Unique-ids by base name, which a restored message has again."""

_HEAD = re.compile(rb"3 (?:\S+ )*?V([0-9]{1,10})(?: |\Z)")
_LINE = re.compile(rb"([0-9]{1,10})((?: [A-Z]\S*)*) :(.+)")
_UIDL = re.compile(rb"[!-~]{1,70}")


def take(folder: Path, rows: Iterable[Row]) -> Imported:
    """The unique-ids that messages of a box had elsewhere. Raises OSError."""
    known = beside.read(folder / NAME, Imported)
    if known is not None:
        return known
    for name in (LIST, uidlist.TAKEN):
        try:
            with (folder / MAILDIR / name).open("rb") as file:
                listed = uidls(file.read(MAX_LIST))
            break
        except FileNotFoundError:
            continue
    else:
        return {}
    found = {
        one.base: listed[one.base]
        for one in rows
        if one.base in listed and names.st_of(one.base) is None
    }
    beside.write(folder / NAME, found)
    return found


def uidls(data: bytes) -> dict[str, str]:
    """The unique-ids in a list of version 3, by base name; what is malformed is passed over."""
    head, _, rest = data.partition(b"\n")
    validity = _HEAD.match(head)
    if validity is None:
        return {}
    found = {}
    for line in rest.split(b"\n"):
        entry = _LINE.fullmatch(line)
        if entry is None:
            continue
        given = [word[1:] for word in entry[2].split() if word.startswith(b"P")]
        if given and _UIDL.fullmatch(given[0]):
            uidl = given[0].decode()
        else:  # pop3_uidl_format, unless it was set: %08Xu%08Xv
            uidl = f"{int(entry[1]):08x}{int(validity[1]):08x}"
        name = entry[3].decode(errors="surrogateescape")
        found[names.split(name)[0]] = uidl
    return found

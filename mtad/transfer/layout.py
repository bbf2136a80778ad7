"""What the files of a tree are: Maildirs and their mailboxes, mboxes, single messages (PURE).

Paths are relative, with ``/`` between the parts. Nothing is ever written by these names: a
mailbox's name is made of them, and every name is one that a mailbox can have.
"""

import hashlib
import re
from collections.abc import Iterable, Set
from itertools import takewhile
from typing import NamedTuple

from mtad.store import names

KEYWORDS = "dovecot-keywords"
UIDLIST = "dovecot-uidlist"
SIDE_FILES = (KEYWORDS, UIDLIST)
"""Files beside the messages of a Maildir that say more of them."""
_HOMES = frozenset({"maildir", ".maildir", "mail"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Place(NamedTuple):
    """What a file is: ``maildir``, ``eml`` or ``other``, and for Maildirs the folder's path."""

    kind: str
    folder: str


def place(path: str, maildirs: Set[str]) -> Place:
    """What a file is by its path; ``other`` is an mbox if its octets begin like one."""
    parent, _, name = path.rpartition("/")
    folder, _, sub = parent.rpartition("/")
    if sub in ("cur", "new") and folder in maildirs:
        return Place("" if name.startswith(".") else "maildir", folder)
    if sub == "tmp" and folder in maildirs:
        return Place("", folder)
    if parent in maildirs or name.startswith("."):
        return Place("", parent)
    is_message = name.lower().endswith(".eml") or (name.isascii() and name.isdigit())
    return Place("eml" if is_message else "other", parent)


def maildirs(folders: Iterable[str]) -> set[str]:
    """The Maildirs among folders: those with a ``cur`` or ``new``."""
    found = set()
    for path in folders:
        parent, _, name = path.rpartition("/")
        if name in ("cur", "new"):
            found.add(parent)
    return found


def top(found: Set[str]) -> str:
    """The Maildir that is the INBOX of all others, else the folder they are all below."""
    if not found:
        return ""
    shallow = min(found, key=lambda path: (path.count("/") if path else -1, path))
    if all(path == shallow or not shallow or path.startswith(f"{shallow}/") for path in found):
        return shallow
    levels = zip(*(path.split("/") for path in found), strict=False)
    return "/".join(one[0] for one in takewhile(lambda one: len(set(one)) == 1, levels))


def of_maildir(folder: str, root: str) -> str:
    """The mailbox of a Maildir in a tree whose own INBOX is ``root``."""
    rest = folder.removeprefix(root).strip("/") if root else folder
    levels: list[str] = []
    for part in filter(None, rest.split("/")):
        if part.startswith("."):
            levels += names.folder_mailbox(part).split("/")
        elif part.lower() not in _HOMES or levels:
            levels.append(_level(part))
    return mailbox(levels)


def of_folder(path: str, root: str) -> str:
    """The mailbox of single messages in a folder."""
    rest = path.removeprefix(root).strip("/") if root else path
    return mailbox([_level(part) for part in filter(None, rest.split("/"))])


def of_mbox(path: str, root: str) -> str:
    """The mailbox that an mbox is: its name, without what programs put at its end."""
    parts = [part.removesuffix(".sbd") for part in path.split("/")]
    rest = "/".join(parts).removeprefix(root).strip("/") if root else "/".join(parts)
    levels = rest.split("/")
    for ending in (".gz", ".bz2", ".xz", ".zst", ".mbox", ".mbx"):
        levels[-1] = levels[-1].removesuffix(ending)
    if levels[-1].lower() in ("mbox", "") and len(levels) > 1:  # Apple's Name.mbox/mbox
        del levels[-1]
        levels[-1] = levels[-1].removesuffix(".mbox")
    if len(levels) == 1 and levels[0].lower() in ("mbox", "inbox", ""):
        return names.INBOX
    return mailbox([_level(part) for part in levels])


def mailbox(levels: Iterable[str]) -> str:
    """A name that a mailbox can have, of levels as they were found."""
    clean = [_CONTROL.sub("_", level) or "_" for level in levels]
    if not clean:
        return names.INBOX
    name = "/".join(clean)
    try:
        return name if names.mailbox_folder(name) else names.INBOX
    except ValueError:
        digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()
        return f"Imported/{digest[:16]}"


def below(folder: str, name: str) -> str:
    """Where a mailbox goes if all go to ``folder``: INBOX is the folder itself."""
    if not folder:
        return name
    return folder if name == names.INBOX else mailbox([*folder.split("/"), *name.split("/")])


def _level(part: str) -> str:
    try:
        return names.from_utf7(part).replace("/", "_")
    except ValueError:
        return part

"""Which mailboxes a person subscribed to (RFC 9051 6.3.7), in the file that Dovecot reads too.

``subscriptions`` beside INBOX: a line ``V`` and 2, an empty line, then a name a line, its levels
in modified UTF-7 (RFC 3501 5.1.3) with tabs between them. Files without the first line have the
levels with dots between them. A name need not be that of a mailbox.
"""

import os
from contextlib import suppress
from pathlib import Path

from mtad import mutf7
from mtad.store import maildir, names

FILE = "subscriptions"
MAX_FILE = 1024 * 1024
MAX_NAMES = 10_000
"""Names that a box may subscribe to."""
_VERSION = "V\t2"
_ESCAPES = {"0": "\0", "1": "\1", "t": "\t", "r": "\r", "n": "\n"}


def read(root: Path) -> set[str]:
    """The names; none where there is no file or it cannot be read."""
    try:
        descriptor = maildir.open_file(root / FILE)
    except OSError:
        return set()
    with os.fdopen(descriptor, "rb") as file:
        lines = file.read(MAX_FILE).decode("utf-8", "replace").split("\n")
    if lines[0] == _VERSION:
        found = (line.split("\t") for line in lines[1:])
    else:
        found = (line.split(".") for line in lines)
    return {name for name in map(_name, found) if name}


def write(root: Path, subscribed: set[str]) -> None:
    """Write the names down, durably."""
    lines = [_VERSION, "", *sorted(map(_line, subscribed)), ""]
    maildir.write_small(root, FILE, "\n".join(lines).encode("ascii"))


def _line(name: str) -> str:
    if name.upper() == names.INBOX:
        return names.INBOX
    return "\t".join(mutf7.encode(level, dots=True) for level in name.split("/"))


def _name(levels: list[str]) -> str:
    """The mailbox name of a line's levels, "" for none."""
    if len(levels) == 1 and levels[0].upper() == names.INBOX:
        return names.INBOX
    found = []
    for level in levels:
        text = _unescaped(level)
        with suppress(ValueError):  # some programs write UTF-8
            text = mutf7.decode(text, dots=True)
        found.append(text)
    name = "/".join(found)
    try:
        names.mailbox_folder(name)
    except ValueError:
        return ""
    return name


def _unescaped(text: str) -> str:
    """A level without Dovecot's escapes."""
    first, *rest = text.split("\1")
    return first + "".join(_ESCAPES.get(part[:1], part[:1]) + part[1:] for part in rest)

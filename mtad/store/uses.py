r"""What mailboxes are for: Drafts, Sent and the like (RFC 6154).

A mailbox made for a use has a file ``special-use`` in its folder with the uses, one a line, so
that they go along when it is renamed and stay when the index is made again. A use that no
mailbox was made for belongs to the first mailbox that has a usual name.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from mtad.errors import UsageError
from mtad.store import maildir

FILE = "special-use"
MAX_FILE = 1024
USUAL = {
    "\\Drafts": ("Drafts", "Draft", "Черновики", "Entwürfe"),
    "\\Sent": ("Sent", "Sent Items", "Sent Messages", "Отправленные", "Gesendet"),
    "\\Trash": ("Trash", "Deleted Items", "Deleted Messages", "Корзина", "Papierkorb"),
    "\\Junk": ("Junk", "Spam", "Junk E-mail", "Спам"),
    "\\Archive": ("Archive", "Archives", "Архив", "Archiv"),
}
"""Uses, and the names of mailboxes for them, first choice first; in any case of letters."""
_SPELT = {use.lower(): use for use in USUAL}


def check(uses: Iterable[str]) -> tuple[str, ...]:
    """Uses as they are written. Raises UsageError for one that no mailbox can have."""
    found = []
    for use in uses:
        spelt = _SPELT.get(use.lower())
        if spelt is None:
            raise UsageError(f"{use!a} is not a use that a mailbox can have")
        found.append(spelt)
    return tuple(sorted(set(found)))


def read(folder: Path) -> tuple[str, ...]:
    """The uses that a mailbox was made for."""
    try:
        descriptor = maildir.open_file(folder / FILE)
    except OSError:
        return ()
    with os.fdopen(descriptor, "rb") as file:
        lines = file.read(MAX_FILE).decode("ascii", "replace").split()
    return tuple(sorted({_SPELT[line.lower()] for line in lines if line.lower() in _SPELT}))


def write(folder: Path, uses: Iterable[str]) -> None:
    """Write the uses of a mailbox down, durably."""
    maildir.write_small(folder, FILE, "".join(f"{use}\n" for use in uses).encode("ascii"))


def of_mailboxes(written: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The uses of each mailbox that has any, given what the files of all mailboxes say."""
    found = {name: list(uses) for name, uses in written.items()}
    taken = {use for uses in written.values() for use in uses}
    by_name = {name.lower(): name for name in sorted(written, reverse=True)}
    for use, usual in USUAL.items():
        if use not in taken:
            first = next((by_name[one.lower()] for one in usual if one.lower() in by_name), None)
            if first is not None:
                found[first].append(use)
    return {name: tuple(sorted(uses)) for name, uses in found.items() if uses}

"""The lists of rights on the disk: ``dovecot-acl`` in a mailbox's folder, which Dovecot reads too.

So a list goes along when its mailbox is renamed, goes with it when it is deleted, and stays when
the index is made again.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from mtad.store import acl, maildir
from mtad.store.acl import NOBODY, Acl

FILE = "dovecot-acl"
MAX_FILE = 256 * 1024


def read(folder: Path) -> Acl:
    """The list of the mailbox in ``folder``; one that cannot be read as a whole grants nothing."""
    try:
        descriptor = maildir.open_file(folder / FILE)
    except OSError:
        return NOBODY
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        return NOBODY
    return acl.parse(data.decode("utf-8", "replace").splitlines())


def write(folder: Path, lines: Iterable[str]) -> None:
    """Write a list down, durably."""
    maildir.write_small(folder, FILE, "".join(f"{line}\n" for line in lines).encode())

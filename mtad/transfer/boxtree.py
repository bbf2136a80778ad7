"""Whose mail the Maildirs of a tree are, as servers and backups lay them out.

``domain/local``, ``local@domain``, each perhaps with ``Maildir`` below, at whatever depth a
backup put them; with a domain given, ``local`` alone. Links are not followed.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from mtad import address

MAX_DEPTH = 12
_HOMES = frozenset({"maildir", ".maildir", "mail", "inbox", "mailbox"})


def boxes(root: Path, domain: str = "") -> tuple[dict[str, Path], list[Path]]:
    """The folder of each box's mail, and Maildirs that nobody can be made out for.

    Raises OSError where the tree cannot be read.
    """
    found: dict[str, Path] = {}
    nobodys: list[Path] = []
    for path in _maildirs(root, 0):
        box = _box(path.relative_to(root).parts or path.parts, domain)
        if not box:
            nobodys.append(path)
        elif box in found:
            found[box] = Path(os.path.commonpath((found[box], path)))
        else:
            found[box] = path
    return dict(sorted(found.items())), nobodys


def _maildirs(folder: Path, depth: int) -> Iterator[Path]:
    """The topmost Maildirs below a folder."""
    below = []
    with os.scandir(folder) as listing:
        for entry in listing:
            if entry.is_dir(follow_symlinks=False):
                if entry.name in ("cur", "new"):
                    yield folder
                    return
                below.append(entry.name)
    if depth < MAX_DEPTH:
        for name in sorted(below):
            yield from _maildirs(folder / name, depth + 1)


def _box(parts: tuple[str, ...], domain: str) -> str:
    """The address that the folders above a Maildir spell, "" for none."""
    names = [unquote(part) for part in parts]
    while names and (names[-1].lower() in _HOMES or names[-1].startswith(".")):
        names.pop()
    for at in range(len(names) - 1, -1, -1):
        if "@" in names[at]:
            return _parsed(names[at])
    if domain:
        return _parsed(f"{names[-1]}@{domain}") if names else ""
    if len(names) > 1 and "." in names[-2]:
        return _parsed(f"{names[-1]}@{names[-2]}")
    return ""


def _parsed(text: str) -> str:
    try:
        return str(address.parse(text))
    except ValueError:
        return ""

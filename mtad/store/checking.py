"""Whether a box's index is sound and says what its files say; changes nothing."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mtad.errors import Corrupt
from mtad.store import names
from mtad.store.reading import read_box, read_index

MOST = 20
"""Problems of one kind that are told one by one."""


def check(folder: Path, address: str) -> list[str]:
    """What is wrong with a box, a sentence each; empty where nothing is.

    While the box is in use, what changes at the moment may seem wrong.
    """
    path = folder / "index.db"
    if not path.exists():
        return [f"{path} is not there: the box was never opened, or its index is lost"]
    try:
        damage = list(_damage(path))
        state = read_box(folder, address)
        _, rows, _ = read_index(path)
    except (Corrupt, sqlite3.Error) as error:
        return [f"the index {path} cannot be read: {error}"]
    found = {message.base: message for message in state.messages}
    unnumbered = [one for one in state.messages if not one.uid]
    infos = {info.name: info for info in state.mailboxes}
    groups = [
        damage,
        [f"{row.base} (UID {row.uid}) has no file" for row in rows if row.base not in found],
        [f"{one.mailbox}: {one.file} has no UID" for one in unnumbered],
        [
            f"{one.mailbox}: UID {one.uid} is not below the next one"
            for one in state.messages
            if one.uid >= infos[one.mailbox].uidnext and one.uid
        ],
        [
            f"{base} is in the index {times} times"
            for base, times in Counter(row.base for row in rows).items()
            if times > 1
        ],
        [
            f"{row.base} has {found[row.base].path.lstat().st_size} octets, "
            f"not {row.size} as the index says"
            for row in rows
            if row.base in found and found[row.base].path.lstat().st_size != row.size
        ],
        [
            f"{one.mailbox}: the name of {one.file} says other flags than the index"
            for one in state.messages
            if one.uid and one.flags != _letters(one.file)
        ],
    ]
    problems = []
    for group in groups:
        problems += group[:MOST]
        if len(group) > MOST:
            problems.append(f"... and {len(group) - MOST} more like these")
    return problems


def _damage(path: Path) -> Iterator[str]:
    link = sqlite3.connect(path, isolation_level=None, timeout=30)
    try:
        link.execute("PRAGMA query_only=1")
        for (said,) in link.execute("PRAGMA quick_check(20)"):
            if said != "ok":
                yield f"the index is damaged: {said}"
        counted = link.execute("SELECT count(*), coalesce(sum(size), 0) FROM msg").fetchone()
        meta = dict(
            link.execute("SELECT k, v FROM meta WHERE k IN ('messages', 'octets')").fetchall()
        )
        told = (meta.get("messages", 0), meta.get("octets", 0))
        if tuple(counted) != told:
            yield (
                f"the index counts {told[0]} messages and {told[1]} octets, "
                f"but has {counted[0]} and {counted[1]}"
            )
    finally:
        link.close()


def _letters(file: str) -> str:
    marks = names.split(file)[1]
    return "".join(mark for mark in marks if mark.isupper())

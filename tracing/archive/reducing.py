"""Makes the later forms of a sealed month: without its events, and only with what is in boxes."""

import os
from pathlib import Path

from tracing.archive import digest
from tracing.archive.building import FULL_TEXT, drafting, indexes, tables

_DETAILS = ("tr", "also", "kinds", "rare", "actors", "acts")
_LISTS = ("msg", "rcpt", "stat_hour", "st", "addr", "dom", "str", *FULL_TEXT)
_COPIES = (
    "INSERT INTO st SELECT * FROM hot.st WHERE gone IS NULL",
    "INSERT INTO addr SELECT * FROM hot.addr WHERE id IN (SELECT box FROM main.st)",
    "INSERT INTO dom SELECT * FROM hot.dom WHERE id IN (SELECT dom FROM main.addr)",
    "INSERT INTO str SELECT * FROM hot.str WHERE id IN (SELECT mailbox FROM main.st)",
)


def reduce(before: Path, draft: Path, *, copies_only: bool = False) -> dict[str, bytes]:
    """Make the draft of a sealed month without its events durable; the position that it has.

    With ``copies_only`` of all else only what is in boxes stays, and whose they are.
    """
    with drafting(before, draft) as (link, position):
        tables(link, (), (*_DETAILS, *(_LISTS if copies_only else ())))
        if copies_only:
            for statement in _COPIES:
                link.execute(statement)
        indexes(link, ())
        if copies_only:
            link.execute("UPDATE meta SET v=zeroblob(0) WHERE k='sealed.dictionary'")
        link.execute("UPDATE meta SET v=? WHERE k=?", (os.urandom(16), digest.SALT))
        link.execute("DELETE FROM meta WHERE k='sealed.late'")
    return position

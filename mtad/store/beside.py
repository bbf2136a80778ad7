"""An index read beside its owner's work: what was committed last, from any thread.

A connection of its own, so that nobody who only reads waits for an act.
"""

import json
import sqlite3
import threading
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from mtad.store.resting import Resting, opened
from mtad.store.rows import COLUMNS, Row

STATUS = """
SELECT count(*), coalesce(sum(instr(flags, 'S') = 0), 0), coalesce(sum(instr(flags, 'T') > 0), 0),
coalesce(sum(wire), 0), coalesce(sum(uid >= ?), 0) FROM msg WHERE mailbox = ?
"""
UNSEEN = """
SELECT count(*) FROM msg WHERE mailbox = ?
AND NOT EXISTS (SELECT 1 FROM seen WHERE seen.base = msg.base AND user = ?)
"""
_CACHE = "PRAGMA cache_size=-512"


class Beside:
    """Reads one index. Mailboxes are named by their number in it. Safe for concurrent threads."""

    def __init__(self, path: Path) -> None:
        self._link = Resting(partial(_connect, path))
        self._turn = threading.Lock()

    def messages(self, mailbox: int, uids: Iterable[int] | None = None) -> list[Row]:
        """All messages of a mailbox, or those that are there of some, in order of UID."""
        ask = f"SELECT {COLUMNS} FROM msg WHERE mailbox = ?"  # noqa: S608
        if uids is None:
            found = self._all(f"{ask} ORDER BY uid", (mailbox,))
        else:
            chosen = "AND uid IN (SELECT value FROM json_each(?)) ORDER BY uid"
            found = self._all(f"{ask} {chosen}", (mailbox, json.dumps([*uids])))
        return [Row(*values) for values in found]

    def names(self, mailbox: int, uids: Iterable[int]) -> list[tuple[int, bool, str]]:
        """Of messages that are there, in order of UID: UID, whether in ``new``, the file's name."""
        ask = (
            "SELECT uid, fresh, name FROM msg WHERE mailbox = ? "
            "AND uid IN (SELECT value FROM json_each(?)) ORDER BY uid"
        )
        found = self._all(ask, (mailbox, json.dumps([*uids])))
        return [(uid, bool(fresh), name) for uid, fresh, name in found]

    def count(self, mailbox: int) -> int:
        """Messages in a mailbox."""
        return int(self._all("SELECT count(*) FROM msg WHERE mailbox = ?", (mailbox,))[0][0])

    def status(self, mailbox: int, recent: int) -> tuple[int, int, int, int, int]:
        r"""Messages, those without \Seen, those with \Deleted, octets, UIDs from ``recent`` on."""
        messages, unseen, deleted, octets, late = self._all(STATUS, (recent, mailbox))[0]
        return messages, unseen, deleted, octets, late

    def unseen(self, mailbox: int, user: str) -> int:
        """Messages that a user who is not the owner has not seen."""
        return int(self._all(UNSEEN, (mailbox, user))[0][0])

    def changed(self, mailbox: int, modseq: int) -> list[int]:
        """UIDs whose mod-sequence is above one, in order."""
        ask = "SELECT uid FROM msg WHERE mailbox = ? AND modseq > ? ORDER BY uid"
        return [uid for (uid,) in self._all(ask, (mailbox, modseq))]

    def vanished(self, mailbox: int, modseq: int) -> list[int]:
        """UIDs that were expunged after a mod-sequence, in order (RFC 7162 3.2.10)."""
        ask = "SELECT uid FROM expunged WHERE mailbox = ? AND modseq > ? ORDER BY uid"
        return [uid for (uid,) in self._all(ask, (mailbox, modseq))]

    def close(self) -> None:
        """Give the connection back; a later question opens another."""
        with self._turn:
            self._link.close()

    def rest(self, before: float) -> bool:
        """The same where nobody asked since ``before``, see ``Resting.rest``."""
        with self._turn:
            return self._link.rest(before)

    def _all(self, ask: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with self._turn:
            return self._link.get().execute(ask, values).fetchall()


def _connect(path: Path) -> sqlite3.Connection:
    link = opened(path)
    link.execute("PRAGMA query_only=1")
    link.execute(_CACHE)
    return link

"""What the event log knows of a stored copy: its message, its digest, whether it is still there.

The log is read only, in short reads, and never waited for: what it does not tell now is asked
again at the next synchronisation.
"""

import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

from mtad.where import Kept
from tracing import ids, months

_ASK = """
SELECT st.msg, msg.sha256, st.gone, addr.local, dom.rname
FROM st LEFT JOIN msg ON msg.id = st.msg LEFT JOIN addr ON addr.id = st.box
LEFT JOIN dom ON dom.id = addr.dom WHERE st.id = ?
"""
_MONTHS = 4
"""Month files held open."""


class Known(NamedTuple):
    """A stored copy in the log: message (0 unknown), raw sha256, gone or not, its box."""

    m: int
    sha256: bytes | None
    gone: bool
    box: str


class Ledger:
    """Reads months of the log. Not safe for concurrent threads."""

    def __init__(self, log: Kept) -> None:
        self._log = log
        self._months: dict[Path, sqlite3.Connection] = {}

    def known(self, st: int) -> Known | None:
        """What the log says of a stored copy; None while it says nothing."""
        month = ids.month(st)
        try:
            if isinstance(self._log, Path):
                found = self._in_file(months.path(self._log, month), st)
            else:
                from tracing.postgresql import session  # noqa: PLC0415 - an extra

                found = session.asked_shortly(self._log, month, _ASK, (st,))
        except (sqlite3.Error, OSError, months.NewerVersion):
            return None
        if found is None:
            return None
        m, sha256, gone, local, rname = found
        host = ".".join(reversed((rname or "").split(".")))
        return Known(m or 0, sha256, gone is not None, f"{local}@{host}" if host else "")

    def _in_file(self, path: Path, st: int) -> Any:
        link = self._months.get(path)
        if link is None:
            link = months.open_reading(path)
            link.execute("PRAGMA busy_timeout=50")
            while len(self._months) >= _MONTHS:
                self._months.pop(next(iter(self._months))).close()
            self._months[path] = link
        return link.execute(_ASK, (st,)).fetchone()

    def close(self) -> None:
        """Close the month files."""
        while self._months:
            self._months.popitem()[1].close()

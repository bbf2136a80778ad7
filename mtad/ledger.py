"""What the audits of the books found last, kept for those who ask how the server is.

Two accounts in one small file: of an audit of all there is, and of the last one of a period.
An audit of all replaces both. Losing the file costs nothing: the next audit writes it again.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mtad import clock
from mtad.where import Places

SHOWN = 20
"""Violations that are kept word by word."""


@dataclass(frozen=True, slots=True)
class Account:
    """One audit: when it ended (microseconds), how much it found, and the first of it."""

    at: int
    count: int
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Accounts:
    """The last audit of everything and the last of a period; None for never."""

    whole: Account | None = None
    part: Account | None = None

    @property
    def last_at(self) -> int:
        """When the books were looked at last; 0 for never."""
        return max((one.at for one in (self.whole, self.part) if one), default=0)

    @property
    def count(self) -> int:
        """Violations that are known of."""
        return max((one.count for one in (self.whole, self.part) if one), default=0)

    @property
    def texts(self) -> tuple[str, ...]:
        """The first of them, nothing twice."""
        every = (text for one in (self.whole, self.part) if one for text in one.texts)
        return tuple(dict.fromkeys(every))


def write(places: Places, found: Sequence[str], *, whole: bool) -> None:
    """Keep what an audit found. A file that cannot be written is left as it is."""
    account = Account(clock.now_us(), len(found), tuple(found[:SHOWN]))
    accounts = Accounts(account) if whole else Accounts(read(places).whole, account)
    path = places.audit
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".audit-")
        with os.fdopen(handle, "w") as file:
            json.dump(asdict(accounts), file)
        os.chmod(name, 0o644)
        os.replace(name, path)


def read(places: Places) -> Accounts:
    """What was kept; nothing where there is none, or no such file."""
    try:
        table = json.loads(places.audit.read_text())
        return Accounts(_account(table.get("whole")), _account(table.get("part")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return Accounts()


def _account(table: Any) -> Account | None:
    if not table:
        return None
    return Account(int(table["at"]), int(table["count"]), tuple(map(str, table["texts"])))

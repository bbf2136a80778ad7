"""What users have sent within the last hour, counted from the log and going on from there.

The log is the only place where it is kept: the first time a user is asked for after a start,
the messages of the last hour are read from it; from then on what this process takes is added.
"""

import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from mtad.where import Kept
from tracing import ids, months

HOUR = 3600 * 1_000_000
"""Microseconds."""
MAX_USERS = 10_000
"""Users whose counts are kept in memory; beyond it those of the longest silence go."""

_SENT = "SELECT ts, nrcpt FROM msg WHERE id >= ? AND login = ? AND sha256 IS NOT NULL ORDER BY id"


@dataclass(frozen=True, slots=True)
class Used:
    """Messages and recipients within an hour."""

    messages: int = 0
    recipients: int = 0


@dataclass(slots=True)
class _Count:
    """One user's messages of the last hour: when, and to how many."""

    sent: deque[tuple[int, int]] = field(default_factory=deque)
    recipients: int = 0

    def add(self, at: int, recipients: int) -> None:
        self.sent.append((at, recipients))
        self.recipients += recipients

    def used(self, now: int) -> Used:
        while self.sent and self.sent[0][0] <= now - HOUR:
            self.recipients -= self.sent.popleft()[1]
        return Used(len(self.sent), self.recipients)


class Usage:
    """The counts of one process's users. ``log`` is the folder of the month files."""

    def __init__(self, log: Kept, now_us: Callable[[], int] | None = None) -> None:
        self._log = log
        self._now = now_us or (lambda: time.time_ns() // 1000)
        self._counts: dict[str, _Count] = {}

    def is_known(self, login: str) -> bool:
        """Whether ``used`` tells the truth about a user; else ``learn`` what ``read`` gives."""
        return login in self._counts

    def read(self, login: str) -> list[tuple[int, int]]:
        """A user's messages of the last hour from the log; takes milliseconds, run in a thread.

        Raises OSError, sqlite3.Error or months.NewerVersion where the log cannot be read.
        """
        since = self._now() - HOUR
        found: list[tuple[int, int]] = []
        for month in sorted({ids.month_at(since), ids.month_at(self._now())}):
            try:
                link = months.reading(self._log, month)
            except FileNotFoundError:
                continue
            try:
                found += link.execute(_SENT, (ids.lowest(since), login)).fetchall()
            finally:
                link.close()
        return found

    def learn(self, login: str, sent: Iterable[tuple[int, int]]) -> None:
        """Start counting a user from what was read; without effect if it is counted already."""
        if login in self._counts:
            return
        if len(self._counts) >= MAX_USERS:
            del self._counts[next(iter(self._counts))]
        count = self._counts[login] = _Count()
        for at, recipients in sent:
            count.add(at, recipients)

    def add(self, login: str, recipients: int) -> None:
        """A message of a user was taken."""
        count = self._counts.pop(login, None) or _Count()
        count.add(self._now(), recipients)
        self._counts[login] = count

    def used(self, login: str) -> Used:
        """What a user has sent within an hour."""
        count = self._counts.get(login)
        return count.used(self._now()) if count is not None else Used()


ERRORS = (OSError, sqlite3.Error, months.NewerVersion)
"""What ``Usage.read`` raises."""

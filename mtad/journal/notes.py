"""Events that wait for the next frame: bounded, in order, and never lost without a word."""

import threading
from collections import Counter, deque
from collections.abc import Sequence

from mtad import clock
from tracing import events, ids

MOST = 20_000
"""Events that may wait; above half of it those of ``LAGGING`` kinds are dropped."""
PER_FRAME = 500
LAGGING = frozenset(
    {
        "conn.open",
        "conn.close",
        "conn.refused",
        "tls.ok",
        "tls.fail",
        "smtp.ehlo",
        "smtp.protocol",
    }
)
"""Kinds that describe a connection and decide nothing: the first to go under load."""


class Notes:
    """A queue of events between those who note and the one who writes."""

    def __init__(self) -> None:
        self._waiting: deque[events.Event] = deque()
        self._dropped: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._waiting or self._dropped)

    def add(self, event: events.Event) -> None:
        """Put an event at the end, or count it as dropped."""
        count = len(self._waiting)
        if count >= MOST or (count >= MOST // 2 and event.kind in LAGGING):
            with self._lock:
                self._dropped[event.kind] += 1
            return
        self._waiting.append(event)

    def put_back(self, taken: Sequence[events.Event]) -> None:
        """Put events of a frame that was refused back in front."""
        self._waiting.extendleft(reversed(taken))

    def take(self, mint: ids.Mint) -> tuple[list[events.Event], bool]:
        """The next events for one frame, gaps told of in front; and whether more wait."""
        taken: list[events.Event] = []
        if self._dropped:
            with self._lock:
                dropped, self._dropped = self._dropped, Counter()
            at = clock.now_us()
            taken += (
                events.LogGap(at=at, trace=mint.new(), lost=kind, count=count)
                for kind, count in dropped.items()
            )
        while self._waiting and len(taken) < PER_FRAME:
            taken.append(self._waiting.popleft())
        return taken, bool(self._waiting)

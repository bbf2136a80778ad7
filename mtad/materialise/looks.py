"""Looking into somebody's mail is an event itself, once an hour for the same eyes and question."""

import time
from collections import OrderedDict

from mtad import clock
from mtad.control import Answer
from mtad.materialise.worker import Worker
from tracing import ids
from tracing.event import Event
from tracing.events import AdminViewed

AGAIN_SECONDS = 3600
MAX_KNOWN = 1000
"""Looks that are remembered; the eldest are forgotten."""
MAX_QUERY = 200
"""Characters of a question that are kept."""


class Looks:
    """The looks of the last hour; for the event loop."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    def note(
        self, worker: Worker, request: Answer, address: str, query: str, found: Answer
    ) -> None:
        """Have a look recorded: of ``request``'s ``actor``, where it names one."""
        actor = str(request.get("actor") or "")
        key = actor, address, query
        now = time.monotonic()
        if not actor or now - self._seen.get(key, -AGAIN_SECONDS) < AGAIN_SECONDS:
            return
        self._seen[key] = now
        self._seen.move_to_end(key)
        if len(self._seen) > MAX_KNOWN:
            self._seen.popitem(last=False)
        trace = ids.parse(str(found.get("trace", ""))) if found.get("message") else None
        at = clock.now_us()

        def event(new: int) -> Event:
            return AdminViewed(
                at=at, trace=trace or new, addr=address, actor=actor[:100], query=query[:MAX_QUERY]
            )

        worker.tell(event)

"""Work that goes on beside the screen: how it begins, and how often it is repeated."""

import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from textual.dom import DOMNode

REFRESH_SECONDS = 2
PATIENCE = 20
"""A reading is repeated no sooner than this many times as long as it took, within reason."""
LONGEST_PAUSE_SECONDS = 10


class Turn:
    """One of the things that are read again and again, each at its own pace."""

    def __init__(self, read: Callable[[], Awaitable[None]]) -> None:
        self._read = read
        self._due = 0.0
        self.is_running = self.is_known = False

    @property
    def is_due(self) -> bool:
        """Whether the last reading is old for what it cost."""
        return not self.is_running and time.monotonic() >= self._due

    async def take(self) -> None:
        """Read. Raises what reading raises."""
        self.is_running = True
        begun = time.monotonic()
        try:
            await self._read()
        finally:
            pause = max(REFRESH_SECONDS, PATIENCE * (time.monotonic() - begun))
            self._due = begun + min(pause, LONGEST_PAUSE_SECONDS)
            self.is_running, self.is_known = False, True


def start(
    node: DOMNode,
    group: str,
    work: Callable[..., Coroutine[Any, Any, None]],
    *given: Any,
    beside: bool = False,
) -> None:
    """Begin work for a widget or screen; it ends with it.

    Work of the same group that still runs is given up, unless ``beside``. The coroutine is
    made when the work begins, so that what is given up before then leaves nothing behind.
    """

    async def run() -> None:
        await work(*given)

    node.run_worker(run, group=group, exclusive=not beside)  # type: ignore[arg-type]

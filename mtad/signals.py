"""How a role is told to stop or to read its settings again."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Signals:
    """``stop`` is set once, on SIGTERM or SIGINT; ``reload`` callbacks run on SIGHUP.

    A role drains when ``stop`` is set: it takes nothing further, finishes what it has begun,
    and returns. Callbacks run in the event loop, must not block and must not raise.
    """

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    reload: list[Callable[[], None]] = field(default_factory=list)
    ready: Callable[[], None] = lambda: None
    """Called by the role once it serves."""

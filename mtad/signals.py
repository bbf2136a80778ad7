"""How a role is told to stop or to read its settings again."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Signals:
    """``stop`` is set once, on SIGTERM or SIGINT; ``hang_up`` is called on SIGHUP.

    A role drains when ``stop`` is set: it takes nothing further, finishes what it has begun,
    and returns.
    """

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    ready: Callable[[], None] = lambda: None
    """Called by the role once it serves."""
    _reload: list[Callable[[], object]] = field(default_factory=list)
    _is_early: bool = False
    """Whether SIGHUP came before anyone listened."""

    def on_reload(self, call: Callable[[], object]) -> None:
        """Run ``call`` at each SIGHUP, in the event loop: it must not block and must not raise.

        One that came while the role was still starting counts.
        """
        self._reload.append(call)
        if self._is_early:
            self._is_early = False
            call()

    def hang_up(self) -> None:
        """SIGHUP: the settings are to be read again."""
        self._is_early = not self._reload
        for call in self._reload:
            call()

"""How many connections a destination gets, and when a host is left alone for a while (PURE).

A destination starts with a few connections; success earns it more, trouble halves them, so that
a slow or dead one keeps a slot or two and not all of them. A host that cannot be reached is not
tried again at once: the pause doubles from one failure to the next. Times are seconds of any
clock that does not go back.
"""

from dataclasses import dataclass

FIRST_WINDOW = 5.0
"""Connections at first."""
FIRST_PAUSE = 30.0
LONGEST_PAUSE = 900.0
MAX_REMEMBERED = 10_000
"""Destinations, and hosts, that something is remembered of."""


@dataclass(slots=True)
class _Window:
    size: float
    in_use: int = 0


class Windows:
    """The number of connections each destination may have, up to ``most``."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._windows: dict[str, _Window] = {}

    def room(self, key: str) -> int:
        """How many more may be opened at this moment."""
        window = self._windows.get(key)
        if window is None:
            return int(min(FIRST_WINDOW, self._most))
        return max(0, int(window.size) - window.in_use)

    def begin(self, key: str) -> None:
        """One is in use from here on."""
        window = self._windows.get(key)
        if window is None:
            self._forget()
            window = self._windows[key] = _Window(min(FIRST_WINDOW, self._most))
        window.in_use += 1

    def end(self, key: str, *, worked: bool | None) -> None:
        """It is free again; ``worked`` is None where nothing was learnt of the destination."""
        window = self._windows[key]
        window.in_use -= 1
        if worked:
            window.size = min(float(self._most), window.size + 1)
        elif worked is not None:
            window.size = max(1.0, window.size / 2)

    def _forget(self) -> None:
        """What was learnt of destinations goes when it is of too many."""
        if len(self._windows) >= MAX_REMEMBERED:
            self._windows = {key: each for key, each in self._windows.items() if each.in_use}


@dataclass(slots=True)
class _Pause:
    until: float
    seconds: float
    why: str


class Pauses:
    """Hosts that are left alone for now."""

    def __init__(self) -> None:
        self._pauses: dict[str, _Pause] = {}

    def why(self, key: str, now: float) -> str:
        """What happened at the last try, or empty where the host may be tried."""
        pause = self._pauses.get(key)
        return pause.why if pause is not None and now < pause.until else ""

    def failed(self, key: str, why: str, now: float) -> None:
        """The host could not be used."""
        pause = self._pauses.get(key)
        if pause is None:
            if len(self._pauses) >= MAX_REMEMBERED:
                del self._pauses[next(iter(self._pauses))]
            self._pauses[key] = _Pause(now + FIRST_PAUSE, FIRST_PAUSE, why)
        elif now >= pause.until:
            # Several tries at a time that fail together are one failure.
            pause.seconds = min(LONGEST_PAUSE, pause.seconds * 2)
            pause.until, pause.why = now + pause.seconds, why

    def forget(self) -> None:
        """Every host may be tried."""
        self._pauses.clear()

    def worked(self, key: str) -> None:
        """The host is all right."""
        self._pauses.pop(key, None)

"""What every screen knows: where to read, what time it is, which zone, whose server."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import tzinfo
from typing import TYPE_CHECKING

from mtad import clock

if TYPE_CHECKING:
    from tui.acting import Acting
    from tui.disk import Disk


@dataclass(frozen=True, slots=True)
class World:
    """Given to each screen when it is made; tests give a still clock and a made-up server."""

    reading: "Disk"
    host: str
    now_us: Callable[[], int] = clock.now_us
    """Microseconds since the Unix epoch."""
    zone: tzinfo | None = None
    """Where times are shown; None is the machine's own zone."""
    acting: "Acting | None" = None
    """What may be done to the server; None is nothing."""

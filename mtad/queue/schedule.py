"""When a recipient is tried again, and when its sender hears of it (PURE).

The time between tries grows as the table says, up to its last value. Tries of different
messages are spread by up to a tenth, the same way each time it is computed. A try falls on
the moment when the sender would be warned, and a last one on the moment when the message is
given up: nobody is told of a failure that the next minute might have mended.
"""

from dataclasses import dataclass

MINUTE = 60_000_000
HOUR = 60 * MINUTE
SPREAD = 0.1
_MIX = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Schedule:
    """Times of the settings; ``warn_after_hours`` 0 warns nobody."""

    retry_minutes: tuple[float, ...] = (5, 10, 20, 40, 60, 120, 240)
    give_up_after_hours: float = 120
    warn_after_hours: float = 4

    def gives_up_at(self, arrived: int) -> int:
        """When a message is given up, whatever happens; microseconds."""
        return arrived + round(self.give_up_after_hours * HOUR)

    def warns_at(self, arrived: int) -> int:
        """When a sender is warned of a delay; 0 for never."""
        return arrived + round(self.warn_after_hours * HOUR) if self.warn_after_hours else 0

    def next_try(self, m: int, arrived: int, tries: int, now: int, *, warns: bool) -> int:
        """When a recipient that was tried so often, the last time now, is due again.

        0 when it is to be given up. ``warns`` tells that its sender is to be warned and was not
        yet. Deterministic: all recipients of a message that failed together stay together.
        """
        end = self.gives_up_at(arrived)
        if now >= end:
            return 0
        minutes = self.retry_minutes[min(max(tries, 1), len(self.retry_minutes)) - 1]
        due = now + max(1, round(minutes * MINUTE * (1 + SPREAD * _share(m, tries))))
        warning = self.warns_at(arrived) if warns else 0
        if now < warning < due:
            due = warning
        return min(due, end)


def _share(m: int, tries: int) -> float:
    """A number from -1 to 1 that looks like chance and is not."""
    mixed = (m ^ tries * _MIX) & _MASK
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _MASK
    return (mixed >> 11) / (1 << 52) - 1

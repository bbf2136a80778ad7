"""What became of stored copies after their delivery, as far as the journals know it.

A delivery that is executed once more must not bring back what was expunged, and must find
what was moved. The owner's frame is durable before the file changes, so a copy that is not
found, and of which no frame read after looking tells, was never there or was lost.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from mtad.journal.frame import Expunge, Move
from mtad.journal.reader import Reader

Gone = Callable[[Iterable[int]], set[int]]


@dataclass(slots=True)
class Fates:
    """Expunged copies, and where moved ones belong, from the journals of those who own boxes."""

    readers: list[Reader]
    gone_in_log: Gone
    expunged: set[int] = field(default_factory=set)
    moved: dict[int, str] = field(default_factory=dict)
    _after: dict[str, int] = field(default_factory=dict)

    def refresh(self) -> None:
        """Read what became durable since the last time."""
        for reader in self.readers:
            after = self._after.get(reader.name, 0)
            for frame in reader.frames(after):
                self._after[reader.name] = frame.seq
                for act in frame.meta.acts:
                    if isinstance(act, Expunge):
                        self.expunged.update(copy.st for copy in act.copies)
                    elif isinstance(act, Move):
                        self.moved.update((copy.st, act.target) for copy in act.copies)

    def is_gone(self, st: int) -> bool:
        """Whether a copy was expunged, or vanished, for good."""
        return st in self.expunged or bool(self.gone_in_log((st,)))

    def close(self) -> None:
        """Let the files go."""
        for reader in self.readers:
            reader.close()

"""Where an accepted message goes: from recipients as given to final recipients (PURE).

One final recipient is one box. Two accepted addresses that lead to one box, directly or by
alias, are two final recipients with one copy between them: the later is a duplicate of the
earlier, and has its own end in the log.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accepted:
    """A recipient as accepted in RCPT: its first number, the address, the boxes behind it."""

    n: int
    given: str
    boxes: tuple[str, ...]
    alias: bool = False


@dataclass(frozen=True, slots=True)
class Final:
    """A final recipient; ``first`` is the number of the one that got the copy, or 0."""

    n: int
    box: str
    original: str
    alias: bool
    first: int = 0


def plan(accepted: Iterable[Accepted]) -> Sequence[Final]:
    """The final recipients in order; an address with k boxes takes k numbers from its own."""
    reached: dict[str, int] = {}
    finals = []
    for recipient in accepted:
        for n, box in enumerate(recipient.boxes, recipient.n):
            first = reached.setdefault(box, n)
            finals.append(
                Final(n, box, recipient.given, recipient.alias, 0 if first == n else first)
            )
    return finals

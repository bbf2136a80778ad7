"""Where an accepted message goes: from recipients as given to final recipients (PURE).

One final recipient is one box, or one address elsewhere. Two accepted addresses that lead to
the same, directly or by alias, are two final recipients with one copy between them: the later
is a duplicate of the earlier, and has its own end in the log.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accepted:
    """A recipient as accepted in RCPT: its first number, the address, where it leads.

    ``boxes`` are boxes of ours, ``remotes`` addresses elsewhere. ``notify`` and ``orcpt`` are the
    client's (RFC 3461); ``resent_from`` is the reverse-path for ``remotes`` where that is not the
    message's own. ``alias`` and ``forward`` tell what led there.
    """

    n: int
    given: str
    boxes: tuple[str, ...] = ()
    alias: bool = False
    remotes: tuple[str, ...] = ()
    notify: str = ""
    orcpt: str = ""
    resent_from: str | None = None
    forward: bool = False

    @property
    def numbers(self) -> int:
        """How many numbers its final recipients take, from its own on."""
        return len(self.boxes) + len(self.remotes)


@dataclass(frozen=True, slots=True)
class Final:
    """A final recipient; ``first`` is the number of the one that got the copy, or 0."""

    n: int
    addr: str
    accepted: Accepted
    is_remote: bool = False
    first: int = 0


def plan(accepted: Iterable[Accepted]) -> Sequence[Final]:
    """The final recipients in order; an address with k targets takes k numbers from its own."""
    reached: dict[str, int] = {}
    finals = []
    for recipient in accepted:
        boxes = len(recipient.boxes)
        for i, addr in enumerate((*recipient.boxes, *recipient.remotes)):
            n = recipient.n + i
            first = reached.setdefault(addr, n)
            finals.append(Final(n, addr, recipient, i >= boxes, 0 if first == n else first))
    return finals

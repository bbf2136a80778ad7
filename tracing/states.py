"""What can become of a message, as numbers in the log and words on the screen."""

from enum import IntEnum


class State(IntEnum):
    """The state of one recipient; a message row carries the most telling of its recipients'.

    Below 10 a recipient is open, from 10 to 29 it has its one final fate, from 30 on it was
    never accepted.
    """

    QUEUED = 1
    DEFERRED = 2
    HELD = 3
    STORED = 10
    RELAYED = 11
    BOUNCED = 12
    EXPIRED = 13
    DISCARDED = 14
    QUARANTINED = 15
    DUPLICATE = 16
    REPLACED = 17
    CANCELLED = 18
    REFUSED = 30
    TEMPFAILED = 31
    ABORTED = 32
    RECEIVING = 33

    @property
    def is_open(self) -> bool:
        """Whether something is still to be done for this recipient."""
        return self < 10

    @property
    def is_final(self) -> bool:
        """Whether the recipient was accepted and has its fate."""
        return 10 <= self < 30

    @property
    def word(self) -> str:
        """One lower-case English word; never shown without it being translatable."""
        return _WORD[self]

    @property
    def glyph(self) -> str:
        """One character that says the same to the eye."""
        return _GLYPH[self]


_WORD = {
    State.QUEUED: "queued",
    State.DEFERRED: "deferred",
    State.HELD: "held",
    State.STORED: "delivered",
    State.RELAYED: "relayed",
    State.BOUNCED: "bounced",
    State.EXPIRED: "expired",
    State.DISCARDED: "discarded",
    State.QUARANTINED: "quarantined",
    State.DUPLICATE: "duplicate",
    State.REPLACED: "replaced",
    State.CANCELLED: "cancelled",
    State.REFUSED: "refused",
    State.TEMPFAILED: "try-later",
    State.ABORTED: "aborted",
    State.RECEIVING: "receiving",
}
_GLYPH = {
    State.QUEUED: "◔",
    State.DEFERRED: "◔",
    State.HELD: "⏸",
    State.STORED: "●",
    State.RELAYED: "●",
    State.BOUNCED: "✕",
    State.EXPIRED: "✕",
    State.DISCARDED: "✕",
    State.QUARANTINED: "◆",
    State.DUPLICATE: "●",
    State.REPLACED: "↗",
    State.CANCELLED: "✕",
    State.REFUSED: "✕",
    State.TEMPFAILED: "◔",
    State.ABORTED: "✕",
    State.RECEIVING: "◔",
}
ENDED_ELSEWHERE = (
    State.RELAYED,
    State.BOUNCED,
    State.EXPIRED,
    State.DUPLICATE,
    State.REPLACED,
    State.CANCELLED,
)
"""Fates with which a recipient needs nothing of its message any more."""

BY_WORD = {word: state for state, word in _WORD.items()}


def summary(states: list[State]) -> State:
    """The state a message row shows for its recipients' states.

    Anything open wins, then anything that went wrong, then refusals only when no recipient
    was accepted at all.
    """
    accepted = [state for state in states if state < State.REFUSED]
    if not accepted:
        return max(states, default=State.REFUSED)
    for wanted in (State.HELD, State.DEFERRED, State.QUEUED):
        if wanted in accepted:
            return wanted
    troubled = (
        State.BOUNCED,
        State.EXPIRED,
        State.QUARANTINED,
        State.CANCELLED,
        State.DISCARDED,
    )
    for wanted in troubled:
        if wanted in accepted:
            return wanted
    if State.STORED in accepted:
        return State.STORED
    return accepted[0]

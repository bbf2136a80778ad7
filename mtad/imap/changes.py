"""What a box tells of its mailboxes."""

from typing import Protocol


class Change(Protocol):
    """What happened to the messages of one mailbox, as UIDs; ``by`` is the session that asked."""

    @property
    def mailbox(self) -> str:
        """The mailbox's name."""

    @property
    def added(self) -> tuple[int, ...]:
        """Arrivals."""

    @property
    def changed(self) -> tuple[int, ...]:
        """Messages whose flags changed."""

    @property
    def gone(self) -> tuple[int, ...]:
        """Messages that were expunged."""

    @property
    def modseq(self) -> int:
        """The change's mod-sequence."""

    @property
    def by(self) -> object:
        """The session that asked for it."""

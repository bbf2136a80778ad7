"""Where a mailbox is that a client names, and what the client may do there (RFC 4314)."""

from collections.abc import Iterable
from dataclasses import dataclass

from mtad.imap.answer import No
from mtad.store.acl import RIGHTS
from mtad.store.box import Box

FLAG_RIGHTS = {"\\seen": "s", "\\deleted": "t"}
"""The rights to change flags (RFC 4314 4); all others need "w"."""
ALL_FLAGS = frozenset("swt")
READ_WRITE = frozenset("iewt")
r"""With none of these a mailbox is READ-ONLY (RFC 4314 5.2); ``\Seen`` is everybody's own."""


@dataclass(frozen=True, slots=True)
class Place:
    """A mailbox, there or not, of the session's box or of another.

    ``name`` is its name in its box, which clients see with ``prefix`` before it. ``reader`` is
    who looks at it, empty where that is its owner.
    """

    box: Box
    name: str
    prefix: str = ""
    rights: str = RIGHTS
    reader: str = ""

    @property
    def exists(self) -> bool:
        """Whether there is such a mailbox, as last synchronised."""
        return self.name in self.box.owner.index.mailboxes

    def require(self) -> None:
        """Raises No [NONEXISTENT] where there is no such mailbox."""
        if not self.exists:
            raise no_such()

    @property
    def objectid(self) -> int:
        """MAILBOXID (RFC 8474 4). Raises No [NONEXISTENT]."""
        found = self.box.owner.index.mailboxes.get(self.name)
        if found is None:
            raise no_such()
        return int(found.objectid)


def no_such(code: bytes = b"NONEXISTENT") -> No:
    """There is no such mailbox, or the client is not to know of it."""
    return No("There is no such mailbox", code)


def check(rights: str, needs: str, absent: bytes = b"NONEXISTENT") -> None:
    """Raises No [NOPERM] where a right is missing, ``absent`` where that one's lack hides all."""
    if not set(needs).issubset(rights):
        raise denied() if "l" in rights else no_such(absent)


def denied() -> No:
    """A right is missing."""
    return No("You may not do this with the mailbox", b"NOPERM")


def permitted(rights: str, flags: Iterable[str]) -> list[str]:
    """Those of flags and keywords that may be changed with these rights (RFC 4314 4)."""
    return [flag for flag in flags if FLAG_RIGHTS.get(flag.lower(), "w") in rights]

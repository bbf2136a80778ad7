"""The snapshot repository as the screens see it; opened when it is first asked for.

What stands at the top of a path is a snapshot's name, a time behind ``@``, or two times
behind ``-``.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backup.catalog import Catalog, Message
    from backup.past import History, Past
    from mtad.config import Loaded

AT, DELETED, TO = "@", "-", ".."
"""What a path begins with that is no snapshot: a time, or deletions from one time to another."""


@dataclass(frozen=True, slots=True)
class Top:
    """A path's beginning taken apart; texts of times as they were typed."""

    snapshot: str = ""
    at: str = ""
    since: str = ""
    until: str = ""

    @classmethod
    def of(cls, name: str) -> "Top":
        """What a name means."""
        if name.startswith(AT):
            return cls(at=name[1:])
        if name.startswith(DELETED):
            since, _, until = name[1:].partition(TO)
            return cls(since=since, until=until)
        return cls(snapshot=name)

    @property
    def terms(self) -> tuple[str, ...]:
        """The times of deletions as words of a filter."""
        found = [f"since:{self.since}"] if self.since else []
        return (*found, *([f"until:{self.until}"] if self.until else []))


class Saves:
    """For one thread. Every method raises MtadError with a sentence."""

    def __init__(self, settings: Path) -> None:
        self._settings = settings
        self._open: Catalog | None = None

    def listing(self, *path: str) -> Sequence[Any]:
        """What there is at a path of snapshot, box and mailbox, latest first.

        Without a path all snapshots; none while there is no repository.
        """
        from backup import catalog, keys  # noqa: PLC0415 - slow to load, seldom needed
        from mtad import config  # noqa: PLC0415

        if path and not Top.of(path[0]).snapshot:
            return self._past(config.load(self._settings), Top.of(path[0]), *path[1:])
        try:
            view = self._open = self._open or catalog.Catalog.open(config.load(self._settings))
        except keys.NoRepository:
            if path:
                raise
            return []
        return (view.snapshots, view.boxes, view.mailboxes, view.messages)[len(path)](*path)

    def content(self, message: "Message") -> bytes:
        """A message of a snapshot as it was."""
        from backup import catalog  # noqa: PLC0415
        from mtad import config  # noqa: PLC0415

        self._open = self._open or catalog.Catalog.open(config.load(self._settings))
        return self._open.content(message.entry)

    def _past(self, loaded: "Loaded", top: Top, *path: str) -> Sequence[Any]:
        """Boxes, mailboxes and messages as of a time, or those that were deleted."""
        from backup import catalog, operations  # noqa: PLC0415

        with operations.open_history(loaded) as history:
            if not path:
                return [catalog.Box(box, 0, 0) for box in _boxes(loaded, history)]
            past = _past_of(loaded, history, top, path[0])
            if len(path) == 1:
                counts = Counter(entry.mailbox for entry in past.entries)
                return [catalog.Mailbox(name, counts[name], 0, 0) for name in sorted(counts)]
            entries = [entry for entry in past.entries if entry.mailbox == path[1]]
            known = history.contents.heads(entries)
            found = []
            for entry in sorted(entries, key=lambda one: (-one.mtime_ns, one.uid)):
                head = known.get(entry.id)
                fields = (head.subject, head.sender, head.at, head.message_id) if head else None
                found.append(catalog.Message(entry, *(fields or ("", "", 0, ""))))
            return found

    def close(self) -> None:
        """Let the repository go."""
        if self._open is not None:
            self._open.close()
            self._open = None


def _boxes(loaded: "Loaded", history: "History") -> Sequence[str]:
    """Every box on disk or in a snapshot."""
    from backup import asked  # noqa: PLC0415
    from tracing.search import Address  # noqa: PLC0415

    return asked.boxes(loaded, history, asked.Asked(()), [Address("box", part="@")])


def _past_of(loaded: "Loaded", history: "History", top: Top, box: str) -> "Past":
    from backup import asked  # noqa: PLC0415

    wish = asked.Asked(top.terms, box, at=top.at, deleted=not top.at)
    (found,), _wish = asked.pasts(loaded, history, wish)
    return found

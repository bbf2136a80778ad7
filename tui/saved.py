"""The snapshot repository as the screens see it; opened when it is first asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tui.data import Saved, SavedBox, SavedMailbox, SavedMessage

if TYPE_CHECKING:
    from backup.catalog import Catalog


class Saves:
    """For one thread. Every method raises MtadError with a sentence."""

    def __init__(self, settings: Path) -> None:
        self._settings = settings
        self._open: Catalog | None = None

    def _catalog(self) -> "Catalog | None":
        """The repository; None while there is none."""
        if self._open is None:
            from backup import catalog, keys  # noqa: PLC0415 - slow to load, seldom needed
            from mtad import config  # noqa: PLC0415

            try:
                self._open = catalog.Catalog.open(config.load(self._settings))
            except keys.NoRepository:
                return None
        return self._open

    def _there(self) -> "Catalog":
        catalog = self._catalog()
        if catalog is None:
            raise FileNotFoundError(2, "the snapshot repository is gone")
        return catalog

    def snapshots(self) -> Sequence[Saved]:
        """All snapshots, latest first; none while there is no repository."""
        catalog = self._catalog()
        if catalog is None:
            return []
        return [
            Saved(
                id=one.name,
                at=one.at,
                scope=one.scope,
                boxes=one.boxes,
                messages=one.messages,
                octets=one.size,
                added=one.added,
                stored=one.stored,
                unread=one.unread,
            )
            for one in catalog.snapshots()
        ]

    def boxes(self, snapshot: str) -> Sequence[SavedBox]:
        """The boxes in a snapshot."""
        return [
            SavedBox(one.address, one.messages, one.size) for one in self._there().boxes(snapshot)
        ]

    def mailboxes(self, snapshot: str, box: str) -> Sequence[SavedMailbox]:
        """The mailboxes of a box in a snapshot."""
        return [
            SavedMailbox(one.name, one.messages) for one in self._there().mailboxes(snapshot, box)
        ]

    def messages(self, snapshot: str, box: str, mailbox: str) -> Sequence[SavedMessage]:
        """The messages of a mailbox in a snapshot, latest arrival first."""
        return [
            SavedMessage(
                m=one.entry.m,
                uid=one.entry.uid,
                arrived=one.arrived,
                octets=one.entry.size,
                flags=one.entry.flags,
                keywords=tuple(one.entry.keywords),
                sender=one.sender,
                subject=one.subject,
                message_id=one.message_id,
            )
            for one in self._there().messages(snapshot, box, mailbox)
        ]

    def close(self) -> None:
        """Let the repository go."""
        if self._open is not None:
            self._open.close()
            self._open = None

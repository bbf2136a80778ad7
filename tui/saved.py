"""The snapshot repository as the screens see it; opened when it is first asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backup.catalog import Catalog


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

        try:
            view = self._open = self._open or catalog.Catalog.open(config.load(self._settings))
        except keys.NoRepository:
            if path:
                raise
            return []
        return (view.snapshots, view.boxes, view.mailboxes, view.messages)[len(path)](*path)

    def close(self) -> None:
        """Let the repository go."""
        if self._open is not None:
            self._open.close()
            self._open = None

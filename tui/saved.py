"""The snapshot repository as the screens see it; opened when it is first asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backup.catalog import Catalog, Snapshot


class Saves:
    """For one thread. Every method raises MtadError with a sentence."""

    def __init__(self, settings: Path) -> None:
        self._settings = settings
        self._open: Catalog | None = None

    def catalog(self) -> "Catalog":
        """The repository. Raises backup.keys.NoRepository while there is none."""
        if self._open is None:
            from backup.catalog import Catalog  # noqa: PLC0415 - slow to load, seldom needed
            from mtad import config  # noqa: PLC0415

            self._open = Catalog.open(config.load(self._settings))
        return self._open

    def snapshots(self) -> Sequence["Snapshot"]:
        """All snapshots, latest first; none while there is no repository."""
        from backup.keys import NoRepository  # noqa: PLC0415

        try:
            return self.catalog().snapshots()
        except NoRepository:
            return []

    def close(self) -> None:
        """Let the repository go."""
        if self._open is not None:
            self._open.close()
            self._open = None

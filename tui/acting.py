"""What the screens may do to a server; a ``World`` without it only reads.

Every act runs in one thread, one after the other, so that the event loop never waits and no
act overtakes another. Packages that are slow to load are imported there.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tui.disk import answer

if TYPE_CHECKING:
    from mtad.config import Loaded

T = TypeVar("T")


class Acting:
    """The server whose settings these are."""

    def __init__(self, settings: Path) -> None:
        self._settings = settings
        self._thread = ThreadPoolExecutor(1, "act")

    async def run(self, do: "Callable[[Loaded], T]") -> T:
        """Do it, with the settings as they are now. Raises Trouble with one sentence."""

        def work() -> T:
            from mtad import config  # noqa: PLC0415 - slow to load

            return do(config.load(self._settings))

        return await answer(self._thread.submit(work))

    def close(self) -> None:
        """Let the thread go; what runs is done to its end."""
        self._thread.shutdown(wait=False)

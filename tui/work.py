"""Starting work that goes on beside the screen."""

from collections.abc import Callable, Coroutine
from typing import Any

from textual.dom import DOMNode


def start(
    node: DOMNode,
    group: str,
    work: Callable[..., Coroutine[Any, Any, None]],
    *given: Any,
    beside: bool = False,
) -> None:
    """Begin work for a widget or screen; it ends with it.

    Work of the same group that still runs is given up, unless ``beside``. The coroutine is
    made when the work begins, so that what is given up before then leaves nothing behind.
    """

    async def run() -> None:
        await work(*given)

    node.run_worker(run, group=group, exclusive=not beside)  # type: ignore[arg-type]

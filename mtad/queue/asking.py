"""The queue from a command: through the server's roles, or by oneself where none runs.

Reading asks the log role; an act goes to the process that runs the queue. What is done without
them is in ``mtad.queue.alone``, which is imported when it is needed and not before: a command
starts at once while the server answers.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mtad import control
from mtad.errors import Unreachable
from mtad.where import Places

if TYPE_CHECKING:
    from mtad.config import Loaded
    from mtad.queue.acts import Done, Order
    from tracing.render import Document

AT_ONCE = 5_000
"""Recipients in one request."""
SECONDS = 120.0

Key = tuple[int, int]


def lines(places: Places, what: str, query: str, limit: int = 0) -> Iterator["Document"]:
    """What ``queue.list``, ``queue.keys`` or ``queue.destinations`` answers, line by line.

    Raises MtadError, UsageError for a query that makes no sense among them.
    """
    heard = False
    try:
        for line in control.stream(
            places.socket("log"), f"queue.{what}", seconds=SECONDS, query=query, limit=limit
        ):
            heard = True
            yield line
            if line.get("done"):
                return
        raise Unreachable("the log role went away in the midst of its answer")
    except Unreachable:
        if heard:
            raise
    from mtad.queue import alone  # noqa: PLC0415 - see above

    yield from alone.lines(places, what, query, limit)


def content(places: Places, m: int) -> Path:
    """The file that holds a message of the queue. Raises NothingFound."""
    try:
        answer = control.ask(places.socket("log"), "content", seconds=SECONDS, m=m)
    except Unreachable:
        from mtad.queue import alone  # noqa: PLC0415

        return alone.content(places, m)
    return Path(answer["path"])


def act(loaded: "Loaded", order: "Order", keys: Sequence[Key]) -> "Done":
    """Do it to recipients, wherever the queue is. Raises MtadError."""
    from mtad.queue.acts import Done  # noqa: PLC0415 - heavier than what only reads

    done = Done()
    for first in range(0, len(keys), AT_ONCE):
        try:
            answer = control.ask(
                loaded.places.socket("mta"),
                f"queue.{order.act}",
                seconds=600,
                entries=keys[first : first + AT_ONCE],
                actor=order.actor,
                why=order.why,
                to=order.to,
            )
        except Unreachable:
            if first:
                raise
            from mtad.queue import alone  # noqa: PLC0415

            return alone.act(loaded, order, keys)
        done.done += answer["done"]
        for left, listed in ((done.busy, "busy"), (done.gone, "gone"), (done.unfit, "unfit")):
            left += [(m, n) for m, n in answer[listed]]
    return done

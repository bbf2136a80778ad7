"""The journal of a short-lived command: the first of ``cli-40`` to ``cli-55`` that is free."""

import contextlib
from collections.abc import Iterator

from mtad.errors import Locked, MtadError
from mtad.journal.errors import JournalBroken, JournalFull
from mtad.journal.lock import Watch
from mtad.journal.writer import Journal
from mtad.where import Places

NODES = range(40, 56)
"""Node numbers of commands; each has a journal of its own (``tracing.ids``)."""


@contextlib.contextmanager
def command_journal(places: Places) -> Iterator[Journal]:
    """A journal for one command, closed at the end; the log role reads it from then on.

    Raises Locked when as many commands as there are journals run at once, and MtadError when
    the journal takes nothing: then what was to be written in it does not count.
    """
    try:
        journal = _first_free(places)
        try:
            yield journal
        finally:
            journal.close_now()
    except (JournalFull, JournalBroken) as error:
        raise MtadError(f"nothing was changed: {error}") from error


def _first_free(places: Places) -> Journal:
    for node in NODES:
        directory = places.journal / f"cli-{node}"
        with contextlib.closing(Watch(directory)) as watch:
            if watch.is_owned():  # opening it would wait, for owners are patient with readers
                continue
        with contextlib.suppress(Locked):
            return Journal.open(directory, node=node, doorbell=places.doorbell)
    raise Locked(f"{len(NODES)} commands are changing this server already; try again")

"""The queue in a command's own hands, where no server runs.

What the journals hold is applied first, as a start of the server would do. What is done goes
into a command's journal: whoever runs the queue next finds it in the log.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from mtad import clock, control
from mtad.config import Loaded
from mtad.delivery.local import Delivery
from mtad.delivery.passing import Passing
from mtad.directory import authkey
from mtad.directory.lookup import Directory
from mtad.errors import Locked, MtadError, NothingFound, Unreachable
from mtad.journal.command import command_journal
from mtad.journal.content import path_of
from mtad.materialise.worker import Worker
from mtad.queue.acts import Acts, Done, Order
from mtad.queue.bodies import Bodies
from mtad.queue.entries import Entries
from mtad.queue.ledger import Ledger
from mtad.queue.reporting import Reporter
from mtad.where import Places
from tracing import answers, choosing, ids, waiting
from tracing.events import Event
from tracing.log import Busy
from tracing.render import Document


def lines(places: Places, what: str, query: str, limit: int = 0) -> Iterator[Document]:
    """As ``asking.lines``, from the month files and what the journals hold besides.

    Who may only read sees what the files have.
    """
    with contextlib.suppress(MtadError, OSError):
        catch_up(places)
    with answers.readable(places.log):
        if what == "list":
            yield from choosing.listing(places.log, query, limit)
        elif what == "keys":
            yield from choosing.keys(places.log, query)
        else:
            yield from choosing.by_destination(places.log, query)


def content(places: Places, m: int) -> Path:
    """As ``asking.content``."""
    catch_up(places)
    path = path_of(places, m)
    if not path.exists():
        raise NothingFound(f"there is no content of message {ids.text(m)}")
    return path


def catch_up(places: Places) -> None:
    """Have all applied that the journals hold. Raises MtadError."""
    with contextlib.suppress(Unreachable):
        control.ask(places.socket("log"), "position", seconds=120)
        return
    try:
        with answers.readable(places.log):
            worker = Worker(places)
    except Busy as error:
        raise Locked("the log is being written but its server does not answer") from error
    try:
        worker.start()
        if not worker.turn():
            raise MtadError(f"the journals cannot be applied: {worker.standing.problem}")
    finally:
        worker.close()


def act(loaded: Loaded, order: Order, keys: Sequence[tuple[int, int]]) -> Done:
    """As ``asking.act``."""
    places, config = loaded.places, loaded.config
    catch_up(places)
    entries = Entries()
    for part in waiting.parts(places.log, {m for m, _ in keys}):
        entries.load(part)

    def apply(events: Sequence[Event]) -> None:
        for event in events:
            entries.apply(event)

    directory, bodies = Directory(places.state_db), Bodies(places, patience_seconds=0)
    passing = Passing(directory, [authkey.load(places.auth_key).return_paths], places.log)
    with command_journal(places) as journal:
        delivery = Delivery(journal, places, config.hostname)
        delivery.resend = passing.resend
        reporter = Reporter(
            directory, bodies, journal.mint.new, config.hostname, config.queue.report_language
        )
        ledger = Ledger(journal, delivery, reporter, apply)
        acts = Acts(entries, ledger, bodies, directory, journal.mint.new, clock.now_us)
        done = asyncio.run(acts.do(order, keys))
    with contextlib.suppress(MtadError):
        catch_up(places)  # so that the next look at the log shows it
    return done

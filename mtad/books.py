"""``mtad audit``: the facts of the journals, the log, the boxes and their indexes, compared.

``tracing.audit`` knows what has to agree; this module brings the facts together at one
journal mark. A server goes on working meanwhile, so what a first look finds is believed only
when later looks find it too. Without a server the journals are applied first, as a start
would do. What was found last is kept for ``mtad status``: the jobs role runs this command hourly.
"""

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from mtad import address, clock, control, ledger
from mtad.cli_options import config_option, json_option, settings
from mtad.config import Loaded
from mtad.errors import Exit, Locked, MtadError, Unreachable, UsageError
from mtad.journal import frame
from mtad.journal.command import command_journal
from mtad.journal.content import path_of
from mtad.journal.reader import Reader
from mtad.materialise.worker import Worker
from mtad.store import reading
from mtad.where import Places
from tracing import answers, ids, search
from tracing import audit as books
from tracing.events import AuditViolation
from tracing.facts import LogFacts, Period
from tracing.log import Busy
from tracing.queries import Log

LOOKS = 4
PAUSE_SECONDS = 0.5
OVERDUE_SECONDS = 3 * 3600
"""How long the queue may take, once it runs, to give up what had to be given up before."""
SHOWN = 1000
"""Violations that are printed and logged one by one."""


ALWAYS = Period()


def violations(loaded: Loaded, period: Period = ALWAYS) -> list[books.Violation]:
    """Everything without explanation. Raises MtadError when the facts cannot be had."""
    found = _look(loaded, period)
    for _ in range(LOOKS - 1):
        if not found:
            break
        time.sleep(PAUSE_SECONDS)
        again = set(_look(loaded, period))
        found = [one for one in found if one in again]
    return found


def _look(loaded: Loaded, period: Period) -> list[books.Violation]:
    places = loaded.places
    applied = _applied(places)
    frames = list(_frames(places, period))
    with answers.readable(places.log), contextlib.closing(LogFacts(places.log, period)) as log:
        facts = books.Facts(
            messages=log.messages(),
            boxes=_boxes(places, log, period),
            frames=frames,
            applied=applied,
            breaks=log.breaks(),
            known=log.known,
            handed=log.handed(),
            has_content=lambda m: path_of(places, m).exists(),
            overdue=_overdue(loaded),
            untold=log.untold(),
        )
        return books.violations(facts)


def _applied(places: Places) -> dict[str, int]:
    """The last frame of each journal in the log, everything durable by now included."""
    with contextlib.suppress(Unreachable):
        answer = control.ask(places.socket("log"), "position", seconds=120)
        return {str(name): int(seq) for name, seq in answer["applied"].items()}
    try:
        with answers.readable(places.log):
            worker = Worker(places)
    except Busy as error:
        raise Locked("the log is being written but its server does not answer") from error
    try:
        worker.start()
        if not worker.turn():
            raise MtadError(f"the journals cannot be applied: {worker.standing.problem}")
        return dict(worker.standing.applied)
    finally:
        worker.close()


def _overdue(loaded: Loaded) -> int:
    """Before when mail must have been accepted to have left the queue; 0 when nobody runs it."""
    try:
        status = control.ask(loaded.places.socket("mta"), "status", seconds=10)
    except Unreachable:
        return 0
    if not status["queue"]["loaded"] or status["uptime_seconds"] < OVERDUE_SECONDS:
        return 0
    hours = loaded.config.queue.give_up_after_hours
    return clock.now_us() - round((hours * 3600 + OVERDUE_SECONDS) * 1_000_000)


def _frames(places: Places, period: Period) -> Iterator[books.Frame]:
    """What the journals still hold of accepted messages; of others than the period's nothing."""
    for folder in sorted(places.journal.glob("*/")):
        kept = _first_kept(folder)
        reader = Reader(folder)
        try:
            for one in reader.frames(0):
                content = one.meta.content
                links = [link.st for link in one.meta.links if period.has(link.st)]
                m = content.m if content and period.has(content.m) else 0
                is_here = m > 0 and content is not None and content.inline and one.seq >= kept
                yield books.Frame(folder.name, one.seq, m, links, is_here)
        finally:
            reader.close()


def _first_kept(folder: Path) -> int:
    """The first frame of a journal that no writer may put another one in the place of."""
    reader = Reader(folder, finished=False)
    try:
        return next((one.seq for one in reader.frames(0)), sys.maxsize)
    finally:
        reader.close()


def _boxes(places: Places, log: LogFacts, period: Period) -> Iterator[books.Box]:
    """Every box that the log or the disk knows, or those in which the period did something."""
    known = set(log.boxes())
    for folder in sorted(places.boxes.glob("*/*/")) if period.is_all else ():
        known.add(address.box_address(str(folder.relative_to(places.boxes))))
    for name in sorted(known):
        yield _box(places.boxes / address.box_folder(name), name, log, period)


def _box(folder: Path, name: str, log: LogFacts, period: Period) -> books.Box:
    """The files and the index before the log: what is there now, the log must know.

    What came in another period is left out on all sides; a file without an id has none.
    """
    state = reading.read_box(folder, name)
    files = [
        books.File(one.mailbox, one.base, one.size, one.st)
        for one in state.messages
        if not one.st or period.has(one.st)
    ]
    mailboxes, rows, _ = reading.read_index(folder / "index.db")
    names = {row.id: row.name for row in mailboxes}
    index = [
        books.Indexed(names[row.mailbox], row.uid, row.base, row.st)
        for row in rows
        if period.has(row.st)
    ]
    return books.Box(name, log.copies(name), files, index)


def _log(places: Places, found: list[books.Violation]) -> None:
    """Make an event of each violation that none tells of yet."""
    with answers.readable(places.log), contextlib.closing(Log(places.log)) as log:
        known = {
            (event.trace, event.what)
            for trace in {one.trace for one in found[:SHOWN]}
            for event in (stored.event for stored in log.timeline(trace))
            if isinstance(event, AuditViolation)
        }
    events = [
        frame.raw(AuditViolation(at=clock.now_us(), trace=one.trace, what=one.text))
        for one in found[:SHOWN]
        if (one.trace, one.text) not in known
    ]
    if events:
        with command_journal(places) as journal:
            journal.commit_now(frame.Meta(events=tuple(events)))


def _period(since: str | None, until: str | None) -> Period:
    """What the options say. Raises UsageError."""
    said = " ".join(
        f"{name}:{value}" for name, value in (("since", since), ("until", until)) if value
    )
    try:
        query = search.parse(said, clock.now_us())
    except search.SearchError as error:
        raise UsageError(f"{error}\n{error.caret}") from error
    return Period(query.since or ALWAYS.since, query.until or ALWAYS.until)


@click.command()
@click.option("--since", metavar="TIME", help="Only what came from then on: 2d, yesterday, 14:20.")
@click.option("--until", metavar="TIME", help="Only what came before.")
@config_option
@json_option
@click.pass_context
def audit(context: click.Context, since: str | None, until: str | None, as_json: bool) -> None:
    """Prove that every accepted message has its fate, its file and its explanation.

    Exit status 0 when the books balance, 5 when they do not: then every violation is one
    sentence here and an event in the log. The server does this by itself every hour for the last
    day, and every day for all there is.
    """
    loaded = settings(context)
    period = _period(since, until)
    started = time.monotonic()
    found = violations(loaded, period)
    if found:
        _log(loaded.places, found)
    ledger.write(loaded.places, [one.text for one in found], whole=period.is_all)
    if as_json:
        shown = [
            {"text": one.text, "trace": ids.text(one.trace) if one.trace else None}
            for one in found[:SHOWN]
        ]
        answer = {"schema": 1, "balanced": not found, "count": len(found), "violations": shown}
        click.echo(json.dumps(answer, ensure_ascii=False))
    else:
        for one in found[:SHOWN]:
            click.echo(one.text)
        if len(found) > SHOWN:
            click.echo(f"... and {len(found) - SHOWN} more", err=True)
        verdict = f"{len(found)} violations" if found else "the books balance"
        click.echo(f"{verdict} ({time.monotonic() - started:.1f} s)", err=True)
    context.exit(Exit.PROBLEMS if found else Exit.OK)

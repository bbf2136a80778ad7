"""Restores as operations: carried out with their events, listed, and taken back.

An operation is what its acts say: each names it as its client. Taking it back undoes them one
by one, as far as the messages are still there, and is an operation itself.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from backup import keys, planning, restore, runs
from backup.catalog import open_repository
from backup.format import Entry
from backup.locks import Lock
from backup.moment import marked
from backup.past import DELETED, History
from backup.plan import Act, Present, Step, as_entry
from backup.planning import Plan
from backup.restore import Applying, Result
from backup.runs import Tell
from mtad import clock
from mtad.address import box_folder
from mtad.config import Loaded
from mtad.directory.lookup import Directory
from mtad.errors import Corrupt, NothingFound
from mtad.journal.reader import Reader
from mtad.store import names, quota, reading
from mtad.store.client import Boxes
from mtad.store.quota import Limits, OverQuota
from mtad.store.replay import OWNERS
from tracing import boxlog, events, ids, months
from tracing.events import RestoreMessage, RestoreStart
from tracing.stored import BoxFlags, BoxMove, Item

LISTED = 50
"""Operations that are listed."""


@contextlib.contextmanager
def open_history(loaded: Loaded) -> Iterator[History]:
    """The past of the boxes, with the repository where there is one."""
    try:
        store = open_repository(loaded)
    except keys.NoRepository:
        store = None
    try:
        yield History(loaded, store)
    finally:
        if store is not None:
            store.close()


def folder_of(loaded: Loaded, box: str) -> Path:
    """Where a box lies."""
    return loaded.places.boxes / box_folder(box)


def directory_of(loaded: Loaded) -> Directory | None:
    """Who is who on this server; None where nothing was ever set up."""
    places = loaded.places
    is_there = places.server is not None or places.state_file.exists()
    return Directory(places.state_db) if is_there else None


def check_room(loaded: Loaded, todo: Plan) -> None:
    """Raises OverQuota where a box has no room for what is to be put into it."""
    directory = directory_of(loaded)
    if directory is None:
        return
    octets, messages = quota.held(folder_of(loaded, todo.box))
    limits = Limits(*directory.quota(todo.box))
    puts = todo.puts
    added = sum(entry.size for entry in puts)
    if puts and quota.is_over(limits, octets + added, messages + len(puts)):
        raise OverQuota(
            f"{todo.box} has no room for {len(puts)} messages of {added} octets; restore fewer, "
            "raise its quota ('mtad box quota'), or give --over-quota"
        )


def carry_out(
    loaded: Loaded,
    history: History,
    plans: Sequence[Plan],
    tell: Tell,
    *,
    actor: str,
    over_quota: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[int, list[Result]]:
    """Carry plans out as one operation; returns its id, and what was done to each box.

    Raises MtadError; what was done by then stays, and a repetition goes on from there.
    """
    if not over_quota:
        for todo in plans:
            check_room(loaded, todo)
    run = tell.new_id()
    total = sum(len(todo.puts) + todo.others for todo in plans)
    results: list[Result] = []
    before = 0
    locked = Lock(history.contents.store.folder) if history.contents.store else None
    with locked or contextlib.nullcontext(), Boxes(loaded) as owner:
        for todo in plans:
            began = before
            _tell_start(tell, run, todo, actor)
            result = Applying(
                history.contents,
                todo,
                owner,
                folder_of(loaded, todo.box),
                operation=ids.text(run),
                actor=actor,
                over_quota=over_quota,
                progress=lambda done, _, began=began: progress(began + done, total),  # type: ignore[misc]
            ).run()
            before += len(todo.puts) + todo.others
            _tell_done(tell, run, todo, actor, result)
            results.append(result)
    return run, results


def _tell_start(tell: Tell, run: int, todo: Plan, actor: str) -> None:
    tell(
        events.RestoreStart(
            at=clock.now_us(),
            trace=run,
            addr=todo.box,
            actor=actor,
            snapshot=todo.snapshot,
            planned=len(todo.puts),
            others=todo.others,
            undoes=todo.undoes,
        )
    )


def _tell_done(tell: Tell, run: int, todo: Plan, actor: str, result: Result) -> None:
    tell(
        events.RestoreDone(
            at=clock.now_us(),
            trace=run,
            addr=todo.box,
            actor=actor,
            snapshot=todo.snapshot,
            restored=result.restored,
            skipped=result.skipped,
            moved=result.moved,
            marked=result.marked,
            removed=result.removed,
        )
    )


def keep_first(loaded: Loaded, plans: Iterable[Plan], tell: Tell, *, actor: str) -> list[str]:
    """Take a snapshot of each box that loses messages; returns the snapshots' names."""
    return [
        runs.take(loaded, tell, box=todo.box, actor=actor).name
        for todo in plans
        if todo.of(Act.REMOVE)
    ]


# ---------------------------------------------------------------- operations


def listing(loaded: Loaded) -> list[RestoreStart]:
    """The restores that began last, newest first; one of many boxes is there for each of them.

    Raises Corrupt for a month of the log that cannot be read.
    """
    places = loaded.places
    try:
        found = {(one.trace, one.addr): one for one in boxlog.restores(places.log, LISTED)}
    except (sqlite3.Error, months.NewerVersion) as error:
        raise Corrupt(f"the log cannot be read: {error}") from error
    for pattern in (*OWNERS, "jobs"):
        for directory in places.journal.glob(pattern):
            reader = Reader(directory)
            try:
                for frame in reader.frames(0):
                    for event in frame.events:
                        if isinstance(event, RestoreStart):
                            found.setdefault((event.trace, event.addr), event)
            finally:
                reader.close()
    return sorted(found.values(), key=lambda one: one.at, reverse=True)[:LISTED]


def undo(loaded: Loaded, history: History, given: str) -> list[Plan]:
    """What takes an operation back, box by box. Raises NothingFound, Corrupt."""
    number = ids.parse(given)
    meant = [one for one in listing(loaded) if one.trace == number]
    if not meant:
        raise NothingFound(f"{given} is no restore; 'mtad restore --list' shows the last ones")
    taken_back = [one for one in listing(loaded) if one.undoes == number]
    if taken_back:
        by = ids.text(taken_back[0].trace)
        raise NothingFound(f"{given} was taken back already, by {by}; --undo {by} does it again")
    return [_undo(loaded, history, one) for one in meant]


def _undo(loaded: Loaded, history: History, start: RestoreStart) -> Plan:
    box, client = start.addr, restore.client_of(ids.text(start.trace))
    acts = [
        event for event in history.story(box, start.at) if getattr(event, "client", "") == client
    ]
    state = reading.read_box(folder_of(loaded, box), box)
    there = {one.st: planning.present_of(history.contents, one) for one in state.messages}
    steps: list[Step] = []
    marks: dict[int, tuple[set[str], set[str]]] = {}
    moved: dict[int, str] = {}
    put: set[int] = set()
    for event in acts:
        if isinstance(event, RestoreMessage):
            put |= {item.st for item in event.items}
        elif isinstance(event, BoxMove):
            moved |= {
                item.st: event.mailbox
                for item in event.items
                if item.st in there and there[item.st].mailbox == event.target
            }
        elif isinstance(event, BoxFlags):
            _unmark(marks, event.items, event)
    for st in sorted(put & there.keys()):
        entry = as_entry(there[st])
        steps.append(Step(entry, Act.REMOVE, f"{start_word(start)} put it back", there[st]))
    for st in sorted((moved.keys() | marks.keys()) & (there.keys() - put)):
        add, remove = marks.get(st, (set(), set()))
        entry = _changed(there[st], moved.get(st, ""), add, remove)
        if entry.mailbox != there[st].mailbox:
            steps.append(Step(entry, Act.MOVE, "it was moved", there[st]))
        elif (entry.flags, entry.keywords) != (there[st].flags, there[st].keywords):
            steps.append(Step(entry, Act.MARK, "its flags were changed", there[st]))
    past = history.gone_by(box, start.at, client)
    have = {one.base for one in state.messages}
    steps += [_put(entry) for entry in past.entries if entry.base not in have]
    lost = tuple(past.lost)
    return Plan(DELETED, box, tuple(steps), lost=lost, undoes=start.trace)


def start_word(start: RestoreStart) -> str:
    """An operation as reasons name it."""
    return f"restore {ids.text(start.trace)}"


def _changed(there: Present, mailbox: str, add: set[str], remove: set[str]) -> Entry:
    """A message of the box with another mailbox, if any is given, and other marks."""
    marks = ({*names.flag_names(there.flags), *there.keywords} - remove) | add
    flags, words = marked(marks)
    entry = as_entry(there)
    return replace(entry, mailbox=mailbox or entry.mailbox, flags=flags, keywords=words)


def _put(entry: Entry) -> Step:
    return Step(entry, Act.PUT, "it was removed")


def _unmark(
    marks: dict[int, tuple[set[str], set[str]]], items: Sequence[Item], event: BoxFlags
) -> None:
    for item in items:
        add, remove = marks.setdefault(item.st, (set(), set()))
        add |= {*event.removed}
        remove |= {*event.added}

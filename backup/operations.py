"""Restores as operations: carried out with their events, listed, and taken back.

An operation is what its acts say: each names it as its client. Taking it back undoes them one
by one, as far as the messages are still there, and is an operation itself.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from backup import keys, runs
from backup.belongings import directory_of
from backup.catalog import open_repository
from backup.changes import Allow, Limit, Make, Subscribe
from backup.locks import Lock
from backup.past import History
from backup.plan import Act
from backup.planning import Plan
from backup.restore import Applying, Result
from backup.runs import Tell
from mtad import clock
from mtad.address import box_folder
from mtad.config import Loaded
from mtad.directory.rule_changes import RuleChanges
from mtad.errors import Corrupt, Exit, MtadError
from mtad.journal.command import command_journal
from mtad.journal.reader import Reader
from mtad.store import quota
from mtad.store.client import Boxes
from mtad.store.quota import Limits, OverQuota
from mtad.store.replay import OWNERS
from tracing import boxlog, events, ids, months
from tracing.events import RestoreStart

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


def settle(loaded: Loaded, boxes: Iterable[str]) -> None:
    """Have acts done that journals promise, so that no plan counts on what they remove.

    After a process that was killed they are done when its box is opened, which is now.
    Raises Locked, MtadError.
    """
    with Boxes(loaded) as owner:
        for box in sorted(boxes):
            try:
                owner.sync(box)
            except MtadError as error:
                if error.exit_code is not Exit.NOTHING_FOUND:  # of a box that is all gone
                    raise


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
    with contextlib.ExitStack() as stack:
        if locked:
            stack.enter_context(locked)
        owner = stack.enter_context(Boxes(loaded))
        directory = _directory(loaded, plans, actor, stack)
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
                directory=directory,
                over_quota=over_quota,
                progress=lambda done, _, began=began: progress(began + done, total),  # type: ignore[misc]
            ).run()
            before += len(todo.puts) + todo.others
            _tell_done(tell, run, todo, actor, result)
            results.append(result)
    return run, results


def _directory(
    loaded: Loaded, plans: Sequence[Plan], actor: str, stack: contextlib.ExitStack
) -> RuleChanges | None:
    """Whoever changes the directory, where that is to be done."""
    if not any(isinstance(one, Limit | Allow) for todo in plans for one in todo.changes):
        return None
    journal = stack.enter_context(command_journal(loaded.places))
    return RuleChanges(loaded.places.state_db, journal, actor)


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
    """Take a snapshot of each box that loses anything; returns the snapshots' names."""
    return [
        runs.take(loaded, tell, box=todo.box, actor=actor).name
        for todo in plans
        if todo.of(Act.REMOVE) or any(not isinstance(one, Make | Subscribe) for one in todo.changes)
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

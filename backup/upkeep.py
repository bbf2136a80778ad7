"""What commands and the jobs role do alike to keep a repository in order, with the events."""

from collections.abc import Callable, Sequence
from functools import partial

from backup import catalog, holds, retention
from backup import drill as drilling
from backup import forget as forgetting
from backup import prune as pruning
from backup.locks import Lock
from backup.runs import Tell
from mtad import clock
from mtad.config import Backup, Loaded
from mtad.config_keep import EVERYTHING
from mtad.errors import MtadError
from tracing import events

SCRUB_PERCENT = 4
"""How much of the repository is read each day: all of it in a month."""


def forgets(settings: Backup) -> bool:
    """Whether there is any rule by which snapshots go."""
    return settings.keep.strip().lower() != EVERYTHING or bool(settings.keep_for)


def forget(
    loaded: Loaded,
    tell: Tell,
    *,
    names: Sequence[str] = (),
    keep: str = "",
    dry_run: bool = False,
    actor: str = "backup",
) -> list[retention.Verdict]:
    """Forget what no rule keeps, or what is named, with an event for each.

    Excludes everyone else, so that no snapshot is held or needed meanwhile. Raises MtadError.
    """
    policy_of = forgetting.policies(loaded.config.backup, keep)

    def told(verdict: retention.Verdict, became: str) -> None:
        tell(
            events.BackupForgot(
                at=clock.now_us(),
                trace=tell.new_id(),
                actor=actor,
                snapshot=verdict.name,
                became=became,
                boxes=tuple(verdict.leaving) if became else (),
            )
        )

    with catalog.open_repository(loaded) as store, Lock(store.folder, exclusive=not dry_run):
        held = partial(holds.is_held, store)
        if names:
            verdicts = forgetting.chosen(store, names, held)
        else:
            verdicts = retention.judge(store.snapshots(), policy_of, held)
        if not dry_run:
            try:
                forgetting.apply(store, verdicts, told)
            except OSError as error:
                raise MtadError(f"not everything was forgotten: {error}") from error
    return verdicts


def prune(
    loaded: Loaded,
    tell: Tell,
    how: pruning.How,
    *,
    dry_run: bool = False,
    actor: str = "backup",
    progress: Callable[[str, int], None] = lambda what, number: None,
) -> pruning.Pruned:
    """Give back room, with an event where anything was done. Raises MtadError."""
    with (
        pruning.alone(loaded.places.cache),
        catalog.open_repository(loaded, heal=True) as store,
        Lock(store.folder) as lock,
    ):
        try:
            done = pruning.prune(store, lock, how, dry_run=dry_run, progress=progress)
        except OSError as error:
            raise MtadError(f"the repository was not pruned to the end: {error}") from error
    if done.removed or done.written or (done.waiting and not dry_run):
        tell(
            events.BackupPruned(
                at=clock.now_us(),
                trace=tell.new_id(),
                actor=actor,
                removed=done.removed,
                freed=done.freed,
                written=done.written,
                waiting=done.waiting,
                compacted=how.compact or how.everything,
            )
        )
    return done


def drill(
    loaded: Loaded,
    tell: Tell,
    *,
    snapshot: str = "latest",
    count: int = drilling.MESSAGES,
    actor: str = "backup",
) -> drilling.Drilled:
    """Put messages drawn by lot back aside and compare them, with the event. Raises MtadError."""
    with catalog.open_repository(loaded) as store, Lock(store.folder):
        done = drilling.drill(
            store, loaded.places.boxes, loaded.places.cache, snapshot=snapshot, count=count
        )
    tell(
        events.BackupDrilled(
            at=clock.now_us(),
            trace=tell.new_id(),
            actor=actor,
            snapshot=done.snapshot,
            messages=done.messages,
            compared=done.compared,
            failed=len(done.failed),
        )
    )
    return done

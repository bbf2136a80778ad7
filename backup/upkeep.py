"""What commands and the jobs role do alike to keep a repository in order, with the events."""

from collections.abc import Sequence
from functools import partial

from backup import catalog, holds, retention
from backup import forget as forgetting
from backup.locks import Lock
from backup.runs import Tell
from mtad import clock
from mtad.config import Loaded
from mtad.errors import MtadError
from tracing import events


def forget(
    loaded: Loaded,
    tell: Tell,
    *,
    names: Sequence[str] = (),
    keep: str = "",
    dry_run: bool = False,
    actor: str = "backup",
) -> list[retention.Verdict]:
    """Forget what no rule keeps, or what is named, with an event for each. Raises MtadError."""
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

    with catalog.open_repository(loaded) as store, Lock(store.folder):
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

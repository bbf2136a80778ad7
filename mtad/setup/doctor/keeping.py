"""Does mail leave, are there snapshots that were verified, do the books balance."""

from collections.abc import Iterable
from contextlib import closing

from backup import ages
from mtad import clock, ledger
from mtad.config import Loaded
from mtad.setup import status
from mtad.setup.doctor.check import Check, Verdict, judged, unknown
from tracing import ids, waiting
from tracing.event import kind_of
from tracing.events import BackupVerified
from tracing.queries import Log

HOUR = 3_600_000_000
WARN_QUEUE_HOURS = 4
SNAPSHOT_HOURS, LOST_HOURS = 26, 72
VERIFY_DAYS = 35


def queue(loaded: Loaded) -> Iterable[Check]:
    """How long the oldest message has waited. Raises as the log does."""
    oldest = waiting.oldest(loaded.places.log)
    hours = (clock.now_us() - ids.time_us(oldest)) / HOUR if oldest else 0.0
    measured = f"oldest {hours:.1f} h" if oldest else "nothing waits"
    cause = "" if hours <= WARN_QUEUE_HOURS else "mail has not left for hours"
    yield judged("queue.age", measured, f"at most {WARN_QUEUE_HOURS} h", cause,
                 "'mtad queue' says what the others answered", verdict=Verdict.WARN)  # fmt: skip


def snapshots(loaded: Loaded) -> Iterable[Check]:
    """How old the last snapshot is. Raises OSError."""
    name, expected = "backup.age", f"at most {SNAPSHOT_HOURS} h"
    newest = ages.newest(loaded)
    fix = "take one with 'mtad snapshot create'; 'mtad status' says why the last failed"
    if not newest:
        yield judged(name, "none", expected, "there is no snapshot yet", fix, verdict=Verdict.WARN)
        return
    hours = max(0.0, clock.now_us() / HOUR - newest / 3600)
    cause = "" if hours <= SNAPSHOT_HOURS else "the daily snapshot was not taken"
    verdict = Verdict.BAD if hours > LOST_HOURS else Verdict.WARN
    yield judged(name, f"{hours:.1f} h", expected, cause, fix, verdict=verdict)


def verified(loaded: Loaded) -> Iterable[Check]:
    """What the last look at the repository found. Raises as the log does."""
    with closing(Log(loaded.places.log)) as log:
        since = clock.now_us() - VERIFY_DAYS * 24 * HOUR
        found = next(log.latest([kind_of(BackupVerified)], since, lambda _: True), None)
    measured, cause, verdict = (
        "not verified lately",
        "nobody knows that it can be read",
        Verdict.WARN,
    )
    if found is not None and isinstance(last := found.event, BackupVerified):
        measured, verdict = f"{last.damaged} damaged of {last.objects}", Verdict.BAD
        cause = "parts of the repository are damaged" if last.damaged else ""
    yield judged("backup.verify", measured, f"nothing damaged within {VERIFY_DAYS} days", cause,
                 "run 'mtad snapshot verify'", verdict=verdict)  # fmt: skip


def audit(loaded: Loaded) -> Iterable[Check]:
    """What the last audit found."""
    accounts = ledger.read(loaded.places)
    if not accounts.last_at:
        yield unknown("audit.books", "balanced", "not audited yet", "run 'mtad audit'")
        return
    balanced, line = status.balance(accounts)
    cause = "" if balanced else "something was lost or is told wrongly"
    yield judged("audit.books", line, "balanced", cause, "run 'mtad audit' and follow each line")

"""Imports as operations: which box, how much room, and events when they begin and end."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from backup.belongings import directory_of
from backup.operations import folder_of
from backup.runs import Tell
from mtad import address, clock
from mtad.config import Loaded
from mtad.errors import Locked, MtadError, NothingFound, UsageError
from mtad.journal import disk
from mtad.store.client import Boxes
from mtad.store.quota import Limits
from mtad.transfer.arriving import Incoming
from mtad.transfer.loading import Loading, Result, Wish
from mtad.transfer.sources import Source
from tracing import ids
from tracing.stored import ImportDone, ImportStart


@dataclass(frozen=True, slots=True)
class Import:
    """One import: who asks for it, and how its messages are to come in."""

    loaded: Loaded
    tell: Tell
    actor: str
    wish: Wish


def box_of(loaded: Loaded, text: str) -> str:
    """The address of a box there is. Raises UsageError, NothingFound."""
    try:
        box = str(address.parse(text))
    except ValueError as error:
        raise UsageError(str(error)) from None
    directory = directory_of(loaded)
    if directory is not None and not directory.is_box(box):
        raise NothingFound(f"there is no box {box}; 'mtad box add {box}' makes it")
    return box


def carry_out(
    job: Import,
    box: str,
    source: Source,
    progress: Callable[[Source, Result], None] = lambda source, result: None,
    handed_over: Callable[[Sequence[Incoming]], None] = lambda those: None,
) -> tuple[int, Result]:
    """Take a source into a box; returns the operation's id, and what was done.

    A dry run leaves no trace. Raises MtadError, OSError; what came in by then stays, and is told.
    """
    with alone(folder_of(job.loaded, box), box):
        return _carry_out(job, box, source, progress, handed_over)


def _carry_out(
    job: Import,
    box: str,
    source: Source,
    progress: Callable[[Source, Result], None],
    handed_over: Callable[[Sequence[Incoming]], None],
) -> tuple[int, Result]:
    loaded, wish = job.loaded, job.wish
    run = job.tell.new_id()
    directory = directory_of(loaded)
    limits = Limits(*directory.quota(box)) if directory else Limits()
    with Boxes(loaded) as boxes:
        loading = Loading(
            boxes,
            box,
            folder_of(loaded, box),
            wish,
            operation=ids.text(run),
            actor=job.actor,
            hostname=loaded.config.hostname,
            limits=limits,
            progress=lambda result: progress(source, result),
            handed_over=handed_over,
        )
        if wish.dry_run:
            return run, loading.run(source)
        common = {"trace": run, "addr": box, "actor": job.actor, "source": source.name[:500]}
        job.tell(ImportStart(at=clock.now_us(), **common))  # type: ignore[arg-type]
        why = "interrupted"
        try:
            loading.run(source)
            why = ""
        except (MtadError, OSError) as error:
            why = str(error)
            raise
        finally:
            done = loading.result
            job.tell(
                ImportDone(
                    at=clock.now_us(),
                    **common,  # type: ignore[arg-type]
                    imported=done.imported,
                    skipped=done.skipped,
                    failed=len(done.problems),
                    why=why,
                )
            )
    return run, loading.result


@contextlib.contextmanager
def alone(folder: Path, box: str) -> Iterator[None]:
    """One import into a box at a time: another could not see what this one is about to put.

    Raises Locked.
    """
    disk.make_folder(folder, 0o700)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Locked(f"another import into {box} is running; wait for its end") from None
    finally:
        os.close(descriptor)

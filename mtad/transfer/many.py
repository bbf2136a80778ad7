"""Imports being made: one, or those of many boxes, some at the same time."""

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from backup.operations import folder_of
from backup.show import emit, say
from backup.telling import telling
from mtad.cli_options import administrator
from mtad.config import Loaded
from mtad.errors import Exit, MtadError
from mtad.store import maildir, uses
from mtad.transfer import importing, show
from mtad.transfer.imap_source import ImapSource
from mtad.transfer.importing import Import
from mtad.transfer.loading import Result, Wish
from mtad.transfer.remembered import Remembered
from mtad.transfer.remote import Account, Pace
from mtad.transfer.sources import Source, open_source

SPOOLED = "mtad-import-"
"""How the name of a file begins that has what came on standard input."""
MOST_AT_ONCE = 6
"""Imports at the same time: each needs up to two journals of the sixteen for commands."""


@dataclass(frozen=True, slots=True)
class Job:
    """One import to be made: a path, or an account."""

    box: str
    source: str
    wish: Wish
    account: Account | None = None


class Many:
    """Imports being made, one box at a time or several at once; what fails stops no other."""

    def __init__(self, loaded: Loaded, form: str, pace: Pace, as_json: bool) -> None:
        self._loaded = loaded
        self._form = form
        self._pace = pace
        self._as_json = as_json
        self._actor = administrator()
        self._progress = show.Progress()
        self._done: list[tuple[Job, int | None, Result]] = []
        self._failed: list[tuple[Job, Exception]] = []

    def run(self, jobs: Sequence[Job], at_once: int) -> None:
        """Make them; with one alone its failure is raised."""
        try:
            if len(jobs) == 1:
                self._done.append(self._one(jobs[0]))
                return
            # A box takes one import at a time, so its imports follow one another.
            by_box: dict[str, list[Job]] = {}
            for job in jobs:
                by_box.setdefault(job.box, []).append(job)
            with ThreadPoolExecutor(at_once, "import") as pool:
                list(pool.map(self._several, by_box.values()))
        finally:
            self._progress.clear()

    def _several(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            try:
                self._done.append(self._one(job))
            except (MtadError, OSError) as error:
                self._failed.append((job, error))

    def _one(self, job: Job) -> tuple[Job, int | None, Result]:
        with telling(self._loaded) as tell, contextlib.closing(self._open(job)) as source:
            made = Import(self._loaded, tell, self._actor, job.wish)
            keep = source.handed_over if isinstance(source, ImapSource) else lambda those: None
            run, result = importing.carry_out(
                made, job.box, source, self._progress, keep if not job.wish.dry_run else _nothing
            )
        return replace(job, source=source.name), None if job.wish.dry_run else run, result

    def _open(self, job: Job) -> Source:
        if job.account is None:
            source = open_source(Path(job.source), self._form)
            if Path(job.source).name.startswith(SPOOLED):
                source.name = "standard input"
            return source
        folder = folder_of(self._loaded, job.box)
        remembered = Remembered(folder, f"{job.account} -> {job.wish.folder}")
        return ImapSource(job.account, self._pace, remembered, _used(folder))

    def tell(self, missing: Sequence[str], *, one_alone: bool) -> int:
        """Say what was done; returns the exit status."""
        done = sorted(self._done, key=lambda one: one[0].box)
        if self._as_json:
            rows = [show.fields(job.box, job.source, run, result) for job, run, result in done]
            failed = [
                {"box": job.box, "source": job.source, "why": str(error)}
                for job, error in self._failed
            ]
            first = rows[0] if one_alone else {"missing": list(missing), "failed": failed}
            is_dry = any(job.wish.dry_run for job, _, _ in done)
            emit({"dry_run": is_dry, **first, **({} if one_alone else {"imports": rows})})
        else:
            for job, run, result in done:
                show.show(job.box, run, result)
            for job, error in self._failed:
                say(f"{job.box} from {job.source}: {error}")
            for one in missing:
                say(f"not imported: {one}")
        problems = any(result.problems for _, _, result in done)
        return Exit.PARTIAL if problems or self._failed or missing else Exit.OK


def _nothing(those: object) -> None:
    """A dry run hands nothing over."""


def _used(folder: Path) -> dict[str, str]:
    """The mailboxes of a box that have a use (RFC 6154), by that use."""
    root = folder / "Maildir"
    if not root.is_dir():
        return {}
    written = {name: uses.read(root / sub) for name, sub in maildir.folders(root).items()}
    of_mailboxes = uses.of_mailboxes(written)
    return {use: name for name, those in of_mailboxes.items() for use in those}

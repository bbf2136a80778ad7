"""Carries out what is due about months that are over, one at a time, beside a running server.

The work is done on drafts beside the files; whoever owns the log lets a draft take its month's
place if nothing came to the month meanwhile. Each step is a line in the list of seals before and
after, and an event. A run that is killed leaves the month in one form or the other,
and the next one ends what it had begun.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Protocol

from tracing import months
from tracing.archive import building, digest, erasing, reducing, sealed, seals, swap
from tracing.archive.classes import Due, Form, Month
from tracing.archive.erasing import Found
from tracing.archive.late import LATE
from tracing.archive.person import Person
from tracing.archive.seals import Seal, What
from tracing.states import State
from tracing.waiting import OPEN_STATES

_FORMS: dict[str, Form] = {
    months.HOT: "hot",
    months.SEALED: "sealed",
    months.SUMMARY: "summary",
    months.COPIES: "copies",
}


class Owner(Protocol):
    """Who writes the log: its role, or this process where no server runs."""

    def replace(self, month: str, draft: Path, position: dict[str, bytes]) -> bool:
        """As ``Recorder.replace``."""

    def drop(self, month: str) -> bool:
        """As ``Recorder.drop``."""

    def forget(self) -> None:
        """As ``Recorder.forget``."""


class NotNow(Exception):
    """Something came to the month meanwhile, or it is the newest; another time."""


def survey(directory: Path) -> list[Month]:
    """Every month file and what matters to its keeping. Raises as ``months.open_reading`` does."""
    found = []
    for month in months.listing(directory):
        file = months.path(directory, month)
        with closing(months.open_reading(file)) as link:
            waiting = (
                f"SELECT count(*) FROM rcpt WHERE status IN ({OPEN_STATES}) "  # noqa: S608
                f"AND status!={int(State.HELD)}"
            )
            copies = "SELECT count(*) FROM st WHERE gone IS NULL"
            found.append(
                Month(
                    month,
                    _FORMS[file.suffix],
                    months.times(month)[1],
                    file.stat().st_size,
                    link.execute(waiting).fetchone()[0],
                    link.execute(copies).fetchone()[0],
                    bool(sealed.meta(link, LATE)),
                )
            )
    return found


class Keeper:
    """Does what is due. ``tell`` hears of each seal that was added, with the chain's new head.

    Everything may raise building.NotEqual, building.ChainBroken, seals.SealsBroken, NotNow,
    sqlite3.Error, OSError; what was there before is there then, or what was to be.
    """

    def __init__(
        self,
        directory: Path,
        owner: Owner,
        tell: Callable[[Seal, str, int], None],
        now: Callable[[], int],
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        self._directory = directory
        self._owner = owner
        self._tell = tell
        self._now = now
        self._pause = pause

    def recover(self) -> None:
        """End what an earlier run had begun: its line, or what it set aside."""
        known, _ = seals.read(self._directory)
        there = set(months.listing(self._directory))
        for month, (_, begun) in seals.latest(known).items():
            if begun is None:
                continue
            if month not in there:
                if begun.then == "dropped":
                    self._add(month, "dropped", "", 0)
                continue
            file = months.path(self._directory, month)
            if not months.is_hot(file) and begun.digest == self._digest(file):
                self._settle(month, begun)
        swap.finish(self._directory)

    def carry_out(self, due: Due) -> None:
        """Do one thing that is due and not blocked."""
        name = due.month.name
        match due.act:
            case "seal":
                self.seal(name)
            case "reseal":
                self.reseal(name, "late")
            case "summarise":
                self._reduce(name, months.SUMMARY, "summarised")
            case "reduce":
                self._reduce(name, months.COPIES, "reduced")
            case "drop":
                self._drop(name)

    def seal(self, month: str) -> None:
        """Give a hot month its sealed form."""
        before = months.path(self._directory, month)
        draft = swap.draft(self._directory, month, months.SEALED)
        position, events = building.build(before, draft, self._pause)
        self._put(month, draft, position, "sealed", events)

    def reseal(self, month: str, what: What) -> None:
        """Seal a month anew that changed since, in its place."""
        file = months.path(self._directory, month)
        position = swap.position(file)
        made = self._digest(file)
        begun = Seal(self._now(), month, "begun", made, int(position["sealed.seq"]), what)
        seals.add(self._directory, begun)
        with closing(sqlite3.connect(file, isolation_level=None, timeout=10)) as link:
            link.execute("BEGIN IMMEDIATE")
            if dict(link.execute("SELECT k, v FROM meta")) != position:
                raise NotNow(f"something came to {month} while it was being read")
            link.execute("DELETE FROM meta WHERE k=?", (LATE,))
            link.execute("COMMIT")
        self._settle(month, begun)

    def erase(self, month: str, person: Person) -> Found:
        """Take a person out of a month; of one that is over the seal says so."""
        found = erasing.erase(self._directory, month, person, self._pause)
        if not found.is_empty:
            self._owner.forget()
            is_hot = months.is_hot(months.path(self._directory, month))
            if not is_hot and months.IMPORTED not in month:
                self.reseal(month, "erased")
        return found

    def _reduce(self, month: str, form: str, what: What) -> None:
        before = months.path(self._directory, month)
        if months.is_hot(before):
            self.seal(month)
            before = months.path(self._directory, month)
        events = int(swap.position(before)["sealed.seq"])
        draft = swap.draft(self._directory, month, form)
        position = reducing.reduce(before, draft, copies_only=form == months.COPIES)
        self._put(month, draft, position, what, events)

    def _put(
        self, month: str, draft: Path, position: dict[str, bytes], what: What, events: int
    ) -> None:
        begun = Seal(self._now(), month, "begun", self._digest(draft, "immutable=1"), events, what)
        seals.add(self._directory, begun)
        if not self._owner.replace(month, draft, position):
            draft.unlink(missing_ok=True)
            raise NotNow(f"something came to {month} meanwhile, or it is the newest month")
        self._settle(month, begun)
        swap.finish(self._directory)

    def _drop(self, month: str) -> None:
        seals.add(self._directory, Seal(self._now(), month, "begun", then="dropped"))
        if not self._owner.drop(month):
            raise NotNow(f"{month} is the newest month")
        self._add(month, "dropped", "", 0)
        swap.finish(self._directory)

    def _settle(self, month: str, begun: Seal) -> None:
        self._add(month, begun.then, begun.digest, begun.events)  # type: ignore[arg-type]

    def _add(self, month: str, what: What, made: str, events: int) -> None:
        seal = Seal(self._now(), month, what, made, events)
        head = seals.add(self._directory, seal)
        file = months.path(self._directory, month)
        self._tell(seal, head, file.stat().st_size if file.exists() else 0)

    def _digest(self, file: Path, mode: str = "mode=ro") -> str:
        with closing(sqlite3.connect(f"file:{months.quoted(file)}?{mode}", uri=True)) as link:
            return digest.of(link, self._pause)

"""Are the months that are over as they were sealed? What is not is said month by month.

Each month's last seal is compared with the file: its digest, the month it says it is of, and that
it is there at all. A month whose digest is another month's was exchanged. The list of seals is a
chain of its own, and the events that told of its heads show whether its end was cut off.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tracing import months, retrieval
from tracing.archive import digest, sealed, seals
from tracing.archive.late import LATE
from tracing.archive.seals import Seal
from tracing.events import LogSealed, kind_of

Fault = Literal["altered", "missing", "exchanged", "unsealed", "unreadable", "list", "late"]
_ALWAYS = _ALL = (0, 1 << 62)
_MOST = 10_000
"""Events about seals in one month that are looked at."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a month, or about the list ("")."""

    month: str
    fault: Fault
    text: str

    @property
    def is_harmless(self) -> bool:
        """Whether it is only told."""
        return self.fault == "late"


def findings(
    directory: Path, only: Sequence[str] = (), pause: Callable[[], None] = lambda: None
) -> Iterator[Finding]:
    """What is wrong, of all months or some."""
    try:
        known, head = seals.read(directory)
    except seals.SealsBroken as error:
        yield Finding("", "list", str(error))
        return
    yield from _told(directory, known, head)
    last = seals.latest(known)
    there = set(months.listing(directory))
    for month in sorted(last.keys() | there):
        if not only or month in only:
            seal, begun = last.get(month, (None, None))
            file = months.path(directory, month) if month in there else None
            yield from _month(month, file, seal, begun, known, pause)


def _month(
    month: str,
    file: Path | None,
    seal: Seal | None,
    begun: Seal | None,
    known: Sequence[Seal],
    pause: Callable[[], None],
) -> Iterator[Finding]:
    if file is None:
        if seal is not None and seal.what != "dropped" and not (begun and begun.then == "dropped"):
            yield Finding(month, "missing", f"it was {seal.what} and its file is gone")
    elif months.is_hot(file):
        if seal is not None and seal.what != "dropped":
            yield Finding(month, "exchanged", f"it was {seal.what} and is there as if it never was")
    elif seal is None and begun is None:
        yield Finding(month, "unsealed", "the list of seals does not know its file")
    else:
        yield from _content(month, file, {one.digest for one in (seal, begun) if one}, known, pause)


def _content(
    month: str,
    file: Path,
    digests: set[str],
    known: Sequence[Seal],
    pause: Callable[[], None],
) -> Iterator[Finding]:
    try:
        with closing(months.open_reading(file)) as link:
            of = sealed.meta(link, "month").decode("utf-8", "replace")
            late = sealed.meta(link, LATE)
            found = digest.of(link, pause)
    except (sqlite3.Error, OSError, ValueError, months.NewerVersion) as error:
        yield Finding(month, "unreadable", f"its file cannot be read: {error}")
        return
    others = {one.digest: one.month for one in known if one.month != month}
    if found in digests and of == month:
        return
    if of != month or found in others:
        yield Finding(month, "exchanged", f"its file is that of {others.get(found, of)}")
    elif late:
        count = int(late) if late.isdigit() else 0
        text = f"{count} events came late; it is sealed anew by the next 'mtad log retention'"
        yield Finding(month, "late", text)
    else:
        yield Finding(month, "altered", "it is not as it was sealed")


def _told(directory: Path, known: Sequence[Seal], head: str) -> Iterator[Finding]:
    """Whether every head that an event told of is in the list."""
    heads = {seal.before for seal in known} | {head}
    for month in months.listing(directory):
        try:
            with closing(months.open_reading(months.path(directory, month))) as link:
                told = retrieval.of_kinds(link, (kind_of(LogSealed),), _ALWAYS, _ALL, _MOST)
        except (sqlite3.Error, OSError, ValueError, months.NewerVersion):
            continue  # which is a finding of its own where the month was sealed
        for _, event in told:
            if isinstance(event, LogSealed) and event.head and event.head not in heads:
                text = f"the list of seals lacks what became of {event.month}: {event.what}"
                yield Finding(event.month, "list", text)

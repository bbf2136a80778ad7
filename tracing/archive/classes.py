"""How long what is kept, and what is therefore due today (PURE).

There are three classes. *Details* are events: who said what, when. *Summaries* are the rows of
messages, recipients and copies that lists and questions go by. *Counters* are messages by hour and
state, which go with the summaries. Of messages that are still in boxes the rows that say so stay.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

DAY_US = 86_400_000_000

Act = Literal["seal", "reseal", "summarise", "reduce", "drop"]
Form = Literal["hot", "sealed", "summary", "copies"]


@dataclass(frozen=True, slots=True)
class Rules:
    """Days after a month's end; 0 stands for never."""

    seal: int = 7
    details: int = 395
    summaries: int = 1095


@dataclass(frozen=True, slots=True)
class Month:
    """A month file: its form, its end in microseconds, what stands in the way of its next form.

    ``late`` came after the seal; ``waiting`` recipients are open, ``copies`` are still stored.
    """

    name: str
    form: Form
    end: int
    octets: int = 0
    waiting: int = 0
    copies: int = 0
    late: bool = False


@dataclass(frozen=True, slots=True)
class Due:
    """Something to be done about a month; with ``blocked`` set, why not yet."""

    act: Act
    month: Month
    blocked: str = ""


def due(months: Iterable[Month], rules: Rules, now: int) -> list[Due]:
    """What is due now (microseconds), oldest month first; never anything about the newest."""
    found: list[Due] = []
    for month in sorted(months, key=lambda one: one.name)[:-1]:
        found += _of(month, rules, now)
    return found


def _of(month: Month, rules: Rules, now: int) -> list[Due]:
    def is_over(days: int) -> bool:
        return days > 0 and month.end + days * DAY_US <= now

    waiting = f"{month.waiting} recipients still wait in the queue" if month.waiting else ""
    if is_over(rules.summaries):
        if not month.copies:
            return [Due("drop", month, waiting)]
        # What is in a box has its row as long as it is there, or nobody could say whose it is.
        return [] if month.form == "copies" else [Due("reduce", month, waiting)]
    found: list[Due] = []
    if month.form == "hot":
        if not is_over(rules.seal):
            return []
        found.append(Due("seal", month, waiting))
        if waiting:
            return found
    elif month.late:
        found.append(Due("reseal", month))
    if month.form in ("hot", "sealed") and is_over(rules.details):
        found.append(Due("summarise", month))
    return found

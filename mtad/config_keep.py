"""How long snapshots are kept, as the settings say it: ``daily 14, weekly 8, within 30 days``.

PURE. A policy is a list of rules; a snapshot stays as long as any rule wants it.
"""

import re
from dataclasses import dataclass

PERIODS = ("hourly", "daily", "weekly", "monthly", "yearly")
"""Rules that keep the last snapshot of each of so many hours, days, weeks, months, years."""
MAX_COUNT = 100_000
EVERYTHING = "all"
_UNITS = {"h": 3600, "d": 86_400, "w": 604_800, "m": 31 * 86_400, "y": 366 * 86_400}
_NAMES = {"h": "hour", "d": "day", "w": "week", "m": "month", "y": "year"}
_SPAN = re.compile(r"(\d{1,6})\s*(h|d|w|m|y|hours?|days?|weeks?|months?|years?)")
_COUNT = re.compile(rf"(last|{'|'.join(PERIODS)})\s+(\d{{1,6}})")
HINT = (
    'write it like "last 7, daily 14, weekly 8, monthly 12, yearly 3, within 30 days", '
    f'or "{EVERYTHING}" to keep everything'
)


@dataclass(frozen=True, slots=True)
class Policy:
    """Which snapshots stay. ``within`` is in seconds before the newest, 0 for no such rule."""

    everything: bool = False
    last: int = 0
    periods: tuple[tuple[str, int], ...] = ()
    within: int = 0
    within_text: str = ""


def parse(text: str) -> Policy:
    """The policy a text spells. Raises ValueError for what is none, and for an empty one."""
    if text.strip().lower() == EVERYTHING:
        return Policy(everything=True)
    counts: dict[str, int] = {}
    within, within_text = 0, ""
    for part in filter(None, (each.strip().lower() for each in text.split(","))):
        if count := _COUNT.fullmatch(part):
            name, number = count[1], int(count[2])
            if name in counts or not 0 < number <= MAX_COUNT:
                raise ValueError(f"{part!r} comes twice or is no number above 0; {HINT}")
            counts[name] = number
        elif not within and (
            span := _SPAN.fullmatch(part.removeprefix("within ").strip())
            if part.startswith("within ")
            else None
        ):
            number, unit = int(span[1]), span[2][0]
            within = number * _UNITS[unit]
            within_text = f"{number} {_NAMES[unit]}{'' if number == 1 else 's'}"
        else:
            raise ValueError(f"{part!r} is no rule; {HINT}")
    if not counts and not within:
        raise ValueError(f"a rule is needed; {HINT}")
    periods = tuple((name, counts[name]) for name in PERIODS if name in counts)
    return Policy(False, counts.get("last", 0), periods, within, within_text)


def parse_for(line: str) -> tuple[str, Policy]:
    """A domain or a box and its policy: ``alpha.example: daily 7``. Raises ValueError."""
    whose, colon, rules = line.partition(":")
    whose = whose.strip().lower().removeprefix("@")
    if not colon or not whose or " " in whose:
        raise ValueError(f'{line!r} is not "DOMAIN: RULES" or "BOX@DOMAIN: RULES"')
    return whose, parse(rules)

"""When snapshots are taken, as the settings say it: ``alpha.example: every 15 minutes``.

PURE. A schedule is a span that begins anew at the same moments whenever the server was started,
or fields of cron; times are local.
"""

import re
from dataclasses import dataclass

EVERYTHING = "all"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONG = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_UNITS = {"minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
_EVERY = re.compile(r"every (?:(\d{1,4}) )?(minute|hour|day|week)s?", re.ASCII)
_CLOCK = r"(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)"
_HOURLY = re.compile(r"hourly(?: at :?(?P<minute>[0-5]\d))?", re.ASCII)
_DAILY = re.compile(rf"daily(?: at {_CLOCK})?", re.ASCII)
_WEEKLY = re.compile(
    rf"(?:weekly on |on |every )?(?P<day>{'|'.join(_LONG)})s?(?: at {_CLOCK})?", re.ASCII
)
_MONTHLY = re.compile(rf"monthly(?: on (?P<day>[1-9]|1\d|2[0-8]))?(?: at {_CLOCK})?", re.ASCII)
_PART = re.compile(r"(?:\*|([a-z]+|\d+)(?:-([a-z]+|\d+))?)(?:/(\d+))?", re.ASCII)
AT = "03", "00"
"""The hour and minute of what says none."""
MIN_SECONDS, MAX_SECONDS = 60, 366 * 86_400
HINT = (
    'write it like "every 15 minutes", "hourly", "daily at 03:00", "monday at 03:00", '
    '"monthly on 1 at 03:00", or as the five fields of cron, "30 */2 * * mon-fri"'
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Every so many ``seconds``; where these are 0, at the times that ``cron`` fits.

    ``cron`` is minute, hour, day of the month, month, day of the week by name.
    """

    seconds: int = 0
    cron: tuple[str, str, str, str, str] = ("*", "*", "*", "*", "*")


@dataclass(frozen=True, slots=True)
class Planned:
    """A line of the settings: of what, and when. ``whose`` is a domain or a box, or "all"."""

    whose: str
    when: Schedule
    text: str

    @property
    def box(self) -> str | None:
        """The box that it is about, if it is one."""
        return self.whose if "@" in self.whose else None

    @property
    def domain(self) -> str | None:
        """The domain that it is about, if it is one."""
        return None if "@" in self.whose or self.whose == EVERYTHING else self.whose


def parse_for(line: str) -> Planned:
    """A target and its schedule. Raises ValueError for what is none."""
    whose, colon, when = line.partition(":")
    whose = whose.strip().lower().removeprefix("@")
    if not colon or not whose or " " in whose:
        raise ValueError(f'{line!r} is not "{EVERYTHING}: WHEN", "DOMAIN: WHEN" or "BOX: WHEN"')
    return Planned(whose, parse(when), " ".join(when.split()))


def parse(text: str) -> Schedule:
    """The schedule a text spells. Raises ValueError for what is none."""
    said = " ".join(text.lower().split())
    fields = said.removeprefix("cron ").split(" ")
    if found := _EVERY.fullmatch(said):
        seconds = int(found[1] or 1) * _UNITS[found[2]]
        if not MIN_SECONDS <= seconds <= MAX_SECONDS:
            raise ValueError(f"{said!r} is not from every minute to every 366 days")
        return Schedule(seconds)
    if found := _HOURLY.fullmatch(said):
        return Schedule(cron=(found["minute"] or AT[1], "*", "*", "*", "*"))
    if found := _DAILY.fullmatch(said):
        return Schedule(cron=(*_clock(found), "*", "*", "*"))
    if found := _WEEKLY.fullmatch(said):
        return Schedule(cron=(*_clock(found), "*", "*", found["day"][:3]))
    if found := _MONTHLY.fullmatch(said):
        return Schedule(cron=(*_clock(found), found["day"] or "1", "*", "*"))
    if len(fields) == 5:
        minute, hour, day, month, weekday = fields
        return Schedule(
            cron=(
                _field(minute, 0, 59),
                _field(hour, 0, 23),
                _field(day, 1, 31),
                _field(month, 1, 12, MONTHS),
                _weekdays(weekday),
            )
        )
    raise ValueError(f"{said!r} is no time; {HINT}")


def _clock(found: "re.Match[str]") -> tuple[str, str]:
    return found["minute"] or AT[1], found["hour"] or AT[0]


def _field(text: str, low: int, high: int, words: tuple[str, ...] = ()) -> str:
    """A field of cron, checked. Raises ValueError."""
    for part in text.split(","):
        _range(part, low, high, words)
    return text


def _range(part: str, low: int, high: int, words: tuple[str, ...]) -> tuple[int, int, int]:
    """First, last and step of a part of a field."""
    found = _PART.fullmatch(part)
    if found is None:
        raise ValueError(f"{part!r} is no part of a field of cron; {HINT}")
    first = low if found[1] is None else _value(found[1], low, words)
    last = first if found[2] is None else _value(found[2], low, words)
    if found[1] is None or (found[2] is None and found[3]):
        last = high
    step = int(found[3] or 1)
    if not (low <= first <= last <= high and 0 < step <= high):
        raise ValueError(f"{part!r} is not within {low} to {high}; {HINT}")
    return first, last, step


def _value(text: str, low: int, words: tuple[str, ...]) -> int:
    if text.isdigit():
        return int(text)
    if text in words:
        return words.index(text) + low
    raise ValueError(f"{text!r} is no part of a field of cron; {HINT}")


def _weekdays(text: str) -> str:
    """Days by name: in cron 0 and 7 are Sunday, which schedulers count otherwise."""
    if text == "*":
        return text
    names = ("sun", *DAYS)
    found: set[int] = set()
    for part in text.split(","):
        first, last, step = _range(part, 0, 7, names)
        found |= {day % 7 for day in range(first, min(last, 6 if part[0] == "*" else 7) + 1, step)}
    return ",".join(names[day] for day in sorted(found))

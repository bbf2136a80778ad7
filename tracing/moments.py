"""Times as people write them in a query (PURE).

``15m 3h 2d 1w now today yesterday 14:20 20.11 20.11.2026 2026-11-20 2026-11-20T14:00+03:00``,
and the same in Russian: ``15м 2ч 3д 1н сейчас сегодня вчера``.
"""

import re
from datetime import UTC, datetime, timedelta, tzinfo

HINT = "write 15m, 3h, 2d, 1w, today, yesterday, 14:20, 20.11, 2026-11-20 or 2026-11-20T14:00"

_UNITS = {
    **dict.fromkeys("sс", 1),
    **dict.fromkeys("mм", 60),
    **dict.fromkeys("hч", 3600),
    **dict.fromkeys("dд", 86_400),
    **dict.fromkeys("wн", 604_800),
}
_DAYS = {"today": 0, "сегодня": 0, "yesterday": 1, "вчера": 1}
_NOW = ("now", "сейчас")
_AGO = re.compile(rf"(\d{{1,9}})([{''.join(_UNITS)}])")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?")
_DATE = re.compile(r"(\d{1,2})\.(\d{1,2})(?:\.(\d{4}))?")


def duration(text: str) -> int | None:
    """Seconds that a text such as ``15m`` says, None where it says none."""
    found = _AGO.fullmatch(text.lower())
    return int(found[1]) * _UNITS[found[2]] if found else None


def moment(text: str, now_us: int, zone: tzinfo | None) -> datetime:
    """When that is; times without an offset are in ``zone`` (None: local).

    Raises ValueError and OverflowError for what is no time.
    """
    value = text.strip().lower()
    now = datetime.fromtimestamp(now_us / 1_000_000, UTC).astimezone(zone)
    if (ago := duration(value)) is not None:
        return now - timedelta(seconds=ago)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if value in _NOW:
        return now
    if value in _DAYS:
        return _local(midnight - timedelta(days=_DAYS[value]), zone)
    if clock := _CLOCK.fullmatch(value):
        hour, minute, second = int(clock[1]), int(clock[2]), int(clock[3] or 0)
        when = _local(midnight.replace(hour=hour, minute=minute, second=second), zone)
        return when if when <= now else _local(when - timedelta(days=1), zone)
    if date := _DATE.fullmatch(value):
        return _date(int(date[1]), int(date[2]), date[3], midnight, zone)
    when = datetime.fromisoformat(text.strip())
    return _local(when, zone) if when.tzinfo is None else when


def _date(
    day: int, month: int, year: str | None, midnight: datetime, zone: tzinfo | None
) -> datetime:
    """A day of a month: without a year, the last one that has begun."""
    if year:
        return _local(midnight.replace(year=int(year), month=month, day=day), zone)
    for back in range(9):  # the 29th of February comes once in four or eight years
        try:
            when = midnight.replace(year=midnight.year - back, month=month, day=day)
        except ValueError:
            continue
        if when <= midnight:
            return _local(when, zone)
    raise ValueError(f"there is no day {day}.{month}")


def whole_day(when: datetime, zone: tzinfo | None) -> tuple[datetime, datetime]:
    """The day a moment is in: its beginning and that of the next."""
    here = when.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return _local(here, zone), _local(here + timedelta(days=1), zone)


def whole_minute(when: datetime) -> tuple[datetime, datetime]:
    """The minute a moment is in: its beginning and that of the next."""
    begin = when.replace(second=0, microsecond=0)
    return begin, begin + timedelta(minutes=1)


def microseconds(when: datetime) -> int:
    """Microseconds since the Unix epoch."""
    return int(when.timestamp()) * 1_000_000 + when.microsecond


def _local(when: datetime, zone: tzinfo | None) -> datetime:
    """A wall-clock time in the zone, with the offset in force then."""
    naive = when.replace(tzinfo=None)
    return naive.astimezone() if zone is None else naive.replace(tzinfo=zone)

"""Dates and times as commands and answers write them (RFC 9051 9; PURE)."""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_MONTH = {name.upper(): number for number, name in enumerate(MONTHS, 1)}
_DAY = re.compile(r"([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})")
_TIME = re.compile(
    r"( ?[0-9]|[0-9]{2})-([A-Za-z]{3})-([0-9]{4}) "
    r"([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-5][0-9])"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def day(text: str) -> date:
    """``1-Feb-1994``. Raises ValueError."""
    found = _DAY.fullmatch(text)
    if found is None or found[2].upper() not in _MONTH:
        raise ValueError("not a date")
    return date(int(found[3]), _MONTH[found[2].upper()], int(found[1]))


def moment(text: str) -> int:
    """Microseconds since the epoch of `` 1-Feb-1994 21:52:25 -0800``. Raises ValueError."""
    found = _TIME.fullmatch(text)
    if found is None or found[2].upper() not in _MONTH:
        raise ValueError("not a date and time")
    zone = timedelta(hours=int(found[8]), minutes=int(found[9]))
    at = datetime(
        int(found[3]),
        _MONTH[found[2].upper()],
        int(found[1]),
        int(found[4]),
        int(found[5]),
        min(int(found[6]), 59),  # a leap second
        tzinfo=timezone(-zone if found[7] == "-" else zone),
    )
    if int(found[6]) > 60:
        raise ValueError("not a time")
    return (at - _EPOCH) // _MICROSECOND


def written(at_us: int, offset_minutes: int = 0) -> bytes:
    """A quoted date and time; ``offset_minutes`` is the zone it is told in."""
    days, rest = divmod(at_us // 1_000_000 + offset_minutes * 60, 86_400)
    minutes, seconds = divmod(rest, 60)
    zone = 100 * (abs(offset_minutes) // 60) + abs(offset_minutes) % 60
    return b'"%b %02d:%02d:%02d %b%04d"' % (
        _day_written(days),
        minutes // 60,
        minutes % 60,
        seconds,
        b"-" if offset_minutes < 0 else b"+",
        zone,
    )


@lru_cache(1024)
def _day_written(days: int) -> bytes:
    """A day by its number since the epoch; the first or the last where a year has five digits."""
    at = date.fromordinal(min(max(days + _EPOCH.toordinal(), 1), date.max.toordinal()))
    return b"%2d-%b-%04d" % (at.day, MONTHS[at.month - 1].encode("ascii"), at.year)

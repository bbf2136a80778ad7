"""Dates and times as commands and answers write them (RFC 9051 9; PURE)."""

import re
from datetime import UTC, date, datetime, timedelta, timezone

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_MONTH = {name.upper(): number for number, name in enumerate(MONTHS, 1)}
_DAY = re.compile(r"([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})")
_TIME = re.compile(
    r"( [0-9]|[0-9]{2})-([A-Za-z]{3})-([0-9]{4}) "
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


def written(at_us: int, offset_seconds: int = 0) -> bytes:
    """A quoted date and time; ``offset_seconds`` is the zone it is told in."""
    zone = timezone(timedelta(seconds=offset_seconds))
    try:
        at = (_EPOCH + timedelta(microseconds=at_us)).astimezone(zone)
    except OverflowError:
        at = _EPOCH
    sign = "-" if offset_seconds < 0 else "+"
    hours, minutes = divmod(abs(offset_seconds) // 60, 60)
    return (
        f'"{at.day:2}-{MONTHS[at.month - 1]}-{at.year:04} {at.hour:02}:{at.minute:02}:'
        f'{at.second:02} {sign}{hours:02}{minutes:02}"'
    ).encode("ascii")

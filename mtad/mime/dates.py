"""Dates of header fields, as well as they can be read (RFC 5322 3.3 and 4.3; PURE)."""

import re
from calendar import timegm

_MONTHS = {
    name: number
    for number, name in enumerate(
        (b"jan", b"feb", b"mar", b"apr", b"may", b"jun",
         b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"),
        1,
    )
}  # fmt: skip
_ZONES = {b"ut": 0, b"gmt": 0, b"utc": 0, b"z": 0, b"est": -300, b"edt": -240, b"cst": -360,
          b"cdt": -300, b"mst": -420, b"mdt": -360, b"pst": -480, b"pdt": -420,
          b"msk": 180, b"msd": 240, b"cet": 60, b"cest": 120, b"bst": 60, b"jst": 540}  # fmt: skip
_TIME = rb"(\d{1,2})[:.](\d{1,2})(?:[:.](\d{1,2})(?:\.\d{1,9})?)?[ ]?(am|pm)?"
_ZONE = rb"(?:\s{0,9}(?:([+-])(\d{2}):?(\d{2})|\(?([a-z]{1,5})\)?))?"
_SENT = re.compile(
    rb"(\d{1,2})[\s-]{1,9}([a-z]{3})[a-z]{0,6}\.?,?[\s-]{1,9}(\d{2,4}),?\s{1,9}" + _TIME + _ZONE,
    re.I,
)
_CTIME = re.compile(
    rb"([a-z]{3})[a-z]{0,6}\s{1,9}(\d{1,2}),?\s{1,9}" + _TIME
    + rb"(?:\s{1,9}[a-z]{3,5})?\s{1,9}(\d{4})" + _ZONE, re.I,
)  # fmt: skip
_ISO = re.compile(rb"(\d{4})-(\d{2})-(\d{2})[t ]" + _TIME + _ZONE, re.I)
_DAY_ONLY = re.compile(rb"(\d{1,2})[\s-]{1,9}([a-z]{3})[a-z]{0,6}\.?,?[\s-]{1,9}(\d{2,4})", re.I)
_LOOKED_AT = 200


def sent(value: bytes) -> tuple[int, int] | None:
    """A Date: seconds since the epoch (UTC), and its zone in seconds east of it.

    None where there is no date to be made out. A missing or unknown zone is UTC. The zone is
    needed where clients ask for the day as the sender saw it (SEARCH SENTON).
    """
    value = value[:_LOOKED_AT]
    if found := _SENT.search(value):
        day, month, year, *time = found.groups()
    elif found := _ISO.search(value):
        year, month, day, *time = found.groups()
    elif found := _CTIME.search(value):
        month, day, hour, minute, second, half, year, *zone = found.groups()
        time = [hour, minute, second, half, *zone]
    elif found := _DAY_ONLY.search(value):
        day, month, year = found.groups()
        time = [b"0", b"0", None, None, None, None, None, None]
    else:
        return None
    number = _MONTHS.get(month.lower()) if not month.isdigit() else int(month)
    return None if number is None else _moment(_year(year), number, int(day), *time)


def _year(written: bytes) -> int:
    """RFC 5322 4.3: two digits are of 1950 to 2049, three count from 1900."""
    year = int(written)
    if len(written) == 2:
        return year + (2000 if year < 50 else 1900)
    return year + 1900 if len(written) == 3 else year


def _moment(
    year: int,
    month: int,
    day: int,
    hour: bytes,
    minute: bytes,
    second: bytes | None,
    half: bytes | None,
    sign: bytes | None,
    zone_hours: bytes | None,
    zone_minutes: bytes | None,
    name: bytes | None,
) -> tuple[int, int] | None:
    hours = int(hour)
    if half is not None:
        hours = hours % 12 + 12 * (half.lower() == b"pm")
    seconds = min(int(second or b"0"), 59)
    if not (1 <= month <= 12 and 1 <= day <= 31 and hours <= 24 and int(minute) <= 59):
        return None
    zone = 0
    if sign is not None and zone_hours is not None and zone_minutes is not None:
        minutes = int(zone_hours) * 60 + int(zone_minutes)
        # beyond any zone there is: a typing error, and UTC (RFC 5322 4.3)
        zone = (minutes if sign == b"+" else -minutes) * 60 if minutes < 24 * 60 else 0
    elif name is not None:
        zone = _ZONES.get(name.lower(), 0) * 60
    if not 1900 <= year <= 9999:
        return None
    return timegm((year, month, day, hours, int(minute), seconds)) - zone, zone

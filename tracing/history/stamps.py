"""When a line of a log was written: the times of syslog and of Exim (PURE).

The old times of syslog (RFC 3164) have neither year nor zone. The first line's year is the
latest that does not lie in the future of its file; where the months begin again, so does a
year. Times without an offset are in the zone given, else in that of this machine.
"""

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo

_MONTHS = {
    name: number
    for number, name in enumerate(
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
        1,
    )
}
_BSD = re.compile(r"(?:<\d{1,3}>)?([A-Z][a-z]{2}) ([ \d]\d) (\d\d):(\d\d):(\d\d) ")
_ISO = re.compile(
    r"(?:<\d{1,3}>)?(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?"
    r"(?: ?(Z|[+-]\d\d:?\d\d))? "
)
_HALF_A_YEAR = 180
_DAY = timedelta(days=1)


class Stamps:
    """Reads the times of one file, in its order.

    ``until`` is when the file was last written; ``year`` that of its first line, where known.
    """

    def __init__(self, until: datetime, zone: tzinfo | None = None, year: int | None = None):
        self._until = until.astimezone(zone)
        self._zone = zone
        self._year = year
        self._last: date | None = None
        self._minute: tuple[tuple[int, int, int, int, int], int] = ((0, 0, 0, 0, 0), 0)

    def read(self, line: str) -> tuple[int, str] | None:
        """The time in microseconds since the Unix epoch, and the rest of the line.

        None for a line that begins with no time. Raises ValueError for a time there is not.
        """
        if found := _ISO.match(line):
            year, month, day, hour, minute, second = map(int, found.groups()[:6])
            micro = int((found[7] or "0").ljust(6, "0")[:6])
            offset = found[8]
            if offset:
                when = datetime(year, month, day, hour, minute, 0, tzinfo=_offset(offset))
                at = _microseconds(when)
            else:
                at = self._at(year, month, day, hour, minute)
        elif found := _BSD.match(line):
            name, *numbers = found.groups()
            day, hour, minute, second = map(int, numbers)
            month, micro = _MONTHS.get(name, 0), 0
            at = self._at(self._year_of(month, day), month, day, hour, minute)
        else:
            return None
        if second > 60:
            raise ValueError("there is no such second")
        return at + second * 1_000_000 + micro, line[found.end() :]

    def _at(self, *minute: int) -> int:
        """The beginning of a minute in the zone, in microseconds."""
        key = (minute[0], minute[1], minute[2], minute[3], minute[4])
        if self._minute[0] != key:
            naive = datetime(*key)  # noqa: DTZ001 - its zone is the next line's business
            when = naive.astimezone() if self._zone is None else naive.replace(tzinfo=self._zone)
            self._minute = key, _microseconds(when)
        return self._minute[1]

    def _year_of(self, month: int, day: int) -> int:
        if self._year is None:
            last = (self._until + _DAY).date()
            self._year = next(
                (
                    year
                    for year in range(last.year, last.year - 9, -1)
                    if _fits(year, month, day, last)
                ),
                last.year,
            )
        here = date(self._year, month, day)
        if self._last is not None and (self._last - here).days > _HALF_A_YEAR:
            self._year += 1
            here = date(self._year, month, day)
        elif self._last is not None and (here - self._last).days > _HALF_A_YEAR:
            return self._year - 1  # a straggler of December among January's lines
        self._last = here
        return self._year


def _fits(year: int, month: int, day: int, last: date) -> bool:
    try:
        return date(year, month, day) <= last
    except ValueError:
        return False


def _offset(text: str) -> tzinfo:
    if text == "Z":
        return UTC
    sign = -1 if text[0] == "-" else 1
    hours, minutes = int(text[1:3]), int(text[-2:])
    return timezone(sign * timedelta(hours=hours, minutes=minutes))


def _microseconds(when: datetime) -> int:
    return int(when.timestamp()) * 1_000_000

"""How values become text of a known width on the screen.

Everything that comes from data passes ``tracing.render.safe`` here, so that what is measured
is what is shown and no control character reaches the terminal.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo

from rich.cells import cell_len as cell_len
from rich.cells import set_cell_size

from tracing import render
from tracing.render import safe
from tui.lang import N_, _, language, ngettext

MAX_TEXT = 4096
"""Characters of one value that are looked at; no screen is wider."""

_MONTHS = (
    N_("Jan"), N_("Feb"), N_("Mar"), N_("Apr"), N_("May"), N_("Jun"),
    N_("Jul"), N_("Aug"), N_("Sep"), N_("Oct"), N_("Nov"), N_("Dec"),
)  # fmt: skip
"""Three letters in every language, so that columns keep their width."""
_UNITS = (N_("B"), N_("kB"), N_("MB"), N_("GB"), N_("TB"), N_("PB"))

_ALONE = (
    dict.fromkeys((0x200C, 0x200D, *range(0xFE00, 0xFE10), *range(0x1F3FB, 0x1F400)), "")
    | dict.fromkeys(range(0xE0100, 0xE01F0), "")
    | {0x1F1E6 + number: chr(0x41 + number) for number in range(26)}
)
"""Joiners, variation selectors and skin tones go, flags become their letters.

Programs differ in how many cells a sequence of these takes; what is left takes as many as its
characters do one by one, in the terminal as in our count.
"""


def clean(text: str, limit: int = MAX_TEXT) -> str:
    """Text from data as it may be shown: no control character, bounded, never markup."""
    shown = safe(text[:limit])
    if not shown.isascii():
        shown = shown.translate(_ALONE)
    return shown if len(text) <= limit else shown + "…"


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Exactly ``width`` cells of already clean text: cut with an ellipsis or padded."""
    if width <= 0:
        return ""
    length = cell_len(text)
    if length > width:
        return set_cell_size(set_cell_size(text, width - 1).rstrip() + "…", width)
    return " " * (width - length) + text if right else text + " " * (width - length)


def cell(text: str, width: int, *, right: bool = False) -> str:
    """Text from data, cleaned and in exactly ``width`` cells."""
    return fit(clean(text, 4 * max(width, 1)), width, right=right)


def wrap(text: str, width: int) -> Iterable[str]:
    """Already clean text cut into lines of at most ``width`` cells; never no line at all.

    Lines end after a space where that leaves them more than half full.
    """
    line, used = "", 0
    for char in text:
        if used + cell_len(char) > width and line:
            space = line.rfind(" ") + 1
            end = space if space > len(line) // 2 else len(line)
            yield line[:end]
            line = line[end:]
            used = cell_len(line)
        line += char
        used += cell_len(char)
    yield line


def number(value: int) -> str:
    """A whole number with its thousands apart, by the language's sign."""
    return f"{value:,}".replace(",", "\u00a0" if language() == "ru" else ",")


def size(octets: int) -> str:
    """So many octets, in the unit that suits."""
    value, _space, unit = render.size(octets).partition(" ")
    return f"{decimal(value)} {_(unit)}"


def decimal(value: str) -> str:
    """A number's text with the language's decimal sign."""
    return value.replace(".", ",") if language() == "ru" else value


def counted(value: int, one: str, many: str) -> str:
    """A number in the form of a text that it asks for; both have ``{}`` where it stands."""
    return ngettext(one, many, value).format(number(value))


def moment(at_us: int, zone: tzinfo | None) -> datetime | None:
    """A stored time in the wanted zone (None is the machine's own); None when out of range."""
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)).astimezone(zone)
    except (OverflowError, ValueError, OSError):
        return None


def short_time(at_us: int, now_us: int, zone: tzinfo | None) -> str:
    """8 cells: the clock of today, the day and month within a year, else the year."""
    when, now = moment(at_us, zone), moment(now_us, zone)
    if when is None or now is None:
        return "?"
    if when.date() == now.date():
        return f"{when:%H:%M:%S}"
    if abs((now - when).days) < 300:
        return f"{when:%d} {_(_MONTHS[when.month - 1])}"
    return f"{_(_MONTHS[when.month - 1])} {when:%Y}"


def day_time(at_us: int, zone: tzinfo | None) -> str:
    """15 cells: day, month and clock."""
    when = moment(at_us, zone)
    return f"{when:%d} {_(_MONTHS[when.month - 1])} {when:%H:%M:%S}" if when else "?"


def full_time(at_us: int, zone: tzinfo | None) -> str:
    """The whole date with zone."""
    when = moment(at_us, zone)
    return f"{when:%Y-%m-%d %H:%M:%S %Z}" if when else "?"


def fine_time(at_us: int, zone: tzinfo | None) -> str:
    """12 cells: the clock with milliseconds."""
    when = moment(at_us, zone)
    return f"{when:%H:%M:%S}.{when.microsecond // 1000:03}" if when else "?"


def span(us: int) -> str:
    """How long something took or is ago, in its two largest units."""
    if us < 0:
        return "-" + span(-us)
    if us < 1000:
        return _("{} µs").format(us)
    if us < 1_000_000:
        return _("{} ms").format(us // 1000)
    seconds = us // 1_000_000
    if seconds < 60:
        shown = decimal(f"{us / 1_000_000:.1f}") if seconds < 10 else str(seconds)
        return _("{} s").format(shown)
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        if minutes < 10 and seconds:
            return _("{} min {} s").format(minutes, seconds)
        return _("{} min").format(minutes)
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return _("{} h {} min").format(hours, minutes) if minutes else _("{} h").format(hours)
    days, hours = divmod(hours, 24)
    return _("{} d {} h").format(days, hours) if hours and days < 10 else _("{} d").format(days)


def age(us: int) -> str:
    """How long ago something was, no finer than seconds."""
    return span(us) if us >= 60_000_000 else _("{} s").format(max(0, us) // 1_000_000)

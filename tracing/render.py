"""The log in words and columns for a terminal (PURE).

``safe`` stands at the border of every terminal: no octet a stranger sent can move a cursor,
turn text around or break a line. Tables and timelines are made from the documents of
``tracing.answers``, so that what the daemon answers and what is read from files look alike.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

from tracing.event import Event, Outcome
from tracing.event import counted as counted
from tracing.states import BY_WORD, State

Document = dict[str, Any]

_JOINERS = "\u200c\u200d"
"""Zero-width characters that writing needs (Persian, emoji)."""

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")

_MARK = {
    Outcome.OK: "●",
    Outcome.INFO: "·",
    Outcome.DEFER: "◔",
    Outcome.FAIL: "✕",
    Outcome.DROP: "✕",
    Outcome.HOLD: "⏸",
}


def safe(text: str) -> str:
    """Text that can do nothing to a terminal but be read; one line."""
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(char: str) -> str:
    if char.isprintable() or char in _JOINERS:
        return char
    point = ord(char)
    match unicodedata.category(char):
        case "Cc" if char == "\n":
            return "⏎"
        case "Cc" if point < 0x20:
            return chr(0x2400 + point)
        case "Cc" if point == 0x7F:
            return "␡"
        case "Cc" | "Cf":
            return f"‹U+{point:04X}›"
        case "Cs":
            return "\ufffd"
        case "Zl" | "Zp":
            return "⏎"
        case "Zs":
            return " "
        case _:
            return char


def width(text: str) -> int:
    """Columns a text takes in a terminal."""
    if text.isascii():
        return len(text)
    return sum(_width(char) for char in text)


def _width(char: str) -> int:
    if unicodedata.combining(char) or char in _JOINERS or "\ufe00" <= char <= "\ufe0f":
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def fit(text: str, columns: int) -> str:
    """Text cut or filled to exactly so many columns."""
    used = width(text)
    if used <= columns:
        return text + " " * (columns - used)
    kept: list[str] = []
    used = 0
    for char in text:
        wide = _width(char)
        if used + wide > columns - 1:
            break
        kept.append(char)
        used += wide
    return "".join(kept) + "…" + " " * (columns - 1 - used)


def moment(at: int, zone: tzinfo | None = None) -> datetime:
    """A stored time in a zone (None: local)."""
    return datetime.fromtimestamp(at / 1_000_000, UTC).astimezone(zone)


def rfc3339(at: int) -> str:
    """A stored time as JSON shows it (RFC 3339), in UTC to the microsecond."""
    seconds, micros = divmod(at, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros).isoformat()


def size(octets: int) -> str:
    """Octets with a decimal unit, in at most seven characters: ``84 kB``."""
    amount, step = float(octets), 0
    while amount >= 999.5 and step < len(_UNITS) - 1:
        amount, step = amount / 1000, step + 1
    return f"{amount:.{1 if step and amount < 9.95 else 0}f} {_UNITS[step]}"


def state(word: str) -> str:
    """A state as glyph and word."""
    known = BY_WORD.get(word)
    return f"{known.glyph} {word}" if known is not None else word


def line(event: Event, zone: tzinfo | None = None) -> str:
    """One event on one line: local time, mark, kind, text."""
    when = moment(event.at, zone).strftime("%H:%M:%S.%f")[:-3]
    return f"{when} {_MARK[event.outcome]} {event.kind:<16} {safe(str(event))}"


# -------------------------------------------------------------------- the list


def table(document: Document, columns: int | None, zone: tzinfo | None = None) -> Iterator[str]:
    """The lines of a list of messages; ``columns`` None leaves every text whole."""
    messages: Sequence[Document] = document["messages"]
    rows = [
        (
            _local(message["at"], zone, "%Y-%m-%d %H:%M:%S"),
            state(message["state"]),
            f"{safe(message['from']) or '<>'} -> {_to(message)}",
            safe(message["subject"]),
            size(message["size"]),
            message["id"],
        )
        for message in messages
    ]
    rows.insert(0, ("time", "state", "from -> to", "subject", "size", "id"))
    widths = [max(width(row[i]) for row in rows) for i in range(6)]
    if columns is not None:
        _share(widths, columns)
    for row in rows:
        cells = [fit(cell, wide) for cell, wide in zip(row, widths, strict=True) if wide]
        yield "  ".join(cells).rstrip()


def _share(widths: list[int], columns: int) -> None:
    """Make addresses and subject share what the other columns leave them."""
    rest = columns - widths[0] - widths[1] - widths[4] - widths[5] - 2 * (len(widths) - 1)
    if widths[2] + widths[3] <= rest:
        return
    if rest < 24:
        widths[3] = 0
        widths[2] = min(widths[2], max(12, rest + 2))
        return
    widths[2] = min(widths[2], max(rest // 2, rest - widths[3]))
    widths[3] = min(widths[3], rest - widths[2])


def _to(message: Document) -> str:
    shown = message["to"]
    more = message["recipients"] - len(shown)
    text = ", ".join(safe(address) for address in shown[:1])
    others = len(shown) - 1 + max(more, 0)
    return f"{text} +{others}" if others > 0 else text


def footer(document: Document) -> str:
    """Which filter a list used and how much it leaves out."""
    shown = len(document["messages"])
    asked = safe(document["query"])
    what = f"filter: {asked}" if asked else "no filter"
    left = document["left_out"]
    if not left:
        return f"{what}; {shown} found"
    more = f"at least {left}" if document["more"] else str(left)
    return f"{what}; the newest {shown} shown, {more} older left out (--limit N shows more)"


# ---------------------------------------------------------------- the timeline


def timeline(document: Document, zone: tzinfo | None = None) -> Iterator[str]:
    """The lines that tell what happened to one trace."""
    message = document["message"]
    if message is not None:
        yield from _head(message)
        yield ""
    happened: Sequence[Document] = document["events"]
    first = _parsed(happened[0]["at"]) if happened else None
    for one in happened:
        when = _parsed(one["at"])
        offset = (when - first).total_seconds() * 1000 if first else 0
        clock = when.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        mark = _MARK[Outcome(one["outcome"])]
        text = safe(one["text"])
        reply = safe(one["fields"].get("reply", ""))
        if reply and reply not in text:
            text = f"{text} - {reply}"
        yield f"{clock}  {_after(offset):>9}  {mark} {one['kind']:<16} {text}"


def _head(message: Document) -> Iterator[str]:
    yield f"id          {message['id']}"
    yield f"state       {state(message['state'])}"
    yield f"from        {safe(message['from']) or '<>'}"
    for recipient in message["recipient_list"]:
        yield f"to          {_recipient(recipient)}"
    for label, name in (
        ("subject", "subject"),
        ("Message-ID", "message_id"),
        ("From", "header_from"),
    ):
        if message[name]:
            yield f"{label:<11} {safe(message[name])}"
    if message["size"]:
        yield f"size        {message['size']} octets"
    if message["ip"]:
        helo = f" ({safe(message['helo'])})" if message["helo"] else ""
        yield f"client      {message['ip']}{helo}"


def _recipient(recipient: Document) -> str:
    text = f"{safe(recipient['address'])}  {state(recipient['state'])}"
    if recipient["original"]:
        text += f", as {safe(recipient['original'])}"
    if recipient["mailbox"]:
        text += f", in {safe(recipient['mailbox'])}"
    elif recipient["state"] == State.STORED.word:
        text += ", no longer in the box"
    return text + (f": {safe(recipient['reply'])}" if recipient["reply"] else "")


def _after(milliseconds: float) -> str:
    if milliseconds < 10_000:
        return f"+{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    for unit, length in (("s", 60), ("m", 60), ("h", 48)):
        if seconds < length * 2:
            return f"+{seconds:.0f} {unit}"
        seconds /= length if unit != "h" else 24
    return f"+{seconds:.0f} d"


def _parsed(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _local(text: str, zone: tzinfo | None, form: str) -> str:
    return _parsed(text).astimezone(zone).strftime(form)

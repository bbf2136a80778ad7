"""Replies as templates, so that a thousand equal answers are one string (PURE).

The trace's id becomes ``{id}``, the event's address ``{addr}``, the id that the other server gave
``{rqid}``; braces of the reply itself are doubled. What would not repeat anyway (long, or with a
long run of digits) has no template.
"""

import re

from tracing import ids

MIN_RQID = 5
"""Characters of another server's id, so that it does not occur in a mark."""
MAX_TEMPLATE = 200
"""Characters; a longer reply is kept with its event."""

_DIGITS = re.compile(r"\d{6}")
_MARK = re.compile(r"\{\{|\}\}|\{id\}|\{addr\}|\{rqid\}")


def template(reply: str, trace: int, addr: str, rqid: str = "") -> str | None:
    """The template of a reply, or None where it has none that gives it back exactly."""
    text = reply
    doubtful = "{" in text or "}" in text
    if doubtful:
        text = text.replace("{", "{{").replace("}", "}}")
    if 0 < trace < 1 << 63:
        text = text.replace(ids.text(trace), "{id}")
    if addr and "{" not in addr and "}" not in addr:
        doubtful = doubtful or len(addr) < 3  # may have met the mark's own letters
        text = text.replace(addr, "{addr}")
    if len(rqid) >= MIN_RQID and "{" not in rqid and "}" not in rqid:
        doubtful = doubtful or rqid in text
        text = text.replace(rqid, "{rqid}")
    if len(text) > MAX_TEMPLATE or _DIGITS.search(text):
        return None
    if doubtful and fill(text, trace, addr, rqid) != reply:
        return None
    return text


def fill(text: str, trace: int, addr: str, rqid: str = "") -> str:
    """The reply a template stands for."""
    if "{" not in text and "}" not in text:
        return text

    def value(mark: re.Match[str]) -> str:
        match mark.group():
            case "{{":
                return "{"
            case "}}":
                return "}"
            case "{id}":
                return ids.text(trace)
            case "{rqid}":
                return rqid
            case _:
                return addr

    return _MARK.sub(value, text)

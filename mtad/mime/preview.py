"""The first words of a message (RFC 8970; PURE)."""

import re

from mtad.mime import fields, text
from mtad.mime.message import Part

MAX_PREVIEW = 200
"""Characters; RFC 8970 3.1 allows 256 and recommends 200."""

_LOOKED_AT = 16 * 1024
"""Octets of a part, and characters of its text, in which words are looked for."""
_CONTROLS = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufffc]+"
)


def preview(data: bytes, part: Part) -> str:
    """Up to 200 characters of the first text that has any, plain text before HTML.

    Lines that quote another message are left out as long as there are others. Empty where
    nothing can be shown.
    """
    found = ""
    for kinds in ((b"plain", b"enriched", b"markdown"), (b"html", b"xhtml")):
        for one in text.every(part):
            if one.kind != b"text" or one.subtype not in kinds or _is_attached(one):
                continue
            found = _shortened(text.of_part(data, one, _LOOKED_AT)[:_LOOKED_AT])
            if found:
                return found
    return found


def _shortened(whole: str) -> str:
    lines = [line for line in map(str.strip, whole.splitlines()) if line]
    own = " ".join([line for line in lines if not line.startswith(">")])
    words = _CONTROLS.sub(" ", own or " ".join(lines)).split()
    return " ".join(words)[:MAX_PREVIEW].rstrip()


def _is_attached(part: Part) -> bool:
    said = fields.last(part.fields, b"content-disposition") or b""
    return said.lower().startswith(b"attachment")

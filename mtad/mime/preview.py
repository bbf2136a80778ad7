"""The first words of a message (RFC 8970; PURE)."""

import re

from mtad.mime import fields, text
from mtad.mime.message import Part

MAX_PREVIEW = 200
"""Characters; RFC 8970 3.1 allows 256 and recommends 200."""

_LOOKED_AT = (2048, 64 * 1024)
"""Octets of a part in which words are looked for: first so many, then more."""
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
            for most in _LOOKED_AT:
                found = _shortened(text.of_part(data, one, most))
                if len(found) >= MAX_PREVIEW - 1 or one.body[1] - one.body[0] <= most:
                    break
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

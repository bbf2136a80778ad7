"""Modified UTF-7, the form of mailbox names in IMAP4rev1 and Maildir++ (RFC 3501 5.1.3; PURE)."""

import base64
import re

_SHIFTED = re.compile(r"&|[^\x20-\x7e]+")
_SHIFTED_WITH_DOTS = re.compile(r"&|[^\x20-\x2d\x2f-\x7e]+")
_UNSHIFT = re.compile(r"&([A-Za-z0-9+,]*)-")


def encode(text: str, *, dots: bool = False) -> str:
    """Text in modified UTF-7, with ``dots`` also the ".". Raises ValueError on surrogates."""
    return (_SHIFTED_WITH_DOTS if dots else _SHIFTED).sub(_shift, text)


def decode(text: str, *, dots: bool = False) -> str:
    """The text that modified UTF-7 spells. Raises ValueError for what ``encode`` never writes."""
    plain = _UNSHIFT.sub(_unshift, text) if "&" in text else text
    if encode(plain, dots=dots) != text:
        raise ValueError(f"{text!a} is not modified UTF-7")
    return plain


def _shift(found: re.Match[str]) -> str:
    if found[0] == "&":
        return "&-"
    coded = base64.b64encode(found[0].encode("utf-16-be")).decode("ascii")
    return f"&{coded.rstrip('=').replace('/', ',')}-"


def _unshift(found: re.Match[str]) -> str:
    if not found[1]:
        return "&"
    coded = found[1].replace(",", "/")
    return base64.b64decode(coded + "=" * (-len(coded) % 4)).decode("utf-16-be")

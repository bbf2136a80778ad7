"""Tag lists, ``name=value; name=value``, of DKIM signatures and keys (RFC 6376 3.2) (PURE)."""

import base64
import binascii
import re

MAX_TAGS = 64
"""Tags of a list that are looked at; more is malformed."""

_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9_]*")
_VALUE = re.compile(rb"[!-:<-~]*(?:[ \t\r\n]+[!-:<-~]+)*")
_SPACE = re.compile(rb"[ \t\r\n]+")


def parse(text: bytes) -> dict[str, str]:
    """The tags by name, values without white space around them. Raises ValueError."""
    found: dict[str, str] = {}
    parts = text.split(b";", MAX_TAGS)
    if not parts[-1].strip():
        parts.pop()  # the last semicolon is optional
    if len(parts) > MAX_TAGS:
        raise ValueError("too many tags")
    for part in parts:
        name, equals, value = part.strip().partition(b"=")
        name, value = name.rstrip(), value.strip()
        if not equals or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError("a tag is malformed")
        key = name.decode("ascii")
        if key in found:
            raise ValueError(f"the tag {key} is there twice")
        found[key] = value.decode("ascii")
    return found


def octets(value: str) -> bytes:
    """The octets of a base64 value with white space in it. Raises ValueError."""
    try:
        return base64.b64decode(_SPACE.sub(b"", value.encode("ascii")), validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None


def names(value: str) -> tuple[str, ...]:
    """The parts of a colon-separated value, in lower case."""
    return tuple(part.strip().lower() for part in value.split(":"))


def number(value: str) -> int:
    """A decimal number of at most 12 digits. Raises ValueError."""
    if not (value.isascii() and value.isdecimal() and len(value) <= 12):
        raise ValueError("not a number")
    return int(value)

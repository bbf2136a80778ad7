"""The fields of a header, read out of whatever octets it has (RFC 5322 2.2; PURE).

A line without a colon is no field and ends nothing: only an empty line ends a header.
"""

import re

MAX_HEADER = 256 * 1024
"""Octets of one header that are looked at for fields."""

Fields = dict[bytes, list[bytes]]
"""Values by name in lower case, each as it stands there, still folded, in order."""

_FIELD = re.compile(rb"^([^:\s][^:\n]*+):[ \t]*+(.*+(?:\n[ \t].*+)*+)", re.M)


def read(data: bytes, start: int, end: int) -> Fields:
    """The fields of the header that lies from ``start`` to ``end``."""
    found: Fields = {}
    for name, value in _FIELD.findall(data[start : min(end, start + MAX_HEADER)]):
        name = name.rstrip(b" \t").lower()
        if name in found:
            found[name].append(value)
        else:
            found[name] = [value]
    return found


def unfolded(value: bytes) -> bytes:
    """A value on one line: the line ends of its folds are gone, their white space is not."""
    if b"\n" in value:
        value = value.replace(b"\n", b"").replace(b"\r", b"")
    return value.rstrip(b"\r").lstrip(b" \t")


def shown(value: bytes) -> bytes:
    """Text for people on one line: white space of any length is one space."""
    return b" ".join(value.split())


def first(fields: Fields, name: bytes) -> bytes | None:
    """The first value of a name on one line; None where there is no such field."""
    values = fields.get(name)
    return None if values is None else unfolded(values[0])


def last(fields: Fields, name: bytes) -> bytes | None:
    """The last value of a name on one line; None where there is no such field."""
    values = fields.get(name)
    return None if values is None else unfolded(values[-1])

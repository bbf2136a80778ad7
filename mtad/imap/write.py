"""Answers as they go on the wire (RFC 9051 7 and 9; PURE).

Text that is ASCII without line ends is quoted; what else there is becomes a literal, and UTF-8
is quoted only to those who enabled it (``utf8``). Nothing here ends a line but ``line``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mtad import mutf7
from mtad.imap.commands import STAR, NumberSet
from mtad.imap.dates import written as date_time

__all__ = [
    "Long",
    "astring",
    "code",
    "date_time",
    "esearch",
    "flag_list",
    "identity",
    "line",
    "listed",
    "literal",
    "literal8",
    "long_literal",
    "mailbox",
    "mailbox_list",
    "namespace",
    "nstring",
    "number_set",
    "quoted",
    "status",
    "string",
]

MAX_QUOTED = 4096
"""Octets of a quoted string; longer ones become literals."""
MIN_LONG = 4096
"""Octets of a literal from which it is not copied into its line."""

_ATOM = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$&'+,-./:;<=>?@^_`|}~"
)


# --------------------------------------------------------------------- strings


def quoted(data: bytes) -> bytes:
    """A quoted string of what can be quoted (RFC 9051 9, quoted)."""
    if b"\\" in data or b'"' in data:
        data = data.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return b'"%b"' % data


def literal(data: bytes) -> bytes:
    """A literal; no NUL may be in it (RFC 9051 9, CHAR8)."""
    return b"{%d}\r\n%b" % (len(data), data)


@dataclass(frozen=True, slots=True)
class Long:
    """A literal that is sent as it is, since copying it takes longer than a write of its own."""

    data: bytes

    @property
    def opening(self) -> bytes:
        """What stands before it."""
        return b"{%d}\r\n" % len(self.data)


def long_literal(data: bytes) -> bytes | Long:
    """The same as ``literal`` for who takes long ones apart."""
    return literal(data) if len(data) < MIN_LONG else Long(data)


def literal8(data: bytes) -> bytes:
    """A literal of any octets, where RFC 3516 or RFC 5464 allow it."""
    return b"~{%d}\r\n%b" % (len(data), data)


def string(text: str | bytes, *, utf8: bool = False) -> bytes:
    """A quoted string, or a literal; a literal8 where there is a NUL."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    if len(data) <= MAX_QUOTED and b"\r" not in data and b"\n" not in data and b"\0" not in data:
        if data.isascii() or (utf8 and _is_utf8(data)):
            return quoted(data)
    elif b"\0" in data:
        return literal8(data)
    return literal(data)


def nstring(text: str | bytes | None, *, utf8: bool = False) -> bytes:
    """A string, or NIL for None."""
    return b"NIL" if text is None else string(text, utf8=utf8)


def astring(text: str | bytes, *, utf8: bool = False) -> bytes:
    """An atom where that is possible and cannot be taken for NIL, else a string."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    if data and len(data) <= MAX_QUOTED and _ATOM.issuperset(data) and data.upper() != b"NIL":
        return data
    return string(data, utf8=utf8)


def mailbox(name: str, *, utf8: bool = False) -> bytes:
    """A mailbox name: modified UTF-7, or UTF-8 for those who enabled it (RFC 9051 5.1).

    Never a literal unless it is very long; quoted always, since clients trip over less.
    """
    if utf8:
        return string(name, utf8=True)
    return string(mutf7.encode(name))


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


# ----------------------------------------------------------------------- lists


def listed(parts: Iterable[bytes]) -> bytes:
    """``(part part ...)``."""
    return b"(%b)" % b" ".join(parts)


def flag_list(flags: Iterable[str]) -> bytes:
    r"""``(\Seen $Label1)``."""
    return b"(%b)" % " ".join(flags).encode("ascii")


def _ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Numbers as (first, last) of those that ascend in a row."""
    found: list[tuple[int, int]] = []
    first = last = -1
    for number in numbers:
        if number != last + 1:
            if first >= 0:
                found.append((first, last))
            first = number
        last = number
    if first >= 0:
        found.append((first, last))
    return found


def number_set(numbers: Iterable[int] | NumberSet) -> bytes:
    """``1:5,7``, in the order given, which may be a sort's; a ``NumberSet`` as it is."""
    if isinstance(numbers, NumberSet):
        if numbers.saved:
            return b"$"
        return b",".join(
            _number(first) if first == last else b"%b:%b" % (_number(first), _number(last))
            for first, last in numbers.ranges
        )
    return b",".join([b"%d" % a if a == b else b"%d:%d" % (a, b) for a, b in _ranges(numbers)])


def _number(number: int) -> bytes:
    return b"*" if number == STAR else b"%d" % number


# --------------------------------------------------------------------- answers


def line(*parts: bytes) -> bytes:
    """An untagged response."""
    return b"* %b\r\n" % b" ".join(parts)


def code(name: str, *arguments: bytes | int) -> bytes:
    """A response code without its brackets: ``code("COPYUID", 38505, b"304", b"3956")``."""
    said = [b"%d" % part if isinstance(part, int) else part for part in arguments]
    return b" ".join([name.encode("ascii"), *said])


def mailbox_list(
    name: str,
    attributes: Iterable[str] = (),
    *,
    separator: str | None = "/",
    kind: bytes = b"LIST",
    child_info: Sequence[str] = (),
    old_name: str | None = None,
    utf8: bool = False,
) -> bytes:
    """A LIST or LSUB response.

    ``child_info`` are the selection options that children match (RFC 5258 4), ``old_name`` is
    another name the mailbox was asked for or had (RFC 9051 6.3.9.7).
    """
    parts = [kind, flag_list(attributes), nstring(separator), mailbox(name, utf8=utf8)]
    extended = []
    if child_info:
        extended += [b'"CHILDINFO"', listed(quoted(info.encode("ascii")) for info in child_info)]
    if old_name is not None:
        extended += [b'"OLDNAME"', listed([mailbox(old_name, utf8=utf8)])]
    if extended:
        parts.append(listed(extended))
    return line(*parts)


def status(name: str, values: Mapping[str, int | str | None], *, utf8: bool = False) -> bytes:
    """A STATUS response; texts are object ids (RFC 8474 4.3), None is NIL (RFC 7889 4)."""
    parts = []
    for item, value in values.items():
        said = "NIL" if value is None else f"({value})" if isinstance(value, str) else str(value)
        parts.append(f"{item} {said}".encode("ascii"))
    return line(b"STATUS", mailbox(name, utf8=utf8), listed(parts))


def esearch(
    tag: str, values: Iterable[tuple[str, int | bytes]] = (), *, by_uid: bool = False
) -> bytes:
    """An ESEARCH response (RFC 9051 7.3.4); its values are numbers, sets, or lists made ready."""
    parts = [b"ESEARCH", b'(TAG "%b")' % tag.encode("ascii")]
    if by_uid:
        parts.append(b"UID")
    for name, value in values:
        parts.append(code(name, value))
    return line(*parts)


def namespace(
    personal: Sequence[tuple[str, str]] = (),
    others: Sequence[tuple[str, str]] = (),
    shared: Sequence[tuple[str, str]] = (),
    *,
    utf8: bool = False,
) -> bytes:
    """A NAMESPACE response (RFC 9051 7.3.5); each is (prefix, separator)."""

    def one(spaces: Sequence[tuple[str, str]]) -> bytes:
        if not spaces:
            return b"NIL"
        return b"(%b)" % b"".join(
            listed([mailbox(prefix, utf8=utf8), string(separator)]) for prefix, separator in spaces
        )

    return line(b"NAMESPACE", one(personal), one(others), one(shared))


def identity(fields: Mapping[str, str | None] | None) -> bytes:
    """An ID response (RFC 2971 3.2)."""
    if not fields:
        return line(b"ID", b"NIL")
    parts = []
    for name, value in fields.items():
        parts += [string(name), nstring(value)]
    return line(b"ID", listed(parts))

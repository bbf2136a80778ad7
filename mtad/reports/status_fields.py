"""The fields for programs in a report: groups of them, and what they say of a recipient (PURE).

RFC 3464 2 for delivery, RFC 8098 3 for disposition, RFC 5965 3 for abuse. In the wild types
are missing or misspelt, spaces stand before colons, and groups run into one another.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from mtad.headers import text
from mtad.reports import phrases
from mtad.reports.fields import from_utf8_xtext

MAX_FIELDS = 4000
"""Fields of a report that are looked at, empty lines among them."""
MAX_GROUPS = 200
"""Recipients of a report that are told of."""
MAX_VALUE = 1000
"""Characters of a value that are kept."""
MAX_ADDRESS = 320
"""Characters of an address (RFC 5321 4.5.3.1 has 64 and 255 octets); a longer one is none."""
MAX_NAME = 255
"""Characters of a host's name."""

Group = Mapping[str, str]
"""Values by name in lower case; of a repeated one the first."""

_FIELD = re.compile(rb"([A-Za-z][A-Za-z0-9-]{0,60})[ \t]*:[ \t]*(.*)", re.DOTALL)
_ADDRESS = re.compile(r"(\"(?:[^\"\\]|\\.)+\"@[^\s<>;,'\"]+)|([^\s<>;'\"]+@[^\s<>;,'\"]+)")
_ACTIONS = ("failed", "delayed", "delivered", "relayed", "expanded")


@dataclass(frozen=True, slots=True)
class Told:
    """What a report says of one recipient; ``""`` where it says nothing.

    ``action`` is one of RFC 3464 2.3.3, ``status`` an enhanced code, ``diagnostic`` the words
    of the server ``remote_mta`` or of the reporter.
    """

    final: str
    original: str = ""
    action: str = ""
    status: str = ""
    diagnostic: str = ""
    remote_mta: str = ""


def groups(octets: bytes) -> list[Group]:
    """The groups of fields in the content of a report's second part."""
    found: list[dict[str, str]] = [{}]
    for name, value in islice(fields(octets), MAX_FIELDS):
        if not name:
            if found[-1]:
                found.append({})
            continue
        if name in ("final-recipient", "original-recipient") and name in found[-1]:
            # Groups without the empty line between them.
            found.append({})
        if len(found) > MAX_GROUPS:
            break
        found[-1].setdefault(name, value)
    return [group for group in found if group]


def fields(octets: bytes) -> Iterator[tuple[str, str]]:
    """Names and unfolded values; an empty name is an empty line."""
    held: list[bytes] = []
    for line in (*octets.split(b"\n"), b""):
        if held and line[:1] in (b" ", b"\t") and line.strip():
            held.append(line)
            continue
        if held:
            match = _FIELD.match(b"\n".join(held))
            if match:
                yield match[1].decode("ascii").lower(), _value(match[2])
        held = [line]
        if not line.strip():
            yield "", ""
            held = []


def _value(octets: bytes) -> str:
    return text(octets[: 8 * MAX_VALUE], MAX_VALUE)


def recipient(group: Group) -> Told | None:
    """What a group says of a recipient, None where it names none (RFC 3464 2.3)."""
    final = address(group.get("final-recipient", ""))
    original = address(group.get("original-recipient", ""))
    if not final and not original:
        final = address(group.get("x-actual-recipient", ""))
        if not final:
            return None
    diagnostic = untyped(group.get("diagnostic-code", ""))
    action = next((a for a in _ACTIONS if group.get("action", "").lower().startswith(a)), "")
    status = phrases.enhanced(group.get("status", ""))
    if not status and (diagnostic or action in ("failed", "delayed")):
        status = phrases.status(diagnostic, delayed=action == "delayed")
    if not action and status:
        action = {"2": "delivered", "4": "delayed"}.get(status[0], "failed")
    remote = untyped(group.get("remote-mta", ""))[:MAX_NAME]
    return Told(final or original, original, action, status, diagnostic, remote)


def address(value: str) -> str:
    """The address in a typed one, ``rfc822; a@b`` (RFC 3464 2.1.2); ``""`` without one."""
    kind, semicolon, rest = value.partition(";")
    found = _ADDRESS.search(rest if semicolon else value)
    plain = found[0].rstrip(".") if found else ""
    if kind.strip().lower() == "utf-8":
        plain = from_utf8_xtext(plain)
    return plain if len(plain) <= MAX_ADDRESS else ""


def untyped(value: str) -> str:
    """A value without the type before it."""
    kind, semicolon, rest = value.partition(";")
    return rest.strip() if semicolon and kind.replace("-", "").strip().isalnum() else value.strip()


def every_recipient(found: Sequence[Group]) -> tuple[Told, ...]:
    """What the groups say of their recipients, each recipient once."""
    told = (recipient(group) for group in found)
    return tuple({each.final.lower(): each for each in told if each}.values())

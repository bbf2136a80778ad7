"""MTA-STS records and policies as text (RFC 8461) (PURE)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast, get_args

from mtad.outbound.certificates import covers

MAX_POLICY = 64 * 1024
"""Octets of a policy file (RFC 8461 3.3 suggests that limit)."""
MAX_AGE = 31_557_600
"""Seconds a policy may be valid, a year (RFC 8461 3.2)."""
MAX_PATTERNS = 100
"""MX patterns of one policy."""

Mode = Literal["enforce", "testing", "none"]

_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_AGE = re.compile(r"[0-9]{1,10}")
_PATTERN = re.compile(r"(?:\*\.)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?")


class BadPolicy(ValueError):
    """A policy file that is none; says why."""


@dataclass(frozen=True, slots=True)
class StsPolicy:
    """A policy; ``max_age`` in seconds."""

    mode: Mode
    mx: tuple[str, ...]
    max_age: int

    def covers(self, host: str) -> bool:
        """Whether an exchanger is one of the policy's (RFC 8461 4.1)."""
        return any(covers(pattern, host) for pattern in self.mx)

    def lines(self) -> tuple[str, ...]:
        """The policy as a report gives it (RFC 8460 4.4)."""
        return (
            "version: STSv1",
            f"mode: {self.mode}",
            *(f"mx: {pattern}" for pattern in self.mx),
            f"max_age: {self.max_age}",
        )


def record_id(texts: Iterable[bytes]) -> str:
    """The id in ``_mta-sts`` TXT records; empty where there is not exactly one (RFC 8461 3.1)."""
    records = [text for text in texts if re.match(rb"v=STSv1[ \t]*(;|$)", text)]
    if len(records) != 1:
        return ""
    for field in records[0].decode("ascii", "replace").split(";")[1:]:
        name, _, value = field.partition("=")
        if name.strip() == "id":
            return value.strip() if _ID.fullmatch(value.strip()) else ""
    return ""


def parse(octets: bytes) -> StsPolicy:
    """A policy file (RFC 8461 3.2). Raises BadPolicy."""
    if len(octets) > MAX_POLICY:
        raise BadPolicy("the policy is too long")
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadPolicy("the policy is not UTF-8") from error
    fields: dict[str, str] = {}
    patterns: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        if not line.strip(" \t"):
            continue
        name, colon, value = (part.strip(" \t") for part in line.partition(":"))
        if not colon or not _NAME.fullmatch(name):
            raise BadPolicy(f"not a field: {line[:60]!r}")
        if name == "mx":
            patterns.append(value)
        else:
            fields.setdefault(name, value)
    if fields.get("version") != "STSv1":
        raise BadPolicy("its version is not STSv1")
    mode = fields.get("mode", "")
    if mode not in get_args(Mode):
        raise BadPolicy(f"there is no mode {mode[:20]!r}")
    if not _AGE.fullmatch(fields.get("max_age", "")):
        raise BadPolicy("it has no max_age")
    if any(not _PATTERN.fullmatch(pattern) for pattern in patterns):
        raise BadPolicy("an mx is not a host name")
    if len(patterns) > MAX_PATTERNS or (mode != "none" and not patterns):
        raise BadPolicy("it has no mx, or too many")
    return StsPolicy(
        cast(Mode, mode),
        tuple(pattern.lower() for pattern in patterns),
        min(int(fields["max_age"]), MAX_AGE),
    )

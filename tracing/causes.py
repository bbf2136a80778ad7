"""Why a message was refused, put off or returned: the causes of ``causes.toml`` (PURE)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

Words = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause of ``causes.toml``, ready to be asked."""

    name: str
    words: Words
    who: str = ""
    checks: frozenset[str] = frozenset()
    stages: frozenset[str] = frozenset()
    code: tuple[str, ...] = ("",)
    enh: tuple[str, ...] = ("",)
    says: re.Pattern[str] | None = None

    def fits(self, refusal: "Refused") -> bool:
        """Whether this is why."""
        return (
            (not self.who or self.who == refusal.who)
            and (not self.checks or refusal.check in self.checks)
            and (not self.stages or refusal.stage in self.stages)
            and str(refusal.code or "").startswith(self.code)
            and refusal.enh.startswith(self.enh)
            and (self.says is None or self.says.search(refusal.says) is not None)
        )


@dataclass(frozen=True, slots=True)
class Refused:
    """What is known of a refusal, ours or a remote server's."""

    who: str
    stage: str = ""
    check: str = ""
    code: int = 0
    enh: str = ""
    says: str = ""


REPORTED = "report"
"""The stage of what another server wrote in a report, which does not say where it happened."""
_CODE = re.compile(r"(?<![\w.#])([45]\d\d)(?=[ \-;:'.]|$)")
_STATUS = re.compile(r"(?<![\w.])([45]\.\d{1,3}\.\d{1,3})(?![\w.]*\d)")


def reported(code: int, enh: str, says: str) -> Refused:
    """A refusal that a report tells of: its words often know better than its fields."""
    if enh.endswith(".0.0") or not enh:
        found = next((one for one in _STATUS.findall(says) if not one.endswith(".0.0")), "")
        enh = found or enh
    if not code:
        words = _CODE.search(says)
        code = int(words[1]) if words else {"4": 450, "5": 550}.get(enh[:1], 0)
    return Refused("remote", REPORTED, "", code, enh, says)


def read(table: Words) -> Cause:
    """A table of the file. Raises KeyError, re.error for a bad one."""

    def several(name: str) -> tuple[str, ...]:
        return tuple(table[name].split("|")) if name in table else ("",)

    return Cause(
        table["name"],
        table,
        table.get("who", ""),
        frozenset(several("check")) - {""},
        frozenset(several("stage")) - {""},
        several("code"),
        several("enh"),
        re.compile(table["says"], re.IGNORECASE) if "says" in table else None,
    )

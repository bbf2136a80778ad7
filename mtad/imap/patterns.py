"""The patterns of LIST: ``*`` is anything, ``%`` anything on one level (RFC 9051 6.3.9) (PURE).

Matched by an automaton whose states are the bits of one number, so that no pattern takes longer
than its length times the name's.
"""

import re
from collections.abc import Callable

_RUNS = re.compile(r"[*%]*\*[*%]*|%+")


def matcher(pattern: str) -> Callable[[str], bool]:
    """A function that tells whether a name matches; INBOX matches in any case."""
    plain = _compiled(pattern)
    any_case = _compiled(pattern.upper())
    return lambda name: (any_case if name == "INBOX" else plain)(name)


def _compiled(pattern: str) -> Callable[[str], bool]:
    tokens = _RUNS.sub(lambda run: "*" if "*" in run[0] else "%", pattern)
    literal: dict[str, int] = {}
    any_wild = star = 0
    for at, char in enumerate(tokens):
        bit = 1 << at
        if char in "*%":
            any_wild |= bit
            star |= bit if char == "*" else 0
        else:
            literal[char] = literal.get(char, 0) | bit
    accept = 1 << len(tokens)

    def matches(name: str) -> bool:
        states = 1 | (1 & any_wild) << 1
        for char in name:
            stay = states & (star if char == "/" else any_wild)
            states = (states & literal.get(char, 0)) << 1 | stay
            states |= (states & any_wild) << 1
            if not states:
                return False
        return bool(states & accept)

    return matches


def parents(name: str) -> list[str]:
    """The names above a name, the topmost first."""
    levels = name.split("/")
    return ["/".join(levels[:count]) for count in range(1, len(levels))]

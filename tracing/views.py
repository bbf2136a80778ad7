"""Filters by a name: ``@failures``. Those that everyone has are declared here (PURE)."""

import re
from collections.abc import Mapping

NAME = re.compile(r"[^\W_][\w-]{0,31}")

BUILT_IN: Mapping[str, str] = {
    "failures": "state:failed",
    "waiting": "state:open",
    "held": "state:held",
    "refused": "state:refused|try-later",
    "aborted": "state:aborted",
    "today": "since:today",
    "yesterday": "on:yesterday",
    "large": "size:>10M",
    "slow": "wait:>1h",
    "deleted": "verdict:deleted|vanished",
    "sent": "dir:submitted",
}
"""Views that are always there, by name."""
MAX_VIEWS = 200
MAX_INSIDE = 4
"""Views that lead to each other."""
MAX_TERMS = 256
"""Terms of a query with all the views in it."""

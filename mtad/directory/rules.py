"""Network rules: from where a box may be logged into, service by service (PURE).

A box's own rule for a service counts, else its domain's, else any network will do.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from mtad.clients.networks import networks

SERVICES = ("imap", "pop3", "submission")
LISTENERS = {"imaps": "imap", "pop3s": "pop3", "submissions": "submission"}
"""Listeners whose service has another name than they."""
MAX_NETWORKS = 100
"""Networks of one rule."""


@dataclass(frozen=True, slots=True)
class Rule:
    """From where one service may be used; ``owner`` is a box's address, or a domain."""

    owner: str
    service: str
    allowed: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.owner} allows {self.service} from {', '.join(self.allowed)} only"


Rules = Mapping[tuple[str, str], Rule]
"""By owner and service."""


def against(rules: Rules, box: str, listener: str, ip: str) -> str:
    """The rule that keeps a client out, in words; empty where it may come in.

    ``listener`` is the name of one, as in the settings.
    """
    service = LISTENERS.get(listener, listener)
    rule = rules.get((box, service)) or rules.get((box.rpartition("@")[2], service))
    return str(rule) if rule is not None and ip not in networks(rule.allowed) else ""


def network(given: str) -> str:
    """A network in its usual form; a single address is one. Raises ValueError."""
    return str(ipaddress.ip_network(given.strip(), strict=False))

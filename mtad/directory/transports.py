"""How mail for a domain leaves: the operator's exceptions from "ask the DNS".

A pattern is a domain, ``.domain`` for everything below it, or ``*``. The most particular one
counts: the domain itself, then its parents from the nearest, then ``*``.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["mx", "relay", "lmtp", "command", "error"]
TlsMode = Literal["", "none", "opportunistic", "required", "verify", "implicit"]

ANY = "*"


@dataclass(frozen=True, slots=True)
class Transport:
    """One exception; what does not concern its kind is empty.

    ``relay`` and ``lmtp`` go to ``host`` and ``port`` (the host's MX where ``by_mx``) or, lmtp
    only, to the unix socket ``path``; ``command`` runs ``argv``; ``error`` says ``text``, which
    begins with an enhanced status. ``tls`` is empty for what the settings say, and ``implicit``
    is TLS from the start with a verified certificate.
    """

    pattern: str
    kind: Kind
    host: str = ""
    port: int = 0
    by_mx: bool = False
    path: str = ""
    argv: tuple[str, ...] = ()
    text: str = ""
    tls: TlsMode = ""
    login: str = ""
    password: str = field(default="", repr=False)


DIRECT = Transport(ANY, "mx")
"""What holds where no pattern does: the domain's own exchangers."""


class Transports:
    """A table of transports in memory."""

    def __init__(self, entries: Iterable[Transport] = ()) -> None:
        self._entries = {entry.pattern: entry for entry in entries}

    def find(self, domain: str) -> Transport:
        """The transport for a domain in normal form."""
        entries = self._entries
        if not entries:
            return DIRECT
        if domain in entries:
            return entries[domain]
        rest = domain
        while rest:
            _, _, rest = rest.partition(".")
            if f".{rest}" in entries:
                return entries[f".{rest}"]
        return entries.get(ANY, DIRECT)

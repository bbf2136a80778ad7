"""How mail for a domain leaves: the operator's exceptions from "ask the DNS".

A pattern is a domain, ``.domain`` for everything below it, or ``*``. The most particular one
counts: the domain itself, then its parents from the nearest, then ``*``. A password is kept as
it is, for it must be sent; the database is readable for the server alone.
"""

import json
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import sqlalchemy as sa

from mtad.directory import tables
from mtad.directory.following import Followed
from mtad.errors import MtadError
from mtad.where import Kept

Kind = Literal["mx", "relay", "lmtp", "command", "error"]
TlsMode = Literal["", "none", "opportunistic", "required", "verify", "implicit"]

ANY = "*"
log = logging.getLogger("mtad.directory")

LOOK_SECONDS = 1.0
"""How often it is looked whether the table changed."""


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

    def __str__(self) -> str:
        """What it does, for people; without the password."""
        where = self.text or json.dumps(self.argv) if self.argv or self.text else self.path
        if self.host:
            where = f"{self.host}:{self.port}" + (" by its MX" if self.by_mx else "")
        words = [self.kind, f"unix:{where}" if self.path else where]
        words += [f"tls={self.tls}"] if self.tls else []
        words += [f"login={self.login}"] if self.login else []
        return " ".join(filter(None, words))


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


class TransportTable:
    """The transports in force; calling it gives them, read again when they changed.

    A look costs two stats and is taken at most once a second, a reading some milliseconds.
    """

    def __init__(self, state_db: Kept) -> None:
        self._followed = Followed(state_db, lambda connection: Transports(read(connection)))
        self._looked = float("-inf")
        self._transports = Transports()

    def __call__(self) -> Transports:
        """The transports, as they were where they cannot be read again.

        Raises Unreachable where they were never read.
        """
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            is_first = self._looked == float("-inf")
            try:
                self._transports = self._followed.refresh() or self._transports
            except MtadError as error:
                if is_first:
                    raise
                log.warning("the transports stay as they were: %s", error)
            self._looked = now
        return self._transports


def read(connection: sa.Connection) -> list[Transport]:
    """Every transport, by pattern."""
    rows = connection.execute(sa.select(tables.transport).order_by(tables.transport.c.pattern))
    return [
        Transport(
            pattern=row.pattern,
            kind=row.kind,
            host=row.host,
            port=row.port,
            by_mx=row.by_mx,
            path=row.path,
            argv=tuple(json.loads(row.argv)) if row.argv else (),
            text=row.text,
            tls=row.tls,
            login=row.login,
            password=row.password,
        )
        for row in rows
    ]

"""How mail for a domain leaves: the operator's exceptions from "ask the DNS".

A pattern is a domain, ``.domain`` for everything below it, or ``*``. The most particular one
counts: the domain itself, then its parents from the nearest, then ``*``. A password is kept as
it is, for it must be sent; the database is readable for the server alone.
"""

import json
import logging
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

from mtad.directory import database, tables
from mtad.directory.lookup import UNSETTLED_NS
from mtad.errors import MtadError

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

    def __init__(self, state_db: Path) -> None:
        self._state_db = state_db
        self._files = (str(state_db), f"{state_db}-wal")
        self._seen: object = None
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
                self._look()
            except MtadError as error:
                if is_first:
                    raise
                log.warning("the transports stay as they were: %s", error)
            self._looked = now
        return self._transports

    def _look(self) -> None:
        seen = tuple(map(_signature, self._files))
        if seen == self._seen:
            return
        with database.reading(self._state_db) as connection:
            self._transports = Transports(read(connection))
        # A file this young may change again without its time or size showing it.
        newest = max((each[0] for each in seen if each), default=0)
        self._seen = seen if time.time_ns() - newest > UNSETTLED_NS else None


def _signature(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


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

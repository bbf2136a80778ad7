"""The reverse-path of mail that is passed on elsewhere, and the way home for its bounces.

A server that passes a stranger's message on may not use the stranger's reverse-path, since its
SPF record does not name us; so it is rewritten by SRS at the domain of the address that passed
it on, and bounces that come to such an address are sent to where they belong. What SRS cannot
hold becomes a token, which names the message and its recipient: the log knows whose mail that
was. Mail of our own users keeps its reverse-path.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Protocol

from mtad.address import Address
from mtad.address import domain as normal_domain
from mtad.clock import now_us
from mtad.directory.lookup import Target
from mtad.reports.srs import Invalid, Srs, Unwritable
from mtad.reports.token import Tokens
from mtad.where import Kept
from tracing.events import SmtpAccept
from tracing.months import NewerVersion
from tracing.queries import Log
from tracing.sending import QueueAdd

log = logging.getLogger("mtad.delivery")


class Directory(Protocol):
    """What is asked of the directory."""

    def is_local(self, domain: str) -> bool:
        """Whether we take mail for a domain in normal form."""

    def resolve(self, address: Address) -> Sequence[Target]:
        """Where an address leads."""

    def postmaster(self) -> Address:
        """Where mail for the postmaster goes."""


class Passing:
    """Rewrites reverse-paths and finds the way back. Holds secrets.

    ``history`` is the folder of the log, which is asked for what a token stands for.
    """

    def __init__(
        self,
        directory: Directory,
        secrets: Sequence[bytes],
        history: Kept,
        at: Callable[[], int] = now_us,
    ) -> None:
        self._directory = directory
        self._secrets = tuple(secrets)
        self._tokens = Tokens(secrets)
        self._history = history
        self._at = at
        self._schemes: dict[str, Srs] = {}

    def resend(self, sender: str, passed_on_by: str, m: int, n: int) -> str | None:
        """The reverse-path to pass a message on with; None where its own may stay.

        ``passed_on_by`` is the address of ours that led elsewhere, to recipient ``n`` of
        message ``m``.
        """
        if not sender or self._is_ours(sender):
            return None
        scheme = self._scheme(passed_on_by.rpartition("@")[2])
        try:
            return scheme.forward(sender, self._at())
        except Unwritable:
            return self._tokens.write(m, n, scheme.domain)

    async def home(self, local: str, domain: str) -> Sequence[Target]:
        """Where a bounce to an address of ours belongs; empty if none of ours was made so.

        The local part is as it was given. What the log does not know any more is for the
        postmaster.
        """
        scheme, given = self._scheme(domain), f"{local}@{domain}"
        if scheme.is_ours(given):
            try:
                return (_target(scheme.reverse(given, self._at()), given),)
            except Invalid:
                return ()
        named = self._tokens.read(given, self._at())
        if named is None:
            return ()
        try:
            sender = await asyncio.to_thread(reverse_path, self._history, *named)
        except (OSError, sqlite3.Error, NewerVersion) as error:
            log.warning("whose bounce comes to %s is not known: %s", given, error)
            sender = ""
        if sender:
            return (_target(sender, given),)
        return self._directory.resolve(self._directory.postmaster())

    def _is_ours(self, address: str) -> bool:
        try:
            return self._directory.is_local(normal_domain(address.rpartition("@")[2]))
        except ValueError:
            return False

    def _scheme(self, domain: str) -> Srs:
        if domain not in self._schemes:
            if len(self._schemes) > 1000:
                self._schemes.clear()
            self._schemes[domain] = Srs(domain, self._secrets)
        return self._schemes[domain]


def _target(address: str, given: str) -> Target:
    return Target(address, given, alias=False, remote=True, forward=True)


def reverse_path(history: Kept, m: int, n: int) -> str:
    """The reverse-path that a message passed on to recipient ``n`` came with; empty if unknown.

    Reads the log: for a thread. Raises OSError, sqlite3.Error or NewerVersion.
    """
    found = ""
    with closing(Log(history)) as read:
        for stored in read.timeline(m):
            event = stored.event
            if isinstance(event, SmtpAccept):
                found = found or event.addr
            elif isinstance(event, QueueAdd) and event.n == n:
                found = event.came_from or found
    return found

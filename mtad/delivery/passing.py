"""The reverse-path of mail that is passed on elsewhere, and the way home for its bounces.

A server that passes a stranger's message on may not use the stranger's reverse-path, since its
SPF record does not name us; so it is rewritten by SRS at the domain of the address that passed
it on, and bounces that come to such an address are sent to where they belong. What SRS cannot
hold comes from the postmaster of that domain. Mail of our own users keeps its reverse-path.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from mtad.address import domain as normal_domain
from mtad.clock import now_us
from mtad.reports.srs import Invalid, Srs, Unwritable


class Local(Protocol):
    """What is asked of the directory."""

    def is_local(self, domain: str) -> bool:
        """Whether we take mail for a domain in normal form."""


class Passing:
    """Rewrites reverse-paths and reads them back. Holds secrets."""

    def __init__(
        self, directory: Local, secrets: Sequence[bytes], at: Callable[[], int] = now_us
    ) -> None:
        self._directory = directory
        self._secrets = tuple(secrets)
        self._at = at
        self._schemes: dict[str, Srs] = {}

    def resend(self, sender: str, passed_on_by: str) -> str | None:
        """The reverse-path to pass a message on with; None where its own may stay.

        ``passed_on_by`` is the address of ours that led elsewhere.
        """
        if not sender or self._is_ours(sender):
            return None
        scheme = self._scheme(passed_on_by.rpartition("@")[2])
        try:
            return scheme.forward(sender, self._at())
        except Unwritable:
            return f"postmaster@{scheme.domain}"

    def home(self, local: str, domain: str) -> str | None:
        """Where a bounce to an address of ours belongs; None if none of ours was made so."""
        scheme = self._scheme(domain)
        address = f"{local}@{domain}"
        if not scheme.is_ours(address):
            return None
        try:
            return scheme.reverse(address, self._at())
        except Invalid:
            return None

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

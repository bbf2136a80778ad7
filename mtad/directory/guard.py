"""Who may try to log in: failures are counted by client and by login, too many end in a ban.

A login that is banned because strangers tried it stays open to clients it was logged into
from before, so that nobody can lock its owner out from afar. Logins that do not exist are
counted like those that do: a ban tells nothing.
"""

import ipaddress
from dataclasses import dataclass

from mtad.config import Auth
from mtad.directory.attempts import Attempts, network

MINUTE = 60_000_000
"""Microseconds."""
KNOWN_DAYS = 30
"""How long a client is known after a login from it."""
NOTE_EVERY = MINUTE
"""How often a login from one client is written down again."""


@dataclass(frozen=True, slots=True)
class Ban:
    """A ban that begins: until when, and why, in words for the log."""

    until: int
    why: str


class Guard:
    """Counts and bans by the settings. Everything asks a database: not for an event loop."""

    def __init__(self, attempts: Attempts, settings: Auth) -> None:
        self._attempts = attempts
        self._settings = settings
        self._never = tuple(map(ipaddress.ip_network, settings.never_ban))

    def refuses(self, ip: str, login: str, now: int) -> str:
        """Why no password is looked at; empty where one may be tried."""
        if self._counts(ip) and self._attempts.banned_until(client_subject(network(ip)), now):
            return "the client is banned"
        is_banned = self._attempts.banned_until(login_subject(login), now)
        if is_banned and not self.knows(ip, login, now):
            return "the login is banned for clients it does not know"
        return ""

    def knows(self, ip: str, login: str, now: int) -> bool:
        """Whether the owner logged in from a client lately."""
        return self._attempts.knows(ip, login, now - KNOWN_DAYS * 24 * 60 * MINUTE)

    def failed(self, ip: str, login: str, now: int) -> list[Ban]:
        """Count a failure; the bans that begin with it."""
        settings, bans = self._settings, []
        window = settings.failure_minutes * MINUTE
        until = now + settings.ban_minutes * MINUTE
        for subject, most, counts in (
            (client_subject(network(ip)), settings.max_failures_per_ip, self._counts(ip)),
            (login_subject(login), settings.max_failures_per_login, bool(login)),
        ):
            if counts and most and self._attempts.count(subject, now, window) >= most:
                self._attempts.ban(subject, until)
                why = f"{most} failed logins within {settings.failure_minutes} minutes"
                bans.append(Ban(until, f"{why}, {subject}"))
        return bans

    def succeeded(self, ip: str, login: str, service: str, now: int) -> None:
        """The owner is there: its client is known from here on."""
        self._attempts.note_login(ip, login, service, now, NOTE_EVERY)

    def _counts(self, ip: str) -> bool:
        """Whether failures of a client are counted."""
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return True
        return not any(address in one for one in self._never)


def client_subject(network: str) -> str:
    """What a client is counted under; ``network`` as ``mtad.directory.attempts`` has it."""
    return f"client {network}"


def login_subject(login: str) -> str:
    """What a login is counted under, given in normal form."""
    return f"login {login}"

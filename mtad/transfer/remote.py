"""An account on another IMAP server: its address, its password, and a session there.

TLS with a certificate that holds, always; on loopback alone it may do without. What the server
sends is bounded: it is asked for pieces, and a literal that is larger than those ends the
session. IMAPClient speaks the protocol.
"""

import contextlib
import getpass
import ipaddress
import os
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientAbortError, IMAPClientError, LoginError

from mtad.errors import MtadError, NotPermitted, Unreachable, UsageError

SCHEMES = ("imaps", "imap")
PASSWORD = "MTAD_IMPORT_PASSWORD"  # noqa: S105 - the variable's name
WAIT_SECONDS = 60.0
TRIES = 4
"""How often something is tried before the server is taken for gone."""
PAUSE_SECONDS = 2.0
"""Before the second try; twice as long before each further one."""
PIECE = 4 * 2**20
"""Octets of messages that are asked for at once."""
MAX_LITERAL = 4 * PIECE

_NONSENSE = (AttributeError, TypeError, ValueError, LookupError, AssertionError)
"""What the library comes to where a server's answers are none."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Account:
    """Whose mail, and where; ``folder`` is "" for all. The secret is never shown."""

    user: str
    host: str
    port: int
    tls: bool
    folder: str = ""
    secret: str = field(default="", repr=False)
    token: bool = False
    """The secret is an OAuth 2 access token (SASL XOAUTH2)."""
    ca_file: str = ""

    def __str__(self) -> str:
        scheme = "imaps" if self.tls else "imap"
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == (993 if self.tls else 143) else f":{self.port}"
        folder = f"/{quote(self.folder, safe='/')}" if self.folder else ""
        return f"{scheme}://{quote(self.user, safe='@*+')}@{host}{port}{folder}"


def is_remote(text: str) -> bool:
    """Whether a source is the address of an account."""
    return text.lower().startswith(tuple(f"{scheme}://" for scheme in SCHEMES))


def parse(text: str) -> Account:
    """The account of ``imaps://user@host[:port][/folder]``. Raises UsageError."""
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise UsageError(f"{text!a} is no address of an account: {error}") from None
    user, at, _ = url.netloc.rpartition("@")
    if ":" in user:
        raise UsageError(
            "a password in the address is seen by everyone on this machine: give --password-file "
            f"or {PASSWORD}, or have it asked for"
        )
    if not at or not user or not url.hostname:
        raise UsageError("an account is written like imaps://anna@mail.example.org/Folder")
    tls = url.scheme.lower() == "imaps"
    folder = unquote(url.path.removeprefix("/"))
    return Account(unquote(user), url.hostname, port or (993 if tls else 143), tls, folder)


def ask_secret(account: Account, file: Path | None) -> str:
    """The account's password: of a file, the environment, or the person at the terminal.

    Raises UsageError where nobody gives it, OSError.
    """
    if file is not None:
        lines = file.read_text(encoding="utf-8").splitlines()
        if not lines or not lines[0]:
            raise UsageError(f"{file} has no password in its first line")
        return lines[0]
    if secret := os.environ.get(PASSWORD):
        return secret
    if not sys.stdin.isatty():
        raise UsageError(f"give the password by --password-file or in {PASSWORD}")
    return getpass.getpass(f"Password of {account}: ")


class Pace:
    """So many octets a second at the most, 0 for any number."""

    def __init__(self, octets: int) -> None:
        self._octets = octets
        self._free_at = time.monotonic()

    def took(self, octets: int) -> None:
        """So many came: wait as long as they should have taken."""
        if self._octets:
            now = time.monotonic()
            self._free_at = max(now - 1.0, self._free_at) + octets / self._octets
            if self._free_at > now:
                time.sleep(self._free_at - now)


class Session:
    """A connection that is made again when it breaks; in the selected mailbox as before."""

    def __init__(self, account: Account, pace: Pace) -> None:
        self._account = account
        self._pace = pace
        self._client: IMAPClient | None = None
        self._selected = ""

    def do(self, ask: Callable[[IMAPClient], T]) -> T:
        """What the server answers to a question that may be put twice.

        Raises NotPermitted, Unreachable, and MtadError for a refusal.
        """
        for tried in range(1, TRIES + 1):
            try:
                if self._client is None:
                    self._client = self._connect()
                    if self._selected:
                        self._client.select_folder(self._selected, readonly=True)
                return ask(self._client)
            except (OSError, IMAPClientAbortError) as error:
                self.close()
                if tried == TRIES or isinstance(error, ssl.SSLCertVerificationError):
                    raise Unreachable(f"{self._account}: {_why(error)}") from error
                time.sleep(PAUSE_SECONDS * 2 ** (tried - 1))
            except IMAPClientError as error:
                raise MtadError(f"{self._account}: the server says {_why(error)}") from error
            except _NONSENSE as error:
                self.close()
                raise Unreachable(f"{self._account}: the server's answers make no sense") from error
        raise AssertionError

    def select(self, folder: str) -> dict[bytes, Any]:
        """EXAMINE a mailbox, so that nothing is changed by looking."""
        self._selected = ""
        answer: dict[bytes, Any] = self.do(lambda c: c.select_folder(folder, readonly=True))
        self._selected = folder
        return answer

    def fetch(self, uids: Sequence[int], item: str, *more: str) -> dict[int, Any]:
        """FETCH by UID; the pace is kept."""
        found: dict[int, Any] = self.do(lambda c: c.fetch(list(uids), [item, *more]))
        every = (value for fields in found.values() for value in fields.values())
        self._pace.took(sum(len(value) for value in every if isinstance(value, bytes)))
        return found

    def _connect(self) -> IMAPClient:
        account = self._account
        context = ssl.create_default_context(cafile=account.ca_file or None)
        client = IMAPClient(
            account.host,
            account.port,
            ssl=account.tls,
            ssl_context=context if account.tls else None,
            timeout=WAIT_SECONDS,
        )
        try:
            _bound(client)
            client.normalise_times = False
            if not account.tls:
                if client.has_capability("STARTTLS"):
                    client.starttls(context)
                    _bound(client)
                elif not _is_loopback(client):
                    raise NotPermitted(f"{account}: the server offers no TLS; nothing was sent")
            try:
                if account.token:
                    client.oauth2_login(account.user, account.secret)
                else:
                    client.login(account.user, account.secret)
            except LoginError as error:
                raise NotPermitted(f"{account}: the server refuses: {_why(error)}") from error
        except BaseException:
            with contextlib.suppress(Exception):
                client.shutdown()
            raise
        return client

    def close(self) -> None:
        """Take leave."""
        client, self._client = self._client, None
        if client is not None:
            for end in (client.logout, client.shutdown, client.socket().close):
                with contextlib.suppress(Exception):
                    end()


def _bound(client: IMAPClient) -> None:
    """Have a literal that nobody asked for end the session, not the memory."""
    imap = client._imap
    read = imap.read

    def bounded(size: int) -> bytes:
        if size > MAX_LITERAL:
            raise IMAPClientAbortError(f"it sends {size:,} octets that nobody asked for")
        data: bytes = read(size)
        return data

    imap.read = bounded


def _is_loopback(client: IMAPClient) -> bool:
    return ipaddress.ip_address(client.socket().getpeername()[0]).is_loopback


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not hold: {error.verify_message}; --ca-file names another CA"
    text = str(error)
    return text[2:-1] if text.startswith(("b'", 'b"')) else text

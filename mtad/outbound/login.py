"""Logging in at a smart host: SCRAM-SHA-256, PLAIN and LOGIN, the client's side (PURE).

RFC 4954 carries the messages, RFC 5802 and RFC 7677 are SCRAM, RFC 4616 is PLAIN. A password is
only ever sent over TLS; SCRAM proves it without sending it, and the server must prove that it
knows it too.
"""

import binascii
import functools
import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field

from mtad.sasl import scram_keys

NONCE = 18
"""Random octets in our part of a SCRAM nonce."""
MAX_ITERATIONS = 200_000
"""PBKDF2 rounds we do for a server, 40 ms once per salt; more would stop everybody else."""

_SERVER_FIRST = re.compile(r"r=([!-+\--~]+),s=([A-Za-z0-9+/=]+),i=(\d{1,9})(?:,.*)?")


class LoginError(Exception):
    """The exchange cannot go on; says why without a secret."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are at a smart host."""

    login: str
    password: str = field(repr=False)


class Plain:
    """One message: NUL login NUL password."""

    name = "PLAIN"

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def first(self) -> bytes | None:
        """The initial response."""
        return f"\0{self._credentials.login}\0{self._credentials.password}".encode()

    def next(self, challenge: bytes) -> bytes:
        """There is nothing more to say. Raises LoginError."""
        raise LoginError("the server asks for more than PLAIN has")

    def finish(self) -> None:
        """Nothing is left to verify."""


class Login:
    """Two questions, whatever their words."""

    name = "LOGIN"

    def __init__(self, credentials: Credentials) -> None:
        self._answers = [credentials.login, credentials.password]

    def first(self) -> bytes | None:
        """There is no initial response: some servers take it for something else."""
        return None

    def next(self, challenge: bytes) -> bytes:
        """The login, then the password. Raises LoginError."""
        if not self._answers:
            raise LoginError("the server asks for more than LOGIN has")
        return self._answers.pop(0).encode()

    def finish(self) -> None:
        """Nothing is left to verify."""


class Scram:
    """SCRAM-SHA-256 without channel binding (RFC 5802 3)."""

    name = "SCRAM-SHA-256"

    def __init__(self, credentials: Credentials, nonce: str = "") -> None:
        self._credentials = credentials
        self._nonce = nonce or secrets.token_urlsafe(NONCE)
        login = credentials.login.replace("=", "=3D").replace(",", "=2C")
        self._bare = f"n={login},r={self._nonce}"
        self._signature: bytes | None = None
        self._is_proved = False

    def first(self) -> bytes | None:
        """client-first-message."""
        return f"n,,{self._bare}".encode()

    def next(self, challenge: bytes) -> bytes:
        """client-final-message, then an empty one. Raises LoginError."""
        if self._signature is not None:
            self._verify(challenge)
            return b""
        try:
            said = challenge.decode("ascii")
        except UnicodeDecodeError as error:
            raise LoginError("the server's SCRAM message is not ASCII") from error
        found = _SERVER_FIRST.fullmatch(said)
        if found is None or not found[1].startswith(self._nonce) or found[1] == self._nonce:
            raise LoginError("the server's SCRAM message makes no sense")
        iterations = int(found[3])
        if not 0 < iterations <= MAX_ITERATIONS:
            raise LoginError(f"the server asks for {iterations} SCRAM iterations")
        try:
            salt = binascii.a2b_base64(found[2], strict_mode=True)
            salted = _salted(self._credentials.password, salt, iterations)
        except ValueError as error:
            raise LoginError("the server's salt or our password cannot be used") from error
        final = f"c=biws,r={found[1]}"
        message = f"{self._bare},{said},{final}".encode()
        client = hmac.digest(salted, b"Client Key", scram_keys.HASH)
        proof = hmac.digest(hashlib.sha256(client).digest(), message, scram_keys.HASH)
        proof = bytes(a ^ b for a, b in zip(client, proof, strict=True))
        server = hmac.digest(salted, b"Server Key", scram_keys.HASH)
        self._signature = hmac.digest(server, message, scram_keys.HASH)
        return final.encode() + b",p=" + binascii.b2a_base64(proof, newline=False)

    def finish(self) -> None:
        """The server said yes: it must have shown that it knows the password. Raises LoginError.

        RFC 4954 4 lets a server put its last message into a challenge only, never in the 235.
        """
        if not self._is_proved:
            raise LoginError("the server did not prove that it knows the password")

    def _verify(self, challenge: bytes) -> None:
        given = challenge.removeprefix(b"v=").partition(b",")[0]
        try:
            signature = binascii.a2b_base64(given, strict_mode=True)
        except ValueError as error:
            raise LoginError("the server's SCRAM signature makes no sense") from error
        if self._signature is None or not hmac.compare_digest(signature, self._signature):
            raise LoginError("the server's SCRAM signature is wrong")
        self._is_proved = True


Mechanism = Plain | Login | Scram


def choose(
    offered: Collection[str], credentials: Credentials, *, is_private: bool
) -> Mechanism | None:
    """The best mechanism that both sides have, or None.

    ``is_private`` tells that nobody else can read along: TLS, or a socket of this machine.
    """
    if "SCRAM-SHA-256" in offered:
        return Scram(credentials)
    if is_private and "PLAIN" in offered:
        return Plain(credentials)
    if is_private and "LOGIN" in offered:
        return Login(credentials)
    return None


@functools.lru_cache(maxsize=64)
def _salted(password: str, salt: bytes, iterations: int) -> bytes:
    """Servers keep their salt, so the work is done once for many connections."""
    return scram_keys.salted(password, salt, iterations)

"""The server's own secret behind logins: 32 random octets in a file that only it can read.

Three keys are derived from it: one answers for logins that do not exist, the same way each
time, one signs the reverse-paths of mail that is passed on, and one seals the secrets that
CRAM-MD5 needs in readable form, so that who has a copy of the database alone cannot read them.

The file is written and synced beside its place and then linked there, so that it is whole or
not there, and two processes that want to make it agree on one.
"""

import base64
import contextlib
import hmac
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mtad.errors import Corrupt
from mtad.journal import disk

OCTETS = 32
NONCE = 12
"""Octets of a nonce of AES-GCM."""


class AuthKey:
    """What can be done with the secret; it is never shown."""

    def __init__(self, key: bytes) -> None:
        self.decoy = hmac.digest(key, b"mtad decoy", "sha256")
        """Stands in for what a login that does not exist has not got."""
        self.return_paths = hmac.digest(key, b"mtad return paths", "sha256")
        """Signs the reverse-paths of mail that is passed on."""
        self._cipher = AESGCM(hmac.digest(key, b"mtad sealed secrets", "sha256"))

    def seal(self, secret: str, owner: str) -> str:
        """A secret as text to store, readable with this key and for this owner only."""
        nonce = secrets.token_bytes(NONCE)
        return base64.b64encode(
            nonce + self._cipher.encrypt(nonce, secret.encode(), owner.encode())
        ).decode()

    def open(self, sealed: str, owner: str) -> str | None:
        """The way back; None where the key is another or the text was changed."""
        try:
            octets = base64.b64decode(sealed, validate=True)
            return self._cipher.decrypt(octets[:NONCE], octets[NONCE:], owner.encode()).decode()
        except (ValueError, InvalidTag):
            return None


def load(path: Path) -> AuthKey:
    """The key in a file, made if there is none. Raises Corrupt, OSError."""
    try:
        text = path.read_text("ascii", "replace")
    except FileNotFoundError:
        _make(path)
        text = path.read_text("ascii", "replace")
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != OCTETS:
        raise Corrupt(f"{path} is not a key; remove it, and mtad makes another")
    return AuthKey(key)


def _make(path: Path) -> None:
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    number = disk.open_(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        disk.write_all(number, secrets.token_hex(OCTETS).encode() + b"\n")
        disk.fsync(number)
        with contextlib.suppress(FileExistsError):
            disk.link(beside, path)
    finally:
        disk.close(number)
        disk.unlink(beside)
    disk.sync_path(path.parent)

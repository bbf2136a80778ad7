"""Passwords: argon2id hashes (RFC 9106) and passwords that people can copy by hand.

The cost is declared here once. A hash carries its own parameters, so that raising them
leaves older hashes valid until their owner logs in next. What is hashed is the password
prepared by SASLprep (RFC 4616 2), so that one typed on another keyboard is the same.
"""

import secrets

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from mtad.errors import UsageError
from mtad.sasl import saslprep

MEMORY_KIB = 19 * 1024
"""Memory of one hash; three at once stay below 64 MiB."""
PASSES = 2
LANES = 1

MAX_OCTETS = 1024
"""A longer password is refused: hashing it would only serve an attacker."""

ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
"""Letters and digits that no font confuses."""
GROUPS = 4
GROUP_LENGTH = 4

_hasher = argon2.PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
_DECOY = (
    "$argon2id$v=19$m=19456,t=2,p=1$c2VydmVzIG5vIG9uZSE$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)
"""Checked where there is no box, so that the answer takes as long as for a wrong password."""


def generate() -> str:
    """A password of 79 random bits, as four groups of four characters."""
    groups = ("".join(secrets.choice(ALPHABET) for _ in range(GROUP_LENGTH)) for _ in range(GROUPS))
    return "-".join(groups)


def hashed(password: str) -> str:
    """The hash to store, in PHC string format. Takes some 20 ms. Raises UsageError."""
    if not password:
        raise UsageError("the password is empty")
    if len(password.encode("utf-8", "surrogatepass")) > MAX_OCTETS:
        raise UsageError(f"the password is longer than {MAX_OCTETS} octets")
    if any(
        ord(char) < 32 or 127 <= ord(char) < 160 or "\ud800" <= char < "\ue000" for char in password
    ):
        raise UsageError("the password has control characters, or is not UTF-8 text")
    prepared = saslprep.password(password)
    if not prepared:
        raise UsageError("the password has only characters that do not show")
    return _hasher.hash(prepared)


def verify(stored: str | None, password: str) -> bool:
    """Whether ``password`` is the one; as slow for None (no such box) as for a wrong one.

    Takes some 20 ms of CPU: never call it in an event loop.
    """
    if len(password.encode("utf-8", "surrogatepass")) > MAX_OCTETS:
        return False
    try:
        octets = saslprep.password(password)
        return _hasher.verify(stored or _DECOY, octets) and stored is not None
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


def is_outdated(stored: str) -> bool:
    """Whether a hash was made with other parameters and is worth making again at login."""
    return _hasher.check_needs_rehash(stored)

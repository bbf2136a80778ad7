"""What a server keeps of a password for SCRAM-SHA-256 (RFC 5802 3), as values and text (PURE)."""

import binascii
import hashlib
import hmac

from mtad.sasl import saslprep
from mtad.sasl.steps import ScramKey, ScramKeys

HASH = "sha256"
DIGEST = 32
"""Octets of SHA-256."""
ITERATIONS = 32_768
"""Of PBKDF2 for keys made here, 6 ms; RFC 7677 4 asks for at least 4,096."""
SALT = 16
"""Octets of a salt."""
SCHEME = "SCRAM-SHA-256"


def salted(password: str, salt: bytes, iterations: int) -> bytes:
    """SaltedPassword (RFC 5802 3); ITERATIONS take 6 ms."""
    return hashlib.pbkdf2_hmac(HASH, saslprep.password(password), salt, iterations)


def key(name: str, salted_password: bytes) -> ScramKey:
    """What is kept of a password whose SaltedPassword is given."""
    client = hmac.digest(salted_password, b"Client Key", HASH)
    server = hmac.digest(salted_password, b"Server Key", HASH)
    return ScramKey(name, hashlib.sha256(client).digest(), server)


def decoy(secret: bytes, login: str) -> ScramKeys:
    """Keys for a login that has none: the same salt each time, and a key that fits nothing."""
    made = hmac.digest(secret, b"scram\0" + login.encode("utf-8", "surrogatepass"), "sha512")
    return ScramKeys(made[:SALT], ITERATIONS, (ScramKey("", made[-DIGEST:], made[-DIGEST:]),))


def written(keys: ScramKeys) -> str:
    """One key as it is stored (RFC 5803 2's form): ``SCRAM-SHA-256$i:salt$stored:server``."""
    (one,) = keys.keys
    salt, stored, server = (
        binascii.b2a_base64(part, newline=False).decode()
        for part in (keys.salt, one.stored, one.server)
    )
    return f"{SCHEME}${keys.iterations}:{salt}${stored}:{server}"


def read(name: str, text: str) -> ScramKeys:
    """The way back from ``written``. Raises ValueError."""
    scheme, _, rest = text.partition("$")
    pair, _, both = rest.partition("$")
    iterations, _, salt = pair.partition(":")
    stored, _, server = both.partition(":")
    if scheme != SCHEME or not iterations.isdecimal():
        raise ValueError("not a SCRAM-SHA-256 key")
    parts = [binascii.a2b_base64(part, strict_mode=True) for part in (salt, stored, server)]
    if not parts[0] or len(parts[1]) != DIGEST or len(parts[2]) != DIGEST:
        raise ValueError("not a SCRAM-SHA-256 key")
    return ScramKeys(parts[0], int(iterations), (ScramKey(name, parts[1], parts[2]),))

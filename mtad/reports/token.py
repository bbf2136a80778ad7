"""Return paths that name the message they belong to, for what SRS cannot hold (PURE).

    bounce=0a03zkr000000=1=HASH@domain

A bounce to it is about recipient 1 of message 0a03zkr000000, whatever the bounce says of
itself. HASH is base32 of HMAC-SHA256 over the rest, so that nobody else can write one; case
does not matter. Such an address is always shorter than 64 octets, however long the sender's is.
"""

import base64
import hmac
import re
from collections.abc import Sequence

from tracing import ids

VALID_DAYS = 60
"""How long one is honoured: the five days of a queue, and time for slow bounces."""
HASH_LENGTH = 10
"""Characters of the hash, 50 bits."""

_DAY = 86_400 * 1_000_000
_FORM = re.compile(r"bounce=([0-9a-z]{13})=([0-9]{1,9})=([0-9a-z]{10})", re.ASCII)


class Tokens:
    """Writes and reads tokens, at any domain; the first of ``secrets`` signs, all verify."""

    def __init__(self, secrets: Sequence[bytes], *, days: int = VALID_DAYS) -> None:
        if not secrets or not all(secrets):
            raise ValueError("tokens need a secret")
        self._secrets = tuple(secrets)
        self._days = days

    def write(self, m: int, n: int, domain: str) -> str:
        """The return path of recipient ``n`` of message ``m``."""
        named = f"bounce={ids.text(m)}={n}"
        return f"{named}={_mac(self._secrets[0], named)}@{domain}"

    def read(self, recipient: str, at: int) -> tuple[int, int] | None:
        """Message and recipient, None for what was not made here or long ago.

        ``at`` is in microseconds.
        """
        local = recipient.lower().rpartition("@")[0]
        found = _FORM.fullmatch(local)
        if not found:
            return None
        named = local[: found.start(3) - 1]
        made = [_mac(secret, named) for secret in self._secrets]
        # Every secret is tried, so that the time taken tells nothing of which one fits.
        if not any([hmac.compare_digest(mac, found[3]) for mac in made]):
            return None
        m = ids.parse(found[1])
        if m is None or not -_DAY <= at - ids.time_us(m) <= self._days * _DAY:
            return None
        return m, int(found[2])


def _mac(secret: bytes, named: str) -> str:
    digest = hmac.digest(secret, named.encode("ascii"), "sha256")
    return base64.b32encode(digest).decode("ascii").lower()[:HASH_LENGTH]

"""The Sender Rewriting Scheme: a forwarded message keeps a return path that leads home (PURE).

M. W. "Shevek", "The Sender Rewriting Scheme", 2004. A forwarder may not use the sender's own
reverse-path (SPF), so it writes one of its own that holds the sender's, signed and dated:

    SRS0=HASH=TT=domain=local@forwarder          from local@domain
    SRS1=HASH=first==HASH=TT=domain=local@next   from an SRS0 address at first

HASH is base64 of HMAC-SHA1 over what follows, in lower case; TT counts days modulo 1024 in
base32. Hosts that change the case of a local part are put up with. The same secrets give the
same addresses as in Mail::SRS, libsrs2 and PostSRSd.
"""

import binascii
import hmac
import re
from collections.abc import Sequence

from mtad.address import MAX_LOCAL

VALID_DAYS = 21
"""How long an address is honoured; bounces come within days, and 1024 days come round again."""
HASH_LENGTH = 8
"""Characters of the hash: 8 in any case are some 40 bits, 4 as in Mail::SRS some 20."""

_SLOTS = 1024
_DAY = 86_400 * 1_000_000
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_TAG = re.compile(r"SRS[01][=+-]", re.IGNORECASE)
_TAG0 = re.compile(r"SRS0[=+-][^=]+=[^=]{2}=[^=]+=.", re.IGNORECASE)
_TAG1 = re.compile(r"SRS1[=+-][^=]+=([^=]+)=([=+-].+)", re.IGNORECASE)
_DOTTED = re.compile(r"[^\x00-\x20\x7f-\x9f()<>\[\]:;@\\,\"\ud800-\udfff]+")
_DOMAIN = re.compile(r"[\w.-]+")


class Unwritable(ValueError):
    """A reverse-path that SRS cannot hold: too long, quoted, or at an address literal."""


class Invalid(ValueError):
    """An address that looks like one of ours and is not: malformed, forged or expired."""


class Srs:
    """Writes and reads the SRS addresses of one domain.

    The first of ``secrets`` signs, all of them verify, so that one can be replaced while
    addresses made with it are under way. Times are in microseconds since the Unix epoch.
    """

    def __init__(
        self,
        domain: str,
        secrets: Sequence[bytes],
        *,
        days: int = VALID_DAYS,
        length: int = HASH_LENGTH,
    ) -> None:
        if not secrets or not all(secrets):
            raise ValueError("SRS needs a secret")
        self.domain = domain.lower()
        self._secrets = tuple(secrets)
        self._days = days
        self._length = length

    def forward(self, sender: str, at: int) -> str:
        """The reverse-path to forward with; the null one stays null. Raises Unwritable."""
        if not sender:
            return ""
        local, _, domain = sender.rpartition("@")
        if not _DOTTED.fullmatch(local) or not _DOMAIN.fullmatch(domain):
            raise Unwritable(f"{sender!r} cannot stand in a local part")
        if _TAG0.match(local):
            written = self._guarded(domain, local[4:])
        elif there := _TAG1.match(local):
            written = self._guarded(there[1], there[2])
        else:
            stamp = _stamp(at)
            written = f"SRS0={self._sign(stamp, domain, local)}={stamp}={domain}={local}"
        if len(written.encode()) > MAX_LOCAL:
            raise Unwritable(f"{sender!r} leaves no room: a local part has {MAX_LOCAL} octets")
        return f"{written}@{self.domain}"

    def _guarded(self, first: str, rest: str) -> str:
        """What leads to ``SRS0`` + ``rest`` at the first forwarder, whoever was between."""
        return f"SRS1={self._sign(first, rest)}={first}={rest}"

    def is_ours(self, recipient: str) -> bool:
        """Whether an address has the form of one that was made here."""
        local, _, domain = recipient.rpartition("@")
        return domain.lower() == self.domain and bool(_TAG.match(local))

    def reverse(self, recipient: str, at: int) -> str:
        """The address that one made here leads to, one hop back. Raises Invalid."""
        if not self.is_ours(recipient):
            raise Invalid("this is no SRS address of ours")
        local = recipient.rpartition("@")[0]
        if local[3] == "0":
            mac, stamp, domain, user = _parts(local[5:], 4)
            self._verify(mac, stamp, domain, user)
            self._check(stamp, at)
            return f"{user}@{domain}"
        mac, first, rest = _parts(local[5:], 3)
        if rest[0] not in "=+-" or len(rest) < 2:
            raise Invalid("the address is malformed")
        self._verify(mac, first, rest)
        return f"SRS0{rest}@{first}"

    def _sign(self, *values: str) -> str:
        return _mac(self._secrets[0], values)[: self._length]

    def _verify(self, given: str, *values: str) -> None:
        if len(given) < self._length or not given.isascii():
            raise Invalid("the address is malformed")
        made = [_mac(secret, values)[: len(given)].lower() for secret in self._secrets]
        # Every secret is tried, so that the time taken tells nothing of which one fits.
        if not any([hmac.compare_digest(mac, given.lower()) for mac in made]):
            raise Invalid("the address was not made here")

    def _check(self, stamp: str, at: int) -> None:
        if len(stamp) != 2 or any(char not in _BASE32 for char in stamp.upper()):
            raise Invalid("the address is malformed")
        high, low = map(_BASE32.index, stamp.upper())
        if (at // _DAY - (high * 32 + low)) % _SLOTS > self._days:
            raise Invalid("the address has expired")


def _stamp(at: int) -> str:
    day = at // _DAY % _SLOTS
    return _BASE32[day // 32] + _BASE32[day % 32]


def _mac(secret: bytes, values: Sequence[str]) -> str:
    digest = hmac.digest(secret, "".join(values).lower().encode("utf-8", "replace"), "sha1")
    return binascii.b2a_base64(digest, newline=False).decode("ascii")


def _parts(text: str, count: int) -> list[str]:
    """The fields of a local part after its tag; the last may hold more separators."""
    parts = text.split("=", count - 1)
    if len(parts) != count or not all(parts):
        raise Invalid("the address is malformed")
    return parts

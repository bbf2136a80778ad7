"""Verifying DKIM signatures: what each says, the key it needs, and the verdict (RFC 6376 6) (PURE).

No DNS here: ``signatures`` tells the names to ask for, ``verify`` takes what was found there.
A verdict says why, in words for a header, a log and a person (RFC 8601 2.7.1).
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from mtad.address import domain as normal_domain
from mtad.completion import name_of
from mtad.mailauth import canonical, tags
from mtad.mailauth.dkim_sign import ED25519, RSA

MAX_SIGNATURES = 8
"""Signatures of a message that are looked at: each costs a question and a computation."""
MIN_BITS = 1024
MAX_BITS = 4096
"""Sizes of RSA keys that are accepted (RFC 8301 3.2); a larger key costs time."""
SLACK_SECONDS = 24 * 3600
"""How far in the future a signature may have been made: clocks are wrong."""

Status = Literal["pass", "fail", "neutral", "policy", "permerror", "temperror"]


@dataclass(frozen=True, slots=True)
class Signature:
    """A DKIM-Signature field: its tags, and itself as it is hashed."""

    raw: bytes = field(repr=False)
    algorithm: str
    domain: str
    selector: str
    identity: str
    headers: tuple[str, ...]
    body_hash: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    header_form: canonical.Canonicalization
    body_form: canonical.Canonicalization
    body_length: int | None
    made: int | None
    expires: int | None

    @property
    def query(self) -> str:
        """The name whose TXT record is the key (RFC 6376 3.6.2.1)."""
        return f"{self.selector}._domainkey.{self.domain}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one signature; ``why`` is empty when it holds."""

    status: Status
    domain: str = ""
    selector: str = ""
    identity: str = ""
    why: str = ""
    testing: bool = False
    """The domain only tries DKIM out (``t=y``): treat the mail as if it had no signature."""
    bits: int = 0
    """Size of the RSA key."""


def signatures(fields: Sequence[bytes]) -> Iterator[Signature | Verdict]:
    """Each DKIM-Signature of a message in order; a verdict in place of what is malformed."""
    count = 0
    for one in fields:
        if name_of(one) != b"dkim-signature":
            continue
        count += 1
        if count > MAX_SIGNATURES:
            return
        try:
            yield _read(one)
        except ValueError as error:
            yield Verdict("permerror", why=str(error))


def _read(raw: bytes) -> Signature:
    """Raises ValueError with what is wrong (RFC 6376 6.1.1)."""
    found = tags.parse(raw.partition(b":")[2])
    for name in ("v", "a", "b", "bh", "d", "h", "s"):
        if not found.get(name):
            raise ValueError(f"the tag {name} is missing")
    if found["v"] != "1":
        raise ValueError("unknown version")
    domain = normal_domain(found["d"])
    selector = normal_domain(found["s"])
    identity = found.get("i", f"@{found['d']}")
    below = "." + identity.rpartition("@")[2].lower().rstrip(".")
    if "@" not in identity or not below.endswith(f".{domain}"):
        raise ValueError("the identity is not within the domain")
    headers = tags.names(found["h"])
    if "from" not in headers:
        raise ValueError("From is not signed")
    if "dns/txt" not in tags.names(found.get("q", "dns/txt")):
        raise ValueError("unknown query method")
    header_form, _, body_form = found.get("c", "simple/simple").partition("/")
    forms = (header_form, body_form or "simple")
    if not set(forms) <= {"simple", "relaxed"}:
        raise ValueError("unknown canonicalization")
    made = tags.number(found["t"]) if "t" in found else None
    expires = tags.number(found["x"]) if "x" in found else None
    if made is not None and expires is not None and expires < made:
        raise ValueError("it expires before it was made")
    return Signature(
        raw=raw,
        algorithm=found["a"].lower(),
        domain=domain,
        selector=selector,
        identity=identity,
        headers=headers,
        body_hash=tags.octets(found["bh"]),
        signature=tags.octets(found["b"]),
        header_form=cast(canonical.Canonicalization, forms[0]),
        body_form=cast(canonical.Canonicalization, forms[1]),
        body_length=tags.number(found["l"]) if "l" in found else None,
        made=made,
        expires=expires,
    )


def body_hash(signature: Signature) -> canonical.BodyHash:
    """What to feed the body into for this signature."""
    return canonical.BodyHash(signature.body_form, signature.body_length)


def verify(
    signature: Signature,
    fields: Sequence[bytes],
    body: canonical.BodyHash,
    records: Sequence[bytes],
    now: int,
) -> Verdict:
    """The verdict on one signature.

    ``fields`` are all of the message's, ``body`` was fed the body, ``records`` are the TXT
    records found at ``signature.query``, each joined, ``now`` is in seconds.
    """
    try:
        if signature.algorithm not in (RSA, ED25519):
            weak = signature.algorithm == "rsa-sha1"
            why = "rsa-sha1 proves nothing" if weak else "unknown algorithm"  # RFC 8301 3.1
            return _verdict(signature, "policy" if weak else "neutral", why)
        key = _key(signature, records)
    except _KeyError as error:
        return _verdict(signature, "permerror", str(error))
    if key.bits and not MIN_BITS <= key.bits <= MAX_BITS:
        return _verdict(signature, "policy", f"a key of {key.bits} bits", key)
    if signature.expires is not None and signature.expires < now:
        return _verdict(signature, "fail", "the signature has expired", key)
    if signature.made is not None and signature.made > now + SLACK_SECONDS:
        return _verdict(signature, "fail", "the signature is from the future", key)
    digest = body.digest()
    if signature.body_length is not None and signature.body_length > body.size:
        return _verdict(signature, "permerror", "the body is shorter than what was signed", key)
    if digest != signature.body_hash:
        return _verdict(signature, "fail", "the body was changed", key)
    if not key.fits(signature.signature, _text(signature, fields)):
        return _verdict(signature, "fail", "the header was changed, or the key is another", key)
    return _verdict(signature, "pass", "", key)


def _verdict(signature: Signature, status: Status, why: str, key: "_Key | None" = None) -> Verdict:
    return Verdict(
        status,
        signature.domain,
        signature.selector,
        signature.identity,
        why,
        testing=key is not None and key.testing,
        bits=key.bits if key is not None else 0,
    )


def _text(signature: Signature, fields: Sequence[bytes]) -> bytes:
    """What was signed of the header (RFC 6376 3.7): each name takes its last field first."""
    left: dict[str, list[bytes]] = {}
    for one in fields:
        if one is not signature.raw:
            left.setdefault(name_of(one).decode("ascii"), []).append(one)
    form = signature.header_form
    text = [
        canonical.header(left[name].pop(), form) for name in signature.headers if left.get(name)
    ]
    own = canonical.header(_without_signature(signature.raw), form).removesuffix(b"\r\n")
    return b"".join(text) + own


def _without_signature(raw: bytes) -> bytes:
    """The field with the value of ``b=`` taken out, all else as it is."""
    head, *parts = raw.removesuffix(b"\n").split(b":", 1)
    kept = []
    for part in parts[0].split(b";"):
        name, equals, _ = part.partition(b"=")
        kept.append(name + equals if name.strip() == b"b" else part)
    return head + b":" + b";".join(kept) + b"\n"


class _KeyError(ValueError):
    """The key cannot be used."""


@dataclass(frozen=True, slots=True)
class _Key:
    public: RSAPublicKey | Ed25519PublicKey
    testing: bool

    @property
    def bits(self) -> int:
        return self.public.key_size if isinstance(self.public, RSAPublicKey) else 0

    def fits(self, signature: bytes, text: bytes) -> bool:
        try:
            if isinstance(self.public, RSAPublicKey):
                self.public.verify(signature, text, padding.PKCS1v15(), hashes.SHA256())
            else:
                self.public.verify(signature, hashlib.sha256(text).digest())
        except InvalidSignature:
            return False
        return True


def _key(signature: Signature, records: Sequence[bytes]) -> _Key:
    """The key in a record (RFC 6376 3.6.1, 6.1.2). Raises _KeyError; the last record's reason."""
    why = "there is no key"
    for record in records:
        try:
            return _read_key(signature, record)
        except ValueError as error:
            why = str(error)
    raise _KeyError(why)


def _read_key(signature: Signature, record: bytes) -> _Key:
    found = tags.parse(record)
    if found.get("v", "DKIM1") != "DKIM1" or ("v" in found and next(iter(found)) != "v"):
        raise ValueError("the record is no DKIM key")
    kind = found.get("k", "rsa").lower()
    if kind != signature.algorithm.partition("-")[0]:
        raise ValueError("the key is of another kind")
    if "sha256" not in tags.names(found.get("h", "sha256")):
        raise ValueError("the key is not for SHA-256")
    if not {"*", "email"} & set(tags.names(found.get("s", "*"))):
        raise ValueError("the key is not for mail")
    flags = tags.names(found.get("t", ""))
    if "s" in flags and signature.identity.rpartition("@")[2].lower() != signature.domain:
        raise ValueError("the key is not for names below the domain")
    if "p" not in found:
        raise ValueError("the record has no key")
    if not found["p"]:
        raise ValueError("the key was revoked")
    return _Key(_public(kind, tags.octets(found["p"])), "y" in flags)


def _public(kind: str, octets: bytes) -> RSAPublicKey | Ed25519PublicKey:
    if kind == "ed25519":
        return Ed25519PublicKey.from_public_bytes(octets)
    try:
        key = load_der_public_key(octets)
    except UnsupportedAlgorithm as error:
        raise ValueError("the key is of another kind") from error
    except ValueError as error:
        raise ValueError("the key is damaged") from error
    if not isinstance(key, RSAPublicKey):
        raise ValueError("the key is of another kind")
    return key

"""Signing a message with DKIM (RFC 6376 5, RFC 8463) (PURE).

Everything is relaxed/relaxed. Fields that a reader sees are signed once more than they are
there, so that nobody can add another one (5.4.2). No expiry is set: mail may be in a queue for
days and in a mailbox for ever, and a copy that somebody replays is not made worse by its age.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from mtad.completion import name_of
from mtad.mailauth import canonical

RSA = "rsa-sha256"
ED25519 = "ed25519-sha256"

ALWAYS = ("from", "reply-to", "to", "cc", "subject", "date", "message-id")
"""Signed once more than they are there, absent or not."""
WHERE_PRESENT = (
    "sender",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "in-reply-to",
    "references",
)
"""Signed once more than they are there, if they are there at all."""
AS_THEY_ARE = (
    "resent-date",
    "resent-from",
    "resent-to",
    "resent-cc",
    "list-id",
    "list-help",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "list-subscribe",
    "list-post",
    "list-owner",
    "list-archive",
)
"""Signed as often as they are there; further ones may come with a list."""
WIDTH = 76
"""Characters in a line of the signature, its line end aside."""


@dataclass(frozen=True, slots=True)
class Key:
    """A private key and where its public half is published."""

    domain: str
    selector: str
    private: RSAPrivateKey | Ed25519PrivateKey

    @property
    def algorithm(self) -> str:
        """Its name in ``a=``."""
        return RSA if isinstance(self.private, RSAPrivateKey) else ED25519


def sign(fields: Sequence[bytes], body: bytes, key: Key, at: int) -> bytes:
    """A DKIM-Signature field with LF line ends.

    ``fields`` are the message's with their line ends, ``body`` is the digest of its relaxed
    body (``canonical.BodyHash``), ``at`` the time in seconds. RSA with 2048 bits takes 1 ms.
    """
    signed = list(_signed(fields))
    tags = (
        "v=1",
        f"a={key.algorithm}",
        "c=relaxed/relaxed",
        f"d={key.domain}",
        f"s={key.selector}",
        f"t={at}",
        f"h={':'.join(name for name, _ in signed)}",
        f"bh={base64.b64encode(body).decode('ascii')}",
    )
    unsigned = _folded(tags) + b"\tb="
    text = b"".join(canonical.header(field, "relaxed") for _, field in signed if field)
    text += canonical.header(unsigned, "relaxed").removesuffix(b"\r\n")
    signature = base64.b64encode(_signature(key.private, text))
    lines = [signature[start : start + WIDTH - 4] for start in range(0, len(signature), WIDTH - 4)]
    return unsigned + b"\n\t ".join(lines) + b"\n"


def _signature(private: RSAPrivateKey | Ed25519PrivateKey, text: bytes) -> bytes:
    if isinstance(private, RSAPrivateKey):
        return private.sign(text, padding.PKCS1v15(), hashes.SHA256())
    return private.sign(hashlib.sha256(text).digest())  # RFC 8463 3


def _signed(fields: Sequence[bytes]) -> Iterable[tuple[str, bytes]]:
    """The fields to sign in order, each name's last one first (RFC 6376 5.4.2), and gaps."""
    there: dict[str, list[bytes]] = {}
    for field in fields:
        there.setdefault(name_of(field).decode("ascii"), []).append(field)
    for group, once_more in ((ALWAYS, True), (WHERE_PRESENT, True), (AS_THEY_ARE, False)):
        for name in group:
            found = there.get(name, [])
            yield from ((name, field) for field in reversed(found))
            if once_more and (found or group is ALWAYS):
                yield name, b""


def _folded(tags: Iterable[str]) -> bytes:
    """The field with its tags, folded after semicolons and colons."""
    lines = ["DKIM-Signature:"]
    for tag in tags:
        pieces = [f"{piece}:" for piece in tag.split(":")]
        pieces[-1] = f"{pieces[-1][:-1]};"
        for number, piece in enumerate(pieces):
            gap = "" if number else " "
            if len(lines[-1]) + len(gap) + len(piece) > WIDTH:
                lines.append("\t" + (" " if number else ""))
                gap = ""
            lines[-1] += gap + piece
    return "\n".join(lines).encode("ascii") + b"\n"

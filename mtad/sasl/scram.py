"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, the server's side (RFC 5802, RFC 7677) (PURE).

The server keeps no password and nothing that would do for one; both sides prove that they
know. A login without keys is answered like any other, with a salt that stays the same.
"""

import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

from mtad.sasl.saslprep import saslprep
from mtad.sasl.scram_keys import DIGEST, HASH
from mtad.sasl.steps import (
    MAX_MESSAGE,
    WRONG,
    Challenge,
    Failure,
    KeysWanted,
    ScramKey,
    ScramKeys,
    Step,
    Success,
    malformed,
)

_FIRST = re.compile(r"(p=([A-Za-z0-9.-]+)|y|n),(?:a=([^,]+))?,(n=([^,]+),r=([!-+\--~]+)(?:,.*)?)")
_FINAL = re.compile(r"(c=([A-Za-z0-9+/=]+),r=([!-+\--~]+)(?:,[a-zA-Z]=[^,]+)*),p=([A-Za-z0-9+/=]+)")
_NAME = re.compile(r"(?:[^=,\0]|=2C|=3D)+")


@dataclass(frozen=True, slots=True)
class _First:
    """What of the client's first message is needed later."""

    login: str
    bound: bytes
    """Its GS2 header, and the channel's data where it wants to be bound."""
    bare: bytes
    nonce: str


class Scram:
    """One exchange. ``nonce`` is the server's part, fresh and printable without commas.

    ``bindings`` are the channel's data by type (``mtad.sasl.binding``), none where -PLUS was
    not offered. Where it was, a client that could bind and did not see it is refused: someone
    in between took it away (RFC 5802 6).
    """

    def __init__(self, nonce: str, bindings: Mapping[str, bytes], *, plus: bool = False) -> None:
        self.name = "SCRAM-SHA-256-PLUS" if plus else "SCRAM-SHA-256"
        self._nonce = nonce
        self._bindings = bindings
        self._plus = plus
        self._first: _First | None = None
        self._keys = ScramKeys(b"", 0, ())
        self._said = b""
        self._success: Success | None = None

    def step(self, response: bytes | None) -> Step:
        """Take the client's next message; None asks for its first."""
        if response is None:
            return Challenge(b"")
        if len(response) > MAX_MESSAGE:
            return malformed("the message is too long")
        if self._success is not None:
            # The client has verified our signature and has nothing more to say.
            return self._success if not response else malformed("a message too many")
        try:
            text = response.decode()
        except UnicodeDecodeError:
            return malformed("the message is not UTF-8")
        if self._first is None:
            return self._begin(text)
        return self._finish(self._first, text)

    def _begin(self, text: str) -> Step:
        """client-first-message."""
        found = _FIRST.fullmatch(text)
        if found is None:
            return malformed("the first message is malformed")
        flag, binding, authorization, bare, name, nonce = found.groups()
        login = _unescaped(name)
        if login is None:
            return malformed("the login is malformed")
        if authorization and _unescaped(authorization) != login:
            return Failure(f"may not act as {authorization}", login)
        if self._plus and binding not in self._bindings:
            return malformed(f"no channel binding of type {binding or 'none'}", login)
        if not self._plus and binding:
            return malformed("channel binding needs the mechanism with -PLUS", login)
        if flag == "y" and self._bindings:
            return Failure("the client did not see -PLUS offered: someone is in between", login)
        header = text[: len(text) - len(bare)].encode()
        bound = header + self._bindings[binding] if binding else header
        self._first = _First(login, bound, bare.encode(), nonce)
        return KeysWanted(login, self._challenge)

    def _challenge(self, keys: ScramKeys) -> Challenge:
        """server-first-message."""
        assert self._first is not None
        self._keys = keys
        salt = binascii.b2a_base64(keys.salt, newline=False).decode()
        self._said = f"r={self._first.nonce}{self._nonce},s={salt},i={keys.iterations}".encode()
        return Challenge(self._said)

    def _finish(self, first: _First, text: str) -> Step:
        """client-final-message."""
        found = _FINAL.fullmatch(text)
        if found is None:
            return malformed("the final message is malformed", first.login)
        without_proof, binding, nonce, coded = found.groups()
        try:
            bound = binascii.a2b_base64(binding, strict_mode=True)
            proof = binascii.a2b_base64(coded, strict_mode=True)
        except binascii.Error:
            return malformed("the final message is not base64", first.login)
        if not hmac.compare_digest(bound, first.bound):
            return Failure("the client is bound to another channel", first.login)
        if not hmac.compare_digest(nonce.encode(), (first.nonce + self._nonce).encode()):
            return malformed("the nonce is another", first.login)
        if len(proof) != DIGEST:
            return malformed("the proof has another length", first.login)
        message = b",".join((first.bare, self._said, without_proof.encode()))
        known = [key for key in self._keys.keys if _proves(key, message, proof)]
        if not known:
            return Failure(WRONG, first.login)
        self._success = Success(first.login, known[0].name)
        signature = hmac.digest(known[0].server, message, HASH)
        return Challenge(b"v=" + binascii.b2a_base64(signature, newline=False))


def _proves(key: ScramKey, message: bytes, proof: bytes) -> bool:
    """Whether the proof was made with the password behind a key (RFC 5802 3)."""
    signature = hmac.digest(key.stored, message, HASH)
    client = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
    return hmac.compare_digest(hashlib.sha256(client).digest(), key.stored)


def _unescaped(name: str) -> str | None:
    """A saslname as text (RFC 5802 5.1): ``=2C`` a comma, ``=3D`` an equals sign."""
    if not _NAME.fullmatch(name):
        return None
    try:
        return saslprep(name.replace("=2C", ",").replace("=3D", "="))
    except ValueError:
        return None

"""OAUTHBEARER (RFC 7628): a token that somebody else gave out and can vouch for (PURE)."""

import re

from mtad.sasl.steps import (
    MAX_MESSAGE,
    Challenge,
    Failure,
    Step,
    Success,
    TokenCheck,
    Verdict,
    malformed,
)

REFUSED = b'{"status":"invalid_token"}'
"""What a client is told before the failure (RFC 7628 3.2.2)."""

_HEADER = re.compile(r"[ny],(?:a=([^,]*))?,")
_TOKEN = re.compile(r"bearer ([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)


class OAuthBearer:
    """One message with the token; one that is refused is explained before the verdict."""

    name = "OAUTHBEARER"

    def __init__(self) -> None:
        self._failure: Failure | None = None

    def step(self, response: bytes | None) -> Step:
        """None asks for the client's message."""
        if self._failure is not None:
            return self._failure
        if response is None:
            return Challenge(b"")
        if len(response) > MAX_MESSAGE:
            return malformed("the message is too long")
        try:
            header, *pairs = response.decode().split("\1")
        except UnicodeDecodeError:
            return malformed("the message is not UTF-8")
        named = _HEADER.fullmatch(header)
        if named is None or pairs[-2:] != ["", ""]:
            return malformed("the message is not a header and pairs")
        login = (named[1] or "").replace("=2C", ",").replace("=3D", "=")
        values = dict(pair.partition("=")[::2] for pair in pairs[:-2])
        token = _TOKEN.fullmatch(values.get("auth", ""))
        if token is None:
            return malformed("there is no bearer token", login)
        return TokenCheck(login, token[1], lambda owner: self._verdict(login, owner))

    def _verdict(self, login: str, owner: str | None) -> Challenge | Verdict:
        if owner is not None and login.lower() in ("", owner.lower()):
            return Success(owner)
        why = "the token is not good" if owner is None else f"the token is of {owner}"
        self._failure = Failure(why, login)
        return Challenge(REFUSED)

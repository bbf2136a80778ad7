"""CRAM-MD5 (RFC 2195): the password never travels, but the server must know it (PURE)."""

import hmac

from mtad.sasl.steps import (
    MAX_MESSAGE,
    WRONG,
    Challenge,
    Failure,
    SecretWanted,
    Step,
    Success,
    Verdict,
    malformed,
)

DIGEST_LENGTH = 32
"""Hexadecimal digits of an HMAC-MD5."""
CRAM_NAME = "cram-md5"
"""The name of a box's secret for CRAM-MD5 among its passwords."""


class CramMd5:
    """``challenge`` must be of the form of a Message-ID and never be used twice.

    ``decoy`` is the secret checked where there is none: the answer then takes as long.
    """

    name = "CRAM-MD5"

    def __init__(self, challenge: bytes, decoy: bytes) -> None:
        self._challenge = challenge
        self._decoy = decoy
        self._asked = False

    def step(self, response: bytes | None) -> Step:
        """None asks; an initial response is against RFC 2195 2 and refused."""
        if not self._asked:
            self._asked = True
            if response is not None:
                return malformed("CRAM-MD5 has no initial response")
            return Challenge(self._challenge)
        if response is None or len(response) > MAX_MESSAGE:
            return malformed("the answer is too long")
        user, space, digest = response.rpartition(b" ")
        try:
            login = user.decode()
        except UnicodeDecodeError:
            return malformed("the login is not UTF-8")
        if not space or not login or len(digest) != DIGEST_LENGTH:
            return malformed("the answer is not LOGIN DIGEST", login)

        def then(secret: bytes | None) -> Verdict:
            expected = hmac.new(secret or self._decoy, self._challenge, "md5").hexdigest()
            same = hmac.compare_digest(expected.encode(), digest.lower())
            if secret is None:
                return Failure("CRAM-MD5 is not enabled for this box", login)
            return Success(login, CRAM_NAME) if same else Failure(WRONG, login)

        return SecretWanted(login, then)

"""PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login): the password itself, over TLS (PURE)."""

from mtad.sasl.steps import (
    MAX_MESSAGE,
    WRONG,
    Challenge,
    Failure,
    PasswordCheck,
    Step,
    Success,
    Verdict,
    malformed,
)


class Plain:
    """One message: ``[authorization identity] NUL login NUL password``."""

    name = "PLAIN"

    def step(self, response: bytes | None) -> Step:
        """None asks for the client's message."""
        if response is None:
            return Challenge(b"")
        if len(response) > MAX_MESSAGE:
            return malformed("the message is too long")
        try:
            parts = response.decode().split("\0")
        except UnicodeDecodeError:
            return malformed("the message is not UTF-8")
        if len(parts) != 3 or not all(parts[1:]):
            return malformed("the message is not NUL login NUL password")
        authorization, login, password = parts
        if authorization and authorization != login:
            return Failure(f"may not act as {authorization}", login)
        return _check(login, password)


class Login:
    """Two questions, the login and the password; what is asked is for people, not for clients."""

    name = "LOGIN"

    def __init__(self) -> None:
        self._login = ""

    def step(self, response: bytes | None) -> Step:
        """None asks for the login; some clients send it as an initial response."""
        if response is None:
            return Challenge(b"Username:")
        if len(response) > MAX_MESSAGE:
            return malformed("the answer is too long", self._login)
        try:
            answer = response.decode()
        except UnicodeDecodeError:
            return malformed("the answer is not UTF-8", self._login)
        if not answer or "\0" in answer:
            return malformed("the answer is empty or has NUL in it", self._login)
        if self._login:
            return _check(self._login, answer)
        self._login = answer
        return Challenge(b"Password:")


def _check(login: str, password: str) -> PasswordCheck:
    def then(name: str | None) -> Verdict:
        return Failure(WRONG, login) if name is None else Success(login, name)

    return PasswordCheck(login, password, then)

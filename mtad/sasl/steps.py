"""What a SASL mechanism says next (RFC 4422 3): a challenge, a question, or the verdict (PURE).

A mechanism never looks anything up and never waits. Where it needs to know something, it
returns a question that carries the function to call with the answer; what that returns is the
next step.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

MAX_MESSAGE = 4096
"""Octets of one message of a client, decoded; more is malformed."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """Send this and give the mechanism what the client answers."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PasswordCheck:
    """Is it this login's password? ``then`` takes the name of the password that it is, or None."""

    login: str
    password: str = field(repr=False)
    then: Callable[[str | None], "Verdict"] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ScramKey:
    """What is kept of one password (RFC 5802 3); ``name`` tells a box's passwords apart."""

    name: str
    stored: bytes = field(repr=False)
    server: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """A login's keys, all with one salt: the client is told it before its password is known."""

    salt: bytes = field(repr=False)
    iterations: int
    keys: tuple[ScramKey, ...]


@dataclass(frozen=True, slots=True)
class KeysWanted:
    """What are this login's SCRAM keys? Answer as if there were some where there is no login."""

    login: str
    then: Callable[[ScramKeys], "Challenge | Verdict"] = field(repr=False)


@dataclass(frozen=True, slots=True)
class SecretWanted:
    """What is this login's CRAM secret? None where there is none."""

    login: str
    then: Callable[[bytes | None], "Verdict"] = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenCheck:
    """Whose token is this? None where it is nobody's; ``login`` is who the client says it is."""

    login: str
    token: str = field(repr=False)
    then: Callable[[str | None], "Challenge | Verdict"] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Success:
    """The client is who it says; ``name`` is the password it knew, empty for the box's own."""

    login: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """The client is not, or said nothing that makes sense; the client is never told ``why``.

    ``malformed`` tells a message that breaks the mechanism's rules from a wrong secret.
    """

    why: str
    login: str = ""
    malformed: bool = False


Verdict = Success | Failure
Step = Challenge | PasswordCheck | KeysWanted | SecretWanted | TokenCheck | Verdict

WRONG = "wrong password"


def malformed(why: str, login: str = "") -> Failure:
    """The verdict on a message that breaks the mechanism's rules."""
    return Failure(why, login, malformed=True)

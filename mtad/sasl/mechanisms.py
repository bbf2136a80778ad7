"""The mechanisms a server can offer, by name, strongest first (RFC 4422 5) (PURE)."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mtad.sasl.bearer import OAuthBearer
from mtad.sasl.cram import CramMd5
from mtad.sasl.plain import Login, Plain
from mtad.sasl.scram import Scram
from mtad.sasl.steps import Step

PLUS = "SCRAM-SHA-256-PLUS"
BEARER = "OAUTHBEARER"


class Mechanism(Protocol):
    """One exchange, from the client's first message to a verdict."""

    name: str

    def step(self, response: bytes | None) -> Step:
        """Take a message of the client, None when it has said nothing yet."""


@dataclass(frozen=True, slots=True)
class Channel:
    """What an exchange must know of the connection.

    ``bindings`` are its channel bindings by type, none where -PLUS is not offered; ``decoy`` is
    a secret of ours that stands in for one that a box does not have.
    """

    hostname: str
    decoy: bytes = field(repr=False)
    bindings: Mapping[str, bytes] = field(default_factory=dict)


def _nonce() -> str:
    return secrets.token_urlsafe(18)


_MAKERS: Mapping[str, Callable[[Channel], Mechanism]] = {
    PLUS: lambda channel: Scram(_nonce(), channel.bindings, plus=True),
    "SCRAM-SHA-256": lambda channel: Scram(_nonce(), channel.bindings),
    BEARER: lambda channel: OAuthBearer(),
    "PLAIN": lambda channel: Plain(),
    "LOGIN": lambda channel: Login(),
    "CRAM-MD5": lambda channel: CramMd5(
        f"<{secrets.token_hex(16)}@{channel.hostname}>".encode(), channel.decoy
    ),
}
NAMES = tuple(_MAKERS)


def offered(
    allowed: Sequence[str], *, plus: bool, cram: bool, bearer: bool = False
) -> tuple[str, ...]:
    """Which of the allowed mechanisms a connection is offered, strongest first.

    ``plus`` says whether there is a channel to bind to. CRAM-MD5 is offered while ``cram`` says
    that some box has a secret for it: many a client that sees it tries nothing else.
    ``bearer`` says whether somebody can tell whose a token is.
    """
    has = {PLUS: plus, "CRAM-MD5": cram, BEARER: bearer}
    return tuple(name for name in NAMES if name in allowed and has.get(name, True))


def make(name: str, channel: Channel) -> Mechanism:
    """An exchange by the mechanism's name. Raises KeyError for one there is not."""
    return _MAKERS[name](channel)

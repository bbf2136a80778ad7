"""What a client must not do, whatever it wants to send: protocol control (PURE).

Each breach has the name of a check, which is in its event. Single mistakes are answered and
counted; what shows that the other side speaks another protocol, or does not listen to what we
say, ends the connection.
"""

from mtad.errors import Refusal

MAX_UNKNOWN_COMMANDS = 10
"""Commands nobody has heard of, before the connection ends."""
NOT_OFFERED = frozenset(
    {"AUTH", "ATRN", "BURL", "ETRN", "EXPN", "LHLO", "SAML", "SEND", "SOML", "TURN", "XCLIENT"}
)
"""Commands of other services and of the past."""
HTTP = frozenset({"GET", "POST", "PUT", "HEAD", "CONNECT", "OPTIONS", "DELETE", "PATCH", "TRACE"})
"""What follows these is not commands and must not be run as such: the connection ends."""
MUST_BE_LAST = frozenset({"EHLO", "HELO", "LHLO", "DATA"})
"""Commands whose reply decides what may follow (RFC 2920 3.1). NOOP, VRFY and QUIT must be
last in a group as well, but nothing depends on what is said to them."""
WITH_PAYLOAD = "BDAT"
"""What follows it is its own."""

_KINDS = {500: "unknown_command", 502: "unknown_command", 503: "sequence"}


def hasty(verb: str, *, is_offered: bool) -> Refusal | None:
    """What a client hears that has sent on after a command without waiting for the reply.

    ``is_offered`` tells whether it was told that it may.
    """
    if verb in MUST_BE_LAST or not (is_offered or verb == WITH_PAYLOAD):
        return Refusal(554, "5.5.0", f"you did not wait for the reply to {verb}", close=True)
    return None


def unknown(verb: str, count: int) -> tuple[Refusal, str]:
    """What a client hears for a verb that is none of ours, the ``count``-th, and the check."""
    if verb in HTTP:
        return Refusal(502, "5.5.1", f"{verb} is not offered", close=True), "http"
    if verb in NOT_OFFERED:
        return Refusal(502, "5.5.1", f"{verb} is not offered"), ""
    if count >= MAX_UNKNOWN_COMMANDS:
        return Refusal(500, "5.5.1", "no such command, again", close=True), "unknown_commands"
    return Refusal(500, "5.5.1", "no such command"), ""


def kind(code: int, status: str) -> str:
    """The name of a mistake by its reply: unknown_command, sequence, or syntax."""
    return _KINDS.get(code, "syntax") if status == "5.5.1" else "syntax"
